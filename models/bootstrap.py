"""Confidence intervals by bootstrap over groups: pictures of one product are drawn together.

Groups are drawn with replacement, and a figure is computed anew of each draw; the middle 95 % of
the draws are its interval (Efron and Tibshirani, 'An introduction to the bootstrap', 1993,
chapter 13). Needs scipy (the `train` extra).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

DRAWS = 1000
LEVEL = 0.95
#: Draws that are multiplied at once: bounds the memory.
_BLOCK = 100

#: A figure with its interval: `value`, `low`, `high`.
Interval = dict[str, float]
#: Maps sums (D, K) over the pictures of D draws to a figure a draw (D,); NaN where there is none.
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Bootstrap:
    """Draws of groups, the same for every figure."""

    def __init__(self, groups: NDArray[Any], draws: int = DRAWS, seed: int = 0) -> None:
        """Draw from `groups` (N,), each picture's key."""
        keys, place = np.unique(groups, return_inverse=True)
        rows = np.arange(len(groups))
        self.groups = len(keys)
        self._members = csr_array((np.ones(len(rows)), (place, rows)), (len(keys), len(rows)))
        random = np.random.default_rng(seed)
        #: How often each group was drawn, (draws, groups).
        self._times = np.stack(
            [
                np.bincount(random.integers(len(keys), size=len(keys)), minlength=len(keys))
                for _ in range(draws)
            ]
        ).astype(np.uint8)

    def totals(self, values: Any) -> NDArray[np.float64]:
        """Sum values (N, K), dense or sparse, over the pictures of each draw (draws, K)."""
        grouped = (self._members @ values).T
        blocks = range(0, len(self._times), _BLOCK)
        parts = [grouped @ self._times[i : i + _BLOCK].T.astype(np.float64) for i in blocks]
        totals: NDArray[np.float64] = np.concatenate(parts, axis=1).T
        return totals

    def interval(self, values: Any, statistic: Statistic) -> Interval | None:
        """Return a figure of values (N, K) and its interval; None where it cannot be computed."""
        whole = np.asarray(values.sum(axis=0), dtype=np.float64)
        value = float(statistic(whole[None])[0])
        if np.isnan(value):
            return None
        edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low, high = np.nanquantile(statistic(self.totals(values)), edges)
        return {"value": value, "low": float(low), "high": float(high)}


def ratio(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide the first sum by the second, (D, 2) to (D,); NaN where the second is 0."""
    above, below = totals[:, 0], totals[:, 1]
    shares = np.full(len(totals), np.nan)
    np.divide(above, below, out=shares, where=below > 0)
    return shares


def calibration_error(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the expected calibration error (D,) of sums (D, 3 · bins).

    The sums of confidence, of right answers, and of pictures, a bin each.
    """
    confidence, right, count = np.split(totals, 3, axis=1)
    gaps: NDArray[np.float64] = np.abs(confidence - right).sum(axis=1) / count.sum(axis=1)
    return gaps


def macro_f1(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean F1 (D,) of sums (D, 3 · types) over the types that a draw has pictures of.

    The sums of right answers, of answers, and of pictures, a type each.
    """
    right, answers, support = np.split(totals, 3, axis=1)
    f1 = 2 * right / np.maximum(answers + support, 1)
    present = support > 0
    return ratio(np.stack([(f1 * present).sum(axis=1), present.sum(axis=1)], axis=1))
