"""The acceptance rule: which confidence is enough to publish a tag, so that a promise is kept.

Thresholds are chosen on the split `select` and certified on `certify`; `test` is not read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backends import Outputs
from models.bootstrap import Bootstrap, ratio
from models.calibrate import AcceptanceRule, Floats, try_threshold
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
#: Tests of all pictures that certification may take at most.
STEPS = 100
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
    replaces that of the article type and its categories for products on white. A rule holds what
    it promises, its threshold, what it came to on either split among the pictures that were taken
    for the domain, and what all rules together come to on `certify` (`served`). Where they break
    a promise together, its rule becomes stricter; what that cannot mend stands in `served`.
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
    groups = pictures.group if len(pictures.group) else pictures.ids
    rules: dict[str, dict[str, Any]] = {}
    ladders: dict[tuple[str, str], list[float]] = {}
    parts: dict[tuple[str, str], dict[str, dict[str, Part]]] = {}
    for domain, wanted in promises.items():
        if not datasets[domain]:
            continue
        rules[domain] = {}
        for attribute, kept in wanted.items():
            found = {
                split: {
                    dataset: _part(
                        chosen[split][attribute][1],
                        *right[split][attribute],
                        groups[rows[split]],
                        (pictures.dataset[rows[split]] == dataset) & (taken_for[split] == domain),
                    )
                    for dataset in datasets[domain]
                }
                for split in outputs
            }
            parts[domain, attribute] = found
            ladders[domain, attribute] = certified(found["select"], found["certify"], kept)
    while True:
        for domain, attribute in ladders:
            threshold = ladders[domain, attribute][-1] if ladders[domain, attribute] else NEVER
            rules[domain][attribute] = _rule(
                promises[domain][attribute], threshold, parts[domain, attribute]
            )
        published = published_by(
            chosen["certify"],
            taken_for["certify"],
            {d: {a: rule["threshold"] for a, rule in found.items()} for d, found in rules.items()},
        )
        broken = []
        for (domain, attribute), ladder in ladders.items():
            for dataset in datasets[domain]:
                correct, known = right["certify"][attribute]
                own = (pictures.dataset[rows["certify"]] == dataset) & known
                served = Part(
                    published[attribute][own].astype(float), correct[own],
                    groups[rows["certify"]][own],
                ).bounded(1.0)  # fmt: skip
                rules[domain][attribute].setdefault("served", {})[dataset] = asdict(served)
                if ladder and served.upper > 1 - promises[domain][attribute]:
                    broken.append(ladder)
        if not broken:
            return rules
        for ladder in {id(one): one for one in broken}.values():
            ladder.pop()  # the next stricter threshold that was certified, or none


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


@dataclass(frozen=True)
class Part:
    """Pictures of one data set: confidence (N,), whether right (N,), and groups (N,) or None.

    Pictures of one sender, of one photograph or of one product err together.
    """

    confidence: Floats
    correct: NDArray[np.bool_]
    group: NDArray[np.str_] | None = None

    def bounded(self, threshold: float) -> AcceptanceRule:
        """Measure a threshold; bound its error at 95 %.

        By Clopper-Pearson, and where pictures come in groups by a bootstrap over these too: the
        larger of both counts.
        """
        rule = try_threshold(threshold, self.confidence, self.correct)
        draws = self._draws
        if draws is None or not rule.accepted:
            return rule
        accepted = self.confidence >= threshold
        counts = np.stack([accepted & ~self.correct, accepted], axis=1).astype(float)
        by_groups = float(np.nanquantile(ratio(draws.totals(counts)), CONFIDENCE))
        return replace(rule, upper=max(rule.upper, by_groups))

    @cached_property
    def _draws(self) -> Bootstrap | None:
        if self.group is None or len(np.unique(self.group)) == len(self.group):
            return None
        return Bootstrap(self.group)


def _part(
    confidence: Floats,
    right: NDArray[np.bool_],
    known: NDArray[np.bool_],
    groups: NDArray[np.str_],
    rows: NDArray[np.bool_],
) -> Part:
    used = rows & known
    return Part(confidence[used], right[used], groups[used])


def _rule(
    promise: float, threshold: float, parts: Mapping[str, Mapping[str, Part]]
) -> dict[str, Any]:
    return {
        "promise": promise,
        "threshold": threshold,
        **{
            split: {d: asdict(part.bounded(threshold)) for d, part in found.items()}
            for split, found in parts.items()
        },
    }


def certified(
    select: Mapping[str, Part], certify: Mapping[str, Part], promise: float
) -> list[float]:
    """Return thresholds that keep the promise at 95 %, the strictest first; none where none does.

    The promise must be kept on each data set for itself. `select` chooses where the tests begin
    and where they end; between, each step lets one more in a hundred pictures in. `certify` tests
    the steps from the strictest on and stops at the first whose upper bound breaks the promise:
    tests in a fixed order need no correction for their number (Angelopoulos et al., 'Learn then
    test', 2021).
    """
    confidence = np.concatenate([part.confidence for part in select.values()])
    correct = np.concatenate([part.correct for part in select.values()])
    # So few right answers could not bound the error: a test of them would fail for certain.
    least = (
        np.log(1 - CONFIDENCE)
        / np.log(promise)
        / max(1, min(len(part.confidence) for part in certify.values()))
    )
    chosen = [
        threshold
        for threshold in (
            lowest_threshold(confidence, correct, share * (1 - promise)) for share in STRICTNESS
        )
        if threshold <= 1 and (confidence >= threshold).mean() >= least
    ]
    passed: list[float] = []
    for threshold in _steps(chosen, np.concatenate([p.confidence for p in certify.values()])):
        if any(part.bounded(threshold).upper > 1 - promise for part in certify.values()):
            break
        passed.append(threshold)
    return passed


def _steps(chosen: Sequence[float], confidence: Floats) -> list[float]:
    """Return thresholds from the strictest to the laxest of `chosen`, a step a hundredth.

    The steps are confidences (N,) that occur; whether they were right plays no part in the order.
    """
    if not chosen:
        return []
    values = confidence[np.argsort(-confidence, kind="stable")]
    first, last = (int((values >= edge).sum()) for edge in (max(chosen), min(chosen)))
    between = values[np.arange(first, last, max(1, len(values) // STEPS))]
    return sorted({*chosen, *(float(value) for value in between)}, reverse=True)


def certified_rule(
    select: Mapping[str, Part], certify: Mapping[str, Part], promise: float
) -> dict[str, Any]:
    """Return the rule with the loosest threshold that is `certified`."""
    passed = certified(select, certify, promise)
    return _rule(promise, passed[-1] if passed else NEVER, {"select": select, "certify": certify})


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
