"""Whether fresh uploads are to be expected."""

from __future__ import annotations

import math
import time


class Arrivals:
    """How often batches of fresh uploads came to this process, and whether the next is near."""

    #: Of random moments one in thirty is farther from the last one than so many gaps on average.
    _PATIENCE = 4.0
    #: A gap counts as no longer than this, and the latest one for a fifth of the average.
    _LONGEST_SECONDS, _LATEST = 30.0, 0.2
    #: Shorter gaps count less, as what they are part of: a burst is shared out in many batches.
    _SHORT_SECONDS = 0.5

    def __init__(self) -> None:
        self._gap = 0.0
        self._last = -math.inf

    def note(self) -> None:
        """Count one."""
        gap = min(time.monotonic() - self._last, self._LONGEST_SECONDS)
        self._gap += self._LATEST * min(1, gap / self._SHORT_SECONDS) * (gap - self._gap)
        self._last = time.monotonic()

    def are_expected(self) -> bool:
        """Tell whether the last one is not long ago, as gaps go."""
        return time.monotonic() - self._last < self._PATIENCE * max(self._gap, self._SHORT_SECONDS)
