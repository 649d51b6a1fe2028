"""Certification: the least confidence that keeps a promise, bounded at 95 %.

Candidates come from the split `select`; `certify` tests them; `test` is not read here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.bootstrap import Bootstrap, ratio
from models.calibrate import AcceptanceRule, Floats, try_threshold
from models.card import NEVER

#: Shares of the allowed error that thresholds are chosen for, the strictest first.
STRICTNESS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
#: Thresholds are tested at every so-manieth part of the pictures between the candidates.
STEPS = 100
#: How sure certification is (0..1).
CONFIDENCE = 0.95


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
    chosen = [
        threshold
        for threshold in (
            lowest_threshold(confidence, correct, share * (1 - promise)) for share in STRICTNESS
        )
        if threshold <= 1
    ]
    # So few right answers could not bound the error: a test of them would fail for certain. How
    # many are accepted says nothing of how many are right, so that the order stays a fixed one.
    least = math.ceil(math.log(1 - CONFIDENCE) / math.log(promise))
    passed: list[float] = []
    for threshold in _steps(chosen, np.concatenate([p.confidence for p in certify.values()])):
        if any((part.confidence >= threshold).sum() < least for part in certify.values()):
            continue
        if any(part.bounded(threshold).upper > 1 - promise for part in certify.values()):
            break
        passed.append(threshold)
    return passed


def loosest(passed: Sequence[float]) -> float:
    """Return the last of the thresholds that were certified; above 1 where there is none."""
    return passed[-1] if passed else NEVER


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
