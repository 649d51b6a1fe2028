"""Whether fresh uploads are to be expected."""

from __future__ import annotations

import math
import time


class Arrivals:
    """How often uploads came to this process, and whether the next is near."""

    #: Of random moments one in fifty is so many times as far from the next as they are on average.
    _PATIENCE = 4.0
    #: A gap counts as no longer than this, and the latest one for a fifth of the average.
    _LONGEST_SECONDS, _LATEST = 30.0, 0.2

    def __init__(self) -> None:
        self._gap = 0.0
        self._last = -math.inf

    def note(self) -> None:
        """Count one."""
        gap = min(time.monotonic() - self._last, self._LONGEST_SECONDS)
        self._gap += self._LATEST * (gap - self._gap)
        self._last = time.monotonic()

    def are_expected(self) -> bool:
        """Tell whether the last one is not long ago, as gaps go."""
        return time.monotonic() - self._last < self._PATIENCE * max(self._gap, 0.5)
