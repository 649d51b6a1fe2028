"""Fuzzing the decoder: real files with bytes flipped, cut, spliced, and lengths that lie."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from hypothesis import strategies as st

from errors import PermanentError
from models.pictures import Limits, decode
from tests.inputs.odd import odd

LIMITS = Limits()
MOST_BYTES = 20_000
CODES = ("undecodable", "too_large")
#: Far beyond what any of these small files needs; a busy machine may be slow.
MOST_SECONDS = 10.0
#: Values that lengths, counts and sizes are set to.
_EXTREMES = [0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


@cache
def seeds() -> list[bytes]:
    """Return small files of every format, mode and kind of metadata."""
    return [case.data for case in odd() if len(case.data) <= MOST_BYTES]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a real file with one to eight changes."""
    data = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        change = draw(st.integers(0, 6))
        if change <= 1 and data:
            data[place] = draw(st.integers(0, 255))
        elif change == 2 and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif change == 3:
            size = draw(st.sampled_from([1, 2, 4]))
            value = draw(st.sampled_from(_EXTREMES)) & ((1 << 8 * size) - 1)
            data[place : place + size] = value.to_bytes(
                size, draw(st.sampled_from(["big", "little"]))
            )
        elif change == 4:
            del data[place : place + draw(st.integers(1, 64))]
        elif change == 5:
            other = draw(st.sampled_from(seeds()))
            start = draw(st.integers(0, len(other) - 1))
            data[place:place] = other[start : start + draw(st.integers(1, 400))]
        else:
            del data[place:]
    return bytes(data)


def check_decoding(data: bytes, before: Callable[[bytes], None] | None = None) -> None:
    """Decode a file: a picture within limits or a known code, in time, and nothing else.

    `before` is told of the file, so that one which kills the process is known.
    """
    if before is not None:
        before(data)
    start = time.monotonic()
    try:
        picture = decode(data, 120, LIMITS)
    except PermanentError as error:
        if error.code not in CODES or not str(error):
            raise AssertionError(f"code {error.code}: {error}") from error
    else:
        if picture.mode != "RGB" or picture.width * picture.height > LIMITS.max_pixels:
            raise AssertionError(f"{picture.mode}, {picture.size}")
    if (took := time.monotonic() - start) > MOST_SECONDS:
        raise AssertionError(f"{took:.0f} s for {len(data)} bytes")
