"""Files that are no picture, or no longer one, or would cost far more than their size."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from models.pictures import MAX_BYTES
from tests.inputs.case import GOOD, Case
from tests.unit.drawn import FORMATS, chunk, four_corners, noise, png, save

SUFFIXES = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "HEIF": "heic",
}
#: What begins a file of each format.
MAGIC = {
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "WEBP": b"RIFF\xff\0\0\0WEBPVP8 ",
    "GIF": b"GIF89a",
    "BMP": b"BM",
    "TIFF": b"II*\0\x08\0\0\0",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0",
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0",
}


def damaged() -> Iterator[Case]:
    """List truncated files, garbage and foreign formats."""
    rng = np.random.default_rng(1)
    for file_format in FORMATS:
        whole = save(noise(), file_format)
        suffix = SUFFIXES[file_format]
        for share in (5, 30, 60, 90):
            part = whole[: len(whole) * share // 100]
            yield _case(f"cut-at-{share}.{suffix}", part, "undecodable", "truncated")
        magic = MAGIC[file_format]
        yield _case(f"magic-alone.{suffix}", magic, "undecodable", "truncated")
        garbage = magic + rng.bytes(4000)
        yield _case(f"garbage-inside.{suffix}", garbage, "undecodable", "garbage")
        holes = whole[: len(whole) // 5] + bytes(len(whole) * 4 // 5)
        if file_format in ("PNG", "WEBP", "GIF", "HEIF"):  # to the others zeros are pixels
            yield _case(f"zeros-behind.{suffix}", holes, "undecodable", "garbage")
    yield _case("empty.jpg", b"", "undecodable", "garbage")
    yield _case("one-byte.jpg", b"\xff", "undecodable", "garbage")
    yield _case("zeros.jpg", bytes(10_000), "undecodable", "garbage")
    yield _case("random.jpg", rng.bytes(50_000), "undecodable", "garbage")
    yield from _foreign()


def _foreign() -> Iterator[Case]:
    small = four_corners()
    for file_format in ("PPM", "ICO", "TGA", "JPEG2000", "PCX", "EPS", "PDF", "DDS", "SGI"):
        data = save(small, file_format)
        yield _case(f"really-{file_format.lower()}.jpg", data, "undecodable", "foreign format")
    laughs = b"<!DOCTYPE svg [<!ENTITY a 'ha'>" + b"".join(
        b"<!ENTITY %c '%b'>" % (letter, b"&%c;" % (letter - 1) * 10) for letter in b"bcdefghi"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("picture.jpg", bytes(10_000_000))
    jpeg = save(small, "JPEG")
    foreign = {
        "page.jpg": b"<html><script>alert(1)</script></html>",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'><rect/></svg>",
        "laughs.png": laughs + b"]><svg>&i;</svg>",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        "zip-bomb.jpg": packed.getvalue(),
        "gzip-bomb.png": gzip.compress(bytes(10_000_000)),
        "packed-picture.jpg": gzip.compress(jpeg),
        "film.heic": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(500),
        "program.jpg": b"\x7fELF\2\1\1" + bytes(500),
        "script.jpg": b"#!/bin/sh\nrm -rf /\n",
        "byte-order-mark.jpg": b"\xef\xbb\xbf" + jpeg,
        "text-mode.png": save(small, "PNG").replace(b"\r\n", b"\n"),
        "picture-in-pdf.jpg": b"%PDF-1.4\nstream\n" + jpeg + b"\nendstream",
    }
    for name, data in foreign.items():
        yield _case(name, data, "undecodable", "foreign format")


def bombs() -> Iterator[Case]:
    """List small files that would take memory or time far beyond what they show."""
    yield from _pixel_bombs()
    yield from _part_bombs()
    text = zlib.compress(bytes(50_000_000))
    grey = b"\0" * 110
    for name, body in {
        "ztxt-bomb": chunk(b"zTXt", b"a\0\0" + text),
        "itxt-bomb": chunk(b"iTXt", b"a\0\1\0\0\0" + text),
        "iccp-bomb": chunk(b"iCCP", b"a\0\0" + text),
        "many-ztxt": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 100,
    }.items():
        data = png(10, 10, 8, 0, grey, body)
        yield _case(f"{name}.png", data, "too_large", "bomb of packed text")
    # What unpacks to more than the picture needs is not unpacked.
    long = png(10, 10, 8, 0, bytes(50_000_000))
    yield _case("idat-too-long.png", long, GOOD, "bomb of packed pixels")


def _pixel_bombs() -> Iterator[Case]:
    for side in (8_001, 12_000, 30_000, 65_535, 2**31 - 1):
        data = png(side, side, 8, 2, bytes(1000))
        yield _case(f"claims-{side}.png", data, "too_large", "pixel bomb")
    yield _case(
        "real-9000.png", save(Image.new("1", (9000, 9000)), "PNG"), "too_large", "pixel bomb"
    )
    yield _case(
        "real-9000.gif", save(Image.new("P", (9000, 9000)), "GIF"), "too_large", "pixel bomb"
    )
    small = save(four_corners(), "JPEG")
    frame = small.index(b"\xff\xc0")
    huge = small[: frame + 5] + struct.pack(">HH", 65_500, 65_500) + small[frame + 9 :]
    yield _case("claims-65500.jpg", huge, "too_large", "pixel bomb")
    for kind, header in {
        "vp8x": b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + b"\xfe\x3f\0" * 2,
        "vp8l": b"VP8L" + struct.pack("<I", 10) + b"\x2f" + b"\xff\xff\xff\x0f" + bytes(5),
        "vp8": b"VP8 " + struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f",
    }.items():
        data = b"RIFF" + struct.pack("<I", len(header) + 4) + b"WEBP" + header
        yield _case(f"claims-16383-{kind}.webp", data, "too_large", "pixel bomb")
    bmp = b"BM" + struct.pack("<IHHI", 2000, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(2000)
    yield _case("claims-40000.bmp", bmp, "too_large", "pixel bomb")
    yield _case("claims-50000.tif", tiff(50_000, 50_000, 256, 256, 4), "too_large", "pixel bomb")
    gif = bytearray(save(four_corners(), "GIF"))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    yield _case("claims-65535.gif", bytes(gif), "too_large", "pixel bomb")
    boxed = save(four_corners(), "HEIF")
    at = boxed.index(b"ispe") + 8
    claims = boxed[:at] + struct.pack(">II", 30_000, 30_000) + boxed[at + 8 :]
    yield _case("claims-30000.heic", claims, "undecodable", "pixel bomb")
    large = bytes(MAX_BYTES + 1)
    yield _case("too-many-bytes.jpg", large, "too_large", "too many bytes")


def _part_bombs() -> Iterator[Case]:
    grey, small = b"\0" * 110, save(four_corners(), "JPEG")
    big = Image.new("RGB", (4000, 4000), (90, 10, 10))
    progressive = save(big, "JPEG", progressive=True, quality=30)
    last = progressive.rindex(b"\xff\xda")
    header = progressive[last : last + 2 + int.from_bytes(progressive[last + 2 : last + 4])]
    sequential = save(big, "JPEG", quality=30)
    first = sequential.index(b"\xff\xda")
    profile = b"a\0\0" + zlib.compress(bytes(1_000_000))
    exif = b"\xff\xe1" + struct.pack(">H", 1500) + b"Exif\0\0" + bytes(1492)
    one = b"\xff\xda" + struct.pack(">HB", 8, 1) + bytes([1, 0, 0, 63, 0])
    for name, data in {
        # Minutes and hours: all pixels are gone over for each scan of ten bytes.
        "scans-progressive.jpg": progressive[:-2] + header * 20_000 + b"\xff\xd9",
        "scans-sequential.jpg": sequential[:first] + one * 20_000 + sequential[first:],
        "comments.jpg": small[:2] + b"\xff\xfe\0\2" * 500_000 + small[2:],
        "app-segments.jpg": small[:2] + b"\xff\xe1\0\2" * 500_000 + small[2:],
        "exif-segments.jpg": small[:2] + exif * 12_000 + small[2:],
        "chunks.png": png(10, 10, 8, 0, grey, chunk(b"abCd", b"") * 500_000),
        "profiles.png": png(10, 10, 8, 0, grey, chunk(b"iCCP", profile) * 20_000),
        "texts.png": png(10, 10, 8, 0, grey, chunk(b"tEXt", b"a\0b") * 200_000),
        "tiles.tif": tiff(1000, 1000, 1, 1, 1_000_000),
        "runs.bmp": run_length_bmp(4000, 1000, b"\x01\x05" * 4_000_000),
    }.items():
        yield _case(name, data, "too_large", "bomb of parts")


def tiff(width: int, height: int, tile_width: int, tile_height: int, tiles: int) -> bytes:
    """Put a grey TIFF together whose tiles all lie at the same place."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries += [
        struct.pack("<HHII", tag, 4, 1, v) for tag, v in ((322, tile_width), (323, tile_height))
    ]
    place = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries.append(struct.pack("<HHII", 324, 4, tiles, place))
    entries.append(struct.pack("<HHII", 325, 4, tiles, place + 4 * tiles))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    lists = struct.pack("<I", place) * tiles + struct.pack("<I", 1) * tiles
    return b"II*\0" + struct.pack("<I", 8) + directory + lists


def run_length_bmp(width: int, height: int, runs: bytes) -> bytes:
    """Put a run-length coded BMP of 256 greys together."""
    palette = b"".join(bytes([v, v, v, 0]) for v in range(256))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + info + palette + runs


def _case(name: str, data: bytes, outcome: str, kind: str) -> Case:
    return Case(name.encode(), data, outcome, kind)
