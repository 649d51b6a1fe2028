"""Vectors as pgvector reads them."""

from __future__ import annotations

import numpy as np


class _Halves(dict[int, str]):
    """The text of each half-precision number (by its bits) that was asked for.

    A vector's column keeps no more of a number, and there are 65,536 of them: to look a number up
    takes a fifth of the time of writing it.
    """

    def __missing__(self, bits: int) -> str:
        value = np.array(bits, np.uint16).view(np.float16)
        return self.setdefault(bits, f"{float(value):.5g}")  # enough digits to tell them apart


_HALVES = _Halves()


def vector_text(vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> str:
    """Return pgvector's text form of a vector (256,), in half precision."""
    bits = vector.astype(np.float16).view(np.uint16).tolist()
    return f"[{','.join(map(_HALVES.__getitem__, bits))}]"
