"""Confidence where labels are coarse: the chance that a label admits a tag.

Photographs are labelled by coarse labels: `top` makes Tops, Tshirts and Tunics right. The network
rightly spreads its belief over types that no label tells apart, so that the largest of them says
little; how probable a label is that admits the chosen type, says what 'right' means there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.calibrate import Floats, softmax
from models.labels import LabelSet

#: For each attribute (labels, types): the chance that a label which admits a type admits the tag;
#: for a tag that no label admits, zeros.
Admitted: TypeAlias = Mapping[str, NDArray[np.float32]]
#: The most that is said of a tag which no label admits: a person decides.
EVEN = 0.5


@dataclass(frozen=True)
class CoarseDomain:
    """What coarse labels admit in a domain, and the temperature that makes confidence honest there.

    The temperature is on top of the article type's own: a network errs more on photographs than
    it knows.
    """

    admitted: Admitted
    #: For each attribute (labels,): which labels any coarse label admits.
    known: Mapping[str, NDArray[np.bool_]]
    #: For each attribute (types, labels): 1 where a type belongs to a label.
    belongs: Admitted
    temperature: float = 1.0

    @classmethod
    def of(cls, entry: Mapping[str, Any], label_set: LabelSet) -> CoarseDomain:
        """Read an entry of a card: `labels`, each with `types` and `pictures`; `temperature`.

        A type stands for the labels that admit it, by how many pictures they have, each label's
        shared evenly among its types. A type that none admits stands for its categories alone.
        """
        index = label_set.index["article_type"]
        members = np.zeros((len(entry["labels"]), len(index)), dtype=np.float64)
        for row, label in enumerate(entry["labels"]):
            members[row, [index[name] for name in label["types"] if name in index]] = 1
        weight = np.array([label["pictures"] for label in entry["labels"]], dtype=np.float64)
        shares = members * (weight / np.maximum(members.sum(axis=1), 1))[:, None]
        total = shares.sum(axis=0)
        stands_for = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
        alone = total == 0
        chances: dict[str, NDArray[np.float32]] = {}
        known: dict[str, NDArray[np.bool_]] = {}
        belongs = membership(label_set)
        for attribute, matrix in belongs.items():
            admits = members @ matrix > 0  # (coarse labels, labels)
            chance = admits.T.astype(np.float64) @ stands_for
            chance[:, alone] = matrix.T[:, alone]
            chances[attribute] = chance.astype(np.float32)
            known[attribute] = np.logical_or.reduce(admits)
        return cls(chances, known, belongs, entry.get("temperature", 1.0))

    def softened(self, types: Floats) -> NDArray[np.float64]:
        """Return probabilities (N, types) of article types at the domain's temperature."""
        logs = np.log(np.maximum(types.astype(np.float64), 1e-12))
        return softmax(logs / self.temperature).astype(np.float64)

    def confidence(
        self, types: Floats, attribute: str, chosen: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the chance (N,) that a label admits the chosen ones (N,).

        `types` (N, types) are the softened probabilities of the article types. Of a tag that no
        label admits nothing is known: it has its own probability, and no more than an even chance.
        """
        own = (types @ self.belongs[attribute])[np.arange(len(chosen)), chosen]
        chance = (types * self.admitted[attribute][chosen]).sum(axis=1)
        found: NDArray[np.float64] = np.where(
            self.known[attribute][chosen], chance, np.minimum(own, EVEN)
        )
        return found

    def fitted(
        self, types: Floats, chosen: NDArray[np.int64], right: NDArray[np.bool_]
    ) -> CoarseDomain:
        """Return it with the temperature under which confidences of types tell best what is right.

        `types` are not softened yet. By negative log-likelihood, over pictures (N,) of a split of
        their own. Needs scipy.
        """
        from scipy.optimize import minimize_scalar

        known = self.known["article_type"][chosen]
        types, chosen, right = types[known], chosen[known], right[known]
        if not len(right) or right.all() or not right.any():
            return self

        def loss(log_temperature: float) -> float:
            tried = replace(self, temperature=float(np.exp(log_temperature)))
            chance = tried.confidence(tried.softened(types), "article_type", chosen)
            chance = np.clip(chance, 1e-6, 1 - 1e-6)
            return float(-np.log(np.where(right, chance, 1 - chance)).mean())

        best = minimize_scalar(loss, bounds=(-1, 2), method="bounded").x
        return replace(self, temperature=float(np.exp(best)))


def coarse_domains(
    entries: Mapping[str, Mapping[str, Any]], label_set: LabelSet
) -> dict[str, CoarseDomain]:
    """Return what the coarse labels of each domain admit, by a card's `coarse`."""
    return {domain: CoarseDomain.of(entry, label_set) for domain, entry in entries.items()}


def membership(label_set: LabelSet) -> Admitted:
    """Tell of the article type and its categories which types (types, labels) belong to a label."""
    types = len(label_set.names["article_type"])
    return {"article_type": np.eye(types, dtype=np.float32), **label_set.summing}


def soften(types: Floats, looks: NDArray[np.str_], coarse: Mapping[str, CoarseDomain]) -> Floats:
    """Return probabilities (N, types) at the temperature of the domain that each looks like."""
    softened = types.copy()
    for domain, known in coarse.items():
        there = looks == domain
        softened[there] = known.softened(types[there])
    return softened


def by_admission(
    probabilities: Mapping[str, Floats],
    chosen: Mapping[str, NDArray[np.int64]],
    looks: NDArray[np.str_],
    coarse: Mapping[str, CoarseDomain],
) -> dict[str, Floats]:
    """Return the confidence (N,) of each chosen label (N,), by what its domain's labels admit.

    `probabilities[attribute]` (N, labels) are calibrated, those of photographs softened. Where a
    domain's labels are exact, and for attributes that no coarse label is about, that is the
    label's own probability.
    """
    rows = np.arange(len(looks))
    found = {a: probabilities[a][rows, labels] for a, labels in chosen.items()}
    types = probabilities["article_type"]
    for domain, known in coarse.items():
        there = np.flatnonzero(looks == domain)
        for attribute in known.admitted.keys() & found.keys():
            numbers = chosen[attribute][there]
            found[attribute][there] = known.confidence(types[there], attribute, numbers)
    return found
