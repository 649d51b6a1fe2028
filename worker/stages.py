"""Where the time of a worker goes, by stage; the children count, their parent tells.

Each child adds to its own slot of memory that is shared with the parent, so counting costs no
lock, no file and no statement. The parent answers `hangtag metrics` over the broker.
"""

from __future__ import annotations

import mmap
import threading
import time

from billiard.process import current_process

#: What is drawn for operators later, when the batch has long been written; it runs in threads.
PREVIEW = "preview"
#: In the order in which an upload passes them. `queue` is its wait for a claim; `fetch`, `decode`
#: and `resize` run in threads beside each other, so together they may exceed the time that passed.
BATCH_STAGES = ("queue", "claim", "fetch", "decode", "resize", "predict", "write")
STAGES = (*BATCH_STAGES, PREVIEW)
#: Processes of one worker that are told apart; more share slots, and may lose a count.
_SLOTS = 256
_WIDTH = 2 + len(STAGES)
#: Batches, uploads and seconds a stage of each slot. Made before the children are forked.
_SHARED = memoryview(mmap.mmap(-1, 8 * _SLOTS * _WIDTH)).cast("d")


class StageTimes:
    """Seconds a stage, added up over a batch's uploads or previews; threads may add at once."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._lock = threading.Lock()

    def add(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage."""
        with self._lock:
            self.seconds[stage] += seconds

    def measure(self, stage: str) -> Measured:
        """Add what the block takes to a stage, also where it raises."""
        return Measured(self, stage)

    def __str__(self) -> str:
        return ", ".join(f"{name} {1000 * self.seconds[name]:.0f}" for name in BATCH_STAGES)


class Measured:
    """A block whose time is added to a stage; a generator would take a few times as long."""

    __slots__ = ("_stage", "_started", "_times")

    def __init__(self, times: StageTimes, stage: str) -> None:
        self._times = times
        self._stage = stage

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._times.add(self._stage, time.perf_counter() - self._started)


def note_batch(uploads: int, times: StageTimes) -> None:
    """Add a batch to what this process has done."""
    _add(1.0, float(uploads), times)


def note_previews(times: StageTimes) -> None:
    """Add the time of previews; their uploads were counted with their batch."""
    _add(0.0, 0.0, times)


def _add(batches: float, uploads: float, times: StageTimes) -> None:
    start = _WIDTH * (getattr(current_process(), "index", 0) % _SLOTS)
    for place, value in enumerate((batches, uploads, *times.seconds.values()), start):
        _SHARED[place] += value


def read_totals() -> dict[str, float]:
    """Return `batches`, `uploads` and seconds a stage, of all children since the worker began."""
    names = ("batches", "uploads", *STAGES)
    return {name: sum(_SHARED[place::_WIDTH]) for place, name in enumerate(names)}
