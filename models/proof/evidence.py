"""What a version answers to the test split: the evidence that evaluation and its page measure.

Needs pandas (the `train` extra).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from errors import UsageError
from models.backends import Backend, OpenVinoBackend, Outputs
from models.calibrate import Floats
from models.card import Card
from models.coarse import coarse_domains
from models.data import Pictures, decode_all
from models.datasets.rows import Progress
from models.predictor import (
    Chosen,
    calibrated,
    choose_labels,
    domains,
    fashion_scores,
)
from models.training.acceptance import correctness, published_by
from models.training.export import infer_all

NON_FASHION_FILE = "non_fashion_eval.parquet"


@dataclass(frozen=True)
class Answers:
    """What a version says of some pictures, and what of it is right.

    `rows` (N,) are places in the data set; `chosen[attribute]` label numbers and confidences (N,);
    `right[attribute]` whether they are right and where that is known (N,); `published[attribute]`
    (N,) what the routing rule publishes; `looks` (N,) the domain that each picture was taken for.
    """

    rows: NDArray[np.int64]
    outputs: Outputs
    chosen: Chosen
    right: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]
    published: Mapping[str, NDArray[np.bool_]]
    looks: NDArray[np.str_]

    @classmethod
    def collect(
        cls, card: Card, backend: Backend, pictures: Pictures, rows: NDArray[np.int64]
    ) -> Answers:
        """Ask a version about some pictures."""
        label_set = card.labels()
        outputs = infer_all(backend, pictures, rows)
        looks = domains(outputs)
        coarse = coarse_domains(card.coarse, label_set)
        probabilities = calibrated(outputs, label_set, card.temperatures, coarse)
        chosen = choose_labels(probabilities, label_set, looks, coarse)
        return cls(
            rows=rows,
            outputs=outputs,
            chosen=chosen,
            right=correctness(chosen, pictures, label_set, rows),
            published=published_tags(chosen, outputs, card),
            looks=looks,
        )


@dataclass(frozen=True)
class Evidence:
    """What a version says of the test split, and what that is compared with.

    `products` are the test pictures of the catalogue, `photos[dataset]` those that people took;
    `gallery` (M,) are the training pictures, as places in the data set, that neighbours are looked
    for among, and `vectors` (M, D) their embeddings; `others` is what the network says of pictures
    of other things, None where there are none.
    """

    card: Card
    pictures: Pictures
    products: Answers
    photos: Mapping[str, Answers]
    gallery: NDArray[np.int64]
    vectors: Floats
    others: Outputs | None

    @classmethod
    def collect(
        cls, card: Card, pictures: Pictures, data: Path, progress: Progress | None = None
    ) -> Evidence:
        """Ask a version about the test split. Raises UsageError where it knows no type there.

        `progress` gets how many training pictures it was asked about, the longest part.
        """
        backend = OpenVinoBackend.of(card, threads=2)
        products = Answers.collect(card, backend, pictures, pictures.indices("test", "catalogue"))
        if not products.right["article_type"][1].any():
            raise UsageError(
                f"{card.version} knows the article type of no test picture; train a version on "
                f"these data: hangtag train --data {data}"
            )
        gallery = pictures.indices("train", "catalogue")
        photos = sorted(set(pictures.dataset[pictures.indices("test")]) - {"catalogue"})
        return cls(
            card=card,
            pictures=pictures,
            products=products,
            photos={
                s: Answers.collect(card, backend, pictures, pictures.indices("test", s))
                for s in photos
            },
            gallery=gallery,
            vectors=infer_all(backend, pictures, gallery, progress)["embedding"],
            others=infer_others(backend, card, data),
        )

    def everything(self) -> dict[str, Answers]:
        """Return the answers by data set, the catalogue first."""
        return {"catalogue": self.products, **self.photos}


def published_tags(chosen: Chosen, outputs: Outputs, card: Card) -> dict[str, NDArray[np.bool_]]:
    """Tell which tags (N,) the worker's routing rule publishes; a test holds both together."""
    fashion = fashion_scores(outputs, card) >= card.fashion["threshold"]
    sure = published_by(chosen, domains(outputs), card.thresholds)
    return {attribute: fashion & published for attribute, published in sure.items()}


def infer_others(backend: Backend, card: Card, data: Path) -> Outputs | None:
    """Run a network on the pictures of other things; None where their file is not there."""
    if not (data / NON_FASHION_FILE).is_file():
        return None
    files = list(pd.read_parquet(data / NON_FASHION_FILE)["jpeg"])
    pixels, _ = decode_all(files, card.height, card.width)
    parts = [backend.infer(pixels[i : i + 64]) for i in range(0, len(pixels), 64)]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
