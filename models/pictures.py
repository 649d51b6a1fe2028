"""Decoding pictures that strangers sent: named formats only, bounded, upright, RGB."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError

from errors import PermanentError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
#: A phone's 48 MP picture passes; a decompression bomb does not.
MAX_PIXELS = 64_000_000
MAX_BYTES = 32 * 1024 * 1024
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


def decode(data: bytes, min_side: int, limits: Limits | None = None) -> Image.Image:
    """Decode the first frame of an image file, upright, as RGB over white.

    A JPEG is decoded at reduced scale (1/2, 1/4, 1/8) as long as both sides stay at least
    `min_side` pixels: at 12 MP that is eight times faster than decoding in full.

    Raises PermanentError with code `too_large` or `undecodable`.
    """
    limits = limits or Limits()
    if len(data) > limits.max_bytes:
        raise PermanentError(
            f"the file has {len(data):,} bytes, {limits.max_bytes:,} are allowed", "too_large"
        )
    try:
        return _decode(data, min_side, limits)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PermanentError(str(error), "too_large") from error
    except PermanentError:
        raise
    except Exception as error:  # Pillow's plugins raise anything, from OSError to struct.error
        raise PermanentError(_reason(data, error), "undecodable") from error


def _decode(data: bytes, min_side: int, limits: Limits) -> Image.Image:
    """Order matters: draft, load, transpose, mode, RGB."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        if picture.width * picture.height > limits.max_pixels:
            raise PermanentError(
                f"the picture has {picture.width}×{picture.height} pixels, "
                f"{limits.max_pixels:,} are allowed",
                "too_large",
            )
        picture.draft("RGB", _draft_size(picture.size, min_side))
        picture.load()
        return to_rgb(_upright(picture))


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF data say; data that cannot be read are no reason to refuse it."""
    try:
        turn = _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as wide as in `decode`
        return picture
    return picture if turn is None else picture.transpose(turn)


def _draft_size(size: tuple[int, int], min_side: int) -> tuple[int, int]:
    """Return the smallest size of the same shape whose shorter side is at least `min_side`."""
    scale = min_side / min(size)
    return (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))


def to_rgb(picture: Image.Image) -> Image.Image:
    """Convert any mode to RGB: alpha over white, 16-bit grey by scale instead of clipping."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":
        _, high = picture.getextrema()
        top = 65535.0 if isinstance(high, int | float) and high > 255 else 255.0
        picture = picture.convert("F").point(lambda v: v * (255.0 / top) + 0.0).convert("L")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(canvas, layer).convert("RGB")
    return picture.convert("RGB")


def _reason(data: bytes, error: Exception) -> str:
    if not data:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in one of the formats {', '.join(FORMATS)}"
    return f"damaged image: {error}"
