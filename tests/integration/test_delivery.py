"""A message is in a queue or noted as unacknowledged, never between the two."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty

import kombu
import pytest
import redis

from tests.conftest import wait_until
from tests.faults.proxy import Proxy
from worker.broker import EmbeddedValkey
from worker.delivery import UNREADABLE, WAIT_SECONDS, Channel, Connection

OPTIONS = {
    "queue_order_strategy": "priority",
    "visibility_timeout": 1,
    "unacked_restore_throttle": 1,
}
PROPERTIES = {
    "body_encoding": "base64",
    "delivery_tag": "a",
    "delivery_info": {"exchange": "", "routing_key": "first"},
}
QUEUES = [kombu.Queue("first"), kombu.Queue("second")]


@pytest.fixture
def server(valkey: EmbeddedValkey) -> redis.Redis:
    """The emptied server, asked directly."""
    client = redis.Redis(unix_socket_path=str(valkey.socket))
    client.flushall()
    return client


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


@pytest.mark.parametrize(
    "entry",
    [
        b"hello",
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"properties": {"delivery_tag": 1, '
        b'"delivery_info": {"exchange": "", "routing_key": "first"}}}',
        b'{"properties": {"delivery_tag": "a", "delivery_info": {"exchange": null}}}',
        b'{"properties": {"delivery_tag": "a"}}',
        # A number that the server's parser takes, and Python's does not.
        b'{"body": 0x1F, "properties": {"delivery_tag": "a", '
        b'"delivery_info": {"exchange": "", "routing_key": "first"}}}',
        b"[" * 5000,
        # What kombu sends but for one thing.
        *(
            json.dumps(envelope | {"properties": PROPERTIES | properties}).encode()
            for envelope, properties in (
                ({"body": "abc", "headers": {}}, {}),  # no base64
                ({"body": 5, "headers": {}}, {}),
                ({"body": "W10=", "headers": "x"}, {}),
                ({"body": "W10="}, {}),
                ({"body": "W10=", "headers": {"timelimit": ["x", None]}}, {}),
                ({"body": "W10=", "headers": {"timelimit": [1, 2, 3]}}, {}),
                ({"body": "W10=", "headers": {}}, {"body_encoding": "gzip"}),
                ({"body": "W10=", "headers": {}}, {"body_encoding": [1]}),
                ({"body": "W10=", "headers": {}}, {"delivery_tag": ""}),
            )
        ),
    ],
)
def test_what_is_no_message_is_kept_apart(
    valkey: EmbeddedValkey,
    server: redis.Redis,
    entry: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends no worker, and costs its neighbour nothing."""
    server.lpush("first", entry)
    publish(valkey.url, "neighbour")
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 1)
    assert got == ["neighbour"]
    assert server.lrange(UNREADABLE, 0, -1) == [entry]
    assert server.hlen("unacked") == server.zcard("unacked_index") == 0
    assert "is no Celery message" in caplog.text


def test_a_message_that_only_the_server_cannot_read_is_delivered(
    valkey: EmbeddedValkey, server: redis.Redis
) -> None:
    """Such as one whose header names a file with half a character."""
    publish(valkey.url, "odd")
    entry = server.rpop("first")
    assert isinstance(entry, bytes)
    server.lpush("first", entry.replace(b'"headers": {}', b'"headers": {"name": "a\\ud800"}'))
    assert b"ud800" in server.lindex("first", 0)  # type: ignore[operator] # typed for async
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 1)
    assert got == ["odd"]
    assert server.exists(UNREADABLE, "unacked", "unacked_index", "first") == 0


@pytest.mark.parametrize("header", ["{}", '{"name": "a\\ud800"}'])
def test_a_message_that_its_consumer_cannot_take_is_kept_apart(
    valkey: EmbeddedValkey, server: redis.Redis, header: str
) -> None:
    """The consumer connects anew, which frees what it had set aside for the message."""
    publish(valkey.url, "bad")
    entry = server.rpop("first")
    assert isinstance(entry, bytes)
    entry = entry.replace(b'"headers": {}', b'"headers": ' + header.encode())
    server.lpush("first", entry)
    publish(valkey.url, "good")
    got: list[object] = []

    def take(body: object, message: kombu.Message) -> None:
        if body == "bad":
            raise TypeError("'int' object is not iterable")
        got.append(body)
        message.ack()

    with consuming(valkey.url, take) as connection:
        with pytest.raises(ConnectionError):
            receive(connection, got, 1)
        assert connection.default_channel.qos.can_consume()
        receive(connection, got, 1)
    assert got == ["good"]
    assert server.lrange(UNREADABLE, 0, -1) == [entry]
    assert server.hlen("unacked") == server.zcard("unacked_index") == 0


@pytest.mark.parametrize(
    "entry",
    [
        b'{"number": 0x1F, "headers": {}, "properties": {"delivery_tag": "a", '
        b'"delivery_info": {"exchange": "", "routing_key": "first"}}}',
        b'{"headers": "x", "properties": {"delivery_tag": "a", '
        b'"delivery_info": {"exchange": "", "routing_key": "first"}}}',
    ],
)
def test_a_note_that_is_no_message_keeps_no_other_back(
    valkey: EmbeddedValkey, server: redis.Redis, entry: bytes
) -> None:
    """Its taker was killed before it read what it had taken."""
    for one in (entry, None):
        if one is None:
            publish(valkey.url, "good")
        else:
            server.lpush("first", one)
        with Connection(valkey.url, transport_options=OPTIONS) as connection:
            connection.Consumer(QUEUES, callbacks=[acknowledging([])]).consume()
            connection.transport.cycle.on_poll_start()
            wait_until(lambda: server.llen("first") == 0, what="the pop")
            connection.default_channel.client.connection.disconnect()
    assert server.hlen("unacked") == 2
    time.sleep(1.1)
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 1)
    assert got == ["good"]
    assert server.llen(UNREADABLE) == 1
    assert server.hlen("unacked") == server.zcard("unacked_index") == 0


def test_what_a_full_server_cannot_keep_apart_takes_nobody_s_place(
    valkey: EmbeddedValkey, server: redis.Redis
) -> None:
    server.lpush("first", json.dumps({"body": "abc", "headers": {}, "properties": PROPERTIES}))
    publish(valkey.url, "good", "second")
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        server.config_set("maxmemory", 1)
        try:
            receive(connection, got, 1)
        finally:
            server.config_set("maxmemory", 0)
    assert got == ["good"]
    assert (server.hlen("unacked"), server.llen(UNREADABLE)) == (1, 0)


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
