"""Whether this worker was told to stop: a byte that the parent shares with its children.

Celery tells its parent alone and lets the children finish their tasks. The byte is made when this
module is loaded, which is before the children are forked.
"""

from __future__ import annotations

import mmap

from celery.bootsteps import StartStopStep

_TOLD = mmap.mmap(-1, 1)


def is_stopping() -> bool:
    """Tell whether the worker is to stop: what has not begun is left to others."""
    return _TOLD[0] != 0


class TellChildren(StartStopStep):  # type: ignore[misc] # Celery has no types
    """A step of Celery's worker that tells the children when it begins to stop.

    Not a receiver of `worker_shutting_down`: Celery sends that one from within its handler of
    SIGTERM, under a lock. A second SIGTERM there, microseconds after the first, runs the handler
    within itself, waits for its own lock, and the worker never ends. Without receivers there is no
    lock.
    """

    def close(self, _parent: object) -> None:
        """Tell them."""
        _TOLD[0] = 1
