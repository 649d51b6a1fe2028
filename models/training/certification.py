"""Certification: the least confidence that keeps a promise, bounded at 95 %.

The split `certify` tests thresholds; `select` says where the tests begin, and keeps out those that
break the promise there; `test` is not read here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.bootstrap import Bootstrap, ratio
from models.calibrate import AcceptanceRule, Floats, try_threshold, upper_error
from models.card import NEVER

#: Thresholds are tested in steps of one in so many pictures.
STEPS = 100
#: The tests begin where the expected bound leaves this share of the allowed error free.
ROOM = 0.5
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

    The promise must be kept on each data set for itself. `certify` tests thresholds in a fixed
    order, each a step of a hundredth of the pictures laxer than the one before, and stops at the
    first whose upper bound breaks the promise: then all that passed hold together without a
    correction for their number (Angelopoulos et al., 'Learn then test', 2021). `select` says where
    the tests begin, and keeps out those that break the promise there.
    """
    steps = _steps(np.concatenate([part.confidence for part in certify.values()]))
    if not steps or not all(len(part.confidence) for part in select.values()):
        return []
    expected = [
        max(_expected_bound(step, select.get(name), part) for name, part in certify.items())
        for step in steps
    ]
    roomy = [step for step, bound in enumerate(expected) if bound <= ROOM * (1 - promise)]
    first = roomy[0] if roomy else int(np.argmin(expected))
    passed: list[float] = []
    for threshold in steps[first:]:
        if any(part.bounded(threshold).upper > 1 - promise for part in certify.values()):
            break
        passed.append(threshold)
    return [
        threshold
        for threshold in passed
        if all(error(threshold, part) <= 1 - promise for part in select.values())
    ]


def error(threshold: float, part: Part) -> float:
    """Return the share of wrong ones among what a threshold accepts (0..1)."""
    wrong = ~part.correct[part.confidence >= threshold]
    return float(wrong.mean()) if len(wrong) else 0.0


def _expected_bound(threshold: float, select: Part | None, certify: Part) -> float:
    """Bound the error that `certify` would show if it erred as often as `select` does.

    The tests begin where this leaves room for errors that `select` did not show, or where it is
    least: among few pictures one error breaks a promise that many would keep, and the first test
    that fails ends all. What is asked of `certify` is how many it accepts, never how many are
    right, so that the order of the tests stays a fixed one.
    """
    accepted = int((certify.confidence >= threshold).sum())
    seen = None if select is None else try_threshold(threshold, select.confidence, select.correct)
    share = seen.wrong / seen.accepted if seen and seen.accepted else 0.0
    return upper_error(math.ceil(share * accepted), accepted)


def loosest(passed: Sequence[float]) -> float:
    """Return the last of the thresholds that were certified; above 1 where there is none."""
    return passed[-1] if passed else NEVER


def _steps(confidence: Floats) -> list[float]:
    """Return confidences (N,) that occur, a hundredth of the pictures apart, the highest first."""
    values = np.sort(confidence)[::-1]
    places = np.arange(0, len(values), max(1, len(values) // STEPS))
    return sorted({float(value) for value in (*values[places], *values[-1:])}, reverse=True)
