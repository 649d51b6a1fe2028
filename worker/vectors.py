"""Vectors as pgvector reads them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


@cache
def _texts() -> NDArray[np.bytes_]:
    """Write each half-precision number, at the place of its bits, and a comma; all of one width.

    A vector's column keeps no more of a number, and there are 65,536 of them: to look them up takes
    a tenth of the time of writing them.
    """
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    # Five digits are enough to tell them apart.
    return np.array([b"%11.5g," % number for number in numbers.tolist()])


def vector_text(vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> str:
    """Return pgvector's text form of a vector (256,), in half precision."""
    padded = _texts()[vector.astype(np.float16).view(np.uint16)].tobytes()
    return f"[{padded.translate(None, b' ')[:-1].decode()}]"
