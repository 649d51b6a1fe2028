"""Consumers of a real broker, and messages for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import kombu

from worker.delivery import Connection

OPTIONS = {
    "queue_order_strategy": "priority",
    "visibility_timeout": 1,
    "unacked_restore_throttle": 1,
}
QUEUES = [kombu.Queue("first"), kombu.Queue("second")]


def publish(url: str, body: object, queue: str = "first", priority: int = 0) -> None:
    """Publish by kombu's own transport, as other services do."""
    with kombu.Connection(url) as connection:
        connection.Producer().publish(
            body, routing_key=queue, priority=priority, serializer="json", declare=QUEUES
        )


@contextmanager
def consuming(
    url: str, take: Callable[[object, kombu.Message], None], kind: type = Connection
) -> Iterator[kombu.Connection]:
    """A consumer of both queues, which takes one message at a time."""
    with (
        kind(url, transport_options=OPTIONS) as connection,
        connection.Consumer(QUEUES, callbacks=[take], prefetch_count=1),
    ):
        yield connection


def receive(connection: kombu.Connection, got: list[object], count: int) -> None:
    """Wait until so many messages were taken."""
    deadline = time.monotonic() + 10
    while len(got) < count:
        assert time.monotonic() < deadline, f"only {got}"
        try:
            # Shorter than a wait of the channel: kombu gives back what is overdue when none speaks.
            connection.drain_events(timeout=0.1)
        except TimeoutError:
            continue


def acknowledging(got: list[object]) -> Callable[[object, kombu.Message], None]:
    """Note the body and acknowledge."""

    def take(body: object, message: kombu.Message) -> None:
        got.append(body)
        message.ack()

    return take
