"""How many pictures of the back catalogue are loaded before it is looked who wants to pass."""

from __future__ import annotations

import math


class Pace:
    """The size of the next part, by how long the pictures of the latest one took to load.

    Each part's end costs the threads a moment, so parts are as large as who waits allows.
    """

    #: Most pictures of a part where fresh uploads are expected, and where none are; but one for
    #: each thread at least.
    _WATCHFUL, _ALONE = 8, 32
    #: Of slow pictures fewer, expected or not: as many as the last ones took so long for.
    _SECONDS = 0.4

    def __init__(self, least: int) -> None:
        """`least` is the number of threads: each has a picture."""
        self._least = least
        self._seconds = self._SECONDS / self._WATCHFUL

    def note(self, loaded: int, begun: int, seconds: float) -> None:
        """Note how long a part took, all threads together, and how many pictures were in it.

        Those that fail at once say nothing of the next ones; those that fail late are slow, too.
        """
        if loaded:
            self._seconds = seconds / loaded
        elif begun:
            self._seconds = max(self._seconds, seconds / begun)

    def part_size(self, left: int, is_fresh_expected: bool) -> int:
        """Return how many of the pictures that are left to load next.

        The last part is about as large as the others, and each keeps all threads busy.
        """
        most = self._WATCHFUL if is_fresh_expected else self._ALONE
        size = max(self._least, int(self._SECONDS / max(self._seconds, self._SECONDS / most)))
        parts = math.ceil(left / (size - size % self._least))
        return min(left, math.ceil(left / parts / self._least) * self._least)
