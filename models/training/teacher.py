"""What earlier versions believe of the training pictures: a new one learns it beside the labels.

Labels of look-alikes disagree; a teacher's probabilities say how much, and are learnt instead of
the one name that a picture happened to get (Furlanello et al., 'Born-again neural networks', 2018).
Needs openvino.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errors import UsageError
from models.backends import Backend, OpenVinoBackend
from models.card import Card
from models.data import Pictures
from models.datasets.views import Views
from models.labels import LabelSet
from models.predictor import calibrated

#: Float16 (N, labels) an attribute; a row of zeros where the teachers were not asked.
Beliefs = dict[str, NDArray[np.float16]]
BATCH = 64


def ask_teachers(
    folders: Sequence[Path],
    pictures: Pictures,
    label_set: LabelSet,
    progress: Callable[[int, int], None] | None = None,
) -> Beliefs:
    """Return the mean of the versions' calibrated probabilities for the catalogue's training rows.

    Each version sees each picture as it is and mirrored, at its own size; others than the
    training rows are not read. `progress` gets pictures done and all.
    Raises UsageError where a version knows other labels.
    """
    rows = pictures.indices("train", "catalogue")
    beliefs = {
        a: np.zeros((len(pictures.ids), len(label_set.names[a])), dtype=np.float32)
        for a in label_set.heads
    }
    total, done = len(rows) * len(folders), 0
    for folder in folders:
        card = Card.load(folder)
        if card.labels() != label_set:
            raise UsageError(f"{card.version} was trained on other labels: it cannot teach these")
        # bf16 is twice as fast on processors that have it, and beliefs need no more digits.
        backend = OpenVinoBackend(folder, threads=2, precision="bf16")
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            pixels = _at_size(pictures.pixels[part], card.height, card.width)
            for view in (pixels, np.ascontiguousarray(pixels[:, :, ::-1])):
                for attribute, found in _probabilities(backend, view, card, label_set).items():
                    beliefs[attribute][part] += found / (2 * len(folders))
            done += len(part)
            if progress:
                progress(done, total)
    return {a: found.astype(np.float16) for a, found in beliefs.items()}


class Witness:
    """A version that tells which cuts show the garment that they are said to show."""

    def __init__(self, folder: Path, label_set: LabelSet) -> None:
        self._card = Card.load(folder)
        if self._card.labels() != label_set:
            raise UsageError(f"{self._card.version} was trained on other labels")
        self._labels = label_set
        self._backend = OpenVinoBackend(folder, threads=2, precision="bf16")

    def likely(self, views: Views, keep: int = 2, least: float = 0.3) -> NDArray[np.int64]:
        """Return the rows of each garment's views that it believes most, in ascending order.

        At most `keep` of a garment, of those whose right types have a probability of at least
        `least` (0..1): others show something else.
        """
        belief = np.empty(len(views.garment), dtype=np.float32)
        for first in range(0, len(belief), BATCH):
            part = slice(first, first + BATCH)
            pixels = _at_size(views.pixels[part], self._card.height, self._card.width)
            types = _probabilities(self._backend, pixels, self._card, self._labels)["article_type"]
            belief[part] = (types * views.right[part]).sum(axis=1)
        order = np.lexsort((-belief, views.garment))
        firsts = np.searchsorted(views.garment[order], views.garment[order])
        place = np.arange(len(order)) - firsts
        rows: NDArray[np.int64] = np.sort(order[(place < keep) & (belief[order] >= least)])
        return rows


def _probabilities(
    backend: Backend, pixels: NDArray[np.uint8], card: Card, label_set: LabelSet
) -> dict[str, NDArray[np.float32]]:
    found = calibrated(backend.infer(pixels), label_set, card.temperatures)
    return {a: found[a].astype(np.float32) for a in label_set.heads}


def _at_size(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scale pictures (N, H, W, 3) of the same proportions to another size."""
    if pixels.shape[1:3] == (height, width):
        return pixels
    scaled = [
        Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC) for one in pixels
    ]
    return np.stack([np.asarray(one) for one in scaled])
