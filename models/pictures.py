"""Decoding pictures that strangers sent: named formats only, bounded, upright, RGB."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from errors import PermanentError
from models import heif
from models.bombs import MeteredFile, refuse_bomb, webp_size
from models.turns import ONE_LARGE

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", *(["HEIF"] if heif.HEIF else []))
#: A phone's 48 MP picture passes; a decompression bomb does not.
MAX_PIXELS = 64_000_000
MAX_BYTES = 32 * 1024 * 1024
#: Pictures that are converted piece by piece are in pieces of about so many pixels.
_BAND_PIXELS = 4_000_000
#: Of pictures larger than this (after a JPEG's reduction) one is decoded at a time.
_LARGE_PIXELS = 16_000_000
#: What undoes each EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# For the whole process: `warnings.catch_warnings` is not safe in threads, and we decode in threads.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
# Pillow warns of other things (odd EXIF, palettes) that are no reason to refuse.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True)
class Limits:
    """The most that a picture may hold: file size in bytes, area in pixels."""

    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS


def open_regular(path: Path | str, flags: int = 0) -> int:
    """Open a regular file for reading; a FIFO or a device is refused, not waited for.

    `flags` are further ones of `os.open`.
    Raises PermanentError with code `not_found` or `unreadable`, and OSError for what may pass.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    except FileNotFoundError as error:
        raise PermanentError("there is no such file", "not_found") from error
    except PermissionError as error:
        raise PermanentError("the file may not be read", "unreadable") from error
    except ValueError as error:  # a name that no file can have
        raise PermanentError(f"no file has such a name: {error}", "not_found") from error
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise PermanentError("there is no such file", "not_found") from error
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device without a driver
            raise PermanentError("not a regular file", "unreadable") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermanentError("not a regular file", "unreadable")
    return descriptor


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a local file's bytes, one more than allowed at most: `decode` refuses it then.

    Raises PermanentError with code `not_found` or `unreadable`.
    """
    try:
        return read_open(open_regular(path), max_bytes + 1)
    except OSError as error:
        raise PermanentError(f"cannot be read: {error.strerror}", "unreadable") from error


def read_open(descriptor: int, most: int) -> bytes:
    """Return up to `most` bytes of an open file, and close it. Raises OSError.

    Python sets aside as much memory as it is asked to read: asked for the file's size, not for all
    that a file may have, it takes a fifth of the time.
    """
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        data = file.read(min(os.fstat(descriptor).st_size, most))
        while len(data) < most and (more := file.read(min(most - len(data), 1 << 20))):
            data += more  # it grew meanwhile
        return data


def decode(
    data: bytes, min_side: int, limits: Limits | None = None, longer: bool = False
) -> Image.Image:
    """Decode the first frame of an image file, upright, as RGB over white.

    A JPEG is decoded at reduced scale (1/2, 1/4, 1/8) as long as both sides stay at least
    `min_side` pixels (with `longer`: the longer one): at 12 MP that is eight times faster than
    decoding in full.

    Raises PermanentError with code `too_large`, `undecodable`, or `unsupported_format` where a
    format needs a package that is not installed; MemoryError.
    """
    limits = limits or Limits()
    if len(data) > limits.max_bytes:
        raise PermanentError(
            f"the file has {len(data):,} bytes, {limits.max_bytes:,} are allowed", "too_large"
        )
    try:
        refuse_bomb(data)
        return _decode(data, min_side, limits, longer)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PermanentError(str(error), "too_large") from error
    except (PermanentError, MemoryError, TimeoutError):  # memory may be there the next time
        raise
    except Exception as error:  # Pillow's plugins raise anything, from OSError to struct.error
        raise _explained(data, error) from error


def _decode(data: bytes, min_side: int, limits: Limits, longer: bool) -> Image.Image:
    canvas = webp_size(data)
    _check_area(canvas, limits)
    with ExitStack() as turns:  # outside, so that the picture is gone when another's turn comes
        _take_turn(canvas, turns)
        return _draw(data, min_side, limits, longer, turns)


def _draw(
    data: bytes, min_side: int, limits: Limits, longer: bool, turns: ExitStack
) -> Image.Image:
    """Order matters: draft, load, transpose, mode, RGB."""
    with Image.open(MeteredFile(data), formats=FORMATS) as picture:
        _check_area(picture.size, limits)
        if longer:
            min_side = max(1, min_side * min(picture.size) // max(picture.size))
        picture.draft("RGB", _draft_size(picture.size, min_side))
        _take_turn(picture.size, turns)
        picture.load()
        turn = _turn(picture)
        rgb = to_rgb(picture, _reduction(picture.size, min_side))
        return rgb if turn is None else rgb.transpose(turn)


def _take_turn(size: tuple[int, int], turns: ExitStack) -> None:
    """Let one thread at a time hold a large picture: a WebP of 64 megapixels takes 1 GB."""
    if size[0] * size[1] > _LARGE_PIXELS:
        turns.enter_context(ONE_LARGE.turn())
        turns.callback(_give_memory_back)


def _give_memory_back() -> None:
    """Return freed memory to the system: glibc keeps up to 300 MB a thread of what AVIF took."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _check_area(size: tuple[int, int], limits: Limits) -> None:
    if size[0] * size[1] > limits.max_pixels:
        raise PermanentError(
            f"the picture has {size[0]}×{size[1]} pixels, {limits.max_pixels:,} are allowed",
            "too_large",
        )


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """Return what makes a picture upright by its EXIF data; unreadable ones do not refuse it."""
    try:
        return _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as wide as in `decode`
        return None


def _reduction(size: tuple[int, int], min_side: int) -> int:
    """Return the whole factor by which a large picture may shrink at once (1: not at all).

    Twice `min_side` is left, so that the final resize decides the quality.
    """
    if size[0] * size[1] <= _BAND_PIXELS:
        return 1
    return max(1, min(size) // (2 * min_side))


def _draft_size(size: tuple[int, int], min_side: int) -> tuple[int, int]:
    """Return the smallest size of the same shape whose shorter side is at least `min_side`."""
    scale = min_side / min(size)
    return (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))


def to_rgb(picture: Image.Image, reduction: int = 1) -> Image.Image:
    """Convert any mode to RGB: alpha over white, 16-bit grey by scale instead of clipping.

    With a `reduction` the picture shrinks by that whole factor. Both are done band by band: a
    64-megapixel PNG with transparency is a file of 260 kB, and its RGBA copies would take over
    a gigabyte.
    """
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture if reduction == 1 else picture.reduce(reduction)
    grey_scale = _grey_scale(picture)
    width, height = (-(-side // reduction) for side in picture.size)
    rows = reduction * max(1, _BAND_PIXELS // (picture.width * reduction))
    canvas = Image.new("RGB", (width, height))
    for top in range(0, picture.height, rows):
        box = (0, top, picture.width, min(picture.height, top + rows))
        band = _band_to_rgb(picture.crop(box), grey_scale)
        canvas.paste(band.reduce(reduction), (0, top // reduction))
    return canvas


def _grey_scale(picture: Image.Image) -> float | None:
    """Return what takes a deep grey picture (16 bits and more) to 0..255; None for others."""
    if not (picture.mode.startswith("I") or picture.mode == "F"):
        return None
    _, high = picture.getextrema()
    deep = isinstance(high, int | float) and high > 255
    return 255.0 / 65535.0 if deep else 1.0


def _band_to_rgb(band: Image.Image, grey_scale: float | None) -> Image.Image:
    if grey_scale is not None:
        return band.convert("F").point(lambda v: v * grey_scale + 0.0).convert("RGB")
    if band.has_transparency_data:
        layer = band.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return band.convert("RGB")


def _explained(data: bytes, error: Exception) -> PermanentError | MemoryError:
    """Return what a decoder's error means."""
    reason = str(error)
    if "out of memory" in reason.lower():  # of a codec in C, see `ImageFile.ERRORS`
        return MemoryError(reason)
    if reason.startswith(("Decompressed data too large", "Too much memory used in text")):
        return PermanentError("text or a profile in the file is too large unpacked", "too_large")
    if not data:
        return PermanentError("the file is empty", "undecodable")
    if isinstance(error, UnidentifiedImageError):
        if heif.is_heif(data) and not heif.HEIF:
            return PermanentError(heif.MISSING, "unsupported_format")
        return PermanentError(
            f"not an image in one of the formats {', '.join(FORMATS)}", "undecodable"
        )
    return PermanentError(f"damaged image: {reason}", "undecodable")
