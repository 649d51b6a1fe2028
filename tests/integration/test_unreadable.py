"""What is no message, or cannot be taken, is kept apart and costs its neighbours nothing."""

from __future__ import annotations

import json
import time

import kombu
import pytest
import redis

from tests.conftest import wait_until
from tests.integration.consumers import OPTIONS, QUEUES, acknowledging, consuming, publish, receive
from worker.broker import EmbeddedValkey
from worker.delivery import UNREADABLE, Connection

PROPERTIES = {
    "body_encoding": "base64",
    "delivery_tag": "a",
    "delivery_info": {"exchange": "", "routing_key": "first"},
}
#: A header with half a character: Python reads it, the server's parser does not.
HALF = '{"name": "a\\ud800"}'


def publish_with_header(
    valkey: EmbeddedValkey, server: redis.Redis, body: str, header: str
) -> bytes:
    """Publish to the first queue, with the header (JSON) in its place; return the entry."""
    publish(valkey.url, body)
    entry = server.rpop("first")
    assert isinstance(entry, bytes)
    entry = entry.replace(b'"headers": {}', b'"headers": ' + header.encode())
    assert header.encode() in entry
    server.lpush("first", entry)
    return entry


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
    publish_with_header(valkey, server, "odd", HALF)
    assert b"ud800" in server.lindex("first", 0)  # type: ignore[operator] # typed for async
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        receive(connection, got, 1)
    assert got == ["odd"]
    assert server.exists(UNREADABLE, "unacked", "unacked_index", "first") == 0


@pytest.mark.parametrize("header", ["{}", HALF])
def test_a_message_that_its_consumer_cannot_take_is_kept_apart(
    valkey: EmbeddedValkey, server: redis.Redis, header: str
) -> None:
    """The consumer connects anew, which frees what it had set aside for the message."""
    entry = publish_with_header(valkey, server, "bad", header)
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


def test_what_a_full_server_cannot_note_ends_nobody(
    valkey: EmbeddedValkey, server: redis.Redis
) -> None:
    """Only Python reads it, and then the server has no room for its note: it is kept apart."""
    entry = publish_with_header(valkey, server, "odd", HALF)
    publish(valkey.url, "good", "second")
    got: list[object] = []
    with consuming(valkey.url, acknowledging(got)) as connection:
        server.config_set("maxmemory", 1)
        try:
            receive(connection, got, 1)
        finally:
            server.config_set("maxmemory", 0)
    assert got == ["good"]
    assert server.lrange(UNREADABLE, 0, -1) == [entry]
