"""What a small file can cost before its pixels are decoded: parts, scans, canvases."""

from __future__ import annotations

import io
import re
import struct

from errors import PermanentError

#: Pillow reads the parts of a file (PNG chunks, JPEG segments, TIFF tiles) one by one in Python:
#: 32 MB of empty ones hold it for half a minute. A photograph takes some dozen reads.
_LEAST_READS = 20_000
_BYTES_PER_READ = 1024
#: A PNG takes three or four for each chunk, and some programs write chunks of 512 bytes. The
#: 280,000 that 32 MB may take last less than a second.
_PNG_BYTES_PER_READ = 128
_PNG = b"\x89PNG\r\n\x1a\n"
#: A PNG has one profile; Pillow unpacks each that it finds, a millisecond's worth in 1 kB.
_MOST_PROFILES = 100
#: A run-length coded BMP takes one for each run: about a second's worth.
_BMP_READS = 1_000_000
#: A JPEG goes over all of its pixels for each of its scans, and an empty scan takes ten bytes
#: (libjpeg-turbo, 'Two issues with the JPEG standard', 2018). Progressive files have some ten;
#: libtiff draws the line at 100, too.
MOST_SCANS = 100
#: Tiles or strips of a TIFF; each costs a call.
MOST_TILES = 65_536
#: Segments before the first scan; 32 MB of profiles and maker notes are 512.
_HEADER_SEGMENTS = 1000
_START_OF_SCAN = b"\xff\xda"
#: Pillow joins the EXIF segments of a file one by one, copying all that came before.
_EXIF = b"Exif\0\0"
#: The next marker within coded data: neither a stuffed zero, nor a restart, nor a filler.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class MeteredFile(io.BytesIO):
    """A file in memory that ends the patience with one of too many parts.

    `read` raises PermanentError with code `too_large`.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        if data.startswith(b"BM"):
            self._left = _BMP_READS
        else:
            each = _PNG_BYTES_PER_READ if data.startswith(_PNG) else _BYTES_PER_READ
            self._left = _LEAST_READS + len(data) // each

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as ever, while reads are left."""
        self._left -= 1
        if self._left < 0:
            raise PermanentError("the file is made of too many parts", "too_large")
        return super().read(size)


def refuse_bomb(data: bytes) -> None:
    """Look at a file's first bytes and markers before a decoder does.

    Raises PermanentError with code `too_large`.
    """
    if data.startswith(b"\xff\xd8"):
        # Most files have one scan, which their first bytes tell. Counting takes 1 ms a MB, walking
        # through the segments more; chance finds some pairs in any large file, so only many are
        # worth the walk.
        if has_one_scan(data):
            return
        if data.count(_START_OF_SCAN) > MOST_SCANS and count_scans(data) > MOST_SCANS:
            raise PermanentError(
                f"the JPEG has more than the {MOST_SCANS} scans that are allowed", "too_large"
            )
        if data.count(_EXIF) > _HEADER_SEGMENTS:
            raise PermanentError(
                f"the JPEG has more than the {_HEADER_SEGMENTS} EXIF segments that are allowed",
                "too_large",
            )
    elif data.startswith(_PNG):
        if data.count(b"iCCP") > _MOST_PROFILES:
            raise PermanentError(
                f"the PNG has more than the {_MOST_PROFILES} profiles that are allowed", "too_large"
            )
    elif data.startswith((b"II", b"MM")):
        tiles = count_tiles(data)
        if tiles > MOST_TILES:
            raise PermanentError(
                f"the TIFF has {tiles:,} tiles, {MOST_TILES:,} are allowed", "too_large"
            )


def has_one_scan(data: bytes) -> bool:
    """Tell whether a JPEG is sequential and its first scan holds all components.

    Then libjpeg reads no further scan. False also where the segments are not as they should be.
    """
    place, components = 2, 0
    for _ in range(_HEADER_SEGMENTS):
        if len(data) < place + 10 or data[place] != 0xFF:
            return False
        marker = data[place + 1]
        if marker in (0xC0, 0xC1):  # sequential, Huffman coded
            components = data[place + 9]
        elif marker == 0xDA:
            return data[place + 4] == components
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return False


def count_scans(data: bytes, most: int = MOST_SCANS + 1) -> int:
    """Count the scans of a file's first JPEG, up to `most`; what lies behind it is not its own."""
    found, place = 0, 2
    while found < most:
        marker = _MARKER.search(data, place)
        if marker is None or data[marker.start() + 1] == 0xD9:  # end of image
            break
        found += data[marker.start() + 1] == 0xDA
        length = data[marker.end() : marker.end() + 2]
        place = marker.end() + (int.from_bytes(length) if len(length) == 2 else 0)
    return found


def count_tiles(data: bytes) -> int:
    """Return the longest list of places in a TIFF's first directory; 0 for what is no TIFF."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        if struct.unpack_from(order + "H", data, 2)[0] == 43:  # BigTIFF
            (start,) = struct.unpack_from(order + "Q", data, 8)
            (entries,) = struct.unpack_from(order + "Q", data, start)
            first, step, form = start + 8, 20, order + "HHQ"
        else:
            (start,) = struct.unpack_from(order + "I", data, 4)
            (entries,) = struct.unpack_from(order + "H", data, start)
            first, step, form = start + 2, 12, order + "HHI"
        tags = [struct.unpack_from(form, data, first + i * step) for i in range(min(entries, 4096))]
    except struct.error:
        return 0  # the decoder says what is wrong with it
    # StripOffsets, StripByteCounts, TileOffsets, TileByteCounts
    return max((count for tag, _, count in tags if tag in (273, 279, 324, 325)), default=0)


def webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a WebP's canvas, zeros for what is none.

    Pillow makes two canvases before it tells a size
    (RFC 9649: 'VP8 ' lossy, 'VP8L' lossless, 'VP8X' extended).
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return (0, 0)
    kind, width, height = data[12:16], 0, 0
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        height = int.from_bytes(data[28:30], "little") & 0x3FFF
    return (width, height)
