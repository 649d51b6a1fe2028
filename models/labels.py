"""Label sets: the names a model knows, and which type belongs to which category."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Attributes with a head of their own, in the order of the network's outputs.
HEAD_ATTRIBUTES = ("article_type", "base_colour", "gender", "season", "usage")
#: Attributes that follow from article_type by adding up probabilities.
DERIVED_ATTRIBUTES = ("sub_category", "master_category")
#: All attributes of a tag set, coarse to fine, as users read them.
ATTRIBUTES = ("master_category", "sub_category", *HEAD_ATTRIBUTES)
#: What a picture looks like: a product on white, a garment photographed at home, or one worn in the
#: street. Each has thresholds of its own, since a model errs more on one than on another. The data
#: sets `phone` and `street` (`models.datasets.photos`) teach their domains; all others are
#: catalogues.
DOMAINS = ("catalogue", "phone", "street")


def domain_of(dataset: str) -> str:
    """Return the domain that a data set's pictures belong to."""
    return dataset if dataset in DOMAINS else DOMAINS[0]


@dataclass(frozen=True)
class LabelSet:
    """The labels of each attribute, and the category tree over article types.

    `names[attribute]` lists the labels in output order, none for an attribute that the data do
    not have; `parents` maps each article type to its (sub_category, master_category), empty
    where there are no categories.
    """

    names: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, tuple[str, str]]

    @classmethod
    def from_rows(cls, rows: Mapping[str, Sequence[str] | NDArray[np.str_]]) -> LabelSet:
        """Collect the labels of a labelled data set.

        `rows` maps each of the seven attributes to one label a picture, '' where it is not known.
        A type that the data files under several categories gets the one most of its pictures
        have. A level of categories that some type lacks is no attribute: that type would have no
        tag there.
        """
        # Plain strings: NumPy's are written otherwise where a digest is taken of them.
        plain = {a: [str(name) for name in rows[a]] for a in rows}
        names = {a: tuple(sorted(set(plain[a]) - {""})) for a in HEAD_ATTRIBUTES}
        paths: dict[str, dict[tuple[str, str], int]] = {}
        for kind, sub, master in zip(
            plain["article_type"], plain["sub_category"], plain["master_category"], strict=True
        ):
            if not kind:
                continue
            counts = paths.setdefault(kind, {})
            counts[sub, master] = counts.get((sub, master), 0) + 1
        # A tie goes to the alphabetically first path, so that two runs agree.
        parents = {
            k: min(c, key=lambda path: (path.count(""), -c[path], path)) for k, c in paths.items()
        }
        masters: dict[str, dict[str, int]] = {}
        for kind, (sub, master) in parents.items():
            counts_of_sub = masters.setdefault(sub, {})
            weight = paths[kind][sub, master]
            counts_of_sub[master] = counts_of_sub.get(master, 0) + weight
        # One master a sub_category: a tag set must be a path of one tree.
        master_of = {s: min(c, key=lambda m: (-c[m], m)) for s, c in masters.items()}
        parents = {k: (sub, master_of[sub] if sub else top) for k, (sub, top) in parents.items()}
        for level, attribute in enumerate(DERIVED_ATTRIBUTES):
            above = {path[level] for path in parents.values()}
            names[attribute] = () if "" in above else tuple(sorted(above))
        return cls(names, parents)

    @classmethod
    def load(cls, path: Path) -> LabelSet:
        """Read a label file written by `save`."""
        raw = json.loads(path.read_text())
        return cls(
            {attribute: tuple(labels) for attribute, labels in raw["names"].items()},
            {kind: (sub, master) for kind, (sub, master) in raw["parents"].items()},
        )

    def save(self, path: Path) -> None:
        """Write the label file."""
        raw = {"names": self.names, "parents": self.parents}
        path.write_text(json.dumps(raw, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes that have labels, coarse to fine."""
        return tuple(a for a in ATTRIBUTES if self.names[a])

    @property
    def heads(self) -> tuple[str, ...]:
        """Attributes with a head of their own that have labels."""
        return tuple(a for a in HEAD_ATTRIBUTES if self.names[a])

    @cached_property
    def index(self) -> dict[str, dict[str, int]]:
        """Position of each label within its attribute's outputs."""
        return {a: {label: i for i, label in enumerate(ls)} for a, ls in self.names.items()}

    @cached_property
    def summing(self) -> dict[str, NDArray[np.float32]]:
        """0/1 matrices (types, categories) that add type probabilities up to categories."""
        matrices = {}
        for level, attribute in enumerate(DERIVED_ATTRIBUTES):
            if not self.names[attribute]:
                continue
            matrix = np.zeros(
                (len(self.names["article_type"]), len(self.names[attribute])), dtype=np.float32
            )
            for row, kind in enumerate(self.names["article_type"]):
                matrix[row, self.index[attribute][self.parents[kind][level]]] = 1
            matrices[attribute] = matrix
        return matrices
