"""A message is in a queue or noted as unacknowledged, never between the two."""

from __future__ import annotations

import json
import threading
import time
from queue import Empty

import kombu
import pytest
import redis

from tests.conftest import wait_until
from tests.faults.proxy import Proxy
from tests.integration.consumers import OPTIONS, QUEUES, acknowledging, consuming, publish, receive
from worker.broker import EmbeddedValkey
from worker.delivery import WAIT_SECONDS, Channel, Connection


@pytest.mark.parametrize(("kind", "kept"), [(kombu.Connection, 0), (Connection, 1)])
def test_a_cut_after_the_pop_loses_nothing(
    valkey: EmbeddedValkey, server: redis.Redis, kind: type, kept: int
) -> None:
    """The transport's own way is the control: there the message is nowhere."""
    publish(valkey.url, "precious")
    with kind(valkey.url, transport_options=OPTIONS) as connection:
        connection.Consumer(QUEUES, callbacks=[acknowledging([])]).consume()
        channel = connection.default_channel
        connection.transport.cycle.on_poll_start()  # sends the command, reads no reply
        wait_until(lambda: server.llen("first") == 0, what="the pop")
        channel.client.connection.disconnect()
    assert server.hlen("unacked") == server.zcard("unacked_index") == kept
    if kept:
        got: list[object] = []
        time.sleep(1.1)
        with consuming(valkey.url, acknowledging(got)) as other:
            receive(other, got, 1)
        assert got == ["precious"]
        assert server.hlen("unacked") == server.zcard("unacked_index") == 0


def test_what_is_noted_is_what_the_transport_notes(
    valkey: EmbeddedValkey, server: redis.Redis
) -> None:
    """Workers of either kind give back what the other took."""
    body = {"name": "Straße / \u2028 \"'\\", "empty": [], "none": {}, "number": 1e300, "odd": "\0"}
    publish(valkey.url, body)
    queued = json.loads(server.lrange("first", 0, 0)[0])  # type: ignore[index] # typed for async
    with Connection(valkey.url, transport_options=OPTIONS) as connection:
        connection.Consumer(QUEUES, callbacks=[acknowledging([])]).consume()
        connection.transport.cycle.on_poll_start()
        wait_until(lambda: server.hlen("unacked") == 1, what="the note")
        (noted,) = server.hvals("unacked")  # type: ignore[misc] # typed for async
        connection.default_channel.client.connection.disconnect()
    assert json.loads(noted) == [queued, "", "first"]
    time.sleep(1.1)
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got), kombu.Connection) as other:
        receive(other, got, 1)
    assert got == [body]


def test_closing_gives_back_at_once_what_was_taken(
    valkey: EmbeddedValkey, server: redis.Redis
) -> None:
    """A clean stop does not leave a message to its visibility timeout."""
    publish(valkey.url, "unread")
    with Connection(valkey.url, transport_options=OPTIONS) as connection:
        connection.Consumer(QUEUES, callbacks=[lambda body, message: None]).consume()
        connection.transport.cycle.on_poll_start()
        wait_until(lambda: server.llen("first") == 0, what="the pop")
    assert (server.llen("first"), server.hlen("unacked")) == (1, 0)


def test_the_first_queue_comes_first(valkey: EmbeddedValkey, server: redis.Redis) -> None:
    """And within a queue the oldest; kombu's step of a priority comes before the queue's order."""
    for number in range(3):
        publish(valkey.url, f"second {number}", "second")
        publish(valkey.url, f"first {number}")
    publish(valkey.url, "step 3", "first", priority=3)
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 7)
    assert got == [*(f"first {n}" for n in range(3)), *(f"second {n}" for n in range(3)), "step 3"]


@pytest.mark.parametrize(("queue", "priority"), [("first", 0), ("second", 0), ("second", 9)])
def test_a_message_wakes_who_waits(
    valkey: EmbeddedValkey, server: redis.Redis, queue: str, priority: int
) -> None:
    """At once in the first queue; elsewhere after one wait."""
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=2 * WAIT_SECONDS)
        started = time.monotonic()
        timer = threading.Timer(0.05, publish, (valkey.url, "ring", queue, priority))
        timer.start()
        receive(connection, got, 1)
        timer.join()
        assert time.monotonic() - started < WAIT_SECONDS + 0.5
    assert got == ["ring"]


def test_an_idle_consumer_hardly_asks(valkey: EmbeddedValkey, server: redis.Redis) -> None:
    """It waits at the server instead of asking again and again."""
    with consuming(valkey.url, acknowledging([])) as connection:
        before = server.info("commandstats")
        _drain_for(connection, 2.0)
        after = server.info("commandstats")
    asked = _calls(after, "eval") - _calls(before, "eval")
    assert 2 <= asked <= 2.0 / WAIT_SECONDS + 2


def _drain_for(connection: kombu.Connection, seconds: float, turn: float = 0.1) -> None:
    """Take what comes for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            connection.drain_events(timeout=turn)
        except TimeoutError:
            continue


def _calls(stats: object, command: str) -> int:
    assert isinstance(stats, dict)
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_a_full_server_is_still_emptied(valkey: EmbeddedValkey, server: redis.Redis) -> None:
    """It takes no new message, but gives those that it has, and lets who waits wait."""
    publish(valkey.url, "before")
    publish(valkey.url, "last", "second")
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 1)
        server.config_set("maxmemory", 1)
        try:
            receive(connection, got, 2)
            # Longer turns than a wait: kombu's own look for what is overdue writes, and is refused.
            _drain_for(connection, 4 * WAIT_SECONDS, turn=2 * WAIT_SECONDS)
        finally:
            server.config_set("maxmemory", 0)
        publish(valkey.url, "after")
        receive(connection, got, 3)
    assert got == ["before", "last", "after"]
    assert server.hlen("unacked") == 0


def test_who_does_not_acknowledge_gets_a_message_once(
    valkey: EmbeddedValkey, server: redis.Redis
) -> None:
    publish(valkey.url, "once")
    got: list[object] = []
    with (
        Connection(valkey.url, transport_options=OPTIONS) as connection,
        connection.Consumer(QUEUES, callbacks=[lambda body, _: got.append(body)], no_ack=True),
    ):
        receive(connection, got, 1)
        _drain_for(connection, 1.5)
    assert got == ["once"]
    assert server.hlen("unacked") == server.zcard("unacked_index") == 0


def test_replies_stay_in_step_when_a_dead_connection_is_found(
    valkey: EmbeddedValkey, server: redis.Redis
) -> None:
    """A worker was busy while a router forgot its connection; redis-py connects anew, unasked."""
    proxy = Proxy(valkey.socket)
    url = f"redis://127.0.0.1:{proxy.port}/0"
    options = {
        **OPTIONS,
        "visibility_timeout": 60,
        "health_check_interval": 1,
        "socket_timeout": 1,
        "retry_on_timeout": True,
    }
    got: list[object] = []
    try:
        with (
            Connection(url, transport_options=options) as connection,
            connection.Consumer(QUEUES, callbacks=[acknowledging(got)], prefetch_count=1),
        ):
            publish(valkey.url, "first")
            receive(connection, got, 1)
            channel = connection.default_channel
            _settle(connection, channel)
            old = channel.client.connection._sock
            proxy.forget()
            time.sleep(1.5)
            for number in range(20):
                publish(valkey.url, number)
            receive(connection, got, 21)
            assert channel.client.connection._sock is not old
    finally:
        proxy.close()
    assert got == ["first", *range(20)]
    assert server.hlen("unacked") == 0


def _settle(connection: kombu.Connection, channel: redis.Redis) -> None:
    """Take turns until no command is under way, as while a worker has no room for a message."""
    while channel._in_poll:
        try:
            channel.handlers["BRPOP"]()
        except Empty:
            continue


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("redis://localhost/0", True),
        ("rediss://localhost/0", True),
        ("redis+socket:///run/valkey.sock", True),
        ("memory://", False),
    ],
)
def test_each_way_to_name_the_server_has_the_channel(url: str, safe: bool) -> None:
    """Other transports stay what they are."""
    transport = Connection(url).get_transport_cls()
    assert issubclass(transport.Channel, Channel) is safe
    assert Connection(url).clone().get_transport_cls() is transport
