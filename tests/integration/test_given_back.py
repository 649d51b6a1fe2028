"""A message goes back to the queue it was taken from, whatever it says of exchanges."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kombu
import pytest
import redis

from tests.conftest import wait_until
from tests.integration.consumers import OPTIONS, QUEUES, acknowledging, consuming, publish, receive
from worker.broker import EmbeddedValkey
from worker.delivery import UNREADABLE, Connection

Where = tuple[str, str]


def put(server: redis.Redis, url: str, body: str, **properties: Any) -> None:
    """Publish a message whose properties say something else than kombu would write."""
    publish(url, body)
    entry = server.lpop("first")
    assert isinstance(entry, bytes)
    message = json.loads(entry)
    message["properties"] |= properties
    server.lpush("first", json.dumps(message))


def take_and_close(connection: kombu.Connection) -> None:
    """Stop as a worker does that is told to."""


def take_and_cut(connection: kombu.Connection) -> None:
    """Lose the connection; the message comes back after the visibility timeout."""
    connection.default_channel.client.connection.disconnect()


def take(server: redis.Redis, url: str, end: Callable[[kombu.Connection], None]) -> None:
    with Connection(url, transport_options=OPTIONS) as connection:
        connection.Consumer(QUEUES, callbacks=[lambda body, message: None]).consume()
        connection.transport.cycle.on_poll_start()
        wait_until(lambda: server.llen("first") == 0, what="the pop")
        end(connection)
    time.sleep(1.1 * OPTIONS["visibility_timeout"])  # type: ignore[operator]


@pytest.mark.parametrize("end", [take_and_close, take_and_cut])
@pytest.mark.parametrize(
    "to",
    [
        ("celery", "celery"),  # an exchange that nobody has bound to the queue
        ("", "elsewhere"),
        ("", ""),
        ("", "unacked"),  # a key that is no list
    ],
)
def test_it_comes_back_to_its_queue(
    valkey: EmbeddedValkey, server: redis.Redis, to: Where, end: Callable[[kombu.Connection], None]
) -> None:
    put(server, valkey.url, "precious", delivery_info={"exchange": to[0], "routing_key": to[1]})
    take(server, valkey.url, end)
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 1)
    assert got == ["precious"]
    assert server.exists("first", "elsewhere", "unacked", "unacked_index", UNREADABLE) == 0


def test_what_came_by_a_topic_comes_back(valkey: EmbeddedValkey, server: redis.Redis) -> None:
    """Its own publisher bound the queue; this consumer knows nothing of that exchange."""
    exchange = kombu.Exchange("events", type="topic")
    queue = kombu.Queue("first", exchange, routing_key="hangtag.#")
    with kombu.Connection(valkey.url) as connection:
        connection.Producer().publish(
            "precious",
            exchange=exchange,
            routing_key="hangtag.ingest.shop",
            serializer="json",
            declare=[queue],
        )
    take(server, valkey.url, take_and_close)
    assert server.llen("first") == 1


def test_a_task_is_put_off_by_the_queue_it_came_from(
    valkey: EmbeddedValkey, server: redis.Redis
) -> None:
    """Celery's `task.retry` publishes to what the message's `delivery_info` says."""
    put(
        server,
        valkey.url,
        "precious",
        delivery_info={"exchange": "celery", "routing_key": "celery"},
    )
    seen: list[dict[str, Any]] = []

    def note(_body: object, message: kombu.Message) -> None:
        seen.append(message.delivery_info)
        message.ack()

    with consuming(valkey.url, note) as connection:
        receive(connection, seen, 1)  # type: ignore[arg-type] # it only counts
    assert (seen[0]["exchange"], seen[0]["routing_key"]) == ("", "first")


@pytest.mark.parametrize("to", [("celery", "celery"), ("", "")])
def test_a_note_of_another_worker_that_leads_nowhere_is_kept_apart(
    valkey: EmbeddedValkey, server: redis.Redis, to: Where
) -> None:
    """Plain Celery notes what the message says; nobody knows its queue any more."""
    put(server, valkey.url, "precious", delivery_info={"exchange": to[0], "routing_key": to[1]})
    entry = server.rpop("first")
    assert isinstance(entry, bytes)
    note = json.dumps([json.loads(entry), *to])
    server.hset("unacked", "a", note)
    server.zadd("unacked_index", {"a": time.time() - 60})
    publish(valkey.url, "neighbour")
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 1)
        wait_until(lambda: _drained(connection, server), what="the sweep")
    assert got == ["neighbour"]
    assert server.lrange(UNREADABLE, 0, -1) == [note.encode()]
    assert server.hlen("unacked") == 0


def _drained(connection: kombu.Connection, server: redis.Redis) -> bool:
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.1)
    return server.llen(UNREADABLE) == 1


@pytest.mark.parametrize("end", [take_and_close, take_and_cut])
def test_an_endless_priority_is_no_message(
    valkey: EmbeddedValkey, server: redis.Redis, end: Callable[[kombu.Connection], None]
) -> None:
    """Kombu would drop it when it gives it back."""
    put(server, valkey.url, "odd", priority=math.inf)
    take(server, valkey.url, end)
    publish(valkey.url, "neighbour")
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 1)
        wait_until(lambda: _drained(connection, server), what="the sweep")
    assert got == ["neighbour"]
    assert server.hlen("unacked") == 0
