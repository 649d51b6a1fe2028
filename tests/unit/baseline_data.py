"""Drawings of four types that a small network can tell apart, as a file of products."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from torch import nn

from models.data import COLUMNS, PRODUCTS_FILE

HEIGHT, WIDTH = 16, 12
#: Type → (sub_category, master_category, colour of the square that is drawn).
KINDS = {
    "Tshirts": ("Topwear", "Apparel", (200, 40, 40)),
    "Jeans": ("Bottomwear", "Apparel", (40, 40, 200)),
    "Watches": ("Watches", "Accessories", (40, 160, 40)),
    "Scarves": ("Scarves", "Accessories", (210, 170, 40)),
}
#: Of ten pictures so many of each type; the first is the majority.
SHARES = ("Tshirts",) * 4 + ("Jeans",) * 2 + ("Watches",) * 2 + ("Scarves",) * 2


def drawing(kind: str, random: np.random.Generator) -> bytes:
    """Draw a square of the type's colour somewhere on white, with noise."""
    pixels = np.full((32, 24, 3), 250, dtype=np.int16)
    top, left = random.integers(2, 14), random.integers(2, 8)
    pixels[top : top + 14, left : left + 12] = KINDS[kind][2]
    noisy = (pixels + random.integers(-20, 20, pixels.shape)).clip(0, 255).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(noisy).save(data, "JPEG", quality=90)
    return data.getvalue()


def rows(count: int = 240, seed: int = 0) -> pd.DataFrame:
    """Make labelled drawings; the colour's name does not follow from the type."""
    random = np.random.default_rng(seed)
    table = []
    for number in range(count):
        kind = SHARES[number % len(SHARES)]
        labels = {
            "article_type": kind,
            "sub_category": KINDS[kind][0],
            "master_category": KINDS[kind][1],
            "base_colour": ("Red", "Blue")[number % 3 == 0],
            "gender": "Men",
            "season": "Summer",
            "usage": "Casual",
        }
        row = {COLUMNS[a]: label for a, label in labels.items()}
        table.append({"id": str(number), "jpeg": drawing(kind, random), **row})
    return pd.DataFrame(table)


def write(folder: Path, table: pd.DataFrame) -> Path:
    """Write products into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / PRODUCTS_FILE)
    return folder


def parameters(network: nn.Module) -> int:
    """Count a network's parameters."""
    return sum(p.numel() for p in network.parameters())
