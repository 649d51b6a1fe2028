"""Pictures drawn for the tests of decoding, in any format."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

import models.pictures  # noqa: F401 (registers HEIF)

# models.pictures sets these for the process; pytest takes them back for each test.
MARKS = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning"),
]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
#: Those that are never quite the same again.
LOSSY = ("JPEG", "WEBP", "AVIF", "HEIF")
#: Top left red, top right green, bottom left blue, bottom right black.
CORNERS = [[255, 0, 0], [0, 200, 0], [0, 0, 255], [0, 0, 0]]


def save(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    """Write a picture in a format."""
    data = io.BytesIO()
    picture.save(data, file_format, **options)
    return data.getvalue()


def four_corners(width: int = 60, height: int = 40) -> Image.Image:
    """Draw a quarter in each of the colours of `CORNERS`."""
    picture = Image.new("RGB", (2, 2))
    picture.putdata([tuple(c) for c in CORNERS])
    return picture.resize((width, height), Image.Resampling.NEAREST)


def noise(width: int = 300, height: int = 200) -> Image.Image:
    """Draw what no format can make small."""
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
    """Put a PNG together from its parts, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    """Put one part of a PNG together."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
