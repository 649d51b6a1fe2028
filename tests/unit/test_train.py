"""Fine-tuning: frozen stages, resuming, refusing other settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from errors import UsageError
from models.data import Pictures
from models.datasets.photos import load_backgrounds
from models.labels import LabelSet
from models.network import pretrained_backbone
from models.recipe import parse_stages
from models.train import Stage, TrainSettings, averaging, train
from models.training.material import Material
from tests.unit.tiny import HEIGHT, SETTINGS, WIDTH

Finished = tuple[Path, list[dict[str, Any]]]


def test_progress_tells_step_epoch_and_every_term_of_the_loss(
    finished: Finished, pictures: Pictures
) -> None:
    _, events = finished
    steps = 2 * (len(pictures.indices("train", "catalogue")) // 6)
    assert [event["step"] for event in events] == [*range(20, steps, 20), steps]
    assert events[-1]["steps"] == steps
    assert events[-1]["epoch"] == 2
    assert events[-1]["seconds_left"] == 0
    assert set(events[-1]["loss"]) == set(SETTINGS.term_weights())
    assert all(np.isfinite(value) for value in events[-1]["loss"].values())


class Stop(Exception):
    """Stands for a kill."""


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    finished: Finished,
    pictures: Pictures,
    label_set: LabelSet,
    data_folder: Path,
    tmp_path: Path,
) -> None:
    """The last checkpoint lies one step before the interruption."""
    settings = TrainSettings(**{**vars(SETTINGS), "checkpoint_seconds": 0.0})
    material = Material(pictures, label_set, load_backgrounds(data_folder, HEIGHT, WIDTH))

    def interrupt(event: dict[str, Any]) -> None:
        raise Stop

    with pytest.raises(Stop):
        train(material, tmp_path, settings, interrupt)
    assert (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "network.safetensors").exists()
    events: list[dict[str, Any]] = []
    train(material, tmp_path, settings, events.append)
    assert events[0]["step"] == 20
    resumed = load_file(tmp_path / "network.safetensors")
    whole = load_file(finished[0] / "network.safetensors")
    assert resumed.keys() == whole.keys()
    different = [
        name
        for name, tensor in whole.items()
        if not torch.allclose(resumed[name].float(), tensor.float(), rtol=1e-3, atol=1e-5)
    ]
    assert different == []


def test_a_finished_run_started_again_trains_no_further(
    finished: Finished, pictures: Pictures, label_set: LabelSet
) -> None:
    run, _ = finished
    before = load_file(run / "network.safetensors")
    events: list[dict[str, Any]] = []
    train(Material(pictures, label_set), run, SETTINGS, events.append)
    after = load_file(run / "network.safetensors")
    assert events == []
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"batch_size": 4}, {"stages": (Stage(1, HEIGHT, WIDTH),)}]
)
def test_a_run_with_other_settings_is_not_gone_on_with(
    finished: Finished,
    pictures: Pictures,
    label_set: LabelSet,
    change: dict[str, Any],
) -> None:
    settings = TrainSettings(**{**vars(SETTINGS), **change})
    with pytest.raises(UsageError, match="other settings or data; name another folder with --run"):
        train(Material(pictures, label_set), finished[0], settings)


def test_a_run_with_other_data_is_not_gone_on_with(
    finished: Finished, pictures: Pictures, label_set: LabelSet
) -> None:
    other = Pictures(**{**vars(pictures), "digest": "0" * 64})
    with pytest.raises(UsageError, match="other settings or data"):
        train(Material(other, label_set), finished[0], SETTINGS)


def test_a_run_on_another_split_is_not_gone_on_with(
    finished: Finished, pictures: Pictures, label_set: LabelSet
) -> None:
    moved = np.where(pictures.split == "select", "train", pictures.split)
    other = Pictures(**{**vars(pictures), "split": moved})
    with pytest.raises(UsageError, match="other settings or data"):
        train(Material(other, label_set), finished[0], SETTINGS)


def test_the_average_of_a_short_run_forgets_its_first_steps() -> None:
    averaged, update = [torch.zeros(1)], averaging(0.998)
    for count in range(1, 101):
        update(averaged, [torch.ones(1)], count)
    assert averaged[0].item() > 0.99
    late = [torch.zeros(1)]
    update(late, [torch.ones(1)], 100_000)
    assert late[0].item() == pytest.approx(0.002)


def test_too_few_pictures_for_a_batch_are_reported(
    pictures: Pictures, label_set: LabelSet, tmp_path: Path
) -> None:
    settings = TrainSettings(**{**vars(SETTINGS), "batch_size": 1000})
    with pytest.raises(UsageError, match="fewer than a batch of 1000"):
        train(Material(pictures, label_set), tmp_path, settings)


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("3:64x48", (Stage(3, 64, 48),)),
        ("3:64x48, 6:96x72", (Stage(3, 64, 48), Stage(6, 96, 72))),
    ],
)
def test_stages_are_parsed(text: str, stages: tuple[Stage, ...]) -> None:
    assert parse_stages(text) == stages


@pytest.mark.parametrize("text", ["", "3", "3:64", "3:64x", "a:64x48", "3:64x48,", "-1:64x48"])
def test_stages_that_cannot_be_parsed_are_reported_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"write EPOCHS:HEIGHTxWIDTH, e\.g\."):
        parse_stages(text)


# Settings that did not exist when a run began


def test_a_run_begun_before_a_setting_existed_is_gone_on_with(
    finished: Finished, pictures: Pictures, label_set: LabelSet, tmp_path: Path
) -> None:
    """Its `run.json` lacks the setting; what it lacks had no effect then."""
    run = tmp_path / "old"
    shutil.copytree(finished[0], run)
    text = (run / "run.json").read_text()
    recorded = json.loads(text)
    del recorded["settings"]["start_from"]
    del recorded["settings"]["weight_decay"]
    (run / "run.json").write_text(json.dumps(recorded))
    before = load_file(run / "network.safetensors")
    train(Material(pictures, label_set), run, SETTINGS)
    after = load_file(run / "network.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (run / "run.json").read_text() == text


def test_a_run_begun_before_a_setting_existed_is_refused_where_another_value_is_wanted(
    finished: Finished, pictures: Pictures, label_set: LabelSet, tmp_path: Path
) -> None:
    recorded = json.loads((finished[0] / "run.json").read_text())
    del recorded["settings"]["frozen"]
    (tmp_path / "run.json").write_text(json.dumps(recorded))
    with pytest.raises(UsageError, match="other settings or data"):
        train(Material(pictures, label_set), tmp_path, SETTINGS)


# Frozen stages


def test_training_changes_all_but_the_frozen_stages(finished: Finished) -> None:
    """Neither their weights nor their batch-norm statistics; of the later stages both."""
    trained = load_file(finished[0] / "network.safetensors")
    frozen = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.", "blocks.2.")
    same: dict[bool, set[bool]] = {True: set(), False: set()}
    for name, before in pretrained_backbone().state_dict().items():
        if before.is_floating_point():
            unchanged = torch.equal(before, trained[f"backbone.{name}"])
            same[name.startswith(frozen)].add(unchanged)
            assert unchanged == name.startswith(frozen), name
    assert same == {True: {True}, False: {False}}
