"""Searching hyper-parameters on a tiny data set."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from errors import UsageError
from models.data import Pictures
from models.labels import LabelSet
from models.network import TagNetwork, head_sizes
from models.train import Stage
from models.training.material import Material
from models.training.tune import Trial, accuracy, tune
from tests.unit.tiny import SETTINGS

BASE = replace(SETTINGS, stages=(Stage(1, 32, 24),))


class Stop(Exception):
    """Stands for a kill."""


def test_a_study_that_was_stopped_goes_on_and_returns_its_best_trial(
    pictures: Pictures, label_set: LabelSet, tmp_path: Path
) -> None:
    """Two trials of three, a stop, and the third; none is done twice."""
    seen: list[Trial] = []

    def stop_after_two(trial: Trial) -> None:
        seen.append(trial)
        if len(seen) == 2:
            raise Stop

    with pytest.raises(Stop):
        tune(Material(pictures, label_set), tmp_path, BASE, 3, report=stop_after_two)
    best = tune(Material(pictures, label_set), tmp_path, BASE, 3, report=seen.append)
    again = tune(Material(pictures, label_set), tmp_path, BASE, 3, report=seen.append)
    assert again == best
    # The trial that was being reported when the stop came was not finished: it is tried anew.
    assert len(seen) == 4
    assert seen[1].settings == seen[2].settings
    finished = [seen[0], *seen[2:]]
    assert best.score == max(trial.score for trial in finished)
    assert len({tuple(trial.settings.values()) for trial in finished}) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.db", "study.lock"]


def test_a_study_of_other_epochs_or_data_is_not_gone_on_with(
    pictures: Pictures, label_set: LabelSet, tmp_path: Path
) -> None:
    tune(Material(pictures, label_set), tmp_path, BASE, 1)
    longer = replace(BASE, stages=(Stage(2, 32, 24),))
    others = Pictures(**{**vars(pictures), "digest": "0" * 64})
    for data, settings in ((pictures, longer), (others, BASE)):
        with pytest.raises(UsageError, match="name another folder with --study"):
            tune(Material(data, label_set), tmp_path, settings, 2)


def test_two_at_once_do_not_share_a_study(
    pictures: Pictures, label_set: LabelSet, tmp_path: Path
) -> None:
    with (tmp_path / "study.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another `hangtag tune` works in"):
            tune(Material(pictures, label_set), tmp_path, BASE, 1)


def test_accuracy_counts_any_label_that_counts_as_right(
    pictures: Pictures, label_set: LabelSet
) -> None:
    """A network that always says one type is as right as that type is often allowed."""
    network = TagNetwork(head_sizes(label_set), frozen=3)
    shirts = label_set.index["article_type"]["Tshirts"]
    network.heads["article_type"].weight.data.zero_()
    network.heads["article_type"].bias.data.zero_()
    network.heads["article_type"].bias.data[shirts] = 1
    allowed = pictures.allowed(label_set)[pictures.indices("select")][:, shirts]
    assert 0 < allowed.mean() < 1
    assert accuracy(network, pictures, label_set) == pytest.approx(float(np.mean(allowed)))
