"""Threads that wait for each piece of work only so long."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

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
        """Do the work on each item; return the outcomes in order, TimeoutError for a late one.

        Raises what the work raises, and begins no further item then.
        """
        round_ = _Round(work, items)
        try:
            self._watch_over(round_, min(self._size, len(items)))
        except BaseException as error:  # no further thread, say, or a time limit's signal
            round_.fail(error)
            left = list(round_.under_way.copy().values())
            for watch in left:
                ONE_LARGE.give_up(watch)
            self._leave_behind(len(left))
        return round_.result()

    def _watch_over(self, round_: _Round[Item, Outcome], threads: int) -> None:
        """Give a round to so many threads and see to it until it is over."""
        for _ in range(threads):
            self._pool.submit(round_.work)
        while not round_.is_over.is_set():
            watches = round_.under_way.copy()
            taken = {place: watch.seconds() for place, watch in watches.items()}
            late = [place for place, seconds in taken.items() if seconds > self._seconds]
            if late:
                self._give_up([(place, watches[place]) for place in late], round_)
                continue
            # What begins meanwhile is not late before the first of those that are under way.
            rest = self._seconds - max(taken.values(), default=0.0)
            round_.is_over.wait(max(rest, _GLANCE_SECONDS))

    def _give_up(self, late: Sequence[tuple[int, Watch]], round_: _Round[Item, Outcome]) -> None:
        """Leave the stuck threads behind; new ones take their places."""
        stuck = 0
        for place, watch in late:
            if round_.settle(place, TimeoutError(f"took longer than {self._seconds:g} s")):
                ONE_LARGE.give_up(watch)
                stuck += 1
        if not stuck:  # they ended just now
            return
        self._leave_behind(stuck)
        for _ in range(stuck):
            self._pool.submit(round_.work)

    def _leave_behind(self, stuck: int) -> None:
        """Begin a new pool; the old one's threads go on until their round is over."""
        self.stuck += stuck
        self._pool.shutdown(wait=False)
        self._pool = ThreadPoolExecutor(self._size, "decode")


class _Round(Generic[Item, Outcome]):
    """The items of one `map`. Threads take one after the other.

    To hand each over by itself, with a future and its locks, would cost a small picture a
    hundredth of its time.
    """

    def __init__(self, work: Callable[[Item], Outcome], items: Sequence[Item]) -> None:
        self._work = work
        self._items = items
        self._places = itertools.count()
        self._lock = threading.Lock()
        self._left = len(items)
        self._outcomes: dict[int, Outcome | TimeoutError] = {}
        self._error: BaseException | None = None
        self.under_way: dict[int, Watch] = {}
        self.is_over = threading.Event()
        if not items:
            self.is_over.set()

    def work(self) -> None:
        """Do one item after the other, until none is left or this thread was given up."""
        place = -1
        try:
            while self._error is None and (place := next(self._places)) < len(self._items):
                self.under_way[place] = start_watch()
                if not self.settle(place, self._work(self._items[place])):
                    return
                place = -1
        except BaseException as error:  # raised where the outcomes are waited for
            with self._lock:
                is_given_up = place in self._outcomes
            if not is_given_up:  # what was given up may fail as it likes
                self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the round with an error; no further item is begun."""
        self._error = error
        self.is_over.set()

    def settle(self, place: int, outcome: Outcome | TimeoutError) -> bool:
        """Note an outcome; false where there was one, which stands."""
        with self._lock:
            if self.under_way.pop(place, None) is None:
                return False
            self._outcomes[place] = outcome
            self._left -= 1
            if not self._left:
                self.is_over.set()
        return True

    def result(self) -> list[Outcome | TimeoutError]:
        """Return the outcomes in order, or raise what the work raised."""
        if self._error is not None:
            raise self._error
        return [self._outcomes[place] for place in range(len(self._items))]
