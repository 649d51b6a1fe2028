"""Who goes first: fresh uploads pass a batch under way, and short lines are shared."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from db.session import transaction
from errors import TransientError
from models.pictures import decode, read_bytes
from models.predictor import Prediction, Predictor
from models.transforms import Pixels, to_pixels
from tests.conftest import SAMPLES, run_sql
from tests.integration.drawings import drawer, drawn, review, unsure, worker_engine
from worker import pipeline as module
from worker import previews
from worker.pipeline import Pipeline
from worker.previews import Drawer
from worker.settings import WorkerSettings
from worker.stages import StageTimes
from worker.storage import PictureStore

__all__ = ["drawer", "review", "unsure", "worker_engine"]  # fixtures


def while_loading(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Act once, when the picture with this number is read."""
    read, seen = PictureStore.read, []

    def reading(store: PictureStore, uri: str) -> bytes:
        seen.append(uri)
        if len(seen) == number:
            act()
        return read(store, uri)

    monkeypatch.setattr(PictureStore, "read", reading)


def moments(settings: WorkerSettings) -> dict[str, tuple[object, object]]:
    """First and last moment at which uploads of a source were finished."""
    rows = run_sql(
        settings.require_url(),
        "SELECT source, min(finished_at), max(finished_at) FROM hangtag_data.uploads "
        "WHERE status IN ('tagged', 'review') GROUP BY source",
    )
    return {str(source): (first, last) for source, first, last in rows}


def noting(
    engine: Engine, settings: WorkerSettings, predictor: Predictor
) -> tuple[Pipeline, list[int]]:
    """Return a pipeline, and the sizes of its batches as they end."""
    batches: list[int] = []

    def note(uploads: int, _times: StageTimes) -> None:
        batches.append(uploads)

    return Pipeline(engine, settings, "test", lambda _: predictor, note=note), batches


def test_what_comes_during_a_batch_of_the_back_catalogue_is_published_before_it(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline, batches = noting(engine, settings, predictor)
    submit("old", 20, -1)
    while_loading(monkeypatch, 4, lambda: submit("fresh", 3, 0))
    report = pipeline.run_batch(backfill=True)
    assert (report.claimed, report.written) == (20, 20)
    assert batches == [3, 20]
    found = moments(settings)
    assert found["fresh"][1] < found["old"][0]  # type: ignore[operator]


def test_what_comes_while_the_network_computes_is_published_before_the_batch(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline, batches = noting(engine, settings, predictor)
    submit("old", 20, -1)
    predict, calls = Predictor.predict, []

    def predict_slowly(self: Predictor, pixels: Sequence[Pixels]) -> list[Prediction]:
        calls.append(len(pixels))
        if len(calls) == 1:
            submit("fresh", 1, 0)
        return predict(self, pixels)

    monkeypatch.setattr(Predictor, "predict", predict_slowly)
    assert pipeline.run_batch(backfill=True).written == 20
    assert (calls, batches) == ([20, 1], [1, 20])


def test_a_flood_of_fresh_uploads_holds_a_batch_up_a_few_times_at_most(
    engine: Engine, settings: WorkerSettings, predictor: Predictor, submit: Callable[..., None]
) -> None:
    """Else its lease would run out: for every few pictures one may pass, one after the network."""
    small = settings.model_copy(update={"batch_size": 16})
    pipeline, batches = noting(engine, small, predictor)
    submit("warm", 1, 0)
    assert pipeline.run_batch(backfill=False).written == 1
    flood(pipeline, small, submit)
    assert pipeline.run_batch(backfill=True).written == 16
    assert batches == [1, 5, 5, 5, 16]


def test_where_no_fresh_uploads_are_expected_it_is_looked_less_often(
    engine: Engine, settings: WorkerSettings, predictor: Predictor, submit: Callable[..., None]
) -> None:
    """The end of each part leaves a core idle for a moment: 2 % of a back catalogue's time."""
    small = settings.model_copy(update={"batch_size": 16})
    pipeline, batches = noting(engine, small, predictor)
    pipeline._pace.note(1, 1, 0.001)  # a machine with other work would be too slow for 16
    flood(pipeline, small, submit)
    assert pipeline.run_batch(backfill=True).written == 16
    assert batches == [5, 5, 16]


def test_of_slow_pictures_fewer_are_loaded_before_it_is_looked(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None expected, so 32 would be loaded: a fresh upload that comes would wait seconds."""
    pipeline, _ = noting(engine, settings, predictor)
    read, sizes, map_ = PictureStore.read, [], pipeline._threads.map

    def read_slowly(store: PictureStore, uri: str) -> bytes:
        time.sleep(0.3)
        return read(store, uri)

    def map_noting(work: Callable[[object], object], part: Sequence[object]) -> object:
        sizes.append(len(part))
        return map_(work, part)

    monkeypatch.setattr(PictureStore, "read", read_slowly)
    monkeypatch.setattr(pipeline._threads, "map", map_noting)
    submit("old", 14, -1)
    assert pipeline.run_batch(backfill=True).written == 14
    assert sizes == [8, 2, 2, 2]


def test_pictures_that_there_is_no_time_for_are_not_taken_for_fast_ones(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where they are so slow the next batch would begin with 32 of them."""
    own = settings.model_copy(update={"lease_seconds": 6.0})
    pipeline, _ = noting(engine, own, predictor)
    read = PictureStore.read
    monkeypatch.setattr(
        PictureStore, "read", lambda store, uri: (time.sleep(0.8), read(store, uri))[1]
    )
    submit("old", 14, -1)
    report = pipeline.run_batch(backfill=True)
    assert report.handed_back > 0
    assert pipeline._pace.part_size(32, is_fresh_expected=False) == settings.decode_threads


def flood(pipeline: Pipeline, settings: WorkerSettings, submit: Callable[..., None]) -> None:
    """Hand in 16 old uploads; many fresh ones when they are claimed, to be taken five at once."""
    submit("old", 16, -1)
    claim = pipeline._claim

    def claim_and_flood(backfill: bool, *given: float) -> object:
        batch = claim(backfill, *given)
        if backfill:
            submit("flood", 100, 0)
            settings.batch_size = 5
        return batch

    pipeline._claim = claim_and_flood  # type: ignore[assignment]


def test_slow_pictures_that_pass_do_not_use_up_the_lease_of_a_batch(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They might be loaded for a third of a lease of their own, after a third of the other."""
    own = settings.model_copy(update={"lease_seconds": 6.0, "batch_size": 16})
    pipeline = Pipeline(engine, own, "test", lambda _: predictor)
    submit("warm", 1, 0)
    assert pipeline.run_batch(backfill=False).written == 1
    submit("old", 16, -1)
    read, seen = PictureStore.read, []

    def reading(store: PictureStore, uri: str) -> bytes:
        seen.append(uri)
        if len(seen) == 4:
            submit("fresh", 8, 0)
        time.sleep(0.25 if len(seen) <= 8 else 1.8)
        return read(store, uri)

    monkeypatch.setattr(PictureStore, "read", reading)
    started = time.monotonic()
    report = pipeline.run_batch(backfill=True)
    assert time.monotonic() - started < 4.4
    assert (len(seen), report.claimed, report.superseded) == (10, 16, 0)


@pytest.mark.parametrize("error", [TransientError("it is away"), RuntimeError("it is away")])
def test_what_fails_in_between_costs_the_batch_under_way_nothing(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def refuse(*_: object) -> bool:
        raise error

    monkeypatch.setattr(module, "is_fresh_due", refuse)
    submit("old", 10, -1)
    pipeline = Pipeline(engine, settings, "test", lambda _: predictor)
    assert pipeline.run_batch(backfill=True).written == 10
    assert "fresh uploads wait for the end of a batch, or of their lease: it is away" in caplog.text


def test_a_model_that_is_activated_in_between_writes_what_passed_and_no_more(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, shipped = settings.require_url(), predictor.card.version
    run_sql(url, "SELECT hangtag_data.register_model('next', '{}')")
    following = Predictor(replace(predictor.card, version="next"), predictor._backend)
    by_name = {shipped: predictor, "next": following}

    def switch() -> None:
        run_sql(url, "SELECT hangtag_data.activate_model('next')")
        submit("fresh", 1, 0)

    submit("old", 12, -1)
    while_loading(monkeypatch, 2, switch)
    pipeline = Pipeline(engine, settings, "test", by_name.__getitem__)
    assert pipeline.run_batch(backfill=True).written == 12
    rows = run_sql(
        url,
        "SELECT u.source, p.model_version, count(*), "
        "count(*) FILTER (WHERE m.generation = abs(e.generation)) "
        "FROM hangtag_data.uploads AS u "
        "JOIN hangtag_data.predictions AS p ON p.upload_id = u.id "
        "JOIN hangtag_data.embeddings AS e ON e.upload_id = u.id "
        "JOIN hangtag_data.model_versions AS m ON m.version = p.model_version "
        "GROUP BY 1, 2 ORDER BY 1",
    )
    assert rows == [("fresh", "next", 1, 1), ("old", shipped, 12, 12)]


def test_half_of_a_short_line_is_left_to_the_next_who_is_called(
    engine: Engine, settings: WorkerSettings, predictor: Predictor, submit: Callable[..., None]
) -> None:
    called: list[bool] = []
    own = settings.model_copy(update={"batch_size": 4})
    pipeline = Pipeline(engine, own, "test", lambda _: predictor, call_others=called.append)
    submit("fresh", 11, 0)
    claimed, calls = [], []
    while batch := pipeline.run_batch(backfill=False).claimed:
        claimed.append(batch)
        calls.append(len(called))
    # Of eight and more a batch, of seven four, of three two, of one all.
    assert claimed == [4, 4, 2, 1]
    assert calls == [1, 2, 3, 3]
    assert called == [False] * 3


def test_longer_batches_are_even(
    engine: Engine, settings: WorkerSettings, predictor: Predictor, submit: Callable[..., None]
) -> None:
    """The network is not set up anew for each number of pictures."""
    pipeline = Pipeline(engine, settings, "test", lambda _: predictor, call_others=lambda _: None)
    submit("fresh", 77, 0)
    claimed = []
    while batch := pipeline.run_batch(backfill=False).claimed:
        claimed.append(batch)
    assert claimed == [32, 16, 15, 7, 4, 2, 1]


def test_nobody_is_called_to_rows_that_somebody_locks(
    engine: Engine, settings: WorkerSettings, predictor: Predictor, submit: Callable[..., None]
) -> None:
    """Whoever came would find nothing and call the next, as fast as a broker can."""
    submit("fresh", 10, 0)
    called: list[bool] = []
    pipeline = Pipeline(engine, settings, "test", lambda _: predictor, call_others=called.append)
    with transaction(engine) as session:
        session.execute(text("SELECT FROM hangtag_data.uploads FOR UPDATE"))
        assert pipeline.run_batch(backfill=False).claimed == 0
    assert called == []


def test_drawing_stops_for_a_fresh_upload_and_what_is_left_counts_as_no_try(
    settings: WorkerSettings,
    review: Callable[..., list[str]],
    drawer: Drawer,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    review(*(f"{number}.jpg" for number in range(9)))
    while_loading(monkeypatch, 2, lambda: submit("fresh", 1, 0))
    assert drawer.draw() == 9
    assert len(drawn(settings)) == previews._AT_ONCE
    [owed] = run_sql(
        settings.require_url(),
        "SELECT count(*), max(preview_tries) FROM hangtag_data.review_items "
        "WHERE preview_due <= now()",
    )
    assert owed == (9 - previews._AT_ONCE, 0)


def test_inference_threads_may_run_on_any_core(predictor: Predictor) -> None:
    """Pinned ones of several processes all take the first core, and wait for each other.

    A thread is pinned while it computes, so another one looks meanwhile.
    """
    card = predictor.card
    picture = to_pixels(
        decode(read_bytes(SAMPLES / "polo_green.jpg"), 120), card.height, card.width
    )
    seen: set[frozenset[int]] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for path in Path("/proc/self/task").iterdir():
                with suppress(ProcessLookupError):
                    seen.add(frozenset(os.sched_getaffinity(int(path.name))))

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(5):
        predictor.predict([picture] * 32)
    done.set()
    looking.join()
    assert seen == {frozenset(os.sched_getaffinity(0))}
