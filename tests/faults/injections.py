"""The faults. Each hurts a site for a moment and heals it before it returns."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Collection

import redis

from tests.faults.site import LEASE_SECONDS, Part, Site, send

#: Returns False where there was nothing to hurt.
Fault = Callable[[Site, random.Random], bool | None]


#: A fault that wants a worker with a batch in hand looks for one so long.
LOOK_SECONDS = 3.0
#: Others get so much longer to take over what a frozen worker holds.
TAKE_OVER_SECONDS = 10.0
#: Children that were frozen go on so long before their parent does.
HEAD_START_SECONDS = 5.0


def with_batch(
    site: Site, chance: random.Random, but: Collection[str] = frozenset()
) -> Part | None:
    """Return a worker that holds a batch just now, or any that runs where none does for long.

    Uploads of `but` do not count.
    """
    deadline = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < deadline:
        held = site.holders(but)
        for worker in chance.sample(site.workers(), len(site.workers())):
            if held & set(site.children(worker)):
                return worker
        time.sleep(0.02)
    workers = site.workers()
    return chance.choice(workers) if workers else None


def kill_child(site: Site, chance: random.Random) -> bool:
    """Kill -9 a worker's child; its parent starts another."""
    worker = with_batch(site, chance)
    children = site.children(worker) if worker else []
    for child in children:
        send(child, signal.SIGKILL)
    return bool(children)


def kill_parent(site: Site, chance: random.Random) -> bool:
    """Kill -9 a whole worker: its children die with it."""
    return _send_to_one(site, chance, signal.SIGKILL)


def terminate_worker(site: Site, chance: random.Random) -> bool:
    """SIGTERM to a worker, as a deployment sends it."""
    return _send_to_one(site, chance, signal.SIGTERM)


def _send_to_one(site: Site, chance: random.Random, sign: signal.Signals) -> bool:
    workers = site.workers()
    if not workers:
        return False
    worker = chance.choice(workers)
    assert worker.process is not None
    send(worker.process.pid, sign)
    return True


def freeze_worker(site: Site, chance: random.Random) -> bool:
    """Stop a worker with its children past its lease, then let it go on."""
    # So that it has a batch in hand for long enough to be met, and before it is written: who is
    # frozen in the middle of writing holds the rows, and nobody takes them over.
    before = site.held_by()
    site.slow_store(True)
    worker = with_batch(site, chance, before)
    frozen_at = time.monotonic()
    if worker is None or worker.process is None:
        site.slow_store(False)
        return False
    children = site.children(worker)
    for pid in (worker.process.pid, *children):
        send(pid, signal.SIGSTOP)
    site.slow_store(False)
    held = site.held_by(children)  # asked while frozen: it does not change by them
    time.sleep(max(0.0, frozen_at + LEASE_SECONDS + chance.uniform(1, 4) - time.monotonic()))
    # On a busy machine others need longer; what nobody took over would prove nothing.
    deadline = time.monotonic() + TAKE_OVER_SECONDS
    while held and not site.is_overtaken(held) and time.monotonic() < deadline:
        time.sleep(0.1)
    # The children first: their parent ends those that are late, and nobody would see whether
    # what they still write is kept out.
    for pid in children:
        send(pid, signal.SIGCONT)
    time.sleep(HEAD_START_SECONDS)
    send(worker.process.pid, signal.SIGCONT)
    return True


def restart_broker(site: Site, chance: random.Random) -> None:
    """End the broker and start it again a moment later."""
    with site.servers:
        site.valkey.stop()
        time.sleep(chance.uniform(0.2, 2))
        site.valkey.launch()


def flush_broker(site: Site, chance: random.Random) -> None:
    """Take everything out of the broker: queues, unacknowledged messages, bindings."""
    with site.servers:
        site.redis().flushall()


def drop_messages(site: Site, chance: random.Random) -> None:
    """Take single entries out of the queue and out of what is not acknowledged."""
    with site.servers:
        broker = site.redis()
        broker.lpop("ingest")
        for tag in broker.hkeys("unacked")[:1]:  # type: ignore[index] # redis types it for async too
            broker.hdel("unacked", tag)
            broker.zrem("unacked_index", tag)


def hold_broker(site: Site, chance: random.Random) -> None:
    """Swallow what flows to and from the broker for some seconds."""
    site.broker.hold()
    time.sleep(chance.uniform(1, 5))
    site.broker.release()


def forget_broker(site: Site, chance: random.Random) -> None:
    """Swallow what today's connections to the broker carry; new ones work."""
    site.broker.forget()


def hold_database(site: Site, chance: random.Random) -> None:
    """Swallow what flows to and from the database for some seconds, at times past all limits."""
    site.database.hold()
    time.sleep(chance.choice([chance.uniform(1, 5), LEASE_SECONDS + 3]))
    site.database.release()


def cut_broker(site: Site, chance: random.Random) -> None:
    """Reset all connections to the broker."""
    site.broker.cut()


def cut_database(site: Site, chance: random.Random) -> None:
    """Reset all connections to the database."""
    site.database.cut()


def kill_while_held(site: Site, chance: random.Random) -> None:
    """Kill -9 the children while none gets an answer from the database."""
    site.database.hold()
    time.sleep(chance.uniform(0.5, 2))
    for worker in site.workers():
        for child in site.children(worker):
            send(child, signal.SIGKILL)
    site.database.release()


def crash_database(site: Site, chance: random.Random) -> None:
    """End PostgreSQL at once, as a crash does, and start it again."""
    with site.servers:
        process = site.postgres.process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        time.sleep(chance.uniform(0, 1))
        site.postgres.launch()


def slow_store(site: Site, chance: random.Random) -> None:
    """Make the store answer slowly for some seconds."""
    site.slow_store(True)
    time.sleep(chance.uniform(2, 5))
    site.slow_store(False)


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_child,
        kill_parent,
        terminate_worker,
        freeze_worker,
        restart_broker,
        flush_broker,
        drop_messages,
        hold_broker,
        forget_broker,
        hold_database,
        cut_broker,
        cut_database,
        kill_while_held,
        crash_database,
        slow_store,
    )
}
#: Faults that take messages out of the broker. An upload that only a message knows is lost with
#: it: where these are drawn, nobody hands in through the broker alone.
LOSE_MESSAGES = {"flush_broker", "drop_messages"}


def heal(site: Site) -> None:
    """Undo whatever a fault may have left."""
    site.broker.release()
    site.database.release()
    site.slow_store(False)
    for worker in site.workers():
        assert worker.process is not None
        for pid in [worker.process.pid, *site.children(worker)]:
            send(pid, signal.SIGCONT)
    try:
        site.redis().ping()
    except redis.RedisError:
        with site.servers:
            site.valkey.launch()
