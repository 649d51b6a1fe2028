"""Previews are drawn after publishing: in the queue's order, once, and never for what is closed."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import Engine

from db.queries.previews import count_owed, reap_previews
from db.queries.reviews import count_open, decide_review_item, get_preview, reopen_review_item
from db.queries.uploads import requeue_dead
from db.session import transaction
from errors import PermanentError, TransientError
from models.pictures import Limits
from tests.conftest import SAMPLES, run_sql
from tests.integration.drawings import (
    drawer,
    drawn,
    insert_ada,
    one_at_a_time,
    outcomes,
    review,
    turn,
    unsure,
    worker_engine,
)
from worker import previews
from worker.previews import SLICE_SECONDS, Drawer, draw_preview
from worker.settings import WorkerSettings

__all__ = ["drawer", "review", "unsure", "worker_engine"]  # fixtures


def test_an_item_waits_at_once_and_is_handed_out_when_it_is_drawn(
    engine: Engine, settings: WorkerSettings, review: Callable[..., list[str]], drawer: Drawer
) -> None:
    insert_ada(settings)
    review("cat.jpg")
    assert outcomes(settings) == [("cat.jpg", "review", None, ["open"])]
    seen = "SELECT (SELECT count(*) FROM hangtag.{}) FROM hangtag.review_queue"
    assert run_sql(settings.require_url(), seen.format("image_embeddings")) == [(1,)]
    assert turn(engine) is None
    with transaction(engine) as session:
        assert (count_open(session), count_owed(session)) == (1, 1)
    assert drawer.draw() == 1
    taken = turn(engine)
    assert taken is not None
    with transaction(engine) as session:
        jpeg = get_preview(session, taken[0], "ada")
        assert (count_open(session), count_owed(session)) == (1, 0)
    assert jpeg is not None
    assert Image.open(io.BytesIO(jpeg)).format == "JPEG"
    assert drawer.times.seconds["preview"] > 0


def test_previews_are_drawn_in_the_order_in_which_operators_get_them(
    worker_engine: Engine, settings: WorkerSettings, review: Callable[..., list[str]]
) -> None:
    review("old.jpg")
    review("young.jpg")
    review("urgent.jpg", priority=5)
    review("whenever.jpg", priority=-5)
    alone = one_at_a_time(worker_engine, settings)
    order: list[str] = []
    while alone.draw():
        order += set(drawn(settings)) - set(order)
    assert order == ["urgent.jpg", "old.jpg", "young.jpg", "whenever.jpg"]


def test_the_front_is_drawn_and_no_more(
    worker_engine: Engine,
    settings: WorkerSettings,
    review: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What nobody gets to soon waits; what comes with a higher priority belongs to the front."""
    monkeypatch.setattr(previews, "FRONT", 2)
    alone = one_at_a_time(worker_engine, settings)
    review(*(f"{number}.jpg" for number in range(5)))
    assert [alone.draw_front() for _ in range(2)] == [2, 0]
    review("urgent.jpg", priority=5)
    assert [alone.draw_front() for _ in range(2)] == [1, 0]
    assert "urgent.jpg" in drawn(settings)
    # Two that are drawn are held by operators: the next two move up.
    insert_ada(settings)
    run_sql(
        settings.require_url(),
        "UPDATE hangtag_data.review_items SET claimed_by = 'ada', "
        "lease_until = now() + interval '1 hour' WHERE id IN (SELECT id FROM "
        "hangtag_data.review_items WHERE preview_due IS NULL ORDER BY priority DESC, id LIMIT 2)",
    )
    assert [alone.draw_front() for _ in range(2)] == [1, 0]


def test_a_slice_of_the_front_holds_nothing_else(
    review: Callable[..., list[str]], drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest would keep uploads waiting, each time that one comes to the front."""
    monkeypatch.setattr(previews, "FRONT", 2)
    review(*(f"{number}.jpg" for number in range(5)))
    assert drawer.draw_front() == 2
    review("urgent.jpg", priority=5)
    assert drawer.draw_front() == 1


def test_what_is_put_off_at_the_front_leaves_nobody_without_a_picture(
    settings: WorkerSettings, review: Callable[..., list[str]], drawer: Drawer
) -> None:
    review("a.jpg", "b.jpg")
    run_sql(
        settings.require_url(),
        "UPDATE hangtag_data.review_items SET preview_due = now() + interval '1 hour', "
        "priority = 9 WHERE id = (SELECT min(id) FROM hangtag_data.review_items)",
    )
    assert drawer.draw_front() == 1
    assert drawer.draw_front() == 0
    assert len(drawn(settings)) == 1


def test_two_drawers_draw_each_preview_once(
    worker_engine: Engine, settings: WorkerSettings, review: Callable[..., list[str]]
) -> None:
    names = [f"{number}.jpg" for number in range(40)]
    review(*names)
    claimed: list[int] = []
    start = threading.Barrier(2)

    def work() -> None:
        own = Drawer(worker_engine, settings.model_copy(update={"batch_size": 4}))
        start.wait(30)
        while count := own.draw():
            claimed.append(count)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(claimed) == len(names)
    assert drawn(settings) == sorted(names)
    tries = "SELECT DISTINCT preview_tries FROM hangtag_data.review_items"
    assert run_sql(settings.require_url(), tries) == [(1,)]


def test_a_file_that_has_gone_is_a_dead_letter_and_comes_back_as_a_new_item(
    worker_engine: Engine,
    settings: WorkerSettings,
    review: Callable[..., list[str]],
    drawer: Drawer,
) -> None:
    review("gone.jpg", "stays.jpg")
    gone = settings.require_store() / "gone.jpg"
    gone.rename(gone.with_suffix(".away"))
    assert drawer.draw() == 2
    assert outcomes(settings) == [
        ("gone.jpg", "dead", "not_found", ["withdrawn"]),
        ("stays.jpg", "review", None, ["open"]),
    ]
    assert drawn(settings) == ["stays.jpg"]
    [(error,)] = run_sql(
        settings.require_url(), "SELECT error FROM hangtag.upload_status WHERE status = 'dead'"
    )
    assert str(error).startswith("its preview: ")
    assert drawer.draw() == 0
    gone.with_suffix(".away").rename(gone)
    with transaction(worker_engine) as session:
        requeue_dead(session, None)
    review()
    assert drawer.draw() == 1
    assert outcomes(settings)[0] == ("gone.jpg", "review", None, ["withdrawn", "open"])
    assert drawn(settings) == ["gone.jpg", "stays.jpg"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (TransientError("the disk is slow today"), "the disk is slow today"),
        (MemoryError(), "out of memory; HANGTAG_CHILD_MEMORY_MB may limit it"),
        (RuntimeError("a bug"), "RuntimeError: a bug"),
    ],
)
def test_what_fails_again_and_again_is_tried_alone_and_then_dead(
    worker_engine: Engine,
    settings: WorkerSettings,
    review: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    reason: str,
) -> None:
    """A reason that may pass costs a try each time; its neighbours are drawn with the first."""
    review("ill.jpg", "well.jpg")
    ill = b"only this one"
    read = previews.PictureStore.read
    monkeypatch.setattr(
        previews.PictureStore,
        "read",
        lambda store, uri: ill if uri.endswith("ill.jpg") else read(store, uri),
    )

    def draw(data: bytes, side: int, limits: Limits) -> bytes:
        if data == ill:
            raise fault
        return draw_preview(data, side, limits)

    monkeypatch.setattr(previews, "draw_preview", draw)
    own = Drawer(
        worker_engine, settings.model_copy(update={"max_attempts": 3, "retry_seconds": 0.0})
    )
    assert [own.draw() for _ in range(4)] == [2, 1, 1, 0]
    assert drawn(settings) == ["well.jpg"]
    assert outcomes(settings)[0] == ("ill.jpg", "dead", "attempts_exhausted", ["withdrawn"])
    [(error,)] = run_sql(
        settings.require_url(), "SELECT error FROM hangtag.upload_status WHERE status = 'dead'"
    )
    assert error == f"its preview: {reason}"


def test_what_killed_its_drawer_each_time_is_given_up_by_the_reaper(
    worker_engine: Engine, settings: WorkerSettings, review: Callable[..., list[str]]
) -> None:
    review("poison.jpg", "other.jpg")
    run_sql(
        settings.require_url(),
        "UPDATE hangtag_data.review_items AS i SET preview_tries = 5, "
        "preview_due = now() + interval '1 hour' FROM hangtag_data.uploads AS u "
        "WHERE u.id = i.upload_id AND u.external_id = 'poison.jpg'",
    )
    with transaction(worker_engine) as session:
        assert reap_previews(session, 5) == 0, "its last drawer may still be alive"
    run_sql(
        settings.require_url(),
        "UPDATE hangtag_data.review_items SET preview_due = now() WHERE preview_tries = 5",
    )
    assert one_at_a_time(worker_engine, settings).draw() == 1
    assert drawn(settings) == ["other.jpg"]
    with transaction(worker_engine) as session:
        assert reap_previews(session, 5) == 1
    assert outcomes(settings)[1] == ("poison.jpg", "dead", "attempts_exhausted", ["withdrawn"])


CLOSED_MEANWHILE = {
    "decided": "status = 'decided', decided_at = now()",
    "withdrawn": "status = 'withdrawn'",
    "claimed by another drawer": "preview_due = now() + interval '1 hour'",
    "drawn": "preview_due = NULL",
}


@pytest.mark.parametrize("how", CLOSED_MEANWHILE)
@pytest.mark.parametrize("fails", [False, True])
def test_a_late_drawing_writes_nothing(
    settings: WorkerSettings,
    review: Callable[..., list[str]],
    drawer: Drawer,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    fails: bool,
) -> None:
    review("cat.jpg")

    def draw(data: bytes, side: int, limits: Limits) -> bytes:
        run_sql(
            settings.require_url(), f"UPDATE hangtag_data.review_items SET {CLOSED_MEANWHILE[how]}"
        )
        if fails:
            raise PermanentError("too late to matter", "undecodable")
        return draw_preview(data, side, limits)

    monkeypatch.setattr(previews, "draw_preview", draw)
    assert drawer.draw() == 1
    assert drawn(settings) == []
    item = how if how in ("decided", "withdrawn") else "open"
    assert outcomes(settings) == [("cat.jpg", "review", None, [item])]
    later = "preview_due > now() + interval '50 minutes'"
    [(is_held,)] = run_sql(settings.require_url(), f"SELECT {later} FROM hangtag_data.review_items")
    assert (is_held is True) == (how == "claimed by another drawer")


def test_a_worker_that_is_to_stop_begins_no_drawing_and_hands_back_what_it_has(
    worker_engine: Engine, settings: WorkerSettings, review: Callable[..., list[str]]
) -> None:
    review(*(f"{number}.jpg" for number in range(6)))
    asked = iter([False, False])
    own = settings.model_copy(update={"decode_threads": 1})
    stopping = Drawer(worker_engine, own, lambda: next(asked, True))
    assert stopping.draw() == 6
    assert len(drawn(settings)) == 1
    left = run_sql(
        settings.require_url(),
        "SELECT preview_tries, preview_due <= now() FROM hangtag_data.review_items "
        "WHERE preview_due IS NOT NULL",
    )
    assert left == [(0, True)] * 5
    assert stopping.draw() == stopping.draw_front() == 0


def test_an_upload_that_is_processed_again_keeps_one_item_and_gets_a_new_preview(
    engine: Engine, settings: WorkerSettings, review: Callable[..., list[str]], drawer: Drawer
) -> None:
    insert_ada(settings)
    review("again.jpg")
    drawer.draw()
    before = run_sql(settings.require_url(), "SELECT md5(jpeg) FROM hangtag_data.previews")
    shutil.copy(SAMPLES / "car.jpg", settings.require_store() / "again.jpg")
    run_sql(settings.require_url(), "UPDATE hangtag_data.uploads SET status = 'pending'")
    review()
    assert turn(engine) is None, "until it is drawn anew"
    assert drawer.draw() == 1
    assert outcomes(settings) == [("again.jpg", "review", None, ["open"])]
    after = run_sql(settings.require_url(), "SELECT md5(jpeg) FROM hangtag_data.previews")
    assert len(after) == 1
    assert after != before
    assert turn(engine) is not None


def test_a_reopened_decision_needs_no_new_drawing(
    engine: Engine, settings: WorkerSettings, review: Callable[..., list[str]], drawer: Drawer
) -> None:
    insert_ada(settings)
    run_sql(settings.require_url(), "UPDATE hangtag_data.operators SET role = 'lead'")
    review("cat.jpg")
    drawer.draw()
    taken = turn(engine)
    assert taken is not None
    with transaction(engine) as session:
        decide_review_item(session, taken[0], "ada", "Tops")
        reopened = reopen_review_item(session, taken[0], "ada", 300)
    assert turn(engine) == (reopened, "cat.jpg")
    with transaction(engine) as session:
        assert get_preview(session, reopened, "ada") is not None
    assert drawer.draw() == 0


def test_a_preview_carries_nothing_of_the_sender_s_file(tmp_path: Path) -> None:
    path = tmp_path / "commented.jpg"
    with Image.open(SAMPLES / "cat.jpg") as picture:
        picture.save(path, comment=b"<script>", exif=picture.getexif())
    assert b"<script>" in path.read_bytes()
    assert b"<script>" not in draw_preview(path.read_bytes(), 300, Limits())


def test_a_claim_that_takes_long_is_drawn_all_the_same(
    review: Callable[..., list[str]], drawer: Drawer, settings: WorkerSettings
) -> None:
    """Else a database that is slow would see the same claims for ever, and operators nothing."""
    review("a.jpg", "b.jpg")
    url = settings.require_url()
    run_sql(
        url,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_sleep({SLICE_SECONDS + 0.1}); RETURN NULL; END $$",
    )
    run_sql(
        url,
        "CREATE TRIGGER slow AFTER UPDATE ON hangtag_data.review_items FOR EACH STATEMENT "
        "EXECUTE FUNCTION slow()",
    )
    drawer.draw_front()
    assert drawn(settings) == ["a.jpg", "b.jpg"]
