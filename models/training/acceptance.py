"""The acceptance rule: which confidence is enough to publish a tag, so that a promise is kept.

Thresholds are chosen on the split `select` and certified on `certify`; `test` is not read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.backends import Outputs
from models.calibrate import AcceptanceRule
from models.card import NEVER
from models.data import Pictures
from models.labels import DERIVED_ATTRIBUTES, DOMAINS, LabelSet, domain_of
from models.predictor import Chosen, domains
from models.training.certification import Part, certified, loosest

#: Share of published tags that are promised to be right, for products on white. The types and
#: categories carry the product's promise; the rest is published where it is likely and never
#: sent to a person.
PROMISES = {
    "article_type": 0.98,
    "sub_category": 0.98,
    "master_category": 0.98,
    "base_colour": 0.85,
    "gender": 0.95,
    "season": 0.85,
    "usage": 0.95,
}
#: The promise for photographs by users. What has no labels there cannot be promised.
PHOTO_PROMISES = {"article_type": 0.95, "sub_category": 0.95, "master_category": 0.95}

#: A domain and an attribute: each pair has a rule of its own.
Key: TypeAlias = tuple[str, str]
Rule: TypeAlias = dict[str, Any]


def correctness(
    chosen: Chosen, pictures: Pictures, label_set: LabelSet, rows: NDArray[np.int64]
) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Tell for each attribute which chosen labels (N,) are right, and where that is known.

    A coarse label makes several article types right, and with them their categories.
    """
    targets = {a: t[rows] for a, t in pictures.targets(label_set).items()}
    right_types = pictures.allowed(label_set)[rows]
    found: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    anything: NDArray[np.bool_] = right_types.any(axis=1)  # type: ignore[assignment] # of an axis
    for attribute, (labels, _) in chosen.items():
        if attribute == "article_type":
            right, known = right_types[np.arange(len(rows)), labels], anything
        elif attribute in DERIVED_ATTRIBUTES:
            above = right_types @ label_set.summing[attribute] > 0
            exact = targets[attribute] >= 0
            right = np.where(
                exact, labels == targets[attribute], above[np.arange(len(rows)), labels]
            )
            known = exact | anything
        else:
            right, known = labels == targets[attribute], targets[attribute] >= 0
        found[attribute] = (right, known)
    return found


@dataclass(frozen=True)
class _Split:
    """One of the splits `select` and `certify`: what was chosen (N,), and what of it is right.

    `datasets` are those of the whole data: one may have no picture in a split.
    """

    chosen: Chosen
    right: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]
    dataset: NDArray[np.str_]
    group: NDArray[np.str_]
    looks: NDArray[np.str_]
    datasets: tuple[str, ...]

    @classmethod
    def of(
        cls, split: str, outputs: Outputs, chosen: Chosen, pictures: Pictures, label_set: LabelSet
    ) -> _Split:
        rows = pictures.indices(split)
        groups = pictures.group if len(pictures.group) else pictures.ids
        right = correctness(chosen, pictures, label_set, rows)
        datasets = tuple(sorted(set(pictures.dataset.tolist())))
        return cls(chosen, right, pictures.dataset[rows], groups[rows], domains(outputs), datasets)

    def of_domain(self, domain: str) -> list[str]:
        """Return the data sets whose pictures belong to a domain."""
        return [dataset for dataset in self.datasets if domain_of(dataset) == domain]

    def parts(self, domain: str, attribute: str) -> dict[str, Part]:
        """Return a domain's data sets, of them the pictures that are taken for the domain."""
        correct, known = self.right[attribute]
        found = {}
        for dataset in self.of_domain(domain):
            rows = (self.dataset == dataset) & (self.looks == domain) & known
            confidence = self.chosen[attribute][1]
            found[dataset] = Part(confidence[rows], correct[rows], self.group[rows])
        return found

    def served(self, thresholds: Mapping[Key, float]) -> dict[Key, dict[str, AcceptanceRule]]:
        """Measure what all thresholds publish together of each data set."""
        by_domain: dict[str, dict[str, float]] = {}
        for (domain, attribute), threshold in thresholds.items():
            by_domain.setdefault(domain, {})[attribute] = threshold
        published = published_by(self.chosen, self.looks, by_domain)
        found: dict[Key, dict[str, AcceptanceRule]] = {}
        for domain, attribute in thresholds:
            correct, known = self.right[attribute]
            for dataset in self.of_domain(domain):
                rows = (self.dataset == dataset) & known
                sure = published[attribute][rows].astype(float)
                part = Part(sure, correct[rows], self.group[rows])
                found.setdefault((domain, attribute), {})[dataset] = part.bounded(1.0)
        return found


def fit_rules(
    outputs: Mapping[str, Outputs],
    chosen: Mapping[str, Chosen],
    pictures: Pictures,
    label_set: LabelSet,
    promise: float | None = None,
) -> dict[str, dict[str, Rule]]:
    """Choose and certify a threshold for each domain and attribute.

    `outputs[split]` and `chosen[split]` belong to the rows of `select` and `certify`. `promise`
    replaces that of the article type and its categories for products on white. A rule holds what
    it promises, its threshold, what it came to on either split among the pictures that were taken
    for the domain, and what all rules together come to on `certify` (`served`). Where they break
    a promise together, its rule becomes stricter; what that cannot mend stands in `served`, which
    is measured, not certified: the rules are made stricter until it fits.
    """
    splits = {s: _Split.of(s, outputs[s], chosen[s], pictures, label_set) for s in outputs}
    present = {domain_of(dataset) for dataset in set(pictures.dataset.tolist())}
    promises = {k: p for k, p in _promises(label_set, promise).items() if k[0] in present}
    parts = {key: {s: split.parts(*key) for s, split in splits.items()} for key in promises}
    ladders = {
        key: certified(parts[key]["select"], parts[key]["certify"], promises[key])
        for key in promises
    }
    while True:
        thresholds = {key: loosest(ladder) for key, ladder in ladders.items()}
        served = splits["certify"].served(thresholds)
        broken = [key for key in promises if ladders[key] and _broken(served, key, promises[key])]
        if not broken:
            break
        for key in broken:
            ladders[key].pop()  # the next stricter threshold that was certified, or none
    rules: dict[str, dict[str, Rule]] = {}
    for key in promises:
        rule = rule_of(promises[key], thresholds[key], parts[key])
        measured = {dataset: asdict(found) for dataset, found in served.get(key, {}).items()}
        rules.setdefault(key[0], {})[key[1]] = {**rule, "served": measured}
    return rules


def _promises(label_set: LabelSet, promise: float | None) -> dict[Key, float]:
    """Return what is promised of each domain and attribute."""
    own = {a: PROMISES[a] for a in label_set.attributes}
    if promise:
        own = {a: promise if p == PROMISES["article_type"] else p for a, p in own.items()}
    of_photos = {a: p for a, p in PHOTO_PROMISES.items() if a in label_set.attributes}
    return {
        (domain, attribute): kept
        for domain in DOMAINS
        for attribute, kept in (own if domain == DOMAINS[0] else of_photos).items()
    }


def _broken(served: Mapping[Key, Mapping[str, AcceptanceRule]], key: Key, promise: float) -> bool:
    return any(found.upper > 1 - promise for found in served.get(key, {}).values())


def rule_of(promise: float, threshold: float, parts: Mapping[str, Mapping[str, Part]]) -> Rule:
    """Describe a rule: what it came to on each split and data set."""
    return {
        "promise": promise,
        "threshold": threshold,
        **{
            split: {d: asdict(part.bounded(threshold)) for d, part in found.items()}
            for split, found in parts.items()
        },
    }


def published_by(
    chosen: Chosen, looks: NDArray[np.str_], thresholds: Mapping[str, Mapping[str, float]]
) -> dict[str, NDArray[np.bool_]]:
    """Tell which tags (N,) thresholds publish, each picture by the domain it is taken for.

    With the type its categories are published. The fashion score, which publishes less, is left
    to the caller.
    """
    sure = {}
    for attribute, (_, confidence) in chosen.items():
        least = np.full(len(looks), NEVER)
        for domain, found in thresholds.items():
            least = np.where(looks == domain, found.get(attribute, NEVER), least)
        sure[attribute] = confidence >= least
    for attribute in DERIVED_ATTRIBUTES:
        if attribute in sure:
            sure[attribute] |= sure["article_type"]
    return sure
