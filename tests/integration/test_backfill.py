"""Backfill: a version's vectors for pictures that an earlier one tagged."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db import roles
from db.queries.embeddings import add_embeddings, list_unembedded
from db.queries.models import activate_model, get_active_model, list_models, register_model
from db.queries.parts import get_index_state
from db.queries.reviews import claim_next_review_item, decide_review_item
from db.queries.uploads import insert_uploads
from db.session import make_engine, transaction
from models.card import WEIGHTS, default_version
from models.predictor import Prediction, Predictor
from models.transforms import Pixels
from tests.conftest import SAMPLES
from tests.integration.rows import insert_waiting, insert_world, scalar
from tests.integration.vectors import count_parts
from worker.backfill import backfill
from worker.pipeline import Pipeline
from worker.settings import WorkerSettings
from worker.setup import register_folder
from worker.storage import PictureStore

Hangtag = Callable[..., "subprocess.CompletedProcess[str]"]
Vectors = dict[uuid.UUID, tuple[np.ndarray[tuple[int], np.dtype[np.float64]], str | None]]

NAMES = ("polo_green.jpg", "watch_steel_blue_dial.jpg", "jeans_blue.jpg", "handbag_tan_tote.jpg")
#: The same weights under another name: their vectors must be the same.
COPY = "copy-1"
SOME_VECTOR = "[" + ",".join(["0.0625"] * 256) + "]"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Make a folder of versions that holds the shipped one twice."""
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS / default_version(), folder / default_version())
    shutil.copytree(WEIGHTS / default_version(), folder / COPY)
    card = json.loads((folder / COPY / "card.json").read_text())
    (folder / COPY / "card.json").write_text(json.dumps({**card, "version": COPY}))
    (folder / "default").write_text(default_version() + "\n")
    return folder


@pytest.fixture
def tagged(engine: Engine, settings: WorkerSettings) -> list[uuid.UUID]:
    """Tag four pictures with the shipped version."""
    store = PictureStore(settings.require_store(), max_bytes=settings.max_bytes)
    uris = [store.put(SAMPLES / name).uri for name in NAMES]
    with transaction(engine) as session:
        rows = insert_uploads(session, uris, "test", list(NAMES))
    pipeline = Pipeline(engine, settings, "test", lambda _version: Predictor.load())
    assert pipeline.run_batch(backfill=False).written == len(NAMES)
    return [row.id for row in rows]


def vectors(engine: Engine) -> Vectors:
    """Read what similarity shows: vector and article type of each picture."""
    with transaction(engine) as session:
        rows = session.execute(
            text(
                "SELECT image_id, CAST(embedding AS text), article_type "
                "FROM hangtag.image_embeddings"
            )
        )
        return {row[0]: (np.array(json.loads(row[1])), row[2]) for row in rows}


def generation(engine: Engine, version: str) -> int:
    with transaction(engine) as session:
        return next(row.generation for row in list_models(session) if row.version == version)


def test_after_a_backfill_a_switch_forgets_no_picture(
    engine: Engine, tagged: list[uuid.UUID], hangtag: Hangtag, weights: Path
) -> None:
    before = vectors(engine)
    assert set(before) == set(tagged)
    done = hangtag("model", "backfill", COPY, HANGTAG_WEIGHTS=str(weights))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"version": COPY, "written": len(NAMES), "failed": {}}
    assert f"hangtag model activate {COPY}" in done.stderr
    # Written without the index, which was built at the end.
    assert count_parts(engine, generation(engine, COPY)) == (0, len(NAMES))
    with engine.connect() as connection:
        assert get_index_state(connection, generation(engine, COPY)) == "valid"
    assert vectors(engine).keys() == before.keys()  # nothing is switched yet
    with transaction(engine) as session:
        active = get_active_model(session)
        assert active is not None
        assert active.version == default_version()
        activate_model(session, COPY)
    after = vectors(engine)
    assert after.keys() == before.keys()
    for image_id, (vector, kind) in after.items():
        assert vector == pytest.approx(before[image_id][0], abs=2e-3)  # half precision
        assert kind == before[image_id][1]
    again = hangtag("model", "backfill", HANGTAG_WEIGHTS=str(weights))
    assert json.loads(again.stdout) == {"version": COPY, "written": 0, "failed": {}}


@pytest.mark.usefixtures("tagged")
def test_pictures_that_are_gone_are_named_and_tried_again(
    engine: Engine, hangtag: Hangtag, weights: Path, settings: WorkerSettings
) -> None:
    """The others have their vectors; the exit code says that it is not all."""
    picture = min(path for path in settings.require_store().rglob("*") if path.is_file())
    kept = picture.read_bytes()
    picture.unlink()
    done = hangtag("model", "backfill", COPY, HANGTAG_WEIGHTS=str(weights))
    assert done.returncode == 1
    assert json.loads(done.stdout)["written"] == len(NAMES) - 1
    assert json.loads(done.stdout)["failed"] == {"not_found": 1}
    assert "has no vector: there is no such file" in done.stderr
    picture.write_bytes(kept)
    again = hangtag("model", "backfill", COPY, HANGTAG_WEIGHTS=str(weights))
    assert json.loads(again.stdout) == {"version": COPY, "written": 1, "failed": {}}


def test_what_an_operator_called_no_fashion_gets_no_vector(
    engine: Engine, tagged: list[uuid.UUID], weights: Path
) -> None:
    """Its vectors are gone, also where that happened while it was embedded."""
    register_folder(engine, weights / COPY)
    number = generation(engine, COPY)
    with transaction(engine) as session:
        session.execute(
            text("DELETE FROM hangtag_data.embeddings WHERE upload_id = :id"), {"id": tagged[0]}
        )
        waiting = [one.image_id for one in list_unembedded(session, number, 10)]
        assert waiting == sorted(tagged[1:])
        both = [(image_id, SOME_VECTOR) for image_id in tagged[:2]]
        assert add_embeddings(session, number, both) == 1


def test_a_worker_s_rights_are_enough_and_what_was_cut_off_goes_on(
    engine: Engine, tagged: list[uuid.UUID], settings: WorkerSettings, weights: Path
) -> None:
    register_folder(engine, weights / COPY)
    number = generation(engine, COPY)
    one_by_one = settings.model_copy(update={"batch_size": 1})
    seen: list[tuple[int, int]] = []

    class Stop(Exception):
        """Stands for a kill."""

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            raise Stop

    predictor = Predictor.load_folder(weights / COPY)
    own = make_engine(settings.require_url(), role=roles.WORKER)
    with pytest.raises(Stop):
        backfill(own, one_by_one, predictor, number, stop)
    report = backfill(own, one_by_one, predictor, number)
    own.dispose()
    assert report.written == len(tagged) - 2
    assert seen == [(1, 4), (2, 4)]


@pytest.mark.usefixtures("tagged")
def test_without_the_owner_s_rights_it_says_who_builds_the_index(
    engine: Engine, hangtag: Hangtag, weights: Path, settings: WorkerSettings
) -> None:
    register_folder(engine, weights / COPY)
    worker = f"{settings.require_url()}&options=-c%20role%3D{roles.WORKER}"
    more = {"HANGTAG_WEIGHTS": str(weights), "HANGTAG_DATABASE_URL": worker}
    done = hangtag("model", "backfill", COPY, **more)
    assert done.returncode == 0, done.stderr
    assert f"hangtag model index {COPY} (as the owner), hangtag model activate" in done.stderr
    assert count_parts(engine, generation(engine, COPY)) == (len(NAMES), 0)
    indexed = hangtag("model", "index", COPY, HANGTAG_WEIGHTS=str(weights))
    assert json.loads(indexed.stdout) == {"version": COPY, "moved": len(NAMES), "built": True}


def test_without_pictures_or_versions_it_says_what_to_do(hangtag: Hangtag, weights: Path) -> None:
    done = hangtag("model", "backfill", "none", HANGTAG_WEIGHTS=str(weights))
    assert done.returncode != 0
    assert "no such model version" in done.stderr
    nothing = hangtag("model", "backfill", HANGTAG_WEIGHTS=str(weights))
    assert json.loads(nothing.stdout)["written"] == 0


@pytest.mark.parametrize("label", ["Jeans", None])
@pytest.mark.parametrize("backfill_first", [True, False])
def test_a_decision_beside_a_backfill_reaches_both_vectors(
    engine: Engine, database_url: str, label: str | None, backfill_first: bool
) -> None:
    """Whoever begins, the other waits: no vector stays behind under what it was before."""
    insert_world(engine)
    waiting = insert_waiting(engine)
    operator, worker = (
        make_engine(database_url, pool_size=1, role=role) for role in (roles.OPERATOR, roles.WORKER)
    )
    with transaction(engine) as session:
        number = register_model(session, COPY, {})
    with transaction(operator) as session:
        item = claim_next_review_item(session, "ada", 60)
        assert item is not None

    def decide(session: Session) -> None:
        decide_review_item(session, waiting.item_id, "ada", label)

    def embed(session: Session) -> None:
        add_embeddings(session, number, [(waiting.upload_id, SOME_VECTOR)])

    ways = [(worker, embed), (operator, decide)]
    (first_engine, first), (second_engine, second) = ways if backfill_first else ways[::-1]

    def come_second() -> None:
        with transaction(second_engine) as session:
            second(session)

    with transaction(first_engine) as session:
        first(session)
        other = threading.Thread(target=come_second)
        other.start()
        deadline = time.monotonic() + 20
        while not scalar(engine, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    other.join(20)
    with transaction(engine) as session:
        rows = session.execute(
            text(
                "SELECT generation, article_type FROM hangtag_data.embeddings WHERE upload_id = :id"
            ),
            {"id": waiting.upload_id},
        ).all()
    assert {row.article_type for row in rows} == ({label} if label else set())
    assert len(rows) == (2 if label else 0)
    for one in (operator, worker):
        one.dispose()


def test_a_vector_that_is_none_is_left_out(
    engine: Engine,
    settings: WorkerSettings,
    tagged: list[uuid.UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A version that gives NaN for one picture embeds the others."""
    with transaction(engine) as session:
        number = register_model(session, COPY, {})
    predictor = Predictor.load()
    real = predictor.predict

    def ill(pixels: list[Pixels]) -> list[Prediction]:
        first, *others = real(pixels)
        return [replace(first, embedding=np.full(256, np.nan, np.float32)), *others]

    monkeypatch.setattr(predictor, "predict", ill)
    report = backfill(engine, settings, predictor, number)
    assert report.written == len(tagged) - 1
    assert report.failed == {"transient": 1}
