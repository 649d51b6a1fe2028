"""A tiny data set made of the drawn samples, in the files and columns of the real one.

Some 150 products; phone pictures by 24 senders; 24 street photographs of two garments each.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from models.data import COLUMNS, PRODUCTS_FILE
from models.datasets.photos import PHONE_FILE, STREET_FILE
from models.train import Stage, TrainSettings
from tests.conftest import SAMPLES

HEIGHT, WIDTH = 64, 48
SETTINGS = TrainSettings(
    stages=(Stage(1, 32, 24), Stage(1, HEIGHT, WIDTH)),
    batch_size=8,
    learning_rate=4e-3,
    warmup_steps=2,
    ema_decay=0.5,
    frozen=3,
    strength=0.3,
    photos=0.25,
)
TREE = {
    "Backpacks": ("Bags", "Accessories"),
    "Dresses": ("Dress", "Apparel"),
    "Handbags": ("Bags", "Accessories"),
    "Jackets": ("Topwear", "Apparel"),
    "Jeans": ("Bottomwear", "Apparel"),
    "Tshirts": ("Topwear", "Apparel"),
    "Watches": ("Watches", "Accessories"),
    "Casual Shoes": ("Shoes", "Footwear"),
}
#: The coarse label of each type in the phone pictures; `Not sure` is no label.
PHONE_LABELS = {
    "Casual Shoes": "Shoes",
    "Dresses": "Dress",
    "Jackets": "Outwear",
    "Jeans": "Pants",
    "Tshirts": "T-Shirt",
    "Watches": "Not sure",
}
SENDERS = 24
#: Where the garments of a street photograph are, as (left, top, right, bottom); right of them is
#: the street, and at the bottom somebody who passes by and looks another way each time.
UPPER, LOWER = (6, 8, 54, 72), (8, 88, 56, 152)
PASSER_BY = (60, 100, 120, 160)
STREET_SIZE = (120, 160)
QUALITIES = (60, 70, 80, 90, 95)


def to_jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    """Write a picture as JPEG."""
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality)
    return data.getvalue()


def sample(name: str, size: tuple[int, int] = (72, 96)) -> Image.Image:
    """Read a sample at a size."""
    with Image.open(SAMPLES / name) as picture:
        return picture.convert("RGB").resize(size)


def make_products(sample_labels: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Make labelled rows from the samples whose type is in the tree."""
    table = []
    for name, (kind, colour) in sample_labels.items():
        if kind not in TREE:
            continue
        for quality in QUALITIES:
            labels = {
                "article_type": kind,
                "sub_category": TREE[kind][0],
                "master_category": TREE[kind][1],
                "base_colour": colour,
                "gender": ("Men", "Women")[len(table) % 2],
                "season": ("Summer", "Winter")[len(table) % 2],
                "usage": ("Casual", "Formal")[len(table) % 2],
            }
            row = {COLUMNS[a]: label for a, label in labels.items()}
            table.append({"id": str(len(table)), "jpeg": to_jpeg(sample(name), quality), **row})
    return pd.DataFrame(table)


def make_phone(sample_labels: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Make phone pictures: samples in coloured light, a few by each sender."""
    random = np.random.default_rng(0)
    names = [n for n, (kind, _) in sample_labels.items() if kind in PHONE_LABELS]
    table = []
    for name in [*names, *names]:
        light = random.uniform(0.3, 0.9, 3)
        lit = (np.asarray(sample(name)) * light).astype(np.uint8)
        table.append(
            {
                "image": f"picture-{len(table)}",
                "sender_id": len(table) % SENDERS,
                "label": PHONE_LABELS[sample_labels[name][0]],
                "kids": False,
                "jpeg": to_jpeg(Image.fromarray(lit)),
            }
        )
    return pd.DataFrame(table)


def make_street(
    upper: str = "tshirt_red_striped.jpg", lower: str = "handbag_tan_tote.jpg", rows: int = 24
) -> pd.DataFrame:
    """Make street photographs of two garments; the last one has no pixel labels, as many real."""
    garments = [
        {"label": "t-shirt", "box": UPPER, "area": 0.16},
        {"label": "belt", "box": (30, 80, 32, 82), "area": 0.0},  # too small to be cut out
        {"label": "hair", "box": (60, 8, 100, 60), "area": 0.1},  # no garment
        {"label": "bag", "box": LOWER, "area": 0.16},
    ]
    classes = np.zeros(STREET_SIZE[::-1], dtype=np.uint8)
    for number, (left, top, right, bottom) in enumerate((UPPER, LOWER, PASSER_BY), start=1):
        classes[top:bottom, left:right] = number
    label_map = io.BytesIO()
    Image.fromarray(classes).save(label_map, "PNG")
    table = []
    for row in range(rows):
        picture = Image.new("RGB", STREET_SIZE, street_colour(row))
        for name, (left, top, right, bottom) in ((upper, UPPER), (lower, LOWER)):
            picture.paste(sample(name, (right - left, bottom - top)), (left, top))
        picture.paste(passer_by(row), PASSER_BY[:2])
        known = row < rows - 1
        table.append(
            {
                "id": f"{row:04d}",
                "width": picture.width,
                "height": picture.height,
                "tags": json.dumps(["t-shirt", "bag"]),
                "garments": json.dumps(garments) if known else None,
                "label_map": label_map.getvalue() if known else None,
                "jpeg": to_jpeg(picture, quality=95),
            }
        )
    return pd.DataFrame(table)


def passer_by(row: int) -> Image.Image:
    """Draw who passes by in a street photograph: blocks of colours, another for each."""
    blocks = np.random.default_rng(row).integers(0, 2, (4, 4, 3), dtype=np.uint8) * 255
    size = (PASSER_BY[2] - PASSER_BY[0], PASSER_BY[3] - PASSER_BY[1])
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def street_colour(row: int) -> tuple[int, int, int]:
    """Return the colour behind the garments of a street photograph, another for each."""
    return (30 + 8 * row, 120, 220 - 8 * row)


def write_products(folder: Path, rows: pd.DataFrame) -> Path:
    """Write products into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / PRODUCTS_FILE)
    return folder


def write_photos(folder: Path, phone: pd.DataFrame, street: pd.DataFrame) -> None:
    """Write photographs into a folder."""
    phone.to_parquet(folder / PHONE_FILE)
    street.to_parquet(folder / STREET_FILE)
