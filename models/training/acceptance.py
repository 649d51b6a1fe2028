"""The acceptance rule: which confidence is enough to publish a tag, so that a promise is kept.

Thresholds are chosen on the split `select` and certified on `certify`; `test` is not read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backends import Outputs
from models.calibrate import Floats, try_threshold
from models.card import NEVER
from models.data import Pictures
from models.labels import DERIVED_ATTRIBUTES, DOMAINS, LabelSet, domain_of
from models.predictor import Chosen, domains

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
#: Shares of the allowed error that thresholds are chosen for, the strictest first.
STRICTNESS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
#: How sure certification is (0..1).
CONFIDENCE = 0.95


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


def fit_rules(
    outputs: Mapping[str, Outputs],
    chosen: Mapping[str, Chosen],
    pictures: Pictures,
    label_set: LabelSet,
    promise: float | None = None,
) -> dict[str, dict[str, Any]]:
    """Choose and certify a threshold for each domain and attribute.

    `outputs[split]` and `chosen[split]` belong to the rows of `select` and `certify`. `promise`
    replaces that of the article type and its categories for products on white.
    """
    rows = {split: pictures.indices(split) for split in outputs}
    right = {s: correctness(chosen[s], pictures, label_set, rows[s]) for s in outputs}
    taken_for = {s: domains(o) for s, o in outputs.items()}
    promises = {
        "catalogue": {
            a: promise if promise and PROMISES[a] == PROMISES["article_type"] else PROMISES[a]
            for a in label_set.attributes
        },
        **{
            domain: {a: p for a, p in PHOTO_PROMISES.items() if a in label_set.attributes}
            for domain in DOMAINS[1:]
        },
    }
    datasets = {
        domain: [d for d in sorted(set(pictures.dataset)) if domain_of(d) == domain]
        for domain in DOMAINS
    }
    rules: dict[str, dict[str, Any]] = {}
    for domain, wanted in promises.items():
        if not datasets[domain]:
            continue
        rules[domain] = {}
        for attribute, kept in wanted.items():
            parts = {
                split: {
                    dataset: _part(
                        chosen[split][attribute][1],
                        *right[split][attribute],
                        (pictures.dataset[rows[split]] == dataset) & (taken_for[split] == domain),
                    )
                    for dataset in datasets[domain]
                }
                for split in outputs
            }
            rules[domain][attribute] = certified_rule(parts["select"], parts["certify"], kept)
    return rules


Part = tuple[Floats, NDArray[np.bool_]]


def _part(
    confidence: Floats,
    right: NDArray[np.bool_],
    known: NDArray[np.bool_],
    rows: NDArray[np.bool_],
) -> Part:
    return confidence[rows & known], right[rows & known]


def certified_rule(
    select: Mapping[str, Part], certify: Mapping[str, Part], promise: float
) -> dict[str, Any]:
    """Choose a threshold on `select` that keeps the promise on `certify` at 95 %.

    Both hold (confidence, correct) a data set; the promise must be kept on each data set for
    itself. Candidates come from `select` alone, each for a share of the allowed error. `certify`
    tests them from the strictest on and stops at the first whose upper bound breaks the promise:
    tests in a fixed order need no correction for their number (Angelopoulos et al., 'Learn then
    test', 2021). Where even the strictest fails, nothing is accepted.
    """
    confidence, correct = (np.concatenate(parts) for parts in zip(*select.values(), strict=True))
    # So few right answers could not bound the error: a test of them would fail for certain.
    least = (
        np.log(1 - CONFIDENCE) / np.log(promise) / max(1, min(len(c) for c, _ in certify.values()))
    )
    chosen = NEVER
    for share in STRICTNESS:
        threshold = lowest_threshold(confidence, correct, share * (1 - promise))
        if threshold > 1 or (confidence >= threshold).mean() < least:
            continue
        tried = [try_threshold(threshold, *part) for part in certify.values()]
        if any(rule.upper > 1 - promise for rule in tried):
            break
        chosen = threshold
    return {
        "promise": promise,
        "threshold": chosen,
        "select": {d: asdict(try_threshold(chosen, *part)) for d, part in select.items()},
        "certify": {d: asdict(try_threshold(chosen, *part)) for d, part in certify.items()},
    }


def lowest_threshold(confidence: Floats, correct: NDArray[np.bool_], allowed: float) -> float:
    """Return the lowest threshold whose share of wrong among the accepted is at most `allowed`.

    Above 1 where there is none. What the luck of the choice is worth, certification sees.
    """
    order = np.argsort(-confidence, kind="stable")
    values = confidence[order]
    wrong = np.cumsum(~correct[order]) / np.arange(1, len(order) + 1)
    ends = np.append(values[1:] != values[:-1], True)  # a threshold cannot part equal confidences
    good = np.flatnonzero((wrong <= allowed) & ends)
    return float(values[good[-1]]) if len(good) else NEVER
