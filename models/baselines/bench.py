"""What the contestants of a comparison share: data at two sizes, settings, frozen features.

Needs torch (the `train` extra).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from errors import UsageError
from models.baselines.networks import Fitting, Floats, ToImages, run
from models.card import Card
from models.data import Pictures
from models.datasets.importers import load_dataset
from models.network import BACKBONE
from models.train import Progress
from models.training.backbones import Backbone, build_backbone


@dataclass(frozen=True)
class CompareSettings:
    """Everything that decides the rows, written into each.

    Networks that learn from pixels see pictures of height × width, those that begin with
    ImageNet's weights of fine_height × fine_width. `epochs` by row: 5 of the two-layer CNN are
    given, the others were set once, before anything was measured.
    """

    height: int = 80
    width: int = 60
    fine_height: int = 96
    fine_width: int = 72
    epochs: Mapping[str, int] = field(
        default_factory=lambda: {
            "mlp": 10, "cnn2": 5, "cnn3": 15, "frozen_linear": 20, "finetuned": 4
        }
    )  # fmt: skip
    batch_size: int = 64
    learning_rate: float = 1e-3
    neighbours: int = 10
    seed: int = 0


class Bench:
    """The data and the settings that all contestants share."""

    def __init__(
        self,
        data: Path,
        run: Path,
        settings: CompareSettings,
        card: Card,
        backbone: tuple[Backbone, int, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.data = data
        self.run = run
        self.settings = settings
        self.card = card
        #: The version's own: on another it would be measured on pictures that it knows.
        self.split = card.raw["data"].get("split", "random")
        self.backbone = backbone
        self._progress = progress
        self._pictures: Pictures | None = None
        self._frozen: tuple[Floats, int, float] | None = None

    def tell(self, row: str, step: int, steps: int, **more: Any) -> None:
        """Report progress."""
        if self._progress:
            self._progress({"row": row, "step": step, "steps": steps, **more})

    def current(self) -> Pictures:
        """Return the data at the size that was read last; rows and split are always the same."""
        size = (self.settings.height, self.settings.width)
        return self.pictures(*size) if self._pictures is None else self._pictures

    def pictures(self, height: int, width: int) -> Pictures:
        """Read the data at a size; the last size that was asked for stays in memory."""
        read = self._pictures
        if read is None or read.pixels.shape[1:3] != (height, width):
            read = self._pictures = None  # two sizes would be twice the memory
            read = load_dataset(
                self.data,
                height,
                width,
                self.split,
                progress=lambda n, of: self.tell("pictures", n, of),
            )
            if not len(train_rows(read)) or not len(test_rows(read)):
                raise UsageError(f"{self.data}: {len(read.ids)} pictures are too few to split")
            self._pictures = read
        return read

    def fine_pictures(self) -> Pictures:
        """Read the data at the size for networks that begin with ImageNet's weights."""
        return self.pictures(self.settings.fine_height, self.settings.fine_width)

    def fitting(self, row: str) -> Fitting:
        """Return how a row's network is trained."""
        chosen = self.settings
        return Fitting(chosen.epochs[row], chosen.batch_size, chosen.learning_rate, chosen.seed)

    def frozen(self, row: str) -> tuple[Floats, int, float]:
        """Features (all pictures, F) of the backbone, its parameters, and the seconds it took."""
        if self._frozen is None:
            pictures, started = self.fine_pictures(), time.perf_counter()
            backbone = (self.backbone or build_backbone(BACKBONE))[0]
            backbone.check_size(*pictures.pixels.shape[1:3])
            whole = nn.Sequential(ToImages(), backbone).to(memory_format=torch.channels_last)
            rows = np.concatenate([train_rows(pictures), test_rows(pictures)])
            found = run(whole, pictures.pixels, rows, lambda n, of: self.tell(row, n, of))
            features = np.zeros((len(pictures.ids), found.shape[1]), dtype=np.float32)
            features[rows] = found
            self._frozen = features, count(backbone), time.perf_counter() - started
        return self._frozen


def train_rows(pictures: Pictures) -> NDArray[np.int64]:
    """Rows that a contestant learns from."""
    return pictures.indices("train", "catalogue")


def test_rows(pictures: Pictures) -> NDArray[np.int64]:
    """Rows that it is measured on."""
    return pictures.indices("test", "catalogue")


def count(network: nn.Module) -> int:
    """Return the number of a network's parameters."""
    return sum(p.numel() for p in network.parameters())
