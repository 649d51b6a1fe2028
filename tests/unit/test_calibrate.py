"""Temperatures, bounds, thresholds and calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.calibrate import (
    expected_calibration_error,
    fit_temperature,
    softmax,
    try_threshold,
    upper_error,
)


def draw_logits(
    temperature: float, rows: int = 20_000, labels: int = 8
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and targets drawn from their softmax at a temperature."""
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 3, (rows, labels))
    chances = softmax(logits, temperature)
    targets = (rng.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return logits, np.minimum(targets, labels - 1)


def test_softmax_gives_known_probabilities() -> None:
    found = softmax(np.log(np.array([[1.0, 2.0, 5.0], [1.0, 1.0, 1.0]])))
    assert np.allclose(found, [[0.125, 0.25, 0.625], [1 / 3, 1 / 3, 1 / 3]])


def test_softmax_of_large_logits_does_not_overflow() -> None:
    found = softmax(np.array([[1e4, 1e4 - np.log(3), -1e4]]))
    assert np.allclose(found, [[0.75, 0.25, 0.0]])


def test_a_higher_temperature_flattens_and_keeps_the_order() -> None:
    logits = np.array([[2.0, 1.0, -1.0]])
    sharp, flat = softmax(logits, 0.5)[0], softmax(logits, 4.0)[0]
    assert sharp[0] > softmax(logits)[0, 0] > flat[0]
    assert list(np.argsort(sharp)) == list(np.argsort(flat))
    assert flat.sum() == pytest.approx(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.8, 3.0])
def test_the_temperature_that_made_the_targets_is_found_again(temperature: float) -> None:
    logits, targets = draw_logits(temperature)
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.04)


def test_the_fitted_temperature_calibrates_an_overconfident_network() -> None:
    logits, targets = draw_logits(2.5)
    fitted = fit_temperature(logits.astype(np.float32), targets)
    errors = []
    for temperature in (1.0, fitted):
        probabilities = softmax(logits, temperature)
        errors.append(
            expected_calibration_error(
                probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
            )
        )
    assert errors[0] > 0.1
    assert errors[1] < 0.02


@pytest.mark.parametrize("accepted", [1, 10, 59, 1000])
def test_no_error_among_n_is_bounded_as_the_closed_form_says(accepted: int) -> None:
    assert upper_error(0, accepted) == pytest.approx(1 - 0.05 ** (1 / accepted), abs=1e-9)


@pytest.mark.parametrize(("wrong", "accepted"), [(1, 20), (5, 100), (22, 1569)])
def test_at_the_bound_so_few_errors_are_seen_once_in_twenty(wrong: int, accepted: int) -> None:
    """The definition of Clopper and Pearson, with the binomial sum written out."""
    from scipy.stats import binom

    bound = upper_error(wrong, accepted)
    assert float(binom.cdf(wrong, accepted, bound)) == pytest.approx(0.05, abs=1e-6)
    assert bound > wrong / accepted


@pytest.mark.parametrize(("wrong", "accepted"), [(0, 0), (3, 3)])
def test_where_nothing_is_known_the_bound_is_one(wrong: int, accepted: int) -> None:
    assert upper_error(wrong, accepted) == 1.0


def test_a_higher_level_of_trust_gives_a_higher_bound() -> None:
    assert upper_error(2, 100, confidence=0.99) > upper_error(2, 100, confidence=0.95)


def test_a_threshold_is_measured_on_all_pictures() -> None:
    confidence = np.array([0.9, 0.8, 0.8, 0.4])
    rule = try_threshold(0.8, confidence, np.array([True, False, True, False]))
    assert (rule.accepted, rule.wrong, rule.total) == (3, 1, 4)
    assert rule.upper == upper_error(1, 3)
    assert try_threshold(1.01, confidence, np.ones(4, bool)).accepted == 0


def test_a_tried_threshold_counts_what_it_accepts() -> None:
    confidence = np.array([0.9, 0.8, 0.8, 0.3])
    correct = np.array([True, False, True, False])
    rule = try_threshold(0.8, confidence, correct)
    assert (rule.accepted, rule.wrong, rule.total) == (3, 1, 4)


def test_perfect_calibration_has_no_error() -> None:
    confidence = np.concatenate([np.full(10, 0.7), np.full(10, 0.4), np.full(10, 1.0)])
    correct = np.concatenate([np.arange(10) < 7, np.arange(10) < 4, np.ones(10, bool)])
    assert expected_calibration_error(confidence, correct) == pytest.approx(0, abs=1e-12)


def test_the_error_weighs_each_gap_by_its_share_of_pictures() -> None:
    """Thirty at 0.9 of which 60 % are right, ten at 0.3 of which 50 % are right."""
    confidence = np.concatenate([np.full(30, 0.9), np.full(10, 0.3)])
    correct = np.concatenate([np.arange(30) < 18, np.arange(10) < 5])
    expected = 0.75 * 0.3 + 0.25 * 0.2
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)


def test_a_confidence_of_one_that_is_always_wrong_is_the_worst() -> None:
    assert expected_calibration_error(np.ones(5), np.zeros(5, bool)) == pytest.approx(1)
