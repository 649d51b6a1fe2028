"""From a picture of any size to the fixed array that the network takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def letterbox(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Fit an RGB picture into height × width without distortion, centred on white.

    White because catalogue pictures stand on white: the bars continue the background.
    """
    scale = min(width / picture.width, height / picture.height)
    fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # reducing_gap lets Pillow shrink by whole factors first: faster, and as good at 2.
    resized = picture.resize(fitted, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if fitted == (width, height):
        return resized
    canvas = Image.new("RGB", (width, height), (255, 255, 255))
    canvas.paste(resized, ((width - fitted[0]) // 2, (height - fitted[1]) // 2))
    return canvas


def to_pixels(picture: Image.Image, height: int, width: int) -> Pixels:
    """Return the network's input for an RGB picture: uint8, (height, width, 3), 0..255."""
    return np.asarray(letterbox(picture, height, width), dtype=np.uint8)
