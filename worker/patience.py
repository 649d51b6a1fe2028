"""Threads that wait for each piece of work only so long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from models.turns import ONE_LARGE, Watch, start_watch

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
#: The watches are looked at no more often.
_GLANCE_SECONDS = 0.05


class PatientThreads:
    """A pool whose `map` gives up on what takes longer than `seconds`, without waits for a turn.

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
        begun: dict[int, Watch] = {}

        def timed(place: int) -> Outcome | TimeoutError:
            begun[place] = start_watch()
            return work(items[place])

        futures = [self._pool.submit(timed, place) for place in range(len(items))]
        while left := [place for place, future in enumerate(futures) if not future.done()]:
            taken = {place: begun[place].seconds() for place in left if place in begun}
            late = {place for place, seconds in taken.items() if seconds > self._seconds}
            if late:
                self._give_up({place: begun[place] for place in late}, futures, timed)
                continue
            # What begins meanwhile is not late before the first of those that are under way.
            rest = self._seconds - max(taken.values(), default=0.0)
            wait([futures[place] for place in left], max(rest, _GLANCE_SECONDS))
        return [future.result() for future in futures]

    def _give_up(
        self,
        late: dict[int, Watch],
        futures: list[Future[Outcome | TimeoutError]],
        timed: Callable[[int], Outcome | TimeoutError],
    ) -> None:
        """Leave the stuck threads behind; what had not begun is handed to a new pool."""
        self.stuck += len(late)
        for watch in late.values():
            ONE_LARGE.give_up(watch)
        self._pool.shutdown(wait=False)
        self._pool = ThreadPoolExecutor(self._size, "decode")
        for place, future in enumerate(futures):
            if place in late:
                futures[place] = Future()
                futures[place].set_result(TimeoutError(f"took longer than {self._seconds:g} s"))
            elif future.cancel():
                futures[place] = self._pool.submit(timed, place)
