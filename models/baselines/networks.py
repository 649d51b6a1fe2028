"""Baselines that learn from pixels or from given vectors, and how they are trained.

Needs torch (the `train` extra).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.network import to_images

#: Called with the steps done, the steps there are, and the loss.
Told = Callable[[int, int, float], None]
Floats = NDArray[np.float32]


class Classifier(nn.Module):
    """A body that makes features (N, F) of its input, and one linear layer over them."""

    def __init__(self, body: nn.Module, features: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = body
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs to logits (N, classes)."""
        logits: Tensor = self.head(self.dropout(self.body(inputs)))
        return logits


class ToImages(nn.Module):
    """Pixels uint8 (N, H, W, 3) → images (N, 3, H, W) in -1..1."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Scale a batch."""
        return to_images(pixels)


def pixel_mlp(classes: int, height: int, width: int, hidden: int = 256) -> Classifier:
    """Return a network with one hidden layer on the pixels."""
    first = nn.Linear(3 * height * width, hidden)
    return Classifier(nn.Sequential(ToImages(), nn.Flatten(), first, nn.ReLU()), hidden, classes)


def two_layer_cnn(classes: int, height: int, width: int) -> Classifier:
    """Return a CNN of 32 and 64 filters, 3×3, each followed by 2×2 maxima; then one linear layer.

    Maps keep their size in a convolution: pictures are padded by one pixel of grey.
    """
    maps = convolutions(3, 32, 64)
    return Classifier(
        nn.Sequential(ToImages(), maps, nn.Flatten()), 64 * (height // 4) * (width // 4), classes
    )


def three_layer_cnn(classes: int, height: int, width: int, features: int = 64) -> Classifier:
    """Return a CNN of 32, 32 and 64 filters with a feature layer and dropout of one half."""
    maps = convolutions(3, 32, 32, 64)
    narrow = nn.Linear(64 * (height // 8) * (width // 8), features)
    body = nn.Sequential(ToImages(), maps, nn.Flatten(), narrow, nn.ReLU())
    return Classifier(body, features, classes, dropout=0.5)


class Standardise(nn.Module):
    """Brings vectors (N, F) to mean 0 and variance 1, as measured on those of training."""

    mean: Tensor
    scale: Tensor

    def __init__(self, vectors: Floats) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(vectors.mean(axis=0)))
        self.register_buffer("scale", torch.from_numpy(vectors.std(axis=0)).clamp(min=1e-6))

    def forward(self, vectors: Tensor) -> Tensor:
        """Shift and scale a batch."""
        return (vectors - self.mean) / self.scale


def linear_probe(vectors: Floats, classes: int) -> Classifier:
    """Return a linear layer over standardised vectors; those of training (N, F) are given."""
    return Classifier(Standardise(vectors), vectors.shape[1], classes)


def convolutions(*channels: int) -> nn.Sequential:
    """Return 3×3 convolutions, each with ReLU and the maximum of each 2×2 square."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Fitting:
    """How a baseline is trained: Adam at a constant rate, without any change to the pictures."""

    epochs: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0


def fit(
    network: Classifier,
    inputs: NDArray[Any],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    fitting: Fitting,
    told: Told | None = None,
) -> None:
    """Train on some rows of the inputs; `targets` (all rows,) are label numbers.

    The order hangs on the seed alone. The last, smaller batch of an epoch is left out, unless
    it is the only one.
    """
    random = np.random.default_rng(fitting.seed)
    size = min(fitting.batch_size, len(rows))
    each = len(rows) // size
    steps = fitting.epochs * each
    optimizer = torch.optim.Adam(network.parameters(), lr=fitting.learning_rate)
    network.train()
    for step in range(steps):
        if step % each == 0:
            order = random.permutation(rows)
        batch = np.sort(order[step % each * size :][:size])
        logits = network(torch.from_numpy(inputs[batch]))
        loss = functional.cross_entropy(logits, torch.from_numpy(targets[batch]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        optimizer.step()
        if told and ((step + 1) % 50 == 0 or step + 1 == steps):
            told(step + 1, steps, loss.item())
    network.eval()


@torch.inference_mode()
def run(
    network: nn.Module,
    inputs: NDArray[Any],
    rows: NDArray[np.int64],
    told: Callable[[int, int], None] | None = None,
) -> Floats:
    """Return what a network answers (M, …) on some rows of the inputs."""
    network.eval()
    parts = []
    for start in range(0, len(rows), 64):
        parts.append(network(torch.from_numpy(inputs[rows[start : start + 64]])).numpy())
        if told:
            told(min(start + 64, len(rows)), len(rows))
    return np.concatenate(parts)


def vote(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return the label (N,) that most neighbours have; `labels` (N, k) are theirs, nearest first.

    Of labels with as many votes the one with the nearest neighbour wins.
    """
    votes = np.zeros((len(labels), classes))
    # What nearness adds to a vote is more than all farther ones get, and less than a vote.
    worth = 1 + 0.5 ** np.arange(2, 2 + labels.shape[1])
    np.add.at(votes, (np.arange(len(labels))[:, None], labels), worth)
    chosen: NDArray[np.int64] = votes.argmax(axis=1)
    return chosen
