"""Threads that wait for each piece of work only so long."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
#: How often the clock is looked at while nothing ends.
_GLANCE_SECONDS = 0.5


class PatientThreads:
    """A pool whose `map` gives up on what takes longer than `seconds`.

    A thread cannot be ended: what was given up goes on in `stuck` threads, and whoever owns the
    process should let it end soon. Work that waited behind them goes on in fresh threads.
    """

    def __init__(self, threads: int, seconds: float) -> None:
        self._size = threads
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, "decode")
        self.stuck = 0

    def map(
        self, work: Callable[[Item], Outcome], items: Sequence[Item]
    ) -> list[Outcome | TimeoutError]:
        """Do the work on each item; return the outcomes in order, TimeoutError for a late one."""
        begun: dict[int, float] = {}

        def timed(place: int) -> Outcome | TimeoutError:
            begun[place] = time.monotonic()
            return work(items[place])

        futures = [self._pool.submit(timed, place) for place in range(len(items))]
        for place in range(len(items)):
            while not _is_done(futures[place]):
                now = time.monotonic()
                late = {
                    other
                    for other, start in list(begun.items())
                    if not futures[other].done() and now - start > self._seconds
                }
                if late:
                    self._give_up(late, futures, timed)
        return [future.result() for future in futures]

    def _give_up(
        self,
        late: set[int],
        futures: list[Future[Outcome | TimeoutError]],
        timed: Callable[[int], Outcome | TimeoutError],
    ) -> None:
        """Leave the stuck threads behind; what had not begun is handed to a new pool."""
        self.stuck += len(late)
        self._pool.shutdown(wait=False)
        self._pool = ThreadPoolExecutor(self._size, "decode")
        for place, future in enumerate(futures):
            if place in late:
                futures[place] = Future()
                futures[place].set_result(TimeoutError(f"took longer than {self._seconds:g} s"))
            elif future.cancel():
                futures[place] = self._pool.submit(timed, place)


def _is_done(future: Future[Outcome]) -> bool:
    """Wait a moment for a future; whether it has ended, in whichever way."""
    try:
        future.exception(timeout=_GLANCE_SECONDS)
    except TimeoutError:
        return future.done()
    return True
