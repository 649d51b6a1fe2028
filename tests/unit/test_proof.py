"""The proof: figures are those of the arrays, whichever way they are counted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from errors import UsageError
from models.calibrate import upper_error
from models.card import Card
from models.data import UNKNOWN, Pictures
from models.evaluate import measure_all
from models.labels import ATTRIBUTES
from models.predictor import Predictor
from models.proof import evidence as evidence_module
from models.proof.evidence import Evidence
from models.proof.prove import backoff, per_1000, prove, reliability, resembling, risk_coverage
from models.proof.similarity import nearest
from models.transforms import Pixels
from tests.unit.made_evidence import TREE, make_evidence, make_world


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return make_evidence(tmp_path_factory.mktemp("weights") / "made")


@pytest.fixture(scope="module")
def figures(evidence: Evidence) -> dict[str, Any]:
    return measure_all(evidence)


@pytest.fixture(scope="module")
def proof(evidence: Evidence, figures: dict[str, Any]) -> dict[str, Any]:
    return prove(evidence, figures)


def test_the_figures_are_those_of_the_arrays(
    evidence: Evidence, figures: dict[str, Any], proof: dict[str, Any]
) -> None:
    answers = evidence.products
    names = evidence.card.labels().names["article_type"]
    truth = evidence.pictures.labels["article_type"][answers.rows]
    given = np.array(names)[answers.chosen["article_type"][0]]
    published = answers.published["article_type"]
    found = proof["intervals"]["catalogue"]["article_type"]
    assert found["top1"]["value"] == pytest.approx((truth == given).mean())
    assert found["accepted"]["value"] == pytest.approx(published.mean())
    right = (truth == given)[published].mean()
    assert found["accepted_precision"]["value"] == pytest.approx(right)
    frequent = [k for k, n in Counter(evidence.pictures.labels["article_type"]).items() if n >= 10]
    expected = f1_score(truth, given, labels=sorted(set(frequent) & set(truth)), average="macro")
    assert found["macro_f1_10"]["value"] == pytest.approx(expected)


def test_every_interval_stands_around_the_figure_of_the_table(
    evidence: Evidence, figures: dict[str, Any], proof: dict[str, Any]
) -> None:
    for source in evidence.everything():
        part = figures if source == "catalogue" else figures[source]
        intervals = proof["intervals"][source]
        for attribute in (a for a in evidence.card.labels().attributes if a in part):
            for name in ("top1", "ece", "accepted", "accepted_precision"):
                interval = intervals[attribute][name]
                # The table adds confidences up as float32.
                expected = pytest.approx(part[attribute][name], abs=1e-6)
                assert interval["value"] == expected, (attribute, name)
                assert interval["low"] <= interval["high"]
            top1 = intervals[attribute]["top1"]
            error = (top1["value"] * (1 - top1["value"]) / part["n_test"]) ** 0.5
            # Ungrouped, the interval of a share is the usual one.
            assert top1["high"] - top1["low"] == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert proof["intervals"]["catalogue"]["similarity"]["p10_type"]["value"] == pytest.approx(
        figures["similarity"]["256"]["p10_type"]
    )


def test_intervals_are_drawn_over_the_groups_that_the_data_know(
    evidence: Evidence, figures: dict[str, Any], proof: dict[str, Any]
) -> None:
    """Ten groups of right answers and ten of wrong ones: draws differ far more from each other."""
    answers = evidence.products
    group = np.array([f"own {row}" for row in range(len(evidence.pictures.ids))], dtype="U20")
    right = answers.right["article_type"][0]
    group[answers.rows] = [f"{r} {row % 10}" for r, row in zip(right, answers.rows, strict=True)]
    grouped = prove(replace(evidence, pictures=replace(evidence.pictures, group=group)), figures)
    one, other = (p["intervals"]["catalogue"] for p in (grouped, proof))
    assert (one["groups"], other["groups"]) == (20, figures["n_test"])
    wide, narrow = (part["article_type"]["top1"] for part in (one, other))
    assert wide["value"] == pytest.approx(narrow["value"])
    assert wide["high"] - wide["low"] > 3 * (narrow["high"] - narrow["low"])


def test_one_thousand_uploads_are_counted_by_hand() -> None:
    found = per_1000({"n": 200, "accepted": 0.75, "n_accepted": 150, "n_wrong": 3,
                      "wrong_upper_95": 0.05}, seconds=12)  # fmt: skip
    assert found == pytest.approx(
        {
            "n_test": 200,
            "alone": 750,
            "wrong": 15,
            "wrong_upper_95": 37.5,
            "person": 250,
            "hours_saved_1000": 2.5,
            "hours_saved_50000": 125,
        }
    )
    nothing = {"n": 9, "accepted": 0.0, "n_accepted": 0, "n_wrong": 0, "wrong_upper_95": 1.0}
    assert per_1000(nothing, 5)["wrong_upper_95"] == 0


def test_each_type_has_scikit_learn_s_precision_recall_and_f1(
    evidence: Evidence, proof: dict[str, Any]
) -> None:
    answers = evidence.products
    truth = evidence.pictures.labels["article_type"][answers.rows]
    given = np.array(evidence.card.labels().names["article_type"])[
        answers.chosen["article_type"][0]
    ]
    kinds = [row["type"] for row in proof["types"]]
    assert set(kinds) == set(truth)
    expected = precision_recall_fscore_support(truth, given, labels=kinds, zero_division=0)
    for key, values in zip(("precision", "recall", "f1", "n_test"), expected, strict=True):
        assert [row[key] for row in proof["types"]] == pytest.approx(list(values))
    counts = [row["n_test"] for row in proof["types"]]
    assert counts == sorted(counts, reverse=True)
    assert set(proof["types_without_test"]) == set(TREE) - set(truth) != set()


def test_confusions_are_counted_and_the_matrix_has_every_picture(
    evidence: Evidence, proof: dict[str, Any]
) -> None:
    answers = evidence.products
    truth = evidence.pictures.labels["article_type"][answers.rows]
    given = np.array(evidence.card.labels().names["article_type"])[
        answers.chosen["article_type"][0]
    ]
    pairs = Counter(zip(truth.tolist(), given.tolist(), strict=True))
    wrong = [count for (t, g), count in pairs.most_common() if t != g]
    found = proof["confusions"]
    assert [row["n"] for row in found] == wrong[:20]
    for row in found:
        assert row["n"] == pairs[row["true"], row["given"]]
        assert row["share_of_true"] == pytest.approx(row["n"] / (truth == row["true"]).sum())
    matrix = np.array(proof["confusion_matrix"]["counts"])
    kinds = proof["confusion_matrix"]["types"]
    assert matrix.sum() == len(truth)
    assert matrix[0, 1] == pairs[kinds[0], kinds[1]]
    absent = set(TREE) - set(truth)
    assert matrix[:, -1].sum() == sum(n for (_, g), n in pairs.items() if g in absent)


def test_the_bins_of_the_reliability_plot_add_up_to_its_error(
    evidence: Evidence, figures: dict[str, Any]
) -> None:
    bins = reliability(evidence.products, "season")
    total = sum(b["n"] for b in bins)
    assert total == figures["n_test"]
    error = sum(b["n"] * abs(b["confidence"] - b["right"]) for b in bins) / total
    assert error == pytest.approx(figures["season"]["ece"])
    assert all(b["from"] <= b["confidence"] <= b["to"] for b in bins)


def test_the_risk_curve_ends_at_all_pictures_and_starts_at_the_surest(
    evidence: Evidence, figures: dict[str, Any]
) -> None:
    answers = evidence.photos["phone"]
    found = risk_coverage(answers, evidence.card.thresholds)
    part = figures["phone"]["article_type"]
    coverage, risk = np.array(found["curve"]).T
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(1 - part["top1"])
    assert (np.diff(coverage) > 0).all()
    right, confidence = answers.right["article_type"][0], answers.chosen["article_type"][1]
    surest = np.argsort(-confidence)[: round(coverage[40] * len(right))]
    assert risk[40] == pytest.approx((~right[surest]).mean())
    assert found["chosen"]["coverage"] == pytest.approx(part["accepted"])
    assert found["chosen"]["risk"] == pytest.approx(1 - part["accepted_precision"])
    assert found["thresholds"] == {"catalogue": 0.9, "phone": 0.9, "street": 0.9}


def test_the_back_off_is_counted_among_types_that_go_to_review(evidence: Evidence) -> None:
    answers = evidence.products
    rows = [
        (right, published)
        for right, known, published, accepted in zip(
            *answers.right["sub_category"],
            answers.published["sub_category"],
            answers.published["article_type"],
            strict=True,
        )
        if known and not accepted
    ]
    wrong = sum(1 for right, published in rows if published and not right)
    count = sum(1 for _, published in rows if published)
    found = backoff(answers)
    assert (found["n_review"], found["n_published"], found["n_wrong"]) == (len(rows), count, wrong)
    assert found["published"] == pytest.approx(count / len(rows))
    assert found["wrong_upper_95"] == pytest.approx(upper_error(wrong, count))
    assert 0 < count < len(rows)


def test_pictures_that_training_has_too_are_measured_apart(tmp_path: Path) -> None:
    """Forty test pictures are made copies of training pictures; the rest resembles nothing."""
    world = make_world(tmp_path / "made", count=800, photos=False)
    evidence, pixels = world.evidence(), world.pictures.pixels.copy()
    test, train = (world.pictures.indices(split, "catalogue") for split in ("test", "train"))
    pixels[test[:40]] = pixels[train[:40]]
    found = resembling(replace(evidence, pictures=replace(world.pictures, pixels=pixels)))
    answers = evidence.products
    right, published = answers.right["article_type"][0], answers.published["article_type"]
    assert found["with"]["n"] == 40
    assert found["with"]["top1"] == pytest.approx(right[:40].mean())
    assert found["without"]["n"] == len(test) - 40
    assert found["without"]["top1"] == pytest.approx(right[40:].mean())
    assert found["without"]["n_accepted"] == published[40:].sum()
    assert found["without"]["n_wrong"] == (published[40:] & ~right[40:]).sum()


def test_all_of_it_is_json(figures: dict[str, Any], proof: dict[str, Any]) -> None:
    assert json.loads(json.dumps(proof, allow_nan=False)) == proof
    json.dumps(figures, allow_nan=False)


def test_data_of_which_the_version_knows_no_type_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "made", count=100)
    monkeypatch.setattr(evidence_module.OpenVinoBackend, "of", lambda *_, **__: world)
    labels = {**world.pictures.labels, "article_type": np.full(len(world.pictures.ids), "Spoon")}
    with pytest.raises(UsageError, match="knows the article type of no test picture"):
        Evidence.collect(world.card, replace(world.pictures, labels=labels), tmp_path)


def test_a_real_version_is_proved_on_drawn_pictures(
    card: Card,
    sample_pixels: dict[str, Pixels],
    sample_labels: dict[str, tuple[str, str]],
    tmp_path: Path,
) -> None:
    """The drawings are all of its splits here: what is looked at is the way, not the figures."""
    files = [file for file in sample_pixels if sample_labels[file][0]]
    labels = {a: np.full(2 * len(files), UNKNOWN, dtype="U40") for a in ATTRIBUTES}
    for place, attribute in enumerate(("article_type", "base_colour")):
        labels[attribute][:] = [sample_labels[file][place] for file in files] * 2
    pictures = Pictures(
        ids=np.array(files * 2),
        pixels=np.stack([sample_pixels[file] for file in files] * 2),
        labels=labels,
        split=np.repeat(["train", "test"], len(files)),
        digest="0" * 64,
        dataset=np.full(2 * len(files), "catalogue"),
        coarse=[None] * (2 * len(files)),
    )
    evidence = Evidence.collect(card, pictures, tmp_path)
    figures = measure_all(evidence)
    proof = prove(evidence, figures)
    predictor = Predictor.load_folder(card.folder)
    kinds = [
        p.tags["article_type"][0] for p in predictor.predict([sample_pixels[f] for f in files])
    ]
    known = [f for f in files if sample_labels[f][0] in card.labels().index["article_type"]]
    right = [k == sample_labels[f][0] for f, k in zip(files, kinds, strict=True) if f in known]
    assert proof["intervals"]["catalogue"]["article_type"]["top1"]["value"] == pytest.approx(
        np.mean(right)
    )
    assert nearest(evidence.products.outputs["embedding"], evidence.vectors)[:, 0].tolist() == list(
        range(len(files))
    )  # its own copy
    assert not proof["same_data"]
    assert proof["resembling"]["with"]["n"] == len(known)
    assert proof["resembling"]["with"]["top1"] == pytest.approx(np.mean(right))
    assert proof["resembling"]["without"] == {
        "n": 0,
        "top1": None,
        "n_accepted": 0,
        "n_wrong": 0,
        "accepted_precision": None,
    }
