"""Calibration: temperatures, and thresholds that keep a promise.

Needs scipy (the `train` extra) for fitting; `softmax` alone is used in serving.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities (N, labels) of logits (N, labels) divided by a temperature."""
    scaled = logits / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(logits: Floats, targets: NDArray[np.int64]) -> float:
    """Return the temperature of least negative log-likelihood.

    Source: Guo et al., 'On calibration of modern neural networks', 2017.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits.astype(np.float64), float(np.exp(log_temperature)))[rows, targets]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def upper_error(wrong: int, accepted: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson upper bound of an error rate (0..1); 1 where nothing is known."""
    from scipy.stats import beta

    if accepted == 0 or wrong >= accepted:
        return 1.0
    return float(beta.ppf(confidence, wrong + 1, accepted - wrong))


@dataclass(frozen=True)
class AcceptanceRule:
    """Accept at or above `threshold`; what that did on the pictures it was tried on.

    `upper` bounds the error rate among the accepted at 95 % (Clopper-Pearson).
    """

    threshold: float
    accepted: int
    wrong: int
    total: int
    upper: float


def try_threshold(
    threshold: float, confidence: Floats, correct: NDArray[np.bool_]
) -> AcceptanceRule:
    """Measure a threshold on pictures it was not chosen on."""
    accepted = confidence >= threshold
    count, wrong = int(accepted.sum()), int((accepted & ~correct).sum())
    return AcceptanceRule(threshold, count, wrong, len(confidence), upper_error(wrong, count))


def expected_calibration_error(
    confidence: Floats, correct: NDArray[np.bool_], bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al., 2017)."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[place == b].mean() - correct[place == b].mean()) * (place == b).mean()
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))
