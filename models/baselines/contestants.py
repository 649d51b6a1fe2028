"""The contestants of a comparison: how each one learns, and what it answers on the test split.

Needs torch and openvino (the `train` extra).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from errors import UsageError
from models.backends import OpenVinoBackend
from models.baselines.bench import Bench, count, test_rows, train_rows
from models.baselines.networks import (
    Classifier,
    Floats,
    fit,
    linear_probe,
    pixel_mlp,
    run,
    three_layer_cnn,
    two_layer_cnn,
    vote,
)
from models.data import Pictures
from models.labels import LabelSet
from models.network import TagNetwork, to_images
from models.proof.evidence import Answers
from models.proof.similarity import nearest
from models.train import Stage, TrainSettings, train
from models.training.export import infer_all
from models.training.material import Material


@dataclass(frozen=True)
class Answer:
    """What a contestant says of the test pictures.

    `types` (N,) are numbers of article types in `label_set`; `queries` (N, F) and `gallery`
    (train, F) the vectors of test and train, where it has any; `seconds` of training, None where
    that is not known; `parameters` of all that it needs to answer.
    """

    types: NDArray[np.int64]
    label_set: LabelSet
    seconds: float | None
    parameters: int
    queries: Floats | None = None
    gallery: Floats | None = None
    note: str = ""


#: Does a row's work; it is told the row's name.
Work = Callable[[Bench, str], Answer]


def majority(bench: Bench, row: str) -> Answer:
    """Answer the type that is most frequent in training, whatever the picture."""
    pictures, label_set, types = _types(bench.pictures(bench.settings.height, bench.settings.width))
    largest = np.bincount(types[train_rows(pictures)]).argmax()
    return Answer(np.full(len(test_rows(pictures)), largest), label_set, 0.0, 0)


def from_pixels(build: Callable[[int, int, int], Classifier], compact: bool) -> Work:
    """Return a contestant that learns from pixels; `compact` features serve as vectors too."""

    def work(bench: Bench, row: str) -> Answer:
        size = (bench.settings.height, bench.settings.width)
        pictures, label_set, types = _types(bench.pictures(*size))
        torch.manual_seed(bench.settings.seed)
        network = build(len(label_set.names["article_type"]), *size)
        seconds = _fit(bench, row, network, pictures.pixels, pictures, types)
        known, asked = train_rows(pictures), test_rows(pictures)
        return Answer(
            run(network, pictures.pixels, asked).argmax(axis=1),
            label_set,
            seconds,
            count(network),
            run(network.body, pictures.pixels, asked) if compact else None,
            run(network.body, pictures.pixels, known) if compact else None,
        )

    return work


def frozen_linear(bench: Bench, row: str) -> Answer:
    """Learn a linear layer on the features of a backbone that is not trained."""
    pictures, label_set, types = _types(bench.fine_pictures())
    features, parameters, seconds = bench.frozen(row)
    torch.manual_seed(bench.settings.seed)
    known, asked = train_rows(pictures), test_rows(pictures)
    probe = linear_probe(features[known], len(label_set.names["article_type"]))
    seconds += _fit(bench, row, probe, features, pictures, types)
    chosen = run(probe, features, asked).argmax(axis=1)
    parameters += count(probe)
    return Answer(chosen, label_set, seconds, parameters, features[asked], features[known])


def frozen_neighbours(bench: Bench, row: str) -> Answer:
    """Let the nearest training pictures vote, by cosine of the frozen features."""
    pictures, label_set, types = _types(bench.fine_pictures())
    features, parameters, seconds = bench.frozen(row)
    known, asked = train_rows(pictures), test_rows(pictures)
    near = nearest(features[asked], features[known], bench.settings.neighbours)
    chosen = vote(types[known][near], len(label_set.names["article_type"]))
    note = f"looks through {len(known):,} vectors of {features.shape[1]:,} numbers"
    return Answer(chosen, label_set, seconds, parameters, features[asked], features[known], note)


def shipped(bench: Bench, row: str) -> Answer:
    """Ask the version that is served, by its exported network."""
    card = bench.card
    pictures = bench.pictures(card.height, card.width)
    backend, label_set = OpenVinoBackend.of(card, threads=2), card.labels()
    targets = pictures.targets(label_set)["article_type"]
    if not (targets[test_rows(pictures)] >= 0).any():
        raise UsageError(f"{card.version} knows the article type of no test picture")
    bench.tell(row, 0, 1)
    answers = Answers.collect(card, backend, pictures, test_rows(pictures))
    gallery = infer_all(backend, pictures, train_rows(pictures))["embedding"]
    bench.tell(row, 1, 1)
    return Answer(
        answers.chosen["article_type"][0],
        label_set,
        None,
        parameters_in(card.folder / "network.safetensors"),
        answers.outputs["embedding"],
        gallery,
        f"version {card.version}, trained by `hangtag train`",
    )


def parameters_in(path: Path) -> int:
    """Count a version's parameters; what batch norm measured is none."""
    with safe_open(path, framework="pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (not a dict)
    measured = ("running_mean", "running_var", "num_batches_tracked")
    return sum(math.prod(shape) for name, shape in shapes.items() if not name.endswith(measured))


def fine_tuned(embedding: bool) -> Work:
    """Return a contestant that fine-tunes, with or without the metric-learning embedding.

    Without it, its vectors are the pooled features of the backbone.
    """

    def work(bench: Bench, row: str) -> Answer:
        pictures = bench.fine_pictures()
        label_set = LabelSet.from_rows(pictures.labels)
        clock = Clock(bench.run / row / "seconds.json")

        def progress(event: dict[str, Any]) -> None:
            clock.save()
            bench.tell(row, **event)

        settings = fine_tuning(bench, embedding)
        network = train(Material(pictures, label_set), bench.run / row, settings, progress).eval()
        seconds = clock.save()
        known, asked = (
            read(network, run(Pooled(network), pictures.pixels, rows))
            for rows in (train_rows(pictures), test_rows(pictures))
        )
        vectors = "embedding" if embedding else "pooled"
        return Answer(
            asked["article_type"].argmax(axis=1),
            label_set,
            seconds,
            count(network),
            asked[vectors],
            known[vectors],
        )

    return work


def fine_tuning(bench: Bench, embedding: bool) -> TrainSettings:
    """Return the settings of fine-tuning on products alone, at one size."""
    chosen = bench.settings
    return TrainSettings(
        stages=(Stage(chosen.epochs["finetuned"], chosen.fine_height, chosen.fine_width),),
        batch_size=chosen.batch_size,
        frozen=3,
        photos=0.0,
        seed=chosen.seed,
        weights={} if embedding else {"proxy_article_type": 0.0, "proxy_base_colour": 0.0},
    )


class Pooled(nn.Module):
    """Pixels uint8 (N, H, W, 3) → pooled features (N, F) of a trained network."""

    def __init__(self, network: TagNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Run the backbone."""
        return self.network.features(to_images(pixels))


def read(network: TagNetwork, pooled: Floats) -> dict[str, Floats]:
    """Return logits a head, `embedding`, and `pooled` itself, for pooled features (N, F)."""
    with torch.inference_mode():
        outputs = network.read(torch.from_numpy(pooled))
    return {**{name: value.numpy() for name, value in outputs.items()}, "pooled": pooled}


class Clock:
    """Seconds that a run took, over all its interruptions, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = float(json.loads(path.read_text())) if path.exists() else 0.0
        self._started = time.perf_counter()

    def save(self) -> float:
        """Write and return the seconds so far."""
        seconds = self._before + time.perf_counter() - self._started
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(seconds))
        return seconds


def _types(pictures: Pictures) -> tuple[Pictures, LabelSet, NDArray[np.int64]]:
    label_set = LabelSet.from_rows(pictures.labels)
    return pictures, label_set, pictures.targets(label_set)["article_type"]


def _fit(
    bench: Bench,
    row: str,
    network: Classifier,
    inputs: NDArray[Any],
    pictures: Pictures,
    types: NDArray[np.int64],
) -> float:
    """Train a network on the rows of `train`; return the seconds."""
    started = time.perf_counter()
    fit(
        network,
        inputs,
        train_rows(pictures),
        types,
        bench.fitting(row.partition("@")[0]),
        lambda n, of, loss: bench.tell(row, n, of, loss=round(loss, 4)),
    )
    return time.perf_counter() - started


@dataclass(frozen=True)
class Contestant:
    """A row of the comparison: its name, its title, and the work that it is.

    `long` ones run for an hour or so and only where they are named; `backbone` tells whether
    another backbone makes another row of it, `version` whether another model version does.
    """

    name: str
    title: str
    work: Work
    long: bool = False
    backbone: bool = False
    version: bool = False


CONTESTANTS = (
    Contestant("majority", "majority class", majority),
    Contestant("mlp", "MLP on pixels", from_pixels(pixel_mlp, compact=True)),
    Contestant("cnn2", "CNN, two convolutions", from_pixels(two_layer_cnn, compact=False)),
    Contestant("cnn3", "CNN, three convolutions", from_pixels(three_layer_cnn, compact=True)),
    Contestant("frozen_linear", "frozen features, linear", frozen_linear, backbone=True),
    Contestant(
        "frozen_neighbours", "frozen features, neighbours", frozen_neighbours, backbone=True
    ),
    Contestant("finetuned", "fine-tuned", fine_tuned(embedding=False), long=True),
    Contestant(
        "finetuned_embedding", "fine-tuned, embedding", fine_tuned(embedding=True), long=True
    ),
    Contestant("shipped", "shipped version", shipped, version=True),
)
