"""The shipped model: its answers, its backends, its folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from errors import UsageError
from models.backends import OpenVinoBackend, Outputs, TorchBackend
from models.calibrate import upper_error
from models.card import NEVER, WEIGHTS, Card, default_version, version_folder
from models.data import SPLITS
from models.labels import ATTRIBUTES, DERIVED_ATTRIBUTES, DOMAINS, HEAD_ATTRIBUTES
from models.predictor import (
    Prediction,
    Predictor,
    calibrated,
    domains,
    energies,
    familiarity,
    fashion_scores,
)
from models.training.acceptance import PHOTO_PROMISES, PROMISES
from models.training.export import MAX_VERSION_BYTES
from models.training.losses import PREFIXES
from models.transforms import Pixels


def test_every_attribute_has_a_known_label_and_a_confidence(
    predictions: dict[str, Prediction], card: Card
) -> None:
    labels = card.labels()
    assert len(predictions) > 60
    for name, prediction in predictions.items():
        assert tuple(prediction.tags) == ATTRIBUTES, name
        for attribute, (label, confidence) in prediction.tags.items():
            assert label in labels.names[attribute], name
            assert isinstance(confidence, float)
            assert 0 < confidence <= 1, name
        assert 0 <= prediction.fashion_score <= 1, name
        assert prediction.domain in DOMAINS, name


def test_top5_is_sorted_and_begins_with_the_type(predictions: dict[str, Prediction]) -> None:
    for name, prediction in predictions.items():
        assert len(prediction.top5) == 5, name
        assert len({label for label, _ in prediction.top5}) == 5, name
        confidences = [confidence for _, confidence in prediction.top5]
        assert confidences == sorted(confidences, reverse=True), name
        if prediction.domain == "catalogue":
            assert sum(confidences) <= 1 + 1e-5, name
        assert prediction.top5[0] == prediction.tags["article_type"], name


def test_the_categories_are_the_parents_of_the_type(
    predictions: dict[str, Prediction], card: Card
) -> None:
    parents = card.labels().parents
    for name, prediction in predictions.items():
        tags = {attribute: label for attribute, (label, _) in prediction.tags.items()}
        assert (tags["sub_category"], tags["master_category"]) == parents[tags["article_type"]], (
            name
        )


def test_a_coarser_category_is_never_less_sure(predictions: dict[str, Prediction]) -> None:
    """It adds up its types, so it has at least the confidence of each."""
    order = ("article_type", *DERIVED_ATTRIBUTES)
    for name, prediction in predictions.items():
        fine_to_coarse = [prediction.tags[a][1] for a in order]
        assert fine_to_coarse[0] <= fine_to_coarse[1] + 1e-5, name
        assert fine_to_coarse[1] <= fine_to_coarse[2] + 1e-5, name


def test_embeddings_have_256_numbers_and_unit_length(predictions: dict[str, Prediction]) -> None:
    for name, prediction in predictions.items():
        assert prediction.embedding.shape == (256,), name
        assert prediction.embedding.dtype == np.float32, name
        assert float(np.linalg.norm(prediction.embedding)) == pytest.approx(1, abs=1e-4), name


def test_a_batch_gives_what_each_picture_gives_alone(
    predictor: Predictor,
    sample_pixels: dict[str, Pixels],
    predictions: dict[str, Prediction],
) -> None:
    for name, pixels in sample_pixels.items():
        alone, together = predictor.predict([pixels])[0], predictions[name]
        assert alone.tags.keys() == together.tags.keys()
        for attribute in ATTRIBUTES:
            assert alone.tags[attribute][1] == pytest.approx(together.tags[attribute][1], abs=1e-4)
        assert alone.tags["article_type"][0] == together.tags["article_type"][0]
        assert alone.fashion_score == pytest.approx(together.fashion_score, abs=1e-4)
        assert np.abs(alone.embedding - together.embedding).max() < 1e-4


def test_answers_come_in_the_order_of_the_pictures(
    predictor: Predictor, sample_pixels: dict[str, Pixels], predictions: dict[str, Prediction]
) -> None:
    names = list(reversed(sample_pixels))[:7]
    found = predictor.predict([sample_pixels[name] for name in names])
    for name, one in zip(names, found, strict=True):
        assert float(one.embedding @ predictions[name].embedding) > 0.9999


def test_different_pictures_give_different_vectors(predictions: dict[str, Prediction]) -> None:
    vectors = np.stack([one.embedding for one in predictions.values()])
    cosines = vectors @ vectors.T
    assert np.median(cosines[~np.eye(len(vectors), dtype=bool)]) < 0.7


def test_no_pictures_give_no_answers(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_the_model_recognises_many_of_the_drawn_garments(
    predictions: dict[str, Prediction], sample_labels: dict[str, tuple[str, str]]
) -> None:
    """Drawings are no photographs: a third is far above the chance of 1 in 140."""
    known = [name for name, (kind, _) in sample_labels.items() if kind]
    right = [n for n in known if predictions[n].tags["article_type"][0] == sample_labels[n][0]]
    assert len(right) > len(known) / 3


# Backends


@pytest.fixture(scope="module")
def both(shipped: Path, sample_pixels: dict[str, Pixels]) -> tuple[Outputs, Outputs]:
    """Run OpenVINO and torch on all samples."""
    pixels = np.stack(list(sample_pixels.values()))
    return (
        OpenVinoBackend(shipped).infer(pixels),
        TorchBackend(shipped).infer(pixels),
    )


def test_openvino_and_torch_agree_on_every_probability(
    both: tuple[Outputs, Outputs], card: Card
) -> None:
    served, trained = (calibrated(one, card.labels(), card.temperatures) for one in both)
    for attribute in ATTRIBUTES:
        assert np.abs(served[attribute] - trained[attribute]).max() < 0.02, attribute


def test_what_is_served_names_the_types_that_torch_names(
    both: tuple[Outputs, Outputs], card: Card, sample_pixels: dict[str, Pixels]
) -> None:
    """In the arithmetic of the card, which has fewer digits, toss-ups aside."""
    pixels = np.stack(list(sample_pixels.values()))
    served, trained = (
        calibrated(one, card.labels(), card.temperatures)["article_type"]
        for one in (OpenVinoBackend.of(card).infer(pixels), both[1])
    )
    top_two = np.sort(trained, axis=1)[:, -2:]
    clear = top_two[:, 1] - top_two[:, 0] > 0.15
    assert clear.sum() > 30
    assert (served.argmax(axis=1) == trained.argmax(axis=1))[clear].all()


def test_openvino_and_torch_name_the_same_type_where_it_is_no_toss_up(
    both: tuple[Outputs, Outputs], card: Card
) -> None:
    served, trained = (
        calibrated(one, card.labels(), card.temperatures)["article_type"] for one in both
    )
    top_two = np.sort(trained, axis=1)[:, -2:]
    clear = top_two[:, 1] - top_two[:, 0] > 0.05
    assert clear.sum() > 30
    assert (served.argmax(axis=1) == trained.argmax(axis=1))[clear].all()


def test_openvino_and_torch_give_the_same_vectors_and_fashion_scores(
    both: tuple[Outputs, Outputs], card: Card
) -> None:
    served, trained = both
    assert (served["embedding"] * trained["embedding"]).sum(axis=1).min() > 0.999
    assert np.abs(fashion_scores(served, card) - fashion_scores(trained, card)).max() < 0.02


def test_backends_name_the_outputs_with_the_right_widths(
    both: tuple[Outputs, Outputs], card: Card, sample_pixels: dict[str, Pixels]
) -> None:
    names, rows = card.labels().names, len(sample_pixels)
    shapes: dict[str, tuple[int, ...]] = {a: (rows, len(names[a])) for a in HEAD_ATTRIBUTES}
    shapes |= {"domain": (rows, len(DOMAINS)), "embedding": (rows, 256)}
    shapes |= {"fashion_similarity": (rows,)}
    for outputs in both:
        assert {name: values.shape for name, values in outputs.items()} == shapes


# The arithmetic around the network


def test_energy_is_the_log_of_the_sum_of_exponentials() -> None:
    logits = np.log(np.array([[1.0, 2.0, 5.0], [0.5, 0.25, 0.25]], dtype=np.float32))
    assert np.allclose(energies(logits), [np.log(8), 0.0], atol=1e-6)


def test_energy_of_large_logits_does_not_overflow() -> None:
    found = energies(np.array([[1000.0, 1000.0]], dtype=np.float32))
    assert found[0] == pytest.approx(1000 + np.log(2))


def test_the_fashion_score_is_a_half_at_its_midpoint_and_rises_with_familiarity(
    card: Card,
) -> None:
    middle, scale = card.fashion["midpoint"], card.fashion["scale"]
    values = np.array([middle - scale, middle, middle + scale])
    low, half, high = fashion_scores({"fashion_similarity": values}, card)
    assert low == pytest.approx(1 / (1 + np.e), abs=1e-6)
    assert half == pytest.approx(0.5, abs=1e-6)
    assert high == pytest.approx(1 - low, abs=1e-6)


def test_far_from_the_midpoint_the_fashion_score_does_not_overflow(card: Card) -> None:
    far = np.array([-1e9, 1e9], dtype=np.float32)
    with np.errstate(over="raise"):
        assert fashion_scores({"fashion_similarity": far}, card).tolist() == pytest.approx([0, 1])


def test_a_version_without_a_fashion_look_is_familiar_with_what_it_names_surely() -> None:
    logits = np.array([[9.0, 0.0], [1.0, 0.5]], dtype=np.float32)
    seen = np.array([0.1, 0.9], dtype=np.float32)
    assert familiarity({"article_type": logits}).tolist() == energies(logits).tolist()
    both = {"article_type": logits, "fashion_similarity": seen}
    assert familiarity(both).tolist() == seen.tolist()


def test_a_picture_looks_like_the_domain_that_is_likeliest() -> None:
    embedding = np.zeros((2, 256), dtype=np.float32)
    logits = np.array([[0.5, -1.0, 0.4], [2.0, 2.1, -3.0]], dtype=np.float32)
    outputs = {"embedding": embedding, "domain": logits}
    assert domains(outputs).tolist() == ["catalogue", "phone"]
    assert domains({"embedding": embedding}).tolist() == ["catalogue", "catalogue"]


# The folder


def test_the_default_names_a_version_that_is_there() -> None:
    assert (WEIGHTS / default_version()).is_dir()
    assert version_folder() == WEIGHTS / default_version()


def test_the_version_folder_is_small_enough_to_ship_and_complete(shipped: Path) -> None:
    names = {path.name for path in shipped.iterdir()}
    assert {"card.json", "labels.json", "model.xml", "model.bin", "network.safetensors"} <= names
    assert sum(path.stat().st_size for path in shipped.iterdir()) <= MAX_VERSION_BYTES
    assert MAX_VERSION_BYTES <= 25 * 1024 * 1024


def test_the_card_says_which_data_it_was_made_from(card: Card) -> None:
    data = card.raw["data"]
    assert re.fullmatch(r"[0-9a-f]{64}", data["sha256"])
    assert data["splits"].keys() == SPLITS.keys()
    in_no_split = data["dropped"].get("street_seen_in_training", 0)
    assert sum(data["datasets"].values()) == data["rows"]
    assert sum(data["splits"].values()) == data["rows"] - in_no_split
    assert set(data["datasets"]) == {"catalogue", "phone", "street"}
    for name, share in SPLITS.items():
        assert data["splits"][name] / data["rows"] == pytest.approx(share, abs=0.03)


def test_the_card_names_its_version_licence_and_training(card: Card, shipped: Path) -> None:
    assert card.version == shipped.name
    assert card.raw["licence"] == "Apache-2.0"
    assert "MIT" in card.raw["data"]["name"]
    assert card.raw["training"]["stages"][-1]["height"] == card.height
    assert card.raw["training"]["stages"][-1]["width"] == card.width
    assert isinstance(card.raw["training"]["seed"], int)


def test_the_card_has_a_sane_temperature_for_each_head(card: Card) -> None:
    assert set(card.temperatures) == set(HEAD_ATTRIBUTES)
    assert all(0.3 < value < 4 for value in card.temperatures.values())


def test_the_acceptance_rules_were_chosen_on_one_split_and_certified_on_another(
    card: Card,
) -> None:
    """For each domain; a promise is certified or nothing accepted."""
    data = card.raw["data"]
    promises = {"catalogue": PROMISES, "phone": PHOTO_PROMISES, "street": PHOTO_PROMISES}
    assert card.raw["acceptance"].keys() == promises.keys() == set(data["datasets"])
    for domain, rules in card.raw["acceptance"].items():
        assert {a: rule["promise"] for a, rule in rules.items()} == promises[domain]
        for attribute, rule in rules.items():
            assert rule["threshold"] == card.thresholds_for(domain)[attribute]
            for split in ("select", "certify"):
                assert set(rule[split]) == {domain}
                assert sum(m["total"] for m in rule[split].values()) <= data["splits"][split]
                for measured in rule[split].values():
                    assert measured["threshold"] == rule["threshold"]
                    assert 0 <= measured["wrong"] <= measured["accepted"] <= measured["total"]
                    by_pictures = upper_error(measured["wrong"], measured["accepted"])
                    assert measured["upper"] >= by_pictures - 1e-9  # groups may say more
            assert set(rule["served"]) == {domain}
            if rule["threshold"] == NEVER:
                assert all(m["accepted"] == 0 for m in rule["certify"].values())
            else:
                assert all(m["upper"] <= 1 - rule["promise"] for m in rule["certify"].values())


def test_the_shipped_model_publishes_types_of_products(card: Card) -> None:
    rule = card.raw["acceptance"]["catalogue"]["article_type"]
    assert rule["certify"]["catalogue"]["accepted"] > 0.3 * rule["certify"]["catalogue"]["total"]


def test_the_card_has_the_figures_of_the_test_split(card: Card) -> None:
    figures = card.raw["test"]
    photos = [source for source in ("phone", "street") if source in card.raw["data"]["datasets"]]
    parts = [figures, *(figures[source] for source in photos)]
    assert sum(part["n_test"] for part in parts) == card.raw["data"]["splits"]["test"]
    for part, attributes in zip(parts, [ATTRIBUTES, *[PHOTO_PROMISES] * len(photos)], strict=True):
        for attribute in attributes:
            assert 0 < part[attribute]["top1"] < 1
            assert 0 <= part[attribute]["ece"] < 0.2
            assert 0 <= part[attribute]["accepted"] <= 1
    assert set(figures["similarity"]) == {str(dimensions) for dimensions in PREFIXES}
    assert all(0 < found["p10_type"] < 1 for found in figures["similarity"].values())
    assert 0.5 < figures["non_fashion"]["auroc"] <= 1


def test_a_version_that_is_not_there_is_reported_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model version; see `hangtag model list`"):
        Predictor.load_folder(version_folder("lite0-19990101-abcdef"))
    with pytest.raises(
        UsageError, match=r"no trained model here; set HANGTAG_WEIGHTS .* run `hangtag train"
    ):
        version_folder(weights=tmp_path)


def test_a_version_without_its_network_is_reported(shipped: Path, tmp_path: Path) -> None:
    for name in ("card.json", "labels.json"):
        shutil.copy(shipped / name, tmp_path / name)
    with pytest.raises(UsageError, match=r"model\.xml: no exported network"):
        Predictor.load_folder(tmp_path)


def test_a_named_version_is_found_beside_the_default(tmp_path: Path) -> None:
    (tmp_path / "default").write_text("first\n")
    assert version_folder(weights=tmp_path) == tmp_path / "first"
    assert version_folder("second", tmp_path) == tmp_path / "second"


def test_a_card_gives_back_what_its_file_says(tmp_path: Path) -> None:
    raw = {
        "version": "v",
        "input": {"height": 96, "width": 72},
        "temperatures": {"gender": 1.5},
        "acceptance": {"catalogue": {"gender": {"threshold": 0.75}}},
        "fashion": {"midpoint": 1.0, "scale": 2.0, "threshold": 0.5},
    }
    (tmp_path / "card.json").write_text(json.dumps(raw))
    card = Card.load(tmp_path)
    assert (card.version, card.height, card.width, card.folder) == ("v", 96, 72, tmp_path)
    assert card.temperatures == {"gender": 1.5}
    assert card.thresholds == {"catalogue": {"gender": 0.75}}
    assert card.thresholds_for("catalogue") == {"gender": 0.75}
    assert card.thresholds_for("phone") == {}
    assert card.raw == raw
