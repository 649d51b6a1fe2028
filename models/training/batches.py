"""Batches of training pictures: which rows, changed how.

Needs torch (the `train` extra).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from errors import UsageError
from models.datasets.views import Views
from models.labels import DOMAINS, domain_of
from models.training.augment import (
    CATALOGUE,
    PHOTO,
    STREET,
    augment,
    product_masks,
    put_behind,
)
from models.training.material import Material


class Batches:
    """The training split in a random order that hangs on seed and epoch alone.

    A share of each batch, `photos`, is photographs, which go round as often as is needed. Of
    several processes each takes its own part of every batch. Of a garment with several views one
    is shown a turn.
    """

    def __init__(
        self,
        material: Material,
        batch_size: int,
        photos: float = 0.0,
        strength: float = 1.0,
        seed: int = 0,
    ) -> None:
        pictures, views = material.pictures, material.views
        self.rows = pictures.indices("train", "catalogue")
        self.photos = np.setdiff1d(pictures.indices("train"), self.rows)
        #: How many views there are of each photograph: they follow the first, `photos`.
        self._views_of = np.ones(len(self.photos), dtype=np.int64)
        self._views = views
        datasets = pictures.dataset
        if views is not None:
            self._show(views, datasets)
            datasets = np.append(datasets, np.full(len(views.garment), "street"))
        self.photos_per_batch = round(batch_size * photos) if len(self.photos) else 0
        self.products_per_batch = batch_size - self.photos_per_batch
        self.steps_per_epoch = len(self.rows) // self.products_per_batch
        if self.steps_per_epoch == 0:
            raise UsageError(
                f"{len(self.rows)} pictures to train on are fewer than a batch of {batch_size}"
            )
        self._pixels = pictures.pixels
        self._masks = torch.from_numpy(product_masks(self._pixels[self.rows]))
        behind = material.backgrounds
        if behind is None:
            behind = np.empty((0, *self._pixels.shape[1:]), dtype=np.uint8)
        self._backgrounds = torch.from_numpy(behind)
        self._strength = strength
        self._seed = seed
        targets = pictures.targets(material.label_set)
        self._targets = {a: torch.from_numpy(targets[a]) for a in material.label_set.heads}
        self._targets["domain"] = torch.from_numpy(
            np.array([DOMAINS.index(domain_of(dataset)) for dataset in datasets])
        )
        self._street = self._targets["domain"].numpy() == DOMAINS.index("street")
        for attribute, taught in (material.beliefs or {}).items():
            self._targets[f"taught_{attribute}"] = torch.from_numpy(taught)
        self._targets["right"] = torch.from_numpy(pictures.allowed(material.label_set))
        if views is not None:
            self._add_targets(views)

    def _show(self, views: Views, datasets: NDArray[np.str_]) -> None:
        """Let views take the place of the street rows; they are numbered after the pictures."""
        others = self.photos[datasets[self.photos] != "street"]
        _, firsts, counts = np.unique(views.garment, return_index=True, return_counts=True)
        self.photos = np.concatenate([others, firsts + len(datasets)])
        self._views_of = np.concatenate([np.ones(len(others), dtype=np.int64), counts])

    def _add_targets(self, views: Views) -> None:
        """Append the views' targets to the pictures': the types alone are known."""
        for name, known in self._targets.items():
            shape = (len(views.garment), *known.shape[1:])
            if name == "right":
                more = torch.from_numpy(views.right)
            elif name == "domain":
                continue
            elif name.startswith("taught_"):
                more = torch.zeros(shape, dtype=known.dtype)
            else:
                more = torch.full(shape, -1, dtype=known.dtype)
            self._targets[name] = torch.cat([known, more])

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
        turns = np.concatenate([random.permutation(len(self.photos)) for _ in range(rounds)])
        first = place * self.photos_per_batch
        chosen = turns[first : first + self.photos_per_batch]
        view = np.random.default_rng([self._seed, step]).integers(self._views_of[chosen])
        return products, self.photos[chosen] + view

    def _pixels_of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pixels (N, H, W, 3) of pictures, and of views numbered after them."""
        if self._views is None:
            return self._pixels[rows]
        own = rows < len(self._pixels)
        found = np.empty((len(rows), *self._pixels.shape[1:]), dtype=np.uint8)
        found[own] = self._pixels[rows[own]]
        found[~own] = self._views.pixels[rows[~own] - len(self._pixels)]
        return found

    def _images(
        self,
        places: NDArray[np.int64],
        photos: NDArray[np.int64],
        height: int,
        width: int,
        random: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return changed pictures (N, 3, height, width), and which lost their background."""
        plain, photo, street = (s.scaled(self._strength) for s in (CATALOGUE, PHOTO, STREET))
        pixels, moved = put_behind(
            torch.from_numpy(self._pixels[self.rows[places]]),
            self._masks[torch.from_numpy(places)],
            self._backgrounds,
            random,
            plain.background,
        )
        pixels = torch.cat([pixels, torch.from_numpy(self._pixels_of(photos))])
        moved = torch.cat([moved, torch.zeros(len(photos), dtype=torch.bool)])
        worn = torch.from_numpy(np.append(np.zeros(len(places), dtype=bool), self._street[photos]))
        shot = moved | (torch.arange(len(pixels)) >= len(places))
        images = torch.empty(len(pixels), 3, height, width)
        for rows, strength, white in (
            (~shot, plain, True), (shot & ~worn, photo, False), (worn, street, False),
        ):  # fmt: skip
            if rows.any():
                images[rows] = augment(pixels[rows], height, width, random, strength, white)
        return images, moved
