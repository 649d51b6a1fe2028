"""HEIC, HEIF and AVIF, which phones send: pictures in boxes of ISO media files.

AVIF is read by Pillow itself; HEIC by pillow-heif, the extra `heif`, where it is installed.
"""

from __future__ import annotations

from PIL import AvifImagePlugin

try:
    from pillow_heif import register_heif_opener
except ImportError:
    HEIF = False
else:
    # One thread: pictures are decoded side by side already. No thumbnails, though they would be
    # faster: what is tagged and what an operator sees must be the same picture.
    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    HEIF = True
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

#: Brands of ISO/IEC 23008-12 that begin a HEIC or HEIF file.
_BRANDS = frozenset(
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"]
)
MISSING = "HEIC pictures need the package pillow-heif: pip install 'pillow-heif>=1.7'"


def is_heif(data: bytes) -> bool:
    """Tell whether a file calls itself HEIC or HEIF."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS
