"""Whether this worker was told to stop: a byte that the parent shares with its children.

Celery tells its parent alone and lets the children finish their tasks. The byte is made when this
module is loaded, which is before the children are forked.
"""

from __future__ import annotations

import mmap
import threading

from celery.signals import worker_shutting_down

_TOLD = mmap.mmap(-1, 1)

# Celery sends this signal from within its handler of SIGTERM, under a lock. A second SIGTERM
# there, microseconds after the first, runs the handler within itself; it would wait for its own
# lock, and the worker never end.
worker_shutting_down.lock = threading.RLock()


def is_stopping() -> bool:
    """Tell whether the worker is to stop: what has not begun is left to others."""
    return _TOLD[0] != 0


@worker_shutting_down.connect
def note_stop(**_: object) -> None:
    """Tell the children."""
    _TOLD[0] = 1
