"""The doorbell: a message that says 'there are rows', nothing else."""

from __future__ import annotations

import logging
import math
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from worker.app import BACKFILL, INGEST

log = logging.getLogger(__name__)

#: A task that claimed a full batch rings again, so a few rings start a worker of any size.
MOST_RINGS = 16


def lane_of(priority: int) -> str:
    """Return the lane of an upload: priorities below zero are the back catalogue."""
    return INGEST if priority >= 0 else BACKFILL


def ring(app: Celery, lane: str, uploads: int, batch_size: int, always: bool = False) -> bool:
    """Ring for a number of waiting uploads; false where the broker does not answer.

    That is no error: the rows are safe, and the reaper rings again. Messages that wait in the lane
    count as rings: a bell finds what is committed by now, and each `hangtag.ingest` rings `always`
    when it has handed in.
    """
    rings = min(MOST_RINGS, math.ceil(uploads / batch_size))
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            for _ in range(rings if always else rings - _count_waiting(producer, lane)):
                app.send_task(
                    "hangtag.process",
                    args=[lane],
                    queue=lane,
                    producer=producer,
                    retry=True,
                    retry_policy={"max_retries": 1, "interval_start": 0.1},
                )
    except (OperationalError, OSError, TimeoutError, RedisTimeout) as error:
        log.warning("the broker does not answer (%s); the reaper will ring later", error)
        return False
    return True


def has_messages(app: Celery, lane: str) -> bool:
    """Tell whether messages wait in a lane; false where the broker does not answer."""
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            return _count_waiting(producer, lane) > 0
    except (OperationalError, OSError, TimeoutError, RedisTimeout):
        return False


def _count_waiting(producer: Any, lane: str) -> int:
    """Count the messages that wait in a lane; 0 where there is no connection: ringing makes one.

    To ask kombu for one would take seconds where the broker is away. Raises redis' TimeoutError.
    """
    if not producer.connection.connected:
        return 0
    try:
        return int(producer.channel.client.llen(lane))
    except (RedisConnectionError, ResponseError):
        return 0
