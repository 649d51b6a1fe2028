"""A batch the whole way with the real network: neighbours, dead letters, review, fences."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine, text

from db.queries.embeddings import list_similar
from db.queries.tags import list_tags
from db.queries.uploads import Submitted, UploadStatus, insert_uploads, list_status, reap_expired
from db.session import transaction
from errors import TransientError, UsageError
from models.predictor import Prediction, Predictor
from models.transforms import Pixels
from tests.conftest import SAMPLES, run_sql
from worker.pipeline import Pipeline
from worker.settings import WorkerSettings
from worker.storage import PictureStore

GOOD = ("polo_green.jpg", "watch_steel_blue_dial.jpg", "tshirt_grey_bands_alpha.png")


@pytest.fixture
def pipeline(engine: Engine, settings: WorkerSettings, predictor: Predictor) -> Iterator[Pipeline]:
    """A pipeline on the fresh database."""
    yield Pipeline(engine, settings, "test", lambda _version: predictor)


def submit(engine: Engine, uris: list[str]) -> list[Submitted]:
    with transaction(engine) as session:
        return insert_uploads(session, uris, "test", uris)


def states(engine: Engine, rows: list[Submitted]) -> list[UploadStatus]:
    with transaction(engine) as session:
        found = list_status(session, [row.id for row in rows])
    return [found[row.id] for row in rows]


def store_of(settings: WorkerSettings) -> PictureStore:
    return PictureStore(settings.require_store(), max_bytes=settings.max_bytes)


def bad_uris(settings: WorkerSettings, tmp_path: Path) -> dict[str, str]:
    """A URI for each dead letter's code."""
    store = store_of(settings)
    text_file = tmp_path / "notes.jpg"
    text_file.write_text("this is no picture")
    huge = tmp_path / "huge.jpg"
    shutil.copy(SAMPLES / GOOD[0], huge)
    with huge.open("ab") as file:
        file.truncate(settings.max_bytes + 10)
    wide = tmp_path / "wide.png"
    Image.new("1", (20_000, 20_000)).save(wide)
    outside = tmp_path / "outside.jpg"
    shutil.copy(SAMPLES / GOOD[0], outside)
    link = settings.require_store() / "link.jpg"
    link.symlink_to(outside)
    fifo = settings.require_store() / "fifo.jpg"
    os.mkfifo(fifo)
    return {
        "not_found": (settings.require_store() / "missing.jpg").as_uri(),
        "undecodable": store.put(SAMPLES / "damaged.jpg").uri,
        "undecodable text": store.put(text_file).uri,
        "too_large": store.put(huge).uri,
        "too_large pixels": store.put(wide).uri,
        "forbidden_uri": outside.as_uri(),
        "forbidden_uri link": link.as_uri(),
        "forbidden_uri scheme": "https://example.org/a.jpg",
        "unreadable": fifo.as_uri(),
    }


def test_bad_files_die_with_their_code_and_neighbours_are_tagged(
    engine: Engine, settings: WorkerSettings, pipeline: Pipeline, tmp_path: Path
) -> None:
    good = [store_of(settings).put(SAMPLES / name).uri for name in GOOD]
    bad = bad_uris(settings, tmp_path)
    rows = submit(engine, good + list(bad.values()))
    report = pipeline.run_batch(backfill=True)
    assert (report.claimed, report.written, report.failed) == (len(rows), len(good), len(bad))
    found = states(engine, rows)
    assert [s.status for s in found[: len(good)]].count("dead") == 0
    assert [s.error_code for s in found[len(good) :]] == [name.split()[0] for name in bad]
    assert all(s.status == "dead" and s.error for s in found[len(good) :])


def test_every_result_has_a_vector_and_a_prediction(
    engine: Engine, settings: WorkerSettings, pipeline: Pipeline
) -> None:
    rows = submit(engine, [store_of(settings).put(SAMPLES / name).uri for name in GOOD])
    pipeline.run_batch(backfill=True)
    with transaction(engine) as session:
        vectors = session.execute(text("SELECT image_id FROM hangtag.image_embeddings")).scalars()
        predictions = session.execute(
            text("SELECT upload_id FROM hangtag_data.predictions")
        ).scalars()
        wanted = {row.id for row in rows}
        assert set(vectors) == wanted
        assert set(predictions) == wanted


def test_what_is_no_fashion_goes_to_review_and_nothing_is_published(
    engine: Engine, settings: WorkerSettings, pipeline: Pipeline
) -> None:
    names = ["car.jpg", "cat.jpg", "mountain_lake.jpg"]
    rows = submit(engine, [store_of(settings).put(SAMPLES / name).uri for name in names])
    pipeline.run_batch(backfill=True)
    assert {s.status for s in states(engine, rows)} == {"review"}
    with transaction(engine) as session:
        tags = list_tags(session, [row.id for row in rows])
        queue = session.execute(text("SELECT image_id, suggested FROM hangtag.review_queue")).all()
    assert all("article_type" not in own for own in tags.values())
    assert {row.image_id for row in queue} == {row.id for row in rows}
    assert all(len(row.suggested) == 5 for row in queue)


def test_a_result_that_comes_too_late_is_dropped(
    engine: Engine, settings: WorkerSettings, predictor: Predictor
) -> None:
    """While the batch is under way its lease runs out and another attempt begins."""
    [row] = submit(engine, [store_of(settings).put(SAMPLES / GOOD[0]).uri])

    class SlowPipeline(Pipeline):
        def _predict(self, *arguments):  # type: ignore[no-untyped-def]
            run_sql(
                settings.require_url(),
                "UPDATE hangtag_data.uploads SET lease_until = now() - interval '1 second'",
            )
            with transaction(engine) as session:
                reap_expired(session, max_attempts=5)
            return super()._predict(*arguments)

    slow = SlowPipeline(engine, settings, "slow", lambda _version: predictor)
    report = slow.run_batch(backfill=True)
    assert (report.written, report.superseded) == (0, 1)
    with transaction(engine) as session:
        assert list_tags(session, [row.id]) == {}
    assert states(engine, [row])[0].status == "pending"


def test_a_failing_network_costs_the_batch_nothing(
    engine: Engine, settings: WorkerSettings, predictor: Predictor
) -> None:
    """The uploads are tried again, each alone, and the error is on record."""

    class BrokenPipeline(Pipeline):
        def _predict(self, *arguments):  # type: ignore[no-untyped-def]
            raise RuntimeError("out of memory")

    rows = submit(engine, [store_of(settings).put(SAMPLES / name).uri for name in GOOD])
    broken = BrokenPipeline(engine, settings, "broken", lambda _version: predictor)
    assert broken.run_batch(backfill=True).failed == len(rows)
    found = states(engine, rows)
    assert {s.status for s in found} == {"pending"}
    assert all("out of memory" in (s.error or "") for s in found)


def test_running_an_upload_again_replaces_its_tags(
    engine: Engine, settings: WorkerSettings, pipeline: Pipeline
) -> None:
    rows = submit(engine, [store_of(settings).put(SAMPLES / name).uri for name in GOOD])
    pipeline.run_batch(backfill=True)
    with transaction(engine) as session:
        before = list_tags(session, [row.id for row in rows])
    run_sql(settings.require_url(), "UPDATE hangtag_data.uploads SET status = 'pending'")
    # Tried before, so each comes alone.
    assert [pipeline.run_batch(backfill=True).written for _ in rows] == [1, 1, 1]
    with transaction(engine) as session:
        assert list_tags(session, [row.id for row in rows]) == before


@pytest.mark.parametrize("broken", ["embedding", "confidence", "score", "zero"])
def test_numbers_that_are_none_fail_their_upload_alone(
    engine: Engine, settings: WorkerSettings, predictor: Predictor, broken: str
) -> None:
    """NaN and infinity reach no row; the neighbours of the same batch are written."""

    class NanPredictor:
        card = predictor.card

        def predict(self, pixels: list[Pixels]) -> list[Prediction]:
            found = predictor.predict(pixels)
            one = found[1]
            changes: dict[str, Any] = {
                "embedding": {"embedding": np.full(256, np.nan, np.float32)},
                "zero": {"embedding": np.zeros(256, np.float32)},
                "score": {"fashion_score": float("nan")},
                "confidence": {"tags": {**one.tags, "article_type": ("Shirts", float("inf"))}},
            }
            return [found[0], replace(one, **changes[broken]), *found[2:]]

    rows = submit(engine, [store_of(settings).put(SAMPLES / name).uri for name in GOOD])
    ill = Pipeline(engine, settings, "nan", lambda _version: NanPredictor())  # type: ignore[arg-type,return-value]
    report = ill.run_batch(backfill=True)
    assert (report.written, report.failed) == (2, 1)
    found = states(engine, rows)
    assert sum(s.status in ("tagged", "review") for s in found) == 2
    [failed] = [s for s in found if s.status == "pending"]
    assert "not finite, or its vector has no length" in str(failed.error)
    [(vectors,)] = run_sql(settings.require_url(), "SELECT count(*) FROM hangtag.image_embeddings")
    assert vectors == 2


def test_a_folder_with_another_version_s_card_is_named_and_nothing_is_claimed(
    engine: Engine, settings: WorkerSettings, predictor: Predictor
) -> None:
    url, shipped = settings.require_url(), predictor.card.version
    rows = submit(engine, [store_of(settings).put(SAMPLES / GOOD[0]).uri])
    run_sql(url, "SELECT hangtag_data.register_model('renamed', '{}')")
    run_sql(url, "SELECT hangtag_data.activate_model('renamed')")
    renamed = Pipeline(engine, settings, "renamed", lambda _version: predictor)
    with pytest.raises(TransientError, match="model renamed is active, but the card"):
        renamed.run_batch(backfill=True)
    assert states(engine, rows)[0].status == "pending"
    # Back to the version whose network was seen in the wrong folder: its own generation.
    run_sql(url, f"SELECT hangtag_data.activate_model('{shipped}')")
    assert renamed.run_batch(backfill=True).written == 1
    [(found,)] = run_sql(url, "SELECT count(*) FROM hangtag.image_embeddings")
    assert found == 1


def test_a_hand_back_that_fails_costs_what_is_done_nothing(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> int:
        raise TransientError("the database is away")

    monkeypatch.setattr("worker.writer.return_claims", refuse)
    stops = iter([False, True, True])
    submit(engine, [store_of(settings).put(SAMPLES / name).uri for name in GOOD])
    own = settings.model_copy(update={"decode_threads": 1})
    stopping = Pipeline(engine, own, "stops", lambda _version: predictor, lambda: next(stops))
    report = stopping.run_batch(backfill=True)
    assert (report.claimed, report.written, report.handed_back) == (3, 1, 0)


def test_what_a_slow_batch_has_no_time_to_begin_goes_back_and_counts_as_no_try(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Large pictures take seconds: a lease must not end in the middle of their batch."""
    read = PictureStore.read

    def read_slowly(store: PictureStore, uri: str) -> bytes:
        time.sleep(0.4)
        return read(store, uri)

    uri = store_of(settings).put(SAMPLES / GOOD[0]).uri
    with transaction(engine) as session:
        insert_uploads(session, [uri] * 10, "test", [str(number) for number in range(10)])
    monkeypatch.setattr(PictureStore, "read", read_slowly)
    own = settings.model_copy(update={"lease_seconds": 3.0, "decode_threads": 2})
    slow = Pipeline(engine, own, "slow", lambda _version: predictor)
    slow.load_active()
    report = slow.run_batch(backfill=True)
    assert report.claimed == 10
    assert 2 <= report.written <= 6
    assert report.handed_back == 10 - report.written
    rows = run_sql(
        settings.require_url(),
        "SELECT attempt - attempts_before FROM hangtag_data.uploads WHERE status = 'pending'",
    )
    assert rows == [(0,)] * report.handed_back
    assert slow.run_batch(backfill=True).written >= 2


def test_a_result_that_the_database_refuses_costs_its_neighbours_nothing(
    engine: Engine, settings: WorkerSettings, predictor: Predictor
) -> None:
    class OddPipeline(Pipeline):
        def _result(self, model, one, prediction):  # type: ignore[no-untyped-def]
            result = super()._result(model, one, prediction)
            if one.claim.id == rows[1].id:
                return replace(result, embedding="[1,2,3]")
            return result

    rows = submit(engine, [store_of(settings).put(SAMPLES / name).uri for name in GOOD])
    missing = submit(engine, ["file:///gone.jpg"])
    odd = OddPipeline(engine, settings, "odd", lambda _version: predictor)
    report = odd.run_batch(backfill=True)
    assert (report.claimed, report.written, report.failed) == (4, 2, 2)
    found = states(engine, rows)
    assert [s.status == "pending" for s in found] == [False, True, False]
    assert "the database refused the result: expected 256 dimensions, not 3" in str(found[1].error)
    assert states(engine, missing)[0].error_code == "forbidden_uri"


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ("[1,2,3]", "different halfvec dimensions 256 and 3"),
        ("[" + ",".join(["NaN"] * 256) + "]", "NaN not allowed in halfvec"),
        ("[" + ",".join(["1e9"] * 256) + "]", "out of range for type halfvec"),
        ("nonsense", "invalid input syntax for type halfvec"),
        ("", "invalid input syntax for type halfvec"),
    ],
)
def test_a_search_with_no_proper_vector_says_so(
    engine: Engine, settings: WorkerSettings, pipeline: Pipeline, vector: str, message: str
) -> None:
    submit(engine, [store_of(settings).put(SAMPLES / GOOD[0]).uri])
    pipeline.run_batch(backfill=True)
    with pytest.raises(UsageError, match=message), transaction(engine) as session:
        list_similar(session, vector, 5)


def test_each_of_several_groups_of_pictures_gets_its_own_result(
    engine: Engine, settings: WorkerSettings, predictor: Predictor
) -> None:
    """They are loaded and predicted 32 at a time, and written together."""
    store = PictureStore(settings.require_store())
    shirt, shoe = (
        store.put(SAMPLES / name).uri for name in ("polo_green.jpg", "running_shoe_grey.jpg")
    )
    missing = f"{store.folder.as_uri()}/missing.jpg"
    uris = [(shirt, shoe, shoe)[number % 3] for number in range(70)]
    uris[33] = missing
    with transaction(engine) as session:
        insert_uploads(session, uris, "groups", [str(number) for number in range(70)])
    report = Pipeline(engine, settings, "test", lambda _: predictor).run_batch(backfill=False)
    assert (report.claimed, report.written, report.failed) == (70, 69, 1)
    rows = run_sql(
        settings.require_url(),
        "SELECT u.uri, u.status = 'dead', p.article_type, count(*) FROM hangtag_data.uploads AS u "
        "LEFT JOIN hangtag_data.predictions AS p ON p.upload_id = u.id GROUP BY 1, 2, 3",
    )
    types = {str(uri): kind for uri, _, kind, _ in rows}
    assert {(str(uri), dead, count) for uri, dead, _, count in rows} == {
        (shirt, False, uris.count(shirt)),
        (shoe, False, uris.count(shoe)),
        (missing, True, 1),
    }
    assert types[shirt] != types[shoe]
