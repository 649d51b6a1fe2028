"""Messages taken from the broker in one step, so that none is nowhere for a moment.

Celery's Redis transport pops a message and notes it as unacknowledged by its next command. A worker
killed between the two, or a connection cut while the reply is under way, loses the message; for a
doorbell that is nothing, for `hangtag.ingest` it is an upload (decision 12). Here a script on the
server does both. Everything else, the format of what is noted too, is the transport's own: workers
of either kind can run beside each other.

A message is given back, or put off, to the queue that it was taken from, whatever exchange it
names: kombu asks the exchange, and where no queue is bound to that the message would be gone.
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
#: What malformed content leads to, in our hands or in those of Celery, which takes a KeyError for a
#: lost connection and would receive the same message for ever.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: A list that nobody ever fills: to wait for it is to wait for time.
NEVER = "hangtag_never"
#: Longest wait for the first queue before all are asked again. What comes to another queue, or with
#: a priority, to a worker that has nothing to do waits so long, and until the server looks for what
#: timed out, which it does ten times a second. `bell.announce` wakes it earlier.
WAIT_SECONDS = 0.1

#: KEYS: the queues in their order, then the hash and the index of unacknowledged messages, then
#: UNREADABLE. ARGV: Unix time, then the routing keys that lead to the queues. Returns queue, entry
#: and delivery tag, which is empty where the entry could not be read; nil where all queues are
#: empty. Popping comes first: a server out of memory refuses what grows it, but not within a script
#: that has already written.
TAKE = """
local queues = #KEYS - 3
for i = 1, queues do
    local entry = redis.call('RPOP', KEYS[i])
    if entry then
        local ok, tag = pcall(function()
            return cjson.decode(entry).properties.delivery_tag
        end)
        if not ok or type(tag) ~= 'string' or tag == '' then
            redis.call('LPUSH', KEYS[queues + 3], entry)
            return {KEYS[i], entry, ''}
        end
        -- The message as it stands: to decode and encode it again could change it.
        redis.call('HSET', KEYS[queues + 1], tag,
            '[' .. entry .. ',"",' .. cjson.encode(ARGV[1 + i]) .. ']')
        redis.call('ZADD', KEYS[queues + 2], ARGV[1], tag)
        return {KEYS[i], entry, tag}
    end
end
return false
"""


class QoS(redis.QoS):  # type: ignore[misc] # kombu has no types
    """Bookkeeping of what was delivered and is not acknowledged."""

    def append(self, message: virtual.Message, delivery_tag: str) -> None:
        """Note a message; on the server only where `TAKE` has not done so.

        A server that is full would refuse to write the note again, and the worker would end with
        the message in hand.
        """
        if delivery_tag == self.channel.noted:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Give back what is overdue; not now, where a full server refuses to."""
        try:
            super().restore_visible(*args, **kwargs)
        except self.channel.ResponseError as error:
            log.warning("what is overdue in the broker is given back later: %s", error)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Give a message back; set it aside where it is none, or leads to no queue.

        `TAKE` notes before anybody has read: what only its parser takes would end whoever gives
        back, and with them all that is overdue. Workers without this channel note the exchange that
        a message names; where that leads nowhere kombu would remove the note and push nothing.
        """
        with self.channel.conn_or_acquire(client) as own:
            note = own.hget(self.unacked_key, tag)
            if note is None or self._can_be_given_back(note):
                super().restore_by_tag(tag, own, leftmost)
                return
            log.error("a note of the broker cannot be given back; it is kept in %s", UNREADABLE)
            with own.pipeline() as pipe:
                pipe.lpush(UNREADABLE, note)
                self._remove_from_indices(tag, pipe)
                pipe.execute()

    def _can_be_given_back(self, note: bytes) -> bool:
        """Tell whether kombu can give back what was noted."""
        try:
            message, exchange, routing_key = loads(bytes_to_str(note))
            self.channel.require_readable(message)
            queues = self.channel._lookup(exchange, routing_key)
            return bool(queues) and all(isinstance(queue, str) and queue for queue in queues)
        except MALFORMED:
            return False


class Channel(redis.Channel):  # type: ignore[misc]
    """The Redis transport's channel, taking by `TAKE` where it would pop by BRPOP.

    A script cannot wait. Where the queues were empty, the next command waits for the first queue
    without taking anything: BLMOVE from its end to its end.
    """

    QoS = QoS
    #: Delivery tag of the message that is being delivered, where the server has noted it.
    noted: str | None = None

    #: What is answered next is a wait, and not the script.
    _waiting = False
    _found_nothing = False
    #: The server refused to wait for the queue, as a full one does; the next wait is for time.
    _refused = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Queues whose consumer acknowledges nothing.
        self._without_ack: set[str] = set()

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consume a queue; remember whether what it gives will be acknowledged."""
        (self._without_ack.add if no_ack else self._without_ack.discard)(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Send the command whose reply `_brpop_read` reads."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or not self._is_registered():
            return
        ways = [(self._q_for_pri(queue, p), queue) for p in self.priority_steps for queue in queues]
        keys = [key for key, _ in ways]
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._waiting = self._found_nothing
        if not self._waiting:
            keys += [self.unacked_key, self.unacked_index_key, UNREADABLE]
            self._send("EVAL", TAKE, len(keys), *keys, time(), *(queue for _, queue in ways))
            return
        wait = WAIT_SECONDS if timeout is None else timeout
        if self._refused:
            self._send("BRPOP", NEVER, wait)
        else:
            self._send("BLMOVE", keys[0], keys[0], "RIGHT", "RIGHT", wait)

    def _send(self, *command: Any) -> None:
        # Checked by `_is_registered`: a second check could connect anew after all.
        self.client.connection.send_command(*command, check_health=False)

    def _is_registered(self) -> bool:
        """Tell whether the poller has the socket that a command would be sent by.

        A connection that was idle for long is checked before it is used, and may connect anew
        then. Were a command sent by the new socket, the poller would send another when it finds
        the socket, and every reply would be taken for the one before it.
        """
        connection = self.client.connection
        connection.check_health()
        poller, known = self.connection.cycle, (self, self.client, "BRPOP")
        if connection._sock is not None and poller._chan_to_sock.get(known) is connection._sock:
            return True
        poller._chan_to_sock.pop(known, None)  # so that the next turn registers it
        return False

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver what was taken, and return true. Raises Empty where there was nothing."""
        waited, self._found_nothing = self._waiting, False
        try:
            if waited:
                self._read_wait(options)
                raise Empty
            taken = self._read_reply("EVAL", options)
            self._found_nothing = taken is None
            if taken is None:
                raise Empty
            self._deliver(*taken)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _read_wait(self, options: dict[str, Any]) -> None:
        was_refused, self._refused = self._refused, False
        try:
            self._read_reply("BRPOP" if was_refused else "BLMOVE", options)
        except self.ResponseError as error:
            if was_refused:
                raise
            self._refused = True
            log.debug("the broker does not let us wait for a queue: %s", error)

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
        noted = bytes_to_str(tag) or None
        try:
            message = self._read_message(entry, queue)
        except MALFORMED as error:
            self._set_aside(queue, entry, noted, error)
            raise Empty from error
        if noted and queue in self._without_ack:
            self.qos._remove_from_indices(noted).execute()
        self.noted = noted
        try:
            self.connection._deliver(message, queue)
        except MALFORMED as error:
            self._set_aside(queue, entry, noted, error)
            self._forget(message, noted)
            # Celery may have taken a place in its pool for it, and clears them when it connects.
            raise ConnectionError("Celery could not take a message") from error
        except self.ResponseError as error:
            if noted:
                raise
            # It could not be noted, as on a full server. It is in `UNREADABLE`, and stays there.
            log.error("a message is kept in the list %s: %s", UNREADABLE, error)
            raise Empty from error
        finally:
            self.noted = None
        if not noted:  # the server's parser is the stricter one, of lone surrogates for example
            with self.conn_or_acquire() as client:
                client.lrem(UNREADABLE, 1, entry)

    def _read_message(self, entry: bytes, queue: str) -> dict[str, Any]:
        """Decode an entry of a queue, to which it belongs. Raises whatever its content leads to."""
        message: dict[str, Any] = loads(bytes_to_str(entry))
        self.require_readable(message)
        # By these it is noted, given back, and put off by `task.retry`.
        message["properties"]["delivery_info"].update(exchange="", routing_key=queue)
        # The only header that ends a worker when it is wrong, long after it was taken.
        hard, soft = message["headers"].get("timelimit") or (None, None)
        for seconds in (hard, soft):
            if seconds is not None and not isinstance(seconds, (int, float)):
                raise TypeError(f"{seconds!r} is no time limit")
        self.Message(message, channel=self)  # which decodes the body
        return message

    def require_readable(self, message: dict[str, Any]) -> None:
        """Raise one of `MALFORMED` for what kombu cannot deliver, or could not give back."""
        properties = message["properties"]
        tag = properties["delivery_tag"]
        if not isinstance(tag, str) or not tag:
            raise TypeError(f"{tag!r} is no delivery tag")
        for name, part in (
            ("headers", message["headers"]),
            ("delivery_info", properties["delivery_info"]),
        ):
            if not isinstance(part, dict):
                raise TypeError(f"the {name} are no object")
        self._get_message_priority(message, reverse=False)  # endless, it would overflow

    def _set_aside(self, queue: str, entry: bytes, noted: str | None, error: Exception) -> None:
        """Keep an entry in `UNREADABLE`, where `TAKE` has not put it."""
        log.error(
            "an entry of the queue %s is no Celery message (%r); it is kept in the list %s",
            queue,
            error,
            UNREADABLE,
        )
        if noted is None:
            return
        try:
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.lpush(UNREADABLE, entry)
                self.qos._remove_from_indices(noted, pipe)
                pipe.execute()
        except self.ResponseError as refused:  # it comes again after the visibility timeout
            log.error("it could not be kept there, and stays unacknowledged: %s", refused)

    def _forget(self, message: dict[str, Any], noted: str | None) -> None:
        """Be done with a message that was delivered and set aside; its place is free again."""
        tag = message["properties"]["delivery_tag"]
        delivered = self.qos._delivered.get(tag)
        if delivered is None or delivered._raw is not message:
            return
        if noted is None:  # noted when it was delivered
            self.basic_ack(tag)
        else:
            virtual.QoS.ack(self.qos, tag)


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
