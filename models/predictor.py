"""Prediction: pixels in, calibrated tags and a unit vector out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from errors import TransientError
from models.backends import Backend, OpenVinoBackend, Outputs
from models.calibrate import Floats, softmax
from models.card import Card, version_folder
from models.coarse import CoarseDomain, by_admission, coarse_domains, soften
from models.labels import DOMAINS, LabelSet
from models.transforms import Pixels

#: As the database checks it.
_LENGTH_TOLERANCE = 0.01


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    `tags[attribute]` is (label, confidence), see `choose_labels`; `top5` the likeliest article
    types, the tag with its confidence, the others with their calibrated probabilities;
    `fashion_score` 0..1, low for what is no fashion item; `embedding` float32 (256,), unit
    length; `domain` one of `labels.DOMAINS`, what the picture looks like.
    """

    tags: dict[str, tuple[str, float]]
    top5: list[tuple[str, float]]
    fashion_score: float
    embedding: NDArray[np.float32]
    domain: str = DOMAINS[0]

    def require_finite(self) -> None:
        """Raise TransientError where a number is none (NaN, infinity) or the vector has no length.

        A broken network or an overflow makes such; no threshold and no index knows what to do with
        them. Another version may do better.
        """
        numbers = [self.fashion_score, *(c for _, c in self.tags.values())]
        numbers += [c for _, c in self.top5]
        length = float(np.linalg.norm(self.embedding))
        if not (np.isfinite(numbers).all() and abs(length - 1) < _LENGTH_TOLERANCE):
            raise TransientError(
                "the network's numbers are not finite, or its vector has no length"
            )


class Predictor:
    """A loaded model version. Not thread-safe: one a process, or one a thread."""

    def __init__(self, card: Card, backend: Backend) -> None:
        self.card = card
        self.labels: LabelSet = card.labels()
        self.coarse = coarse_domains(card.coarse, self.labels)
        self._backend = backend

    @classmethod
    def load(cls, version: str | None = None, threads: int = 1) -> Predictor:
        """Load a version of `models/weights`, the default one with None.

        Raises UsageError where there is none.
        """
        return cls.load_folder(version_folder(version), threads)

    @classmethod
    def load_folder(cls, folder: Path, threads: int = 1) -> Predictor:
        """Load the version in a folder."""
        card = Card.load(folder)
        return cls(card, OpenVinoBackend.of(card, threads))

    def predict(self, pixels: Sequence[Pixels]) -> list[Prediction]:
        """Predict a batch of uint8 pictures (H, W, 3) of the card's size, in order."""
        if not pixels:
            return []
        outputs = self._backend.infer(np.stack(pixels))
        probabilities = self.probabilities(outputs)
        scores = fashion_scores(outputs, self.card)
        looks = domains(outputs)
        chosen = choose_labels(probabilities, self.labels, looks, self.coarse)
        return [
            Prediction(
                tags=self._tags(chosen, row),
                top5=self._top5(probabilities["article_type"][row], chosen, row),
                fashion_score=float(scores[row]),
                embedding=outputs["embedding"][row],
                domain=str(looks[row]),
            )
            for row in range(len(pixels))
        ]

    def probabilities(self, outputs: Outputs) -> dict[str, Floats]:
        """Calibrated probabilities (N, labels) of all seven attributes."""
        return calibrated(outputs, self.labels, self.card.temperatures, self.coarse)

    def _tags(self, chosen: Chosen, row: int) -> dict[str, tuple[str, float]]:
        return {
            a: (self.labels.names[a][int(numbers[row])], min(1.0, float(confidence[row])))
            for a, (numbers, confidence) in chosen.items()
        }

    def _top5(self, types: Floats, chosen: Chosen, row: int) -> list[tuple[str, float]]:
        """List the likeliest types: the tag with its confidence, the others' probabilities."""
        names = self.labels.names["article_type"]
        order = np.argsort(-types, kind="stable")[:5]
        first = min(1.0, float(chosen["article_type"][1][row]))
        values = [first, *(float(types[i]) for i in order[1:])]
        return [(names[i], value) for i, value in zip(order, values, strict=True)]


#: For each attribute the number of the chosen label (N,) and its confidence (N,).
Chosen = dict[str, tuple[NDArray[np.int64], Floats]]


def choose_labels(
    probabilities: Mapping[str, Floats],
    labels: LabelSet,
    looks: NDArray[np.str_],
    coarse: Mapping[str, CoarseDomain],
) -> Chosen:
    """Choose one label an attribute: its number (N,) and its confidence (N,).

    The categories are those of the chosen type, so that tags never contradict each other; their
    confidence is the sum over all types of the category. For pictures that look (N,) like a domain
    in `coarse` it is the chance that a label of that domain admits the tag. Serving, thresholds
    and evaluation all choose here.
    """
    chosen = {}
    for attribute in labels.attributes:
        if attribute in labels.summing:
            above = labels.summing[attribute].argmax(axis=1)
            chosen[attribute] = above[probabilities["article_type"].argmax(axis=1)]
        else:
            chosen[attribute] = probabilities[attribute].argmax(axis=1)
    confidence = by_admission(probabilities, chosen, looks, coarse)
    return {attribute: (chosen[attribute], confidence[attribute]) for attribute in chosen}


def calibrated(
    outputs: Outputs,
    labels: LabelSet,
    temperatures: Mapping[str, float],
    coarse: Mapping[str, CoarseDomain] | None = None,
) -> dict[str, Floats]:
    """Softmax each head at its temperature, and types at that of their domain in `coarse` too.

    Types are added up to categories.
    """
    found = {a: softmax(outputs[a], temperatures[a]) for a in labels.heads}
    if coarse:
        found["article_type"] = soften(found["article_type"], domains(outputs), coarse)
    for attribute, matrix in labels.summing.items():
        found[attribute] = found["article_type"] @ matrix
    return found


def domains(outputs: Outputs) -> NDArray[np.str_]:
    """Tell which of `DOMAINS` each picture (N,) looks like; all the first without such a head."""
    if "domain" not in outputs:
        return np.full(len(outputs["embedding"]), DOMAINS[0])
    names: NDArray[np.str_] = np.array(DOMAINS)[outputs["domain"].argmax(axis=1)]
    return names


def fashion_scores(outputs: Outputs, card: Card) -> Floats:
    """Score (N,) in 0..1: how much a picture looks like anything the model was trained on.

    `familiarity`, put on a scale where most pictures of fashion lie near 1.
    """
    scaled = (familiarity(outputs) - card.fashion["midpoint"]) / card.fashion["scale"]
    score: Floats = 1 / (1 + np.exp(-np.clip(scaled, -60, 60)))
    return score


def familiarity(outputs: Outputs) -> Floats:
    """How well (N,) pictures fit those of training: their similarity to the nearest centre.

    Without one, the free energy of the type logits (Liu et al., 'Energy-based out-of-distribution
    detection', 2020).
    """
    if "fashion_similarity" in outputs:
        return outputs["fashion_similarity"]
    return energies(outputs["article_type"])


def energies(logits: NDArray[np.float32]) -> Floats:
    """Log-sum-exp (N,) of logits (N, labels): high where the network knows the picture."""
    top = logits.max(axis=1)
    energy: Floats = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return energy
