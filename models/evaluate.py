"""Evaluation: `hangtag evaluate --data DIR`, the served network on the untouched test split.

Needs pandas and scikit-learn (the `train` extra). The test split is read here, by the evidence, and
by the baselines; nothing is chosen by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score

from models.backends import Outputs
from models.calibrate import expected_calibration_error, upper_error
from models.card import Card
from models.data import Pictures
from models.labels import ATTRIBUTES, DOMAINS, LabelSet
from models.predictor import fashion_scores
from models.proof.evidence import Answers as Answers
from models.proof.evidence import Evidence
from models.proof.evidence import published_tags as published_tags
from models.proof.similarity import Hits, mean_hits, nearest, neighbour_hits
from models.training.acceptance import PHOTO_PROMISES
from models.training.losses import PREFIXES

#: The nine sub-categories with the most pictures in the public data set.
LARGEST_SUB_CATEGORIES = (
    "Topwear", "Shoes", "Bags", "Bottomwear", "Watches", "Innerwear", "Jewellery", "Eyewear",
    "Socks",
)  # fmt: skip


def evaluate(card: Card, pictures: Pictures, data: Path) -> dict[str, Any]:
    """Measure a version on the test split; every figure is a share (0..1) unless it says n."""
    return measure_all(Evidence.collect(card, pictures, data))


def measure_all(evidence: Evidence) -> dict[str, Any]:
    """Return the figures of a version; attributes that the data do not have are left out."""
    answers, label_set = evidence.products, evidence.card.labels()
    figures: dict[str, Any] = {"n_test": len(answers.rows)}
    for attribute in label_set.attributes:
        if answers.right[attribute][1].any():
            figures[attribute] = measure_attribute(answers, attribute)
    targets = {a: t[answers.rows] for a, t in evidence.pictures.targets(label_set).items()}
    predicted = {a: labels for a, (labels, _) in answers.chosen.items()}
    f1 = macro_f1(predicted, targets, frequent_types(evidence.pictures, label_set))
    figures["article_type"]["macro_f1_10"] = f1
    if "sub_category" in figures:
        nine = largest_nine(predicted, targets, label_set)
        figures["sub_category"].update({} if nine is None else {"largest_nine": nine})
    figures["similarity"] = {str(d): mean_hits(similarity_hits(evidence, d)) for d in PREFIXES}
    for dataset, photos in evidence.photos.items():
        figures[dataset] = {
            "n_test": len(photos.rows),
            "taken_for": {d: float((photos.looks == d).mean()) for d in DOMAINS},
            **{
                a: measure_attribute(photos, a)
                for a in PHOTO_PROMISES
                if a in photos.chosen and photos.right[a][1].any()
            },
        }
    if evidence.others is not None:
        figures["non_fashion"] = non_fashion(evidence.card, answers.outputs, evidence.others)
    return figures


def measure_attribute(answers: Answers, attribute: str) -> dict[str, Any]:
    """Top-1, calibration error, and what the routing rule publishes, where the truth is known."""
    right, known = answers.right[attribute]
    correct, published = right[known], answers.published[attribute][known]
    count, wrong = int(published.sum()), int((published & ~correct).sum())
    return {
        "n": len(correct),
        "top1": float(correct.mean()),
        "ece": expected_calibration_error(answers.chosen[attribute][1][known], correct),
        "accepted": count / len(correct),
        "accepted_precision": 1 - wrong / count if count else None,
        "n_accepted": count,
        "n_wrong": wrong,
        "wrong_upper_95": upper_error(wrong, count),
    }


def frequent_types(pictures: Pictures, label_set: LabelSet) -> list[int]:
    """Numbers of the article types with at least ten pictures in the data."""
    names, counts = np.unique(pictures.labels["article_type"], return_counts=True)
    index = label_set.index["article_type"]
    return [index[n] for n, c in zip(names, counts, strict=True) if c >= 10 and n in index]


def macro_f1(
    predicted: Mapping[str, NDArray[np.int64]],
    targets: Mapping[str, NDArray[np.int64]],
    types: Sequence[int],
) -> float | None:
    """Mean F1 over those of some article types that have a test picture; None without any."""
    present = sorted(set(types) & set(targets["article_type"].tolist()))
    if not present:
        return None
    truth, given = targets["article_type"], predicted["article_type"]
    return float(f1_score(truth, given, labels=present, average="macro", zero_division=0))


def largest_nine(
    predicted: Mapping[str, NDArray[np.int64]],
    targets: Mapping[str, NDArray[np.int64]],
    label_set: LabelSet,
) -> float | None:
    """Sub-category accuracy on pictures of the nine largest ones; None where there are none."""
    index = label_set.index["sub_category"]
    wanted = [index[name] for name in LARGEST_SUB_CATEGORIES if name in index]
    rows = np.isin(targets["sub_category"], wanted)
    if not rows.any():
        return None
    return float((predicted["sub_category"][rows] == targets["sub_category"][rows]).mean())


def similarity_hits(evidence: Evidence, dimensions: int, distance: str = "cosine") -> Hits:
    """Tell what share of each picture's neighbours is alike; queries: test, gallery: train."""
    queries = evidence.products.outputs["embedding"][:, :dimensions]
    near = nearest(queries, evidence.vectors[:, :dimensions], distance=distance)
    return neighbour_hits(evidence.pictures, evidence.products.rows, evidence.gallery[near])


def non_fashion(card: Card, fashion: Outputs, others: Outputs) -> dict[str, float]:
    """How well `fashion_score` tells test products from photographs of other things."""
    scores = np.concatenate([fashion_scores(fashion, card), fashion_scores(others, card)])
    is_fashion = np.repeat([1, 0], [len(fashion["embedding"]), len(others["embedding"])])
    threshold = card.fashion["threshold"]
    return {
        "auroc": float(roc_auc_score(is_fashion, scores)),
        "fashion_kept": float((scores[is_fashion == 1] >= threshold).mean()),
        "others_found": float((scores[is_fashion == 0] < threshold).mean()),
    }


def table(figures: Mapping[str, Any]) -> str:
    """Lay the figures out for a terminal."""
    lines = [
        f"{'attribute':<16}{'top-1':>8}{'ECE':>8}{'published':>11}{'precision':>11}{'wrong':>7}"
    ]
    lines += [_row(a, figures[a]) for a in ATTRIBUTES if a in figures]
    for dataset in (s for s in ("phone", "street") if s in figures):
        lines += ["", f"{dataset} photographs, coarse labels ({figures[dataset]['n_test']})"]
        lines += [_row(a, figures[dataset][a]) for a in PHOTO_PROMISES if a in figures[dataset]]
    lines += [
        "",
        f"test pictures                              {figures['n_test']}",
    ]
    if (f1 := figures["article_type"]["macro_f1_10"]) is not None:
        lines.append(f"macro-F1, types with ≥ 10 pictures         {f1:.3f}")
    if "largest_nine" in figures.get("sub_category", {}):
        nine = figures["sub_category"]["largest_nine"]
        lines.append(f"sub_category, nine largest                 {nine:.2%}")
    for dimensions, found in figures["similarity"].items():
        lines.append(
            f"similarity P@10, {dimensions:>3} dimensions           "
            f"{found['p10_type']:>7.3f} same type"
        )
        if found["p10_type_and_colour"] is not None:
            lines[-1] += f", {found['p10_type_and_colour']:.3f} and colour"
    if "non_fashion" in figures:
        found = figures["non_fashion"]
        lines.append(
            f"non-fashion told from fashion, AUROC       {found['auroc']:.3f} "
            f"({found['others_found']:.1%} found, {found['fashion_kept']:.1%} of fashion kept)"
        )
    return "\n".join(lines)


def _row(attribute: str, row: Mapping[str, Any]) -> str:
    precision = row["accepted_precision"]
    return (
        f"{attribute:<16}{row['top1']:>8.2%}{row['ece']:>8.3f}{row['accepted']:>11.1%}"
        f"{'–' if precision is None else format(precision, '.2%'):>11}{row['n_wrong']:>7}"
    )
