"""The Celery tasks, and what the parent answers: decorators and one call each."""

from __future__ import annotations

import inspect
import time
from typing import Any, NoReturn

from celery import Task, shared_task
from celery.exceptions import Reject
from celery.utils.time import get_exponential_backoff_interval
from celery.worker.control import inspect_command

from worker import process
from worker.app import BACKFILL, METRICS
from worker.stages import read_totals

#: The wait after the database is back is what a producer feels; a try costs one connection.
MOST_WAIT_SECONDS = 15


@shared_task(name="hangtag.process")
def process_lane(lane: str) -> None:
    """Answer the doorbell of a lane."""
    process.answer(backfill=lane == BACKFILL)


def _upload(
    uri: str, source: str, external_id: str | None = None, priority: int = 0
) -> tuple[str, str, str | None, int]:
    return uri, source, external_id, priority


@shared_task(name="hangtag.ingest", bind=True, max_retries=None)
def ingest(task: Task, /, *given: Any, **named: Any) -> None:
    """Hand in an upload, for producers who reach only the broker: see `_upload`.

    Without an external_id the message's own id takes its place: it stays the same when the
    message is delivered again, so that is no second upload.
    """
    try:
        inspect.signature(_upload).bind(*given, **named)
    except TypeError as error:  # what a producer forgot, or misspelt
        process.refuse((*given, *named.items()), error)
        return
    uri, source, external_id, priority = _upload(*given, **named)
    if external_id is None or external_id == "":
        external_id = f"celery:{task.request.id}"
    try:
        process.hand_in(uri, source, external_id, priority)
    except Exception as error:  # whatever it is, nothing but this message knows the upload
        _try_later(task, error)


def _try_later(task: Task, error: Exception) -> NoReturn:
    """Put the message off. Raises Retry; Reject where the broker takes no message just now."""
    wait = get_exponential_backoff_interval(1, task.request.retries, MOST_WAIT_SECONDS, True)
    try:
        raise task.retry(exc=error, countdown=wait)
    except Reject as refused:
        # Celery would drop the message: it could not be put off, so it stays as it is.
        time.sleep(wait)
        raise Reject(refused.reason, requeue=True) from error


@inspect_command(name=METRICS)
def metrics(_state: Any) -> dict[str, float]:
    """Tell what this worker's children have done, and where their time went."""
    return read_totals()
