"""Messages taken from the broker in one step, so that none is nowhere for a moment.

Celery's Redis transport pops a message and notes it as unacknowledged by its next command. A worker
killed between the two, or a connection cut while the reply is under way, loses the message; for a
doorbell that is nothing, for `hangtag.ingest` it is an upload (decision 12). Here a script on the
server does both. Everything else, the format of what is noted too, is the transport's own: workers
of either kind can run beside each other.
"""

from __future__ import annotations

import logging
from queue import Empty
from time import monotonic, time
from typing import Any

import kombu
from celery.app.amqp import AMQP as CeleryAMQP
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

log = logging.getLogger(__name__)

#: Where entries of a queue go that are no messages; a person looks, and removes them.
UNREADABLE = "hangtag_unreadable"
#: Longest wait for the first queue before all are asked again. What comes to another queue, or with
#: a priority, to a worker that has nothing to do waits so long at most.
WAIT_SECONDS = 0.2

#: KEYS: the queues in their order, then the hash and the index of unacknowledged messages, then
#: UNREADABLE. ARGV[1]: Unix time. Returns queue, entry and delivery tag, which is empty where the
#: entry could not be read; nil where all queues are empty. Popping comes first: a server out of
#: memory refuses what grows it, but not within a script that has already written.
TAKE = """
local queues = #KEYS - 3
for i = 1, queues do
    local entry = redis.call('RPOP', KEYS[i])
    if entry then
        local ok, tag, exchange, routing_key = pcall(function()
            local properties = cjson.decode(entry).properties
            local to = properties.delivery_info
            return properties.delivery_tag, to.exchange, to.routing_key
        end)
        if not ok or type(tag) ~= 'string' or type(exchange) ~= 'string'
                or type(routing_key) ~= 'string' then
            redis.call('LPUSH', KEYS[queues + 3], entry)
            return {KEYS[i], entry, ''}
        end
        -- The message as it stands: to decode and encode it again could change it.
        redis.call('HSET', KEYS[queues + 1], tag, '[' .. entry .. ',' .. cjson.encode(exchange)
            .. ',' .. cjson.encode(routing_key) .. ']')
        redis.call('ZADD', KEYS[queues + 2], ARGV[1], tag)
        return {KEYS[i], entry, tag}
    end
end
return false
"""


class Channel(redis.Channel):  # type: ignore[misc] # kombu has no types
    """The Redis transport's channel, taking by `TAKE` where it would pop by BRPOP.

    A script cannot wait. Where the queues were empty, the next command waits for the first queue
    without taking anything: BLMOVE from its end to its end.
    """

    _waiting = False
    _found_nothing = False

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Send the command whose reply `_brpop_read` reads."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        keys = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = monotonic()
        self._waiting = self._found_nothing
        if self._waiting:
            wait = WAIT_SECONDS if timeout is None else timeout
            connection.send_command("BLMOVE", keys[0], keys[0], "RIGHT", "RIGHT", wait)
            return
        keys += [self.unacked_key, self.unacked_index_key, UNREADABLE]
        connection.send_command("EVAL", TAKE, len(keys), *keys, time())

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver what was taken, and return true. Raises Empty where there was nothing."""
        waited, self._found_nothing = self._waiting, False
        try:
            taken = self._read_reply("BLMOVE" if waited else "EVAL", options)
            if waited:
                raise Empty
            self._found_nothing = taken is None
            if taken is None:
                raise Empty
            self._deliver(*taken)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _read_reply(self, command: str, options: dict[str, Any]) -> Any:
        connection = self.client.connection
        try:
            return self.client.parse_response(connection, command, **options)
        except self.connection_errors:
            # The next command connects again.
            connection.disconnect()
            raise

    def _deliver(self, key: bytes, entry: bytes, tag: bytes) -> None:
        queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        message = _read_message(entry)
        if message is not None:
            self.connection._deliver(message, queue)  # which notes it once more
            if not tag:  # the server's parser is the stricter one, of lone surrogates for example
                with self.conn_or_acquire() as client:
                    client.lrem(UNREADABLE, 1, entry)
            return
        log.error(
            "an entry of the queue %s is no Celery message; it is kept in the list %s",
            queue,
            UNREADABLE,
        )
        if tag:  # or Python's is, of 0x1F for example
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.lpush(UNREADABLE, entry)
                pipe.hdel(self.unacked_key, tag)
                pipe.zrem(self.unacked_index_key, tag)
                pipe.execute()
        raise Empty


def _read_message(entry: bytes) -> dict[str, Any] | None:
    """Decode an entry of a queue; None where it is not what kombu puts there."""
    try:
        message: dict[str, Any] = loads(bytes_to_str(entry))
        properties = message["properties"]
        to = properties["delivery_info"]
        named = (properties["delivery_tag"], to["exchange"], to["routing_key"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return message if all(isinstance(name, str) for name in named) else None


class Transport(redis.Transport):  # type: ignore[misc]
    """The Redis transport with `Channel`."""

    Channel = Channel


class Connection(kombu.Connection):  # type: ignore[misc]
    """A connection that uses `Transport` wherever a URL asks for the Redis transport."""

    def get_transport_cls(self) -> type[virtual.Transport]:
        """Return the class for this connection's URL."""
        named = super().get_transport_cls()
        return Transport if named is redis.Transport else named


class AMQP(CeleryAMQP):  # type: ignore[misc]
    """What `Celery(amqp=…)` takes to connect by `Connection`."""

    Connection = Connection
