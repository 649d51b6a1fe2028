"""Pictures of the sizes that phones and social services send, made from a few.

The samples of this project are drawings, smaller than that and smoother than photographs. What
must be enlarged gets grain, until a file has about as many bytes as a photograph's: the bytes,
not the subject, are what decoding costs. Each made picture is another crop, since equal vectors
would be cheaper to index.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageOps

from benchmarks.report import ROOT, cores
from errors import UsageError
from models.pictures import decode, read_bytes
from worker.storage import list_pictures

SAMPLES = ROOT / "samples" / "pictures"
SEED = 5
#: Of the grain, in levels of 0..255: a JPEG of 1080×1440 then has some 200 kB.
GRAIN = 8.0


@dataclass(frozen=True)
class Size:
    """A kind of picture: what it is called, pixels, format and quality."""

    name: str
    width: int
    height: int
    format: str
    quality: int

    @property
    def suffix(self) -> str:
        return {"JPEG": ".jpg", "WEBP": ".webp", "PNG": ".png"}[self.format]


SIZES = {
    size.name: size
    for size in (
        Size("1080", 1080, 1440, "JPEG", 85),
        Size("12mp", 3000, 4000, "JPEG", 85),
        Size("webp", 1080, 1440, "WEBP", 80),
        Size("png", 1080, 1440, "PNG", 0),
    )
}


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add where pictures are made from."""
    parser.add_argument(
        "--images", type=Path, default=SAMPLES, help="folder of pictures that all are made from"
    )


def make_pictures(images: Path, folder: Path, size: Size, count: int) -> list[Path]:
    """Make files of a size in `folder`, from the pictures of `images`; return their paths.

    Raises UsageError where `images` holds none.
    """
    sources = [path for path in list_pictures(images)[0] if path.name != "damaged.jpg"]
    if not sources:
        raise UsageError(f"{images}: there are no pictures")
    sources = sources[: max(1, count)]
    target = folder / size.name
    target.mkdir(parents=True)
    jobs = [(path, target, size, range(i, count, len(sources))) for i, path in enumerate(sources)]
    with ThreadPoolExecutor(cores()) as pool:  # Pillow's work is done in C, beside each other
        made = [path for paths in pool.map(_make, jobs) for path in paths]
    return sorted(made)


def _make(job: tuple[Path, Path, Size, Sequence[int]]) -> list[Path]:
    """Make the pictures with these numbers out of one source."""
    source, folder, size, numbers = job
    small = decode(read_bytes(source), size.width)
    whole = ImageOps.fit(small, (size.width, size.height))
    is_enlarged = small.width < size.width or small.height < size.height
    paths = []
    for number in numbers:
        rng = Random(f"{SEED}:{number}")  # noqa: S311 (a drawing's seed)
        edge = [rng.uniform(0, size.width / 12) for _ in range(4)]
        box = (edge[0], edge[1], size.width - edge[2], size.height - edge[3])
        picture = whole.resize(whole.size, Image.Resampling.BILINEAR, box)
        if is_enlarged:
            shift = (rng.randrange(size.width), rng.randrange(size.height))
            grain = ImageChops.offset(_grain(size.width, size.height), *shift)
            picture = ImageChops.add(picture, grain, offset=-128)
        path = folder / f"{number:05}{size.suffix}"
        picture.save(path, size.format, quality=size.quality)
        paths.append(path)
    return paths


@cache
def _grain(width: int, height: int) -> Image.Image:
    """Return noise about grey 128, of some pixels' width as a lens leaves it."""
    small = Image.effect_noise((width // 2, height // 2), GRAIN)
    grey = small.resize((width, height), Image.Resampling.BILINEAR)
    return Image.merge("RGB", [grey] * 3)
