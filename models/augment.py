"""Random changes to a batch of training pictures, on the whole batch at once.

Needs torch (the `train` extra).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.network import to_images


def augment(
    pixels: Tensor, height: int, width: int, generator: torch.Generator, strength: float = 1.0
) -> Tensor:
    """Mirror, rotate, scale, shift, and change the light of a batch.

    `pixels` uint8 (N, H, W, 3) → float (N, 3, height, width) in -1..1. What a shift or a turn
    uncovers is white, as the catalogue's background is. `strength` scales all but the mirror.
    """
    images = to_images(pixels)
    count = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(low, high, generator=generator)

    angle = strength * uniform(-0.21, 0.21)  # radians, about ±12 degrees
    scale = 1 + strength * uniform(-0.15, 0.15)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    aspect = images.shape[3] / images.shape[2]
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = torch.cos(angle) / scale * mirror
    theta[:, 0, 1] = -torch.sin(angle) / scale / aspect
    theta[:, 1, 0] = torch.sin(angle) / scale * aspect * mirror
    theta[:, 1, 1] = torch.cos(angle) / scale
    theta[:, :, 2] = strength * uniform(-0.1, 0.1, 2)
    grid = functional.affine_grid(theta, [count, 3, height, width], align_corners=False)
    # Sampling outside gives 0; shifting by 1 first makes that 0 white.
    moved = functional.grid_sample(images - 1, grid, align_corners=False) + 1
    gain = 1 + strength * uniform(-0.15, 0.15, 1, 1, 1)
    offset = strength * uniform(-0.1, 0.1, 1, 1, 1)
    tint = 1 + strength * uniform(-0.04, 0.04, 3, 1, 1)
    return ((moved - 1) * gain * tint + 1 + offset).clamp(-1, 1)
