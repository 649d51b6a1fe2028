"""Random changes to a batch of training pictures, on the whole batch at once.

They do to catalogue pictures what phones and social services do: turn, mirror, crop, blur,
compress, change the light, and put something else than white behind the product.
Needs torch (the `train` extra).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from models.network import to_images

#: A pixel is background where all channels are at least this bright and white leads to the edge.
WHITE = 243
#: Pictures whose edge is less white than this, or whose product is smaller, keep their background.
EDGE_SHARE = 0.6
PRODUCT_SHARE = 0.06


@dataclass(frozen=True)
class Strength:
    """How much pictures are changed: geometry and light by factor, the rest by chance (0..1)."""

    turn: float = 0.21  # radians, about 12 degrees
    zoom: float = 0.15
    shift: float = 0.1
    light: float = 0.15
    tint: float = 0.04
    background: float = 0.25
    blur: float = 0.1
    jpeg: float = 0.1
    erase: float = 0.1

    def scaled(self, factor: float) -> Strength:
        """Return all of it times a factor."""
        return Strength(**{name: value * factor for name, value in vars(self).items()})


CATALOGUE = Strength()
#: Photographs vary more than the catalogue: they are changed more, so that few teach much.
PHOTO = Strength(
    turn=0.45, zoom=0.4, shift=0.17, light=0.35, tint=0.12, background=0, blur=0.2, erase=0.5
)
#: Garments cut by a box keep about its edges: where a box ends tells a dress from the jacket on it.
STREET = Strength(
    turn=0.2, zoom=0.15, shift=0.08, light=0.35, tint=0.12, background=0, blur=0.2, erase=0.3
)


def product_masks(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which pixels (N, H, W) show the product, for pictures (N, H, W, 3) on white.

    True everywhere where that cannot be told: no white edge, or next to nothing left.
    """
    masks = np.ones(pixels.shape[:3], dtype=bool)
    for row, picture in enumerate(pixels):
        white = picture.min(axis=2) >= WHITE
        edge = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
        if edge.mean() < EDGE_SHARE:
            continue
        parts, _ = ndimage.label(white)
        outer = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        product = ~np.isin(parts, outer[outer > 0])
        # Compression leaves a grey seam around the product; a pixel less takes it away.
        product = ndimage.binary_erosion(product, border_value=1)
        if product.mean() >= PRODUCT_SHARE:
            masks[row] = product
    return masks


def put_behind(
    pixels: Tensor, masks: Tensor, backgrounds: Tensor, generator: torch.Generator, chance: float
) -> tuple[Tensor, Tensor]:
    """Put random backgrounds (M, H, W, 3) behind some products; also tell which (N,)."""
    count = len(pixels)
    masked = ~masks.flatten(1).all(dim=1)
    chosen = (torch.rand(count, generator=generator) < chance) & masked
    if not len(backgrounds) or not chosen.any():
        return pixels, torch.zeros(count, dtype=torch.bool)
    rows = chosen.nonzero()[:, 0]
    numbers = torch.randint(len(backgrounds), (len(rows),), generator=generator)
    behind = backgrounds[numbers]
    changed = pixels.clone()
    changed[rows] = torch.where(masks[rows, :, :, None], pixels[rows], behind)
    return changed, chosen


def augment(
    pixels: Tensor, height: int, width: int, generator: torch.Generator, strength: Strength,
    white: bool = True,
) -> Tensor:  # fmt: skip
    """Mirror, turn, scale, shift, and change the light of a batch.

    `pixels` uint8 (N, H, W, 3) → float (N, 3, height, width) in -1..1. What a shift or a turn
    uncovers is white as the catalogue's background is, or else mirrored.
    """
    images = to_images(pixels)
    count = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(low, high, generator=generator)

    angle = uniform(-strength.turn, strength.turn)
    scale = 1 + uniform(-strength.zoom, strength.zoom)
    stretch = 1 + uniform(-strength.zoom, strength.zoom) / 3
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    aspect = images.shape[3] / images.shape[2]
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = torch.cos(angle) / scale * mirror * stretch
    theta[:, 0, 1] = -torch.sin(angle) / scale / aspect
    theta[:, 1, 0] = torch.sin(angle) / scale * aspect * mirror
    theta[:, 1, 1] = torch.cos(angle) / scale / stretch
    theta[:, :, 2] = uniform(-strength.shift, strength.shift, 2)
    grid = functional.affine_grid(theta, [count, 3, height, width], align_corners=False)
    if white:
        # Sampling outside gives 0; shifting by 1 first makes that 0 white.
        moved = functional.grid_sample(images - 1, grid, align_corners=False) + 1
    else:
        moved = functional.grid_sample(images, grid, align_corners=False, padding_mode="reflection")
    moved = _soften(moved, generator, strength.blur)
    gain = 1 + uniform(-strength.light, strength.light, 1, 1, 1)
    offset = uniform(-0.7, 0.7, 1, 1, 1) * strength.light
    tint = 1 + uniform(-strength.tint, strength.tint, 3, 1, 1)
    lit = ((moved - 1) * gain * tint + 1 + offset).clamp(-1, 1)
    return _erase(_compress(lit, generator, strength.jpeg), generator, strength.erase)


def _soften(images: Tensor, generator: torch.Generator, chance: float) -> Tensor:
    """Blur some pictures by halving their size and doubling it again."""
    rows = (torch.rand(len(images), generator=generator) < chance).nonzero()[:, 0]
    if len(rows):
        small = functional.avg_pool2d(images[rows], 2, ceil_mode=True)
        images[rows] = functional.interpolate(
            small, size=images.shape[2:], mode="bilinear", align_corners=False
        )
    return images


def _compress(images: Tensor, generator: torch.Generator, chance: float) -> Tensor:
    """Write some pictures as JPEG and read them again."""
    rows = (torch.rand(len(images), generator=generator) < chance).nonzero()[:, 0].tolist()
    qualities = torch.randint(30, 90, (len(rows),), generator=generator).tolist()
    for row, quality in zip(rows, qualities, strict=True):
        pixels = ((images[row] + 1) * 127.5).to(torch.uint8).permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        again = torch.from_numpy(np.array(Image.open(file)))
        images[row] = again.permute(2, 0, 1).float() / 127.5 - 1
    return images


def _erase(images: Tensor, generator: torch.Generator, chance: float) -> Tensor:
    """Cover a box of some pictures with one colour (Zhong et al., 'Random erasing', 2017)."""
    rows = (torch.rand(len(images), generator=generator) < chance).nonzero()[:, 0].tolist()
    height, width = images.shape[2:]
    for row in rows:
        size, left, top = torch.rand(3, generator=generator).tolist()
        tall, wide = int(height * (0.15 + 0.3 * size)), int(width * (0.15 + 0.3 * size))
        y, x = int(top * (height - tall)), int(left * (width - wide))
        colour = torch.rand(3, 1, 1, generator=generator) * 2 - 1
        images[row, :, y : y + tall, x : x + wide] = colour
    return images
