"""Batches of training pictures: which rows, changed how.

Needs torch (the `train` extra).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from errors import UsageError
from models.data import Pictures
from models.labels import DOMAINS, LabelSet, domain_of
from models.training.augment import CATALOGUE, PHOTO, augment, product_masks, put_behind
from models.training.teacher import Beliefs


class Batches:
    """The training split in a random order that hangs on seed and epoch alone.

    A share of each batch, `photos`, is photographs, which go round as often as is needed. Of
    several processes each takes its own part of every batch.
    """

    def __init__(
        self,
        pictures: Pictures,
        label_set: LabelSet,
        backgrounds: NDArray[np.uint8],
        batch_size: int,
        photos: float = 0.0,
        strength: float = 1.0,
        seed: int = 0,
        beliefs: Beliefs | None = None,
    ) -> None:
        self.rows = pictures.indices("train", "catalogue")
        self.photos = np.setdiff1d(pictures.indices("train"), self.rows)
        self.photos_per_batch = round(batch_size * photos) if len(self.photos) else 0
        self.products_per_batch = batch_size - self.photos_per_batch
        self.steps_per_epoch = len(self.rows) // self.products_per_batch
        if self.steps_per_epoch == 0:
            raise UsageError(
                f"{len(self.rows)} pictures to train on are fewer than a batch of {batch_size}"
            )
        self._pixels = pictures.pixels
        self._masks = torch.from_numpy(product_masks(self._pixels[self.rows]))
        self._backgrounds = torch.from_numpy(backgrounds)
        self._strength = strength
        self._seed = seed
        targets = pictures.targets(label_set)
        self._targets = {a: torch.from_numpy(targets[a]) for a in label_set.heads}
        self._targets["domain"] = torch.from_numpy(
            np.array([DOMAINS.index(domain_of(dataset)) for dataset in pictures.dataset])
        )
        for attribute, taught in (beliefs or {}).items():
            self._targets[f"taught_{attribute}"] = torch.from_numpy(taught)
        self._targets["right"] = torch.from_numpy(pictures.allowed(label_set))

    def batch(
        self, step: int, height: int, width: int, rank: int = 0, world: int = 1
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the pictures (N, 3, height, width) and targets of a step."""
        places, photos = (part[rank::world] for part in self._rows_of(step))
        random = torch.Generator().manual_seed((self._seed * 1_000_003 + step) * world + rank)
        images, moved = self._images(places, photos, height, width, random)
        rows = np.concatenate([self.rows[places], photos])
        targets = {a: t[rows] for a, t in self._targets.items()}
        targets = {a: t.float() if t.is_floating_point() else t for a, t in targets.items()}
        # A product put before a street is neither a catalogue picture nor a photograph.
        targets["domain"] = targets["domain"].masked_fill(moved, -1)
        return images.contiguous(memory_format=torch.channels_last), targets

    def _rows_of(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of one batch's products, and rows of its photographs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(len(self.rows))
        size = self.products_per_batch
        products = np.sort(order[place * size : (place + 1) * size])
        if not self.photos_per_batch:
            return products, self.photos[:0]
        rounds = -(-self.steps_per_epoch * self.photos_per_batch // len(self.photos))
        turns = np.concatenate([random.permutation(self.photos) for _ in range(rounds)])
        first = place * self.photos_per_batch
        return products, turns[first : first + self.photos_per_batch]

    def _images(
        self,
        places: NDArray[np.int64],
        photos: NDArray[np.int64],
        height: int,
        width: int,
        random: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return changed pictures (N, 3, height, width), and which lost their background."""
        plain, photo = (s.scaled(self._strength) for s in (CATALOGUE, PHOTO))
        pixels, moved = put_behind(
            torch.from_numpy(self._pixels[self.rows[places]]),
            self._masks[torch.from_numpy(places)],
            self._backgrounds,
            random,
            plain.background,
        )
        on_white, others = (~moved).nonzero()[:, 0], moved.nonzero()[:, 0]
        images = torch.empty(len(places) + len(photos), 3, height, width)
        if len(on_white):
            images[on_white] = augment(pixels[on_white], height, width, random, plain)
        away = torch.cat([pixels[others], torch.from_numpy(self._pixels[photos])])
        if len(away):
            rows = torch.cat([others, torch.arange(len(places), len(images))])
            images[rows] = augment(away, height, width, random, photo, white=False)
        return images, torch.cat([moved, torch.zeros(len(photos), dtype=torch.bool)])
