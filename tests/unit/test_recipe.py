"""The whole recipe with settings that the shipped version does not have."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
from PIL import Image

from errors import UsageError
from models.backends import OpenVinoBackend, TorchBackend
from models.card import Card
from models.data import Pictures
from models.recipe import load_all, measure, run_recipe
from models.train import Stage
from models.training.backbones import build_backbone
from tests.unit.tiny import HEIGHT, SETTINGS, WIDTH

ONE_EPOCH = dataclasses.replace(SETTINGS, stages=(Stage(1, HEIGHT, WIDTH),))


@pytest.fixture(scope="module")
def other(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version on a network of timm, trained on near-duplicate groups."""
    folder = tmp_path_factory.mktemp("other")
    built = build_backbone("test_resnet")[0]
    settings = dataclasses.replace(ONE_EPOCH, backbone=built.name, frozen=0, split="grouped")
    found = run_recipe(data_folder, folder / "run", folder, None, settings, None, built)
    assert found is not None
    return found[0]


def test_a_version_on_another_network_says_so(other: Path) -> None:
    card = Card.load(other)
    assert other.name.startswith("test_resnet-")
    assert card.raw["backbone"] == "timm/test_resnet, fine-tuned"
    assert card.raw["network"]["backbone"] == "timm/test_resnet"
    assert card.raw["training"]["backbone"] == "timm/test_resnet"


def test_a_version_on_another_network_is_served_as_it_was_trained(
    other: Path, pictures: Pictures
) -> None:
    """Its look at fashion needs frozen stages: it has none, and goes by its logits."""
    pixels = pictures.pixels[pictures.indices("test")]
    served, trained = OpenVinoBackend(other).infer(pixels), TorchBackend(other).infer(pixels)
    assert "fashion_similarity" not in served
    assert served.keys() == trained.keys()
    for name in served:
        assert served[name] == pytest.approx(trained[name], abs=2e-2), name


def test_a_version_is_measured_on_the_split_that_it_was_trained_on(
    other: Path, data_folder: Path
) -> None:
    card = Card.load(other)
    assert card.raw["data"]["split"] == "grouped"
    grouped, _ = load_all(data_folder, HEIGHT, WIDTH, split="grouped")
    random, _ = load_all(data_folder, HEIGHT, WIDTH)
    assert (grouped.split != random.split).any()
    steps: list[tuple[str, int, int]] = []
    found = measure(card, data_folder, progress=lambda *step: steps.append(step))
    assert "these are not the data" not in found.text
    assert np.array_equal(found.evidence.pictures.split, grouped.split)
    assert found.figures == json.loads(json.dumps(card.raw["test"]))
    assert {doing for doing, _, _ in steps} == {"reading pictures", "asking the model"}
    assert all(done <= total for _, done, total in steps)


def test_a_version_learns_from_teachers(exported: Path, data_folder: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    settings = dataclasses.replace(ONE_EPOCH, teachers=(exported.name,))
    weights = exported.parent
    found = run_recipe(data_folder, tmp_path / "run", weights, "pupil", settings, events.append)
    assert found is not None
    assert Card.load(found[0]).raw["training"]["teachers"] == [exported.name]
    asking = [event for event in events if event.get("doing") == "asking teachers"]
    assert asking[-1]["step"] == asking[-1]["steps"]
    assert events.index(asking[-1]) < len(events) - 1


@pytest.mark.parametrize("role", ["start_from", "teachers"])
def test_versions_of_another_split_are_refused_before_anything_is_read(
    exported: Path, tmp_path: Path, role: str
) -> None:
    """It knows pictures that the new split would measure by."""
    value = exported.name if role == "start_from" else (exported.name,)
    settings = dataclasses.replace(ONE_EPOCH, split="by_year", **{role: value})
    with pytest.raises(UsageError, match="was trained on the split random"):
        run_recipe(tmp_path / "none", tmp_path / "run", exported.parent, None, settings)
    assert not (tmp_path / "run").exists()


def test_a_version_that_is_not_there_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    settings = dataclasses.replace(ONE_EPOCH, teachers=("nobody",))
    with pytest.raises(UsageError, match="no such model version"):
        run_recipe(tmp_path / "none", tmp_path / "run", tmp_path, None, settings)


def test_another_network_s_version_is_nothing_to_start_from(other: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(ONE_EPOCH, split="grouped", start_from=other.name)
    with pytest.raises(UsageError, match="is a timm/test_resnet"):
        run_recipe(tmp_path / "none", tmp_path / "run", other.parent, None, settings)


def test_too_few_pictures_are_reported_before_training(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / "own" / f"kind {number}"
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 40), (number * 80, 0, 0)).save(folder / "1.png")
    with pytest.raises(UsageError, match="3 pictures are too few: none falls into"):
        run_recipe(tmp_path / "own", tmp_path / "run", tmp_path, None, ONE_EPOCH)


def test_a_network_that_cannot_take_the_pictures_is_refused_before_they_are_read(
    tmp_path: Path,
) -> None:
    built = build_backbone("inception_v3")[0]
    settings = dataclasses.replace(SETTINGS, stages=(Stage(1, 32, 24),), frozen=0)
    with pytest.raises(UsageError, match="cannot take pictures of 32×24"):
        run_recipe(tmp_path / "none", tmp_path / "run", tmp_path, None, settings, None, built)


def test_the_usual_network_is_timm_s() -> None:
    assert SETTINGS.backbone in timm.list_models()
