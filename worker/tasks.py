"""The Celery tasks, and what the parent answers: decorators and one call each."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from celery.worker.control import inspect_command
from sqlalchemy.exc import DBAPIError

from errors import TransientError
from worker import process
from worker.app import BACKFILL, METRICS
from worker.stages import read_totals


@shared_task(name="hangtag.process")
def process_lane(lane: str) -> None:
    """Answer the doorbell of a lane."""
    process.answer(backfill=lane == BACKFILL)


@shared_task(
    name="hangtag.ingest",
    bind=True,
    autoretry_for=(TransientError, DBAPIError),
    max_retries=None,
    retry_backoff=1,
    # The wait after the database is back is what a producer feels; a try costs one connection.
    retry_backoff_max=15,
)
def ingest(
    task: Task, uri: str, source: str, external_id: str | None = None, priority: int = 0
) -> None:
    """Hand in an upload, for producers who reach only the broker.

    Without an external_id the message's own id takes its place: it stays the same when the
    message is delivered again, so that is no second upload.
    """
    if external_id is None or external_id == "":
        external_id = f"celery:{task.request.id}"
    process.hand_in(uri, source, external_id, priority)


@inspect_command(name=METRICS)
def metrics(_state: Any) -> dict[str, float]:
    """Tell what this worker's children have done, and where their time went."""
    return read_totals()
