"""Training on a tiny data set: reading, splitting, resuming, exporting, measuring."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from errors import UsageError
from models.card import Card
from models.data import COLUMNS, PRODUCTS_FILE, SPLITS, Pictures, load_products, split_of
from models.evaluate import evaluate, table
from models.export import MAX_VERSION_BYTES, export_run, write_card
from models.labels import ATTRIBUTES, HEAD_ATTRIBUTES, LabelSet
from models.predictor import Predictor
from models.recipe import parse_stages
from models.train import Stage, TrainSettings, train
from tests.conftest import SAMPLES

# torch says so of its own tracing, which OpenVINO calls.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")

HEIGHT, WIDTH = 32, 24
SETTINGS = TrainSettings(
    stages=(Stage(1, 24, 20), Stage(1, HEIGHT, WIDTH)), batch_size=8, warmup_steps=2, ema_decay=0.5
)
TREE = {
    "Backpacks": ("Bags", "Accessories"),
    "Dresses": ("Dress", "Apparel"),
    "Handbags": ("Bags", "Accessories"),
    "Jackets": ("Topwear", "Apparel"),
    "Jeans": ("Bottomwear", "Apparel"),
    "Tshirts": ("Topwear", "Apparel"),
    "Watches": ("Watches", "Accessories"),
    "Casual Shoes": ("Shoes", "Footwear"),
}
#: Splits with seed 0.
PINNED = {
    0: "train",
    1: "train",
    7: "test",
    12: "certify",
    16: "certify",
    25: "test",
    34: "select",
    36: "select",
}
QUALITIES = (60, 70, 80, 90, 95)


def reencoded(name: str, quality: int) -> bytes:
    """Return a sample as a small JPEG; another quality gives another file."""
    data = io.BytesIO()
    with Image.open(SAMPLES / name) as picture:
        picture.convert("RGB").resize((72, 96)).save(data, "JPEG", quality=quality)
    return data.getvalue()


@pytest.fixture(scope="module")
def rows(sample_labels: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Make some 150 labelled rows from the samples whose type is in the tree."""
    table = []
    for name, (kind, colour) in sample_labels.items():
        if kind not in TREE:
            continue
        for quality in QUALITIES:
            labels = {
                "article_type": kind,
                "sub_category": TREE[kind][0],
                "master_category": TREE[kind][1],
                "base_colour": colour,
                "gender": ("Men", "Women")[len(table) % 2],
                "season": ("Summer", "Winter")[len(table) % 2],
                "usage": ("Casual", "Formal")[len(table) % 2],
            }
            row = {COLUMNS[a]: label for a, label in labels.items()}
            table.append({"id": str(len(table)), "jpeg": reencoded(name, quality), **row})
    return pd.DataFrame(table)


def write_rows(folder: Path, rows: pd.DataFrame) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / PRODUCTS_FILE)
    return folder


@pytest.fixture(scope="module")
def data(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data"), rows)


@pytest.fixture(scope="module")
def pictures(data: Path) -> Pictures:
    return load_products(data, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def label_set(pictures: Pictures) -> LabelSet:
    return LabelSet.from_rows(pictures.labels)


@pytest.fixture(scope="module")
def finished(
    pictures: Pictures, label_set: LabelSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """Train once to the end without interruption; return the run and its progress events."""
    run = tmp_path_factory.mktemp("finished")
    events: list[dict[str, Any]] = []
    label_set.save(run / "labels.json")
    train(pictures, label_set, run, SETTINGS, events.append)
    return run, events


@pytest.fixture(scope="module")
def exported(
    finished: tuple[Path, list[dict[str, Any]]],
    pictures: Pictures,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Export the finished run."""
    weights = tmp_path_factory.mktemp("weights")
    return export_run(finished[0], weights, pictures, HEIGHT, WIDTH, None)


# Reading


def test_all_good_rows_are_read_at_the_wanted_size(pictures: Pictures, rows: pd.DataFrame) -> None:
    assert pictures.pixels.shape == (len(rows), HEIGHT, WIDTH, 3)
    assert pictures.pixels.dtype == np.uint8
    assert list(pictures.ids) == list(rows["id"])
    assert list(pictures.labels["article_type"]) == list(rows["articleType"])
    assert dict(pictures.dropped) == {"missing_label": 0, "undecodable": 0}


def test_rows_without_a_label_and_broken_files_are_dropped_and_counted(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    few = rows.head(12).copy()
    few.loc[1, "gender"] = None
    few.loc[2, "articleType"] = None
    few.loc[[3, 4, 5], "jpeg"] = [few.loc[3, "jpeg"][:200], b"not a picture", b""]
    few.loc[6, "jpeg"] = None
    found = load_products(write_rows(tmp_path, few), HEIGHT, WIDTH)
    assert dict(found.dropped) == {"missing_label": 2, "undecodable": 4}
    assert list(found.ids) == ["0", "7", "8", "9", "10", "11"]
    whole = load_products(write_rows(tmp_path / "whole", rows.head(12)), HEIGHT, WIDTH)
    assert np.array_equal(found.pixels, whole.pixels[[0, 7, 8, 9, 10, 11]])
    assert {len(values) for values in found.labels.values()} == {len(found.split)} == {6}


def test_ids_may_be_numbers(rows: pd.DataFrame, tmp_path: Path) -> None:
    """As in the public data set, where they are; the digest is that of their text."""
    numbered = rows.head(3).assign(id=[10, 11, 12])
    named = rows.head(3).assign(id=["10", "11", "12"])
    one = load_products(write_rows(tmp_path / "one", numbered), HEIGHT, WIDTH)
    two = load_products(write_rows(tmp_path / "two", named), HEIGHT, WIDTH)
    assert list(one.ids) == ["10", "11", "12"]
    assert one.digest == two.digest


@pytest.mark.parametrize("change", ["label", "file", "id"])
def test_the_digest_changes_with_any_part_of_the_data(
    rows: pd.DataFrame, tmp_path: Path, change: str
) -> None:
    few = rows.head(4)
    other = few.copy()
    column, value = {
        "label": ("season", "Fall"),
        "file": ("jpeg", rows["jpeg"][9]),
        "id": ("id", "999"),
    }[change]
    other[column] = [*other[column][:3], value]
    digests = [
        load_products(write_rows(tmp_path / name, table), HEIGHT, WIDTH).digest
        for name, table in (("one", few), ("again", few), ("other", other))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_missing_data_is_reported_with_what_is_wanted(rows: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file; --data wants the folder"):
        load_products(tmp_path, HEIGHT, WIDTH)
    write_rows(tmp_path, rows.head(2).drop(columns=["season", "jpeg"]))
    with pytest.raises(UsageError, match=r"column\(s\) missing: jpeg, season"):
        load_products(tmp_path, HEIGHT, WIDTH)


def test_a_label_that_the_model_does_not_know_has_no_number(
    pictures: Pictures, label_set: LabelSet
) -> None:
    names = {**label_set.names, "gender": ("Men",)}
    targets = pictures.targets(LabelSet(names, label_set.parents))
    men = pictures.labels["gender"] == "Men"
    assert (targets["gender"][men] == 0).all()
    assert (targets["gender"][~men] == -1).all()
    kinds = [label_set.names["article_type"][i] for i in targets["article_type"]]
    assert kinds == list(pictures.labels["article_type"])


# Splits


def test_the_split_of_a_file_never_changes() -> None:
    """Pinned: another rule would move pictures of the test split into training."""
    assert [split_of(f"file {i}", 0) for i in PINNED] == list(PINNED.values())


def test_the_shares_of_the_splits_are_as_stated() -> None:
    counts = Counter(split_of(f"{i}", 0) for i in range(20_000))
    assert set(counts) == set(SPLITS)
    for name, share in SPLITS.items():
        assert counts[name] / 20_000 == pytest.approx(share, abs=0.01)
    assert sum(SPLITS.values()) == pytest.approx(1)


def test_another_seed_draws_another_split() -> None:
    same = sum(split_of(f"{i}", 0) == split_of(f"{i}", 1) for i in range(2000)) / 2000
    assert same == pytest.approx(sum(share**2 for share in SPLITS.values()), abs=0.05)


def test_the_same_file_lies_on_one_side_whatever_its_labels(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    twice = pd.concat([rows, rows.assign(id=[f"copy {i}" for i in rows["id"]], season="Fall")])
    found = load_products(write_rows(tmp_path, twice), HEIGHT, WIDTH)
    assert list(found.split[: len(rows)]) == list(found.split[len(rows) :])
    assert set(found.split) == set(SPLITS)


def test_rows_that_are_added_move_no_other_row(
    rows: pd.DataFrame, pictures: Pictures, tmp_path: Path
) -> None:
    part = load_products(write_rows(tmp_path, rows.iloc[::-2]), HEIGHT, WIDTH)
    assert list(part.split) == list(pictures.split[::-2])


def test_the_splits_share_out_all_rows(pictures: Pictures) -> None:
    indices = np.concatenate([pictures.indices(name) for name in SPLITS])
    assert sorted(indices.tolist()) == list(range(len(pictures.ids)))


# Training


def test_progress_tells_step_epoch_and_every_term_of_the_loss(
    finished: tuple[Path, list[dict[str, Any]]], pictures: Pictures
) -> None:
    _, events = finished
    steps = 2 * (len(pictures.indices("train")) // 8)
    assert [event["step"] for event in events] == [*range(20, steps, 20), steps]
    assert events[-1]["steps"] == steps
    assert events[-1]["epoch"] == 2
    assert events[-1]["seconds_left"] == 0
    assert set(events[-1]["loss"]) == set(SETTINGS.term_weights())
    assert all(np.isfinite(value) for value in events[-1]["loss"].values())


class Stop(Exception):
    """Stands for a kill."""


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    finished: tuple[Path, list[dict[str, Any]]],
    pictures: Pictures,
    label_set: LabelSet,
    tmp_path: Path,
) -> None:
    """The last checkpoint lies one step before the interruption."""
    settings = TrainSettings(**{**vars(SETTINGS), "checkpoint_seconds": 0.0})

    def interrupt(event: dict[str, Any]) -> None:
        raise Stop

    with pytest.raises(Stop):
        train(pictures, label_set, tmp_path, settings, interrupt)
    assert (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "network.safetensors").exists()
    events: list[dict[str, Any]] = []
    train(pictures, label_set, tmp_path, settings, events.append)
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
    finished: tuple[Path, list[dict[str, Any]]], pictures: Pictures, label_set: LabelSet
) -> None:
    run, _ = finished
    before = load_file(run / "network.safetensors")
    events: list[dict[str, Any]] = []
    train(pictures, label_set, run, SETTINGS, events.append)
    after = load_file(run / "network.safetensors")
    assert events == []
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"batch_size": 4}, {"stages": (Stage(1, HEIGHT, WIDTH),)}]
)
def test_a_run_with_other_settings_is_not_gone_on_with(
    finished: tuple[Path, list[dict[str, Any]]],
    pictures: Pictures,
    label_set: LabelSet,
    change: dict[str, Any],
) -> None:
    settings = TrainSettings(**{**vars(SETTINGS), **change})
    with pytest.raises(UsageError, match="other settings or data; name another folder with --run"):
        train(pictures, label_set, finished[0], settings)


def test_a_run_with_other_data_is_not_gone_on_with(
    finished: tuple[Path, list[dict[str, Any]]], pictures: Pictures, label_set: LabelSet
) -> None:
    other = Pictures(**{**vars(pictures), "digest": "0" * 64})
    with pytest.raises(UsageError, match="other settings or data"):
        train(other, label_set, finished[0], SETTINGS)


def test_too_few_pictures_for_a_batch_are_reported(
    pictures: Pictures, label_set: LabelSet, tmp_path: Path
) -> None:
    settings = TrainSettings(**{**vars(SETTINGS), "batch_size": 1000})
    with pytest.raises(UsageError, match="fewer than a batch of 1000"):
        train(pictures, label_set, tmp_path, settings)


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


# Export


def test_the_exported_folder_is_complete_and_readable_by_others(exported: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o044 for path in exported.iterdir()}
    assert modes == dict.fromkeys(
        ["card.json", "labels.json", "model.bin", "model.xml", "network.safetensors"], 0o044
    )
    assert sum(path.stat().st_size for path in exported.iterdir()) <= MAX_VERSION_BYTES


def test_the_card_describes_the_run(exported: Path, pictures: Pictures) -> None:
    card = Card.load(exported)
    assert card.version == exported.name
    assert (card.height, card.width) == (HEIGHT, WIDTH)
    assert card.raw["data"]["sha256"] == pictures.digest
    assert card.raw["data"]["rows"] == len(pictures.ids)
    assert card.raw["data"]["splits"] == {n: len(pictures.indices(n)) for n in SPLITS}
    assert card.raw["training"]["seed"] == 0
    assert card.raw["training"]["stages"][1] == {"epochs": 1, "height": HEIGHT, "width": WIDTH}
    assert set(card.temperatures) == set(HEAD_ATTRIBUTES)
    assert set(card.thresholds) == set(ATTRIBUTES)
    assert set(card.fashion) == {"midpoint", "scale", "threshold"}


def test_so_few_pictures_certify_nothing(exported: Path, pictures: Pictures) -> None:
    """A dozen right answers do not bound an error of 2 %: nothing may be accepted."""
    assert len(pictures.indices("select")) < 100
    assert Card.load(exported).thresholds["article_type"] > 1


def test_the_exported_version_predicts(exported: Path, pictures: Pictures) -> None:
    predictor = Predictor.load_folder(exported)
    found = predictor.predict(list(pictures.pixels[:5]))
    assert len(found) == 5
    for one in found:
        assert one.tags["article_type"][0] in TREE
        assert (one.tags["sub_category"][0], one.tags["master_category"][0]) == TREE[
            one.tags["article_type"][0]
        ]
        assert float(np.linalg.norm(one.embedding)) == pytest.approx(1, abs=1e-4)


def test_two_epochs_teach_more_than_chance(exported: Path, pictures: Pictures) -> None:
    rows = pictures.indices("train")
    found = Predictor.load_folder(exported).predict(list(pictures.pixels[rows]))
    kinds = [one.tags["article_type"][0] for one in found]
    right = np.mean(np.array(kinds) == pictures.labels["article_type"][rows])
    commonest = Counter(pictures.labels["article_type"][rows].tolist()).most_common(1)[0][1]
    assert right > commonest / len(rows) + 0.1


def test_the_version_is_named_by_its_weights(
    exported: Path,
    finished: tuple[Path, list[dict[str, Any]]],
    pictures: Pictures,
    tmp_path: Path,
) -> None:
    again = export_run(finished[0], tmp_path, pictures, HEIGHT, WIDTH, None)
    assert again.name.rpartition("-")[2] == exported.name.rpartition("-")[2]
    assert again.name.startswith("lite0-")


def test_a_split_without_pictures_is_reported(
    finished: tuple[Path, list[dict[str, Any]]], pictures: Pictures, tmp_path: Path
) -> None:
    moved = np.where(pictures.split == "certify", "train", pictures.split)
    other = Pictures(**{**vars(pictures), "split": moved})
    with pytest.raises(UsageError, match="falls into the split certify"):
        export_run(finished[0], tmp_path, other, HEIGHT, WIDTH, "named")
    assert not (tmp_path / "named" / "card.json").exists()


def test_evaluation_measures_the_test_split(
    exported: Path, pictures: Pictures, data: Path, tmp_path: Path
) -> None:
    card = Card.load(exported)
    figures = evaluate(card, pictures, data)
    rows = pictures.indices("test")
    found = Predictor.load_folder(exported).predict(list(pictures.pixels[rows]))
    for attribute in ("article_type", "gender"):
        labels = [one.tags[attribute][0] for one in found]
        right = np.mean(np.array(labels) == pictures.labels[attribute][rows])
        assert figures[attribute]["top1"] == pytest.approx(right)
    assert figures["n_test"] == len(rows) > 0
    assert figures["article_type"]["accepted"] == 0
    assert figures["article_type"]["accepted_precision"] is None
    assert "non_fashion_auroc" not in figures
    lines = table(figures).splitlines()
    assert any(line.startswith("article_type") and "–" in line for line in lines)
    write_card(tmp_path, {**card.raw, "test": figures})
    assert Card.load(tmp_path).raw["test"]["n_test"] == len(rows)
