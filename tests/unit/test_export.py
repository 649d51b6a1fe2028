"""Export: the version's folder, its card, its answers; and measuring it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from errors import UsageError
from models.backends import OpenVinoBackend, Outputs, TorchBackend
from models.card import Card
from models.data import SPLITS, UNKNOWN, Pictures
from models.evaluate import evaluate, table
from models.labels import ATTRIBUTES, DOMAINS, HEAD_ATTRIBUTES, LabelSet
from models.network import TagNetwork, head_sizes, load_network, to_images
from models.predictor import Predictor
from models.train import Stage, TrainSettings, train
from models.training import export as export_module
from models.training.acceptance import PHOTO_PROMISES
from models.training.export import (
    FITTED_ON,
    MAX_VERSION_BYTES,
    choose_precision,
    export_run,
    infer_all,
    write_card,
)
from models.training.material import Material
from tests.unit.tiny import HEIGHT, SETTINGS, TREE, WIDTH
from worker.routing import route

# torch says so of its own tracing, which OpenVINO calls.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")

Finished = tuple[Path, list[dict[str, Any]]]


def gap(values: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Largest difference, against the largest value."""
    return float(np.abs(values - others).max() / np.abs(others).max())


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
    assert card.raw["data"]["datasets"] == dict(Counter(pictures.dataset.tolist()))
    assert card.raw["training"]["seed"] == 0
    assert card.raw["training"]["frozen"] == 3
    assert card.raw["training"]["stages"][1] == {"epochs": 1, "height": HEIGHT, "width": WIDTH}
    assert set(card.temperatures) == set(HEAD_ATTRIBUTES)
    assert {s: set(t) for s, t in card.thresholds.items()} == {
        "catalogue": set(ATTRIBUTES),
        "phone": set(PHOTO_PROMISES),
        "street": set(PHOTO_PROMISES),
    }
    assert set(card.fashion) == {"midpoint", "scale", "threshold"}


def test_so_few_pictures_certify_nothing(exported: Path, pictures: Pictures) -> None:
    """A dozen right answers do not bound an error of 2 %: nothing may be accepted."""
    assert len(pictures.indices("select")) < 100
    thresholds = Card.load(exported).thresholds
    assert thresholds["catalogue"]["article_type"] > 1
    assert thresholds["phone"]["article_type"] > 1


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
    rows = pictures.indices("train", "catalogue")
    found = Predictor.load_folder(exported).predict(list(pictures.pixels[rows]))
    kinds = [one.tags["article_type"][0] for one in found]
    right = np.mean(np.array(kinds) == pictures.labels["article_type"][rows])
    commonest = Counter(pictures.labels["article_type"][rows].tolist()).most_common(1)[0][1]
    assert right > commonest / len(rows) + 0.1


def test_bf16_is_served_where_it_was_measured_to_cost_next_to_nothing(
    exported: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_set = Card.load(exported).labels()
    monkeypatch.setattr(export_module, "MOST_LOSS", 1.0)
    outputs, arithmetic = choose_precision(exported, pictures, label_set)
    assert arithmetic["precision"] == has_bf16(exported)
    assert set(outputs) == set(FITTED_ON)
    monkeypatch.setattr(export_module, "MOST_LOSS", -1.0)
    outputs, arithmetic = choose_precision(exported, pictures, label_set)
    assert arithmetic["precision"] == "f32"
    wanted = infer_all(OpenVinoBackend(exported, 2), pictures, pictures.indices("select"))
    assert (outputs["select"]["article_type"] == wanted["article_type"]).all()


def test_the_loss_by_bf16_is_a_share_of_the_labels(
    exported: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend whose bf16 names the least likely type is caught, and fp32 is kept."""

    class Blunt(OpenVinoBackend):
        def __init__(self, folder: Path, threads: int, precision: str) -> None:
            super().__init__(folder, threads)
            self.precision = precision

        def infer(self, pixels: NDArray[np.uint8]) -> Outputs:
            outputs = super().infer(pixels)
            if self.precision == "bf16":
                outputs["article_type"] = -outputs["article_type"]
            return outputs

    monkeypatch.setattr(export_module, "OpenVinoBackend", Blunt)
    _, arithmetic = choose_precision(exported, pictures, Card.load(exported).labels())
    assert arithmetic["precision"] == "f32"
    assert arithmetic["bf16_loss"]["article_type"] > 0.002
    assert arithmetic["bf16_loss"]["gender"] == 0


def has_bf16(folder: Path) -> str:
    """Return what a request for bf16 comes to on this processor."""
    return OpenVinoBackend(folder, precision="bf16").precision


def test_a_name_that_another_version_has_is_refused(
    exported: Path, finished: Finished, pictures: Pictures, tmp_path: Path
) -> None:
    """Workers know versions by their names: what it was exported from before may come again."""
    taken = tmp_path / "mine"
    shutil.copytree(exported, taken)
    again = export_run(finished[0], tmp_path, pictures, HEIGHT, WIDTH, "mine")
    assert Card.load(again).raw["version"] == "mine"
    weights = load_file(taken / "network.safetensors")
    weights["network.embed.bias"] += 1
    save_file(weights, taken / "network.safetensors")
    before = (taken / "card.json").read_text()
    with pytest.raises(UsageError, match="there is another version mine"):
        export_run(finished[0], tmp_path, pictures, HEIGHT, WIDTH, "mine")
    assert (taken / "card.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.fixture(scope="module")
def refused(
    finished: Finished, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, UsageError]:
    """Export the run again on data without a picture to certify; return where, and the error."""
    weights = tmp_path_factory.mktemp("refused")
    moved = np.where(pictures.split == "certify", "test", pictures.split)
    other = Pictures(**{**vars(pictures), "split": moved})
    with pytest.raises(UsageError) as error:
        export_run(finished[0], weights, other, HEIGHT, WIDTH, None)
    return next(weights.iterdir()), error.value


def test_a_split_without_pictures_is_reported_and_leaves_no_version(
    refused: tuple[Path, UsageError],
) -> None:
    """A folder without a card is none, whatever else an export that broke off left in it."""
    folder, error = refused
    assert "falls into this split" in str(error)
    assert (folder / "model.xml").exists()
    assert not (folder / "card.json").exists()


def test_the_version_is_named_by_its_weights(
    exported: Path, refused: tuple[Path, UsageError]
) -> None:
    """The same run exported again has the same name, but for the day."""
    begun = refused[0].name.removesuffix(".new")
    assert begun.rpartition("-")[2] == exported.name.rpartition("-")[2]
    assert exported.name.startswith("lite0-")


def test_evaluation_measures_the_test_split(
    exported: Path, pictures: Pictures, data_folder: Path, tmp_path: Path
) -> None:
    card = Card.load(exported)
    figures = evaluate(card, pictures, data_folder)
    rows = pictures.indices("test", "catalogue")
    found = Predictor.load_folder(exported).predict(list(pictures.pixels[rows]))
    for attribute in ("article_type", "gender"):
        labels = [one.tags[attribute][0] for one in found]
        right = np.mean(np.array(labels) == pictures.labels[attribute][rows])
        assert figures[attribute]["top1"] == pytest.approx(right)
    assert figures["n_test"] == len(rows) > 0
    assert figures["article_type"]["accepted"] == 0
    assert figures["article_type"]["accepted_precision"] is None
    assert "non_fashion" not in figures
    assert set(figures["similarity"]) == {"64", "128", "256"}
    lines = table(figures).splitlines()
    assert any(line.startswith("article_type") and "–" in line for line in lines)
    write_card(tmp_path, {**card.raw, "test": figures})
    assert Card.load(tmp_path).raw["test"]["n_test"] == len(rows)


def test_evaluation_measures_each_source_of_photographs(
    exported: Path, pictures: Pictures, data_folder: Path
) -> None:
    figures = evaluate(Card.load(exported), pictures, data_folder)
    predictor = Predictor.load_folder(exported)
    for source in ("phone", "street"):
        rows = pictures.indices("test", source)
        found = predictor.predict(list(pictures.pixels[rows]))
        right = [
            one.tags["article_type"][0] in (pictures.coarse[row] or ())
            for one, row in zip(found, rows, strict=True)
        ]
        assert figures[source]["n_test"] == len(rows) > 0
        assert figures[source]["article_type"]["top1"] == pytest.approx(np.mean(right))
        taken = {d: np.mean([one.domain == d for one in found]) for d in DOMAINS}
        assert figures[source]["taken_for"] == pytest.approx(taken)
        assert set(figures[source]) == {"n_test", "taken_for", *PHOTO_PROMISES}
    assert "phone photographs, coarse labels" in table(figures)


# The networks of a version


def test_torch_and_openvino_agree_on_every_output(exported: Path, pictures: Pictures) -> None:
    pixels = pictures.pixels[pictures.indices("test")]
    served, trained = OpenVinoBackend(exported).infer(pixels), TorchBackend(exported).infer(pixels)
    assert list(served) == list(trained)
    assert list(served) == [*HEAD_ATTRIBUTES, "domain", "embedding", "fashion_similarity"]
    for name, values in served.items():
        assert values.shape == trained[name].shape, name
        assert len(values) == len(pixels)
        assert gap(values, trained[name]) < 0.05, name


def test_the_version_answers_as_the_trained_network_does(
    exported: Path, finished: Finished, pictures: Pictures, label_set: LabelSet
) -> None:
    """Half precision and the way through two files lose next to nothing."""
    network = TagNetwork(head_sizes(label_set), frozen=3)
    network.load_state_dict(load_file(finished[0] / "network.safetensors"))
    pixels = torch.from_numpy(pictures.pixels[pictures.indices("test")])
    with torch.inference_mode():
        trained = network.eval()(to_images(pixels))
        version = load_network(exported)
        found = dict(zip(version.names, version(pixels), strict=True))
    for name, values in trained.items():
        assert gap(found[name].numpy(), values.numpy()) < 0.05, name


def test_noise_looks_less_like_fashion_than_products_do(exported: Path, pictures: Pictures) -> None:
    predictor = Predictor.load_folder(exported)
    noise = np.random.default_rng(0).integers(0, 256, (5, HEIGHT, WIDTH, 3), dtype=np.uint8)
    known = predictor.predict(list(pictures.pixels[pictures.indices("test", "catalogue")]))
    strange = predictor.predict(list(noise))
    assert max(one.fashion_score for one in strange) < 0.5
    assert max(one.fashion_score for one in strange) < min(one.fashion_score for one in known)


# A data set that knows article types alone


@pytest.fixture(scope="module")
def plain_pictures(products: Pictures) -> Pictures:
    """The products without their other labels."""
    nothing = np.full(len(products.ids), UNKNOWN)
    labels = {**dict.fromkeys(ATTRIBUTES, nothing), "article_type": products.labels["article_type"]}
    return Pictures(**{**vars(products), "labels": labels})


@pytest.fixture(scope="module")
def plain(plain_pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on article types alone, without photographs or frozen stages, and export."""
    run = tmp_path_factory.mktemp("plain")
    labels = LabelSet.from_rows(plain_pictures.labels)
    labels.save(run / "labels.json")
    settings = TrainSettings(
        **{**vars(SETTINGS), "stages": (Stage(1, 32, 24),), "frozen": 0, "batch_size": 16}
    )
    train(Material(plain_pictures, labels), run, settings)
    return export_run(run, run / "weights", plain_pictures, HEIGHT, WIDTH, "plain")


def test_article_types_alone_give_a_version_with_that_attribute(
    plain: Path, plain_pictures: Pictures
) -> None:
    card = Card.load(plain)
    assert card.raw["network"]["heads"] == {"article_type": len(TREE), "domain": 3}
    assert card.raw["network"]["fashion"] is None
    assert set(card.temperatures) == {"article_type"}
    assert {s: set(t) for s, t in card.thresholds.items()} == {"catalogue": {"article_type"}}
    for one in Predictor.load_folder(plain).predict(list(plain_pictures.pixels[:5])):
        assert set(one.tags) == {"article_type"}
        assert one.tags["article_type"][0] in TREE
        assert 0 <= one.fashion_score <= 1
        way = route(one, dict.fromkeys(ATTRIBUTES, 0.0), 0.0)
        assert way.published == ("article_type",)


def test_article_types_alone_can_be_measured(
    plain: Path, plain_pictures: Pictures, tmp_path: Path
) -> None:
    figures = evaluate(Card.load(plain), plain_pictures, tmp_path)
    assert set(figures) & set(ATTRIBUTES) == {"article_type"}
    assert figures["similarity"]["256"]["p10_type_and_colour"] is None
    text = table(figures)
    assert "article_type" in text
    assert "and colour" not in text
    assert "base_colour" not in text
    json.dumps(figures)


def test_torch_and_openvino_agree_without_frozen_stages(
    plain: Path, plain_pictures: Pictures
) -> None:
    pixels = plain_pictures.pixels[:8]
    served, trained = OpenVinoBackend(plain).infer(pixels), TorchBackend(plain).infer(pixels)
    assert list(served) == list(trained) == ["article_type", "domain", "embedding"]
    for name, values in served.items():
        assert gap(values, trained[name]) < 0.05, name
