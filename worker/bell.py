"""The doorbell: a message that says 'there are rows', nothing else."""

from __future__ import annotations

import logging
import math

from celery import Celery
from kombu.exceptions import OperationalError

from worker.app import BACKFILL, INGEST

log = logging.getLogger(__name__)

#: A task that claimed a full batch rings again, so a few rings start a worker of any size.
MOST_RINGS = 16


def lane_of(priority: int) -> str:
    """Return the lane of an upload: priorities below zero are the back catalogue."""
    return INGEST if priority >= 0 else BACKFILL


def ring(
    app: Celery, lane: str, uploads: int, batch_size: int, only_if_silent: bool = False
) -> bool:
    """Ring for a number of waiting uploads; false where the broker does not answer.

    That is no error: the rows are safe, and the reaper rings again. With `only_if_silent` it is
    not rung where a ring waits to be answered.
    """
    rings = min(MOST_RINGS, math.ceil(uploads / batch_size))
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            if only_if_silent and producer.channel.client.llen(lane):
                return True
            for _ in range(rings):
                app.send_task(
                    "hangtag.process",
                    args=[lane],
                    queue=lane,
                    producer=producer,
                    retry=True,
                    retry_policy={"max_retries": 1, "interval_start": 0.1},
                )
    except (OperationalError, OSError, TimeoutError) as error:
        log.warning("the broker does not answer (%s); the reaper will ring later", error)
        return False
    return True
