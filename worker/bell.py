"""The doorbell: a message that says 'there are rows', nothing else."""

from __future__ import annotations

import logging
import math
from functools import lru_cache
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
#: What a bell's headers hold, and no text of another message can: a quote in it would be escaped.
_BELL = b'"task": "hangtag.process"'


def lane_of(priority: int) -> str:
    """Return the lane of an upload: priorities below zero are the back catalogue."""
    return INGEST if priority >= 0 else BACKFILL


def announce(app: Celery, lane: str, uploads: int, batch_size: int) -> bool:
    """Ring for uploads that were just handed in, and wake who has nothing to do; see `ring`.

    A worker that finds no message waits for one of the first lane (`delivery.Channel`); of another
    lane it would learn when that wait is over, a tenth or two of a second later.
    """
    waiting = _ring(app, lane, uploads, batch_size)
    if waiting == 0 and lane != INGEST:  # somebody may sleep
        _ring(app, INGEST, 1, batch_size)
    return waiting is not None


def ring(app: Celery, lane: str, uploads: int, batch_size: int) -> bool:
    """Ring for a number of waiting uploads; false where the broker does not answer.

    That is no error: the rows are safe, and the reaper rings again. Bells that were rung last and
    wait still are not rung again: who answers them finds what is committed by now.
    """
    return _ring(app, lane, uploads, batch_size) is not None


def _ring(app: Celery, lane: str, uploads: int, batch_size: int) -> int | None:
    """Ring; return how many bells waited before, None where the broker does not answer."""
    rings = min(MOST_RINGS, math.ceil(uploads / batch_size))
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            waiting = sum(_BELL in message for message in _newest(producer, lane, rings))
            for _ in range(rings - waiting):
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
        return None
    return waiting


def has_messages(app: Celery, lane: str) -> bool:
    """Tell whether messages wait in a lane; false where the broker does not answer."""
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            return len(_newest(producer, lane, 1)) > 0
    except (OperationalError, OSError, TimeoutError, RedisTimeout):
        return False


@lru_cache(maxsize=1)
def _client(channel: Any, _pool: Any) -> Any:
    """Return a client on a channel's pool of connections, the same each time.

    To make one takes longer than to ask. It is not `channel.client`: on that connection somebody
    may be waiting for a message.
    """
    with channel.conn_or_acquire() as client:
        return client


def _newest(producer: Any, lane: str, count: int) -> list[bytes]:
    """Return the newest messages of a lane, which are the last to be taken.

    It returns nothing where there is no connection: ringing makes one, and to ask kombu for one
    would take seconds where the broker is away. Raises redis' TimeoutError.
    """
    if not producer.connection.connected:
        return []
    try:
        return list(_client(producer.channel, producer.channel.pool).lrange(lane, 0, count - 1))
    except (RedisConnectionError, ResponseError):
        return []
