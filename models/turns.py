"""Turns that threads take one at a time, and watches that stand still while they wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_local = threading.local()


class Watch:
    """What one piece of work has taken so far, without its wait for a turn."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = time.monotonic()
        self.is_given_up = False

    def seconds(self) -> float:
        """Return the seconds worked."""
        since = self._since  # the work's own thread may stop the watch meanwhile
        return self._before if since is None else time.monotonic() - since

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stand still."""
        self._before = self.seconds()
        self._since = None
        try:
            yield
        finally:
            self._since = time.monotonic() - self._before


def start_watch() -> Watch:
    """Begin a piece of work in this thread."""
    watch = _local.watch = Watch()
    return watch


class Turns:
    """A lock that is taken from a holder who was given up: nobody can end its thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: Watch | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn; a thread that holds it already goes on.

        Raises TimeoutError in work that was given up, which must not keep others waiting.
        """
        watch = getattr(_local, "watch", None) or start_watch()
        if self._holder is watch:
            yield
            return
        with watch.stopped(), self._changed:
            self._changed.wait_for(lambda: self._holder is None or watch.is_given_up)
            if watch.is_given_up:
                raise TimeoutError("given up")
            self._holder = watch
        try:
            yield
        finally:
            self._free(watch)

    def give_up(self, watch: Watch) -> None:
        """Let others have the turn, whatever that work's thread does."""
        with self._changed:
            watch.is_given_up = True
            self._changed.notify_all()
        self._free(watch)

    def _free(self, watch: Watch) -> None:
        with self._changed:
            if self._holder is watch:
                self._holder = None
                self._changed.notify_all()


#: Of large pictures one is decoded at a time.
ONE_LARGE = Turns()
