"""The bootstrap: intervals that hold what they say, over groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from models.bootstrap import Bootstrap, calibration_error, macro_f1, ratio
from models.calibrate import expected_calibration_error


def test_intervals_cover_a_known_share_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        right = random.random(150) < 0.8
        values = np.stack([right, np.ones(150)], axis=1)
        found = Bootstrap(np.arange(150), draws=200, seed=seed).interval(values, ratio)
        assert found is not None
        covered += found["low"] <= 0.8 <= found["high"]
    # 95 % of 200, four standard errors to each side.
    assert 178 <= covered <= 199


def test_copies_of_pictures_make_no_interval_narrower_where_their_groups_are_known() -> None:
    right = np.random.default_rng(2).random(100) < 0.7
    once = np.stack([right, np.ones(100)], axis=1)
    copied, group = np.repeat(once, 9, axis=0), np.repeat(np.arange(100), 9)

    def width(values: NDArray[Any], groups: NDArray[Any]) -> float:
        found = Bootstrap(groups).interval(values, ratio)
        assert found is not None
        return found["high"] - found["low"]

    single = width(once, np.arange(100))
    assert width(copied, group) == pytest.approx(single)
    assert width(copied, np.arange(900)) == pytest.approx(single / 3, rel=0.25)


def test_each_draw_draws_as_many_groups_as_there_are() -> None:
    groups = np.array(["a", "a", "b", "c", "c", "c"])
    sizes = np.array([[1.0, 1 / 2], [1, 1 / 2], [1, 1], [1, 1 / 3], [1, 1 / 3], [1, 1 / 3]])
    pictures, drawn = Bootstrap(groups, draws=300).totals(sizes).T
    assert drawn == pytest.approx(np.full(300, 3))
    assert set(np.round(pictures)) == {3, 4, 5, 6, 7, 8, 9}


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.stack([np.arange(50) % 3 == 0, np.ones(50)], axis=1)
    one, again, other = (
        Bootstrap(np.arange(50), seed=s).interval(values, ratio) for s in (0, 0, 1)
    )
    assert one == again != other


def test_a_figure_that_no_picture_gives_has_no_interval() -> None:
    assert Bootstrap(np.arange(5)).interval(np.zeros((5, 2)), ratio) is None


def test_macro_f1_of_sums_is_scikit_learn_s() -> None:
    random = np.random.default_rng(3)
    truth, given = random.integers(0, 5, 200), random.integers(0, 6, 200)
    sums = [np.bincount(t, minlength=6) for t in (truth[truth == given], given, truth)]
    expected = f1_score(truth, given, labels=range(5), average="macro")
    assert macro_f1(np.concatenate(sums)[None].astype(float))[0] == pytest.approx(expected)


def test_calibration_error_of_sums_is_that_of_calibration() -> None:
    random = np.random.default_rng(4)
    confidence = random.random(300)
    correct = random.random(300) < confidence**2
    place = np.minimum((confidence * 15).astype(int), 14)
    sums = [np.bincount(place, w, minlength=15) for w in (confidence, correct, np.ones(300))]
    expected = expected_calibration_error(confidence, correct)
    assert calibration_error(np.concatenate(sums)[None].astype(float))[0] == pytest.approx(expected)
