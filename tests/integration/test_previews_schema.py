"""What previews rest on: the queue's index, health, and releases beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, event

from db.queries.previews import FRONT
from db.queries.reviews import claim_next_review_item
from db.session import transaction
from errors import TransientError
from models.predictor import Predictor
from tests.check_migrations import alembic_config
from tests.conftest import run_sql
from tests.integration.drawings import (
    drawer,
    drawn,
    insert_ada,
    outcomes,
    review,
    turn,
    unsure,
    worker_engine,
)
from tests.integration.schema_0001 import reviews as old_reviews
from worker.health import find_undrawn
from worker.pipeline import Pipeline
from worker.previews import Drawer
from worker.reaper import Reaper
from worker.settings import WorkerSettings

#: The revision before that of the previews, whichever that is.
BEFORE = "0004-1"
__all__ = ["drawer", "review", "unsure", "worker_engine"]  # fixtures


def test_operators_are_served_by_an_index_however_many_are_owed(
    engine: Engine, settings: WorkerSettings
) -> None:
    """No sorting, and no walking past what is not drawn yet."""
    insert_ada(settings)
    run_sql(
        settings.require_url(),
        """
        WITH u AS (INSERT INTO hangtag_data.uploads (source, uri, status)
            SELECT 'many', 'file:///x', 'review' FROM generate_series(1, 3000) RETURNING id)
        INSERT INTO hangtag_data.review_items (upload_id, item, model_version, reason, suggested,
            confidence, created_at, preview_due)
        SELECT u.id, 0, m.version, 'r', '[["Tops", 0.4]]', 0.4, now() - n * interval '1 s',
            CASE WHEN n > 5 THEN now() END
        FROM (SELECT id, row_number() OVER () AS n FROM u) AS u, hangtag_data.model_versions AS m
        """,
    )
    run_sql(settings.require_url(), "ANALYZE hangtag_data.review_items")
    asked: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
    with transaction(engine) as session:
        taken = claim_next_review_item(session, "ada", 300)
        statement, values = asked[-1]
        rows = session.connection().exec_driver_sql(f"EXPLAIN {statement}", values)
        plan = "\n".join(row[0] for row in rows)
    assert taken is not None
    assert "review_items_drawn_idx" in plan
    assert "Sort" not in plan
    assert "Seq Scan on review_items" not in plan


def test_previews_that_nobody_draws_are_an_illness_unless_operators_have_enough(
    settings: WorkerSettings,
    review: Callable[..., list[str]],
    drawer: Drawer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = settings.model_copy(update={"stall_seconds": 60.0})
    review("a.jpg", "b.jpg")
    assert find_undrawn(own) is None
    run_sql(
        settings.require_url(),
        "UPDATE hangtag_data.review_items SET preview_due = now() - interval '5 minutes'",
    )
    assert str(find_undrawn(own)).startswith("previews of review items wait for 30")
    monkeypatch.setattr("worker.health.FRONT", 0)  # as many as are drawn here
    assert find_undrawn(own) is not None, "nothing else is to do"
    run_sql(settings.require_url(), "SELECT hangtag.submit_upload('file:///x', 'x', 'x', 0)")
    assert find_undrawn(own) is None
    drawer.draw()
    monkeypatch.setattr("worker.health.FRONT", FRONT)
    assert find_undrawn(own) is None


def test_a_downgrade_leaves_an_old_console_nothing_without_a_picture(
    engine: Engine, settings: WorkerSettings, review: Callable[..., list[str]], drawer: Drawer
) -> None:
    """What owes its preview begins anew, as a worker of before does it: with the result."""
    insert_ada(settings)
    review("drawn.jpg")
    drawer.draw()
    review("owed.jpg")
    engine.dispose()
    command.downgrade(alembic_config(settings.require_url()), BEFORE)
    assert outcomes(settings) == [
        ("drawn.jpg", "review", None, ["open"]),
        ("owed.jpg", "pending", None, ["withdrawn"]),
    ]
    assert run_sql(
        settings.require_url(),
        "SELECT attempt - attempts_before FROM hangtag_data.uploads WHERE status = 'pending'",
    ) == [(0,)]
    with transaction(engine) as session:
        item = old_reviews.claim_next_review_item(session, "ada", 300)
        assert item is not None
        assert item.external_id == "drawn.jpg"
        assert old_reviews.get_preview(session, item.id, "ada") is not None
    command.upgrade(alembic_config(settings.require_url()), "head")
    review()
    drawer.draw()
    assert drawn(settings) == ["drawn.jpg", "owed.jpg"]


def test_on_the_schema_of_before_nothing_is_claimed_and_nothing_dies(
    worker_engine: Engine,
    settings: WorkerSettings,
    unsure: Predictor,
    drawer: Drawer,
) -> None:
    """Not even as an attempt: the upload is there for whoever fits the schema."""
    run_sql(settings.require_url(), "SELECT hangtag.submit_upload('file:///x.jpg', 'x', 'x', 0)")
    worker_engine.dispose()
    command.downgrade(alembic_config(settings.require_url()), BEFORE)
    pipeline = Pipeline(worker_engine, settings, "test", lambda _version: unsure)
    for work in (lambda: pipeline.run_batch(True), drawer.draw_front, drawer.draw):
        with pytest.raises(TransientError, match="run `hangtag migrate`") as caught:
            work()
        assert caught.value.code == "not_migrated"
    state = "SELECT status, attempt FROM hangtag_data.uploads"
    assert run_sql(settings.require_url(), state) == [("pending", 0)]


def test_the_reaper_takes_uploads_back_on_the_schema_of_before(settings: WorkerSettings) -> None:
    run_sql(settings.require_url(), "SELECT hangtag.submit_upload('file:///x.jpg', 'x', 'x', 0)")
    command.downgrade(alembic_config(settings.require_url()), BEFORE)
    run_sql(
        settings.require_url(),
        "UPDATE hangtag_data.uploads SET status = 'processing', attempt = 1, "
        "lease_until = now() - interval '1 second'",
    )
    with pytest.raises(TransientError):
        Reaper(settings).sweep()
    state = "SELECT status, attempt FROM hangtag_data.uploads"
    assert run_sql(settings.require_url(), state) == [("pending", 1)]


def test_what_a_worker_of_before_wrote_is_handed_out_at_once(
    engine: Engine, settings: WorkerSettings
) -> None:
    """It writes its own preview and knows nothing of what is owed."""
    insert_ada(settings)
    run_sql(
        settings.require_url(),
        """
        WITH u AS (INSERT INTO hangtag_data.uploads (source, external_id, uri, status)
            VALUES ('old', 'old.jpg', 'file:///x', 'review') RETURNING id),
        p AS (INSERT INTO hangtag_data.previews (upload_id, item, jpeg)
            SELECT id, 0, '\\xffd8'::bytea FROM u)
        INSERT INTO hangtag_data.review_items (upload_id, item, model_version, reason, suggested,
            confidence) SELECT u.id, 0, m.version, 'r', '[["Tops", 0.4]]', 0.4
            FROM u, hangtag_data.model_versions AS m
        """,
    )
    taken = turn(engine)
    assert taken is not None
    assert taken[1] == "old.jpg"
