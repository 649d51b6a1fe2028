"""Pictures that are odd and good: they must be tagged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from tests.conftest import SAMPLES
from tests.inputs.case import GOOD, Case
from tests.inputs.damaged import SUFFIXES, run_length_bmp
from tests.unit.drawn import FORMATS, chunk, four_corners, noise, png, save

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
#: Names of files that programs stumble over.
NAMES = [
    b"two words.jpg",
    b"50% off.jpg",
    b"literal%2e%2e.jpg",
    b"%00.jpg",
    b"a#b?c&d=e.jpg",
    b"quote'double\"back`.jpg",
    b"new\nline\ttab.jpg",
    b"\x1b[31mred\x07.jpg",
    b"latin-1 \xe4\xff.jpg",
    b"-rf.jpg",
    b"--jsonl.jpg",
    b"$(touch x);&|.jpg",
    b"back\\slash.jpg",
    b"semi;colon:.jpg",
    b" leading.jpg",
    b"trailing.jpg .jpg",
    b"..jpg..jpg",
    "Größe – 青 👗.jpg".encode(),
    "right\u202eto left.jpg".encode(),
    b"n" * 251 + b".jpg",
    b"UPPER.JPG",
    b"con.jpg",
    b"a.php.jpg",
]


def odd() -> Iterator[Case]:
    """List every format, mode, size, orientation, and name that is a picture all the same."""
    yield from _formats()
    yield from _modes()
    yield from _orientations()
    yield from _metadata()
    shirt = (SAMPLES / "polo_green.jpg").read_bytes()
    for name in NAMES:
        yield Case(name, shirt, GOOD, "odd name")


def healthy() -> Iterator[Case]:
    """List pictures with nothing odd about them, the neighbours."""
    for path in sorted(SAMPLES.glob("[hjps]*.jpg")):
        yield Case(f"healthy-{path.name}".encode(), path.read_bytes(), GOOD, "healthy")


def _formats() -> Iterator[Case]:
    suffixes = list(SUFFIXES.values())
    for number, file_format in enumerate(FORMATS):
        data = save(noise(90, 60), file_format)
        yield _case(f"plain.{SUFFIXES[file_format]}", data, "format")
        wrong = suffixes[(number + 1) % len(suffixes)]
        yield _case(f"really-{file_format.lower()}.{wrong}", data, "wrong suffix")
    for file_format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"):
        frames = [Image.new("RGB", (40, 30), c) for c in ("red", "lime", "blue")]
        data = save(frames[0], file_format, save_all=True, append_images=frames[1:])
        yield _case(f"animated.{SUFFIXES[file_format]}", data, "animated")
    several = save(noise(), "MPO", save_all=True, append_images=[noise(40, 30)])
    yield _case("several.mpo.jpg", several, "animated")
    yield _case("progressive.jpg", save(noise(), "JPEG", progressive=True), "format")
    yield _case("interlaced.gif", save(noise(), "GIF", interlace=1), "format")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        data = save(noise(), "TIFF", compression=compression)
        yield _case(f"{compression}.tif", data, "format")
    yield _case("few-runs.bmp", run_length_bmp(64, 64, b"\x40\x77\0\0" * 64 + b"\0\1"), "format")
    for file_format in ("JPEG", "PNG", "BMP", "TIFF", "WEBP"):
        suffix = SUFFIXES[file_format]
        for width, height in ((1, 1), (1, 16_000), (16_000, 1)):
            data = save(Image.new("RGB", (width, height), "navy"), file_format)
            yield _case(f"{width}x{height}.{suffix}", data, "odd size")
    yield _case("20000x1.png", save(Image.new("RGB", (20_000, 1)), "PNG"), "odd size")
    # The largest that is allowed, and the dearest: four channels, 260 kB.
    clear = save(Image.new("RGBA", (8000, 8000), (1, 2, 3, 4)), "PNG")
    yield _case("64-megapixels.png", clear, "odd size")


def _modes() -> Iterator[Case]:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (32, 1))
    deep = np.linspace(0, 65535, 256).astype(">u2")
    colour = b"".join(b"\0" + np.repeat(deep, 3).tobytes() for _ in range(8))
    palette = Image.new("P", (40, 20), 0)
    palette.putpalette([200, 0, 0, 0, 0, 200] + [0] * 762)
    made = {
        "cmyk.jpg": save(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG"),
        "cmyk-adobe.jpg": _adobe(save(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG")),
        "cmyk.tif": save(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "TIFF"),
        "lab.tif": save(Image.new("LAB", (32, 32)), "TIFF"),
        "grey.jpg": save(Image.new("L", (32, 32), 100), "JPEG"),
        "bits.png": save(Image.new("1", (32, 32), 1), "PNG"),
        "grey-16.png": save(Image.fromarray(ramp), "PNG"),
        "grey-16.tif": save(Image.fromarray(ramp), "TIFF"),
        "float.tif": save(Image.fromarray(ramp.astype(np.float32)), "TIFF"),
        "float-nan.tif": save(Image.fromarray(np.full((32, 32), np.nan, np.float32)), "TIFF"),
        "float-inf.tif": save(Image.fromarray(np.full((32, 32), np.inf, np.float32)), "TIFF"),
        "int-32.tif": save(Image.fromarray((ramp.astype(np.int32) << 12) - 9), "TIFF"),
        "rgb-16.png": png(256, 8, 16, 2, colour),
        "grey-alpha.png": save(Image.new("LA", (32, 32), (60, 128)), "PNG"),
        "all-clear.png": save(Image.new("RGBA", (32, 32), (0, 0, 0, 0)), "PNG"),
        "palette-clear.png": save(palette, "PNG", transparency=0),
        "palette-half.png": save(palette, "PNG", transparency=bytes([128] + [255] * 255)),
        "palette-clear.gif": save(palette, "GIF", transparency=0),
        "colour-key.png": save(Image.new("RGB", (32, 32)), "PNG", transparency=(0, 0, 0)),
    }
    for name, data in made.items():
        yield _case(name, data, "mode")


def _adobe(jpeg: bytes) -> bytes:
    """Drop Adobe's mark, which says that the inks are stored inverted."""
    at = jpeg.index(b"\xff\xee")
    length = int.from_bytes(jpeg[at + 2 : at + 4])
    return jpeg[:at] + jpeg[at + 2 + length :]


def _orientations() -> Iterator[Case]:
    for file_format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
        for orientation in range(1, 9):
            turn = TURNS.get(orientation)
            lying = four_corners() if turn is None else four_corners().transpose(turn)
            exif = Image.Exif()
            exif[0x0112] = orientation
            written: Any = exif if file_format == "TIFF" else exif.tobytes()
            data = save(lying, file_format, exif=written, **_fine(file_format))
            name = f"orientation-{orientation}.{SUFFIXES[file_format]}"
            yield _case(name, data, "orientation")


def _fine(file_format: str) -> dict[str, int]:
    return {} if file_format in ("PNG", "TIFF") else {"quality": 95}


def _metadata() -> Iterator[Case]:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = {"srgb": srgb, "cut": srgb[:100], "garbage": b"garbage" * 50, "zeros": bytes(4000)}
    blocks = {
        "no-order": b"neither byte order",
        "no-directory": b"MM\0\0\0\0\0\x08",
        "far": b"II*\0\xff\xff\xff\x7f",
        "circle": b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0",
        "many": b"II*\0\x08\0\0\0\xff\xff" + bytes(300),
        "huge-count": b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\0\0\0\0" + bytes(4),
    }
    for file_format in ("JPEG", "PNG", "WEBP"):
        suffix = SUFFIXES[file_format]
        for name, profile in profiles.items():
            data = save(four_corners(), file_format, icc_profile=profile)
            yield _case(f"profile-{name}.{suffix}", data, "profile")
        for name, block in blocks.items():
            data = save(four_corners(), file_format, exif=b"Exif\0\0" + block)
            yield _case(f"exif-{name}.{suffix}", data, "broken EXIF")
    jpeg, small = save(four_corners(), "JPEG"), save(four_corners(), "PNG")
    for name, data in {
        "zip-behind.jpg": jpeg + b"PK\5\6" + bytes(18),
        "page-behind.png": small + b"<script>alert(1)</script>",
        "page-in-comment.jpg": save(four_corners(), "JPEG", comment=b"<script>alert(1)</script>"),
        "film-behind.jpg": jpeg + b"\xff\xda" * 5000,
        "picture-behind.jpg": jpeg + save(noise(), "PNG"),
        "unknown-chunk.png": png(10, 10, 8, 0, bytes(110), chunk(b"abCd", b"?" * 100)),
        "long-text.png": png(10, 10, 8, 0, bytes(110), chunk(b"tEXt", b"a\0" + b"b" * 900_000)),
        "packed-text.png": png(
            10, 10, 8, 0, bytes(110), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000)))
        ),
        "shouting-size.png": png(
            10, 10, 8, 0, bytes(110), chunk(b"pHYs", struct.pack(">IIB", 0, 0, 1))
        ),
    }.items():
        yield _case(name, data, "polyglot")


def _case(name: str, data: bytes, kind: str) -> Case:
    return Case(name.encode(), data, GOOD, kind)
