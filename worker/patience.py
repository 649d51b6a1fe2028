"""Threads that wait for each piece of work only so long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
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
        self._changed = threading.Condition()
        self._is_resting = False
        self.stuck = 0

    def map(
        self,
        work: Callable[[Item], Outcome],
        items: Sequence[Item],
        every: int = 1,
        look: Callable[[], bool] | None = None,
        rest: Callable[[], None] | None = None,
    ) -> list[Outcome | TimeoutError]:
        """Do the work on each item; return the outcomes in order, TimeoutError for a late one.

        `look` is called, by the thread that called this, each time that `every` more are done and
        others are left; no thread waits for it. If it tells that something else comes first, what
        has begun is done, nothing else begins, and `rest` is called.
        """
        begun: dict[int, Watch] = {}

        def timed(place: int) -> Outcome | TimeoutError:
            with self._changed:
                self._changed.wait_for(lambda: not self._is_resting)
                begun[place] = start_watch()
            return work(items[place])

        futures = [self._pool.submit(timed, place) for place in range(len(items))]
        for end in range(every, len(items), every) if look and rest else ():
            self._await(range(end), begun, futures, timed)
            if look and rest and look():
                with self._resting():
                    self._await(list(begun), begun, futures, timed)
                    rest()
        self._await(range(len(items)), begun, futures, timed)
        return [future.result() for future in futures]

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Let no further piece of work begin."""
        self._set_resting(True)
        try:
            yield
        finally:
            self._set_resting(False)

    def _set_resting(self, is_resting: bool) -> None:
        with self._changed:
            self._is_resting = is_resting
            self._changed.notify_all()

    def _await(
        self,
        places: Sequence[int],
        begun: dict[int, Watch],
        futures: list[Future[Outcome | TimeoutError]],
        timed: Callable[[int], Outcome | TimeoutError],
    ) -> None:
        """Wait for some pieces of work; give up whatever is late meanwhile."""
        while awaited := [futures[place] for place in places if not futures[place].done()]:
            left = [place for place, future in enumerate(futures) if not future.done()]
            taken = {place: begun[place].seconds() for place in left if place in begun}
            late = {place for place, seconds in taken.items() if seconds > self._seconds}
            if late:
                self._give_up({place: begun[place] for place in late}, futures, timed)
                continue
            # What begins meanwhile is not late before the first of those that are under way.
            rest = self._seconds - max(taken.values(), default=0.0)
            wait(awaited, max(rest, _GLANCE_SECONDS))

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
