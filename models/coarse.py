"""Confidence where labels are coarse: the chance that a label admits a tag.

Photographs are labelled by coarse labels: `top` makes Tops, Tshirts and Tunics right. The network
rightly spreads its belief over types that no label tells apart, so that the largest of them says
little; how probable a label is that admits the chosen type, says what 'right' means there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.calibrate import Floats
from models.labels import LabelSet

#: For each attribute (labels, types): the chance that a label which admits a type admits the tag.
Admitted: TypeAlias = Mapping[str, NDArray[np.float32]]


def admitted(labels: Sequence[Mapping[str, Any]], label_set: LabelSet) -> Admitted:
    """Return what coarse labels admit, of the article type and its categories.

    A type stands for the labels that admit it, by how many pictures they have, each label's
    shared evenly among its types. A tag that no label admits has no chance: nothing is known of
    how often it would be right. A type that none admits stands for its categories alone.
    """
    index = label_set.index["article_type"]
    members = np.zeros((len(labels), len(index)), dtype=np.float64)
    for row, label in enumerate(labels):
        members[row, [index[name] for name in label["types"] if name in index]] = 1
    weight = np.array([label["pictures"] for label in labels], dtype=np.float64)
    shares = members * (weight / np.maximum(members.sum(axis=1), 1))[:, None]
    total = shares.sum(axis=0)
    stands_for = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    alone = total == 0
    found: dict[str, NDArray[np.float32]] = {}
    own: dict[str, NDArray[np.float32]] = {
        "article_type": np.eye(len(index), dtype=np.float32),
        **label_set.summing,
    }
    for attribute, belongs in own.items():
        admits = (members @ belongs > 0).astype(np.float64)  # (coarse labels, labels)
        chance = admits.T @ stands_for
        chance[:, alone] = belongs.T[:, alone]
        chance[admits.sum(axis=0) == 0] = 0
        found[attribute] = chance.astype(np.float32)
    return found


def by_admission(
    probabilities: Mapping[str, Floats],
    chosen: Mapping[str, NDArray[np.int64]],
    looks: NDArray[np.str_],
    coarse: Mapping[str, Admitted],
) -> dict[str, Floats]:
    """Return the confidence (N,) of each chosen label (N,), by what its domain's labels admit.

    `probabilities[attribute]` (N, labels) are calibrated. Where a domain's labels are exact, and
    for attributes that no coarse label is about, that is the label's own probability.
    """
    rows = np.arange(len(looks))
    found = {a: probabilities[a][rows, labels] for a, labels in chosen.items()}
    types = probabilities["article_type"]
    for domain, chances in coarse.items():
        there = np.flatnonzero(looks == domain)
        for attribute in chances.keys() & found.keys():
            chance = chances[attribute][chosen[attribute][there]]
            found[attribute][there] = (types[there] * chance).sum(axis=1)
    return found
