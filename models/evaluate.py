"""Evaluation: `hangtag evaluate --data DIR`, the served network on the untouched test split.

Needs pandas and scikit-learn (the `train` extra). Only this module reads the test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score

from models.backends import OpenVinoBackend, Outputs
from models.calibrate import Floats, expected_calibration_error, upper_error
from models.card import Card
from models.data import Pictures
from models.export import infer_all
from models.labels import ATTRIBUTES, DERIVED_ATTRIBUTES, LabelSet
from models.predictor import calibrated, choose_labels, fashion_scores

#: The nine sub-categories with the most pictures in the public data set.
LARGEST_SUB_CATEGORIES = (
    "Topwear", "Shoes", "Bags", "Bottomwear", "Watches", "Innerwear", "Jewellery", "Eyewear",
    "Socks",
)  # fmt: skip
NON_FASHION_FILE = "non_fashion_eval.parquet"


def evaluate(card: Card, pictures: Pictures, data: Path) -> dict[str, Any]:
    """Measure a version on the test split; every figure is a share (0..1) unless it says n."""
    backend = OpenVinoBackend(card.folder, threads=2)
    label_set = card.labels()
    outputs = infer_all(backend, pictures, "test")
    rows = pictures.indices("test")
    targets = {a: t[rows] for a, t in pictures.targets(label_set).items()}
    probabilities = calibrated(outputs, label_set, card.temperatures)
    chosen = choose_labels(probabilities, label_set)
    published = published_tags(chosen, fashion_scores(outputs, card), card)
    figures: dict[str, Any] = {"n_test": len(rows)}
    for attribute in ATTRIBUTES:
        labels, confidence = chosen[attribute]
        correct = labels == targets[attribute]
        figures[attribute] = measure_attribute(confidence, correct, published[attribute])
    predicted = {a: labels for a, (labels, _) in chosen.items()}
    figures["article_type"]["macro_f1_10"] = macro_f1(predicted, targets, pictures, label_set)
    figures["sub_category"]["largest_nine"] = largest_nine(predicted, targets, label_set)
    gallery = infer_all(backend, pictures, "train")["embedding"]
    figures["similarity"] = similarity(outputs, gallery, pictures)
    if (data / NON_FASHION_FILE).is_file():
        figures["non_fashion_auroc"] = non_fashion_auroc(backend, card, outputs, data)
    return figures


def published_tags(
    chosen: Mapping[str, tuple[NDArray[np.int64], Floats]], scores: Floats, card: Card
) -> dict[str, NDArray[np.bool_]]:
    """Tell which tags (N,) the worker's routing rule publishes; a test holds both together."""
    fashion = scores >= card.fashion["threshold"]
    sure = {a: fashion & (c >= card.thresholds[a]) for a, (_, c) in chosen.items()}
    for attribute in DERIVED_ATTRIBUTES:
        sure[attribute] |= sure["article_type"]
    return sure


def measure_attribute(
    confidence: Floats, correct: NDArray[np.bool_], published: NDArray[np.bool_]
) -> dict[str, Any]:
    """Top-1, calibration error, and what the routing rule publishes."""
    count, wrong = int(published.sum()), int((published & ~correct).sum())
    return {
        "top1": float(correct.mean()),
        "ece": expected_calibration_error(confidence, correct),
        "accepted": count / len(correct),
        "accepted_precision": 1 - wrong / count if count else None,
        "n_accepted": count,
        "n_wrong": wrong,
        "wrong_upper_95": upper_error(wrong, count),
    }


def macro_f1(
    predicted: Mapping[str, NDArray[np.int64]],
    targets: Mapping[str, NDArray[np.int64]],
    pictures: Pictures,
    label_set: LabelSet,
) -> float:
    """Mean F1 over the article types with at least ten pictures in the data and one in the test."""
    names, counts = np.unique(pictures.labels["article_type"], return_counts=True)
    index = label_set.index["article_type"]
    frequent = {index[n] for n, c in zip(names, counts, strict=True) if c >= 10 and n in index}
    present = sorted(frequent & set(targets["article_type"].tolist()))
    return float(
        f1_score(
            targets["article_type"],
            predicted["article_type"],
            labels=present,
            average="macro",
            zero_division=0,
        )
    )


def largest_nine(
    predicted: Mapping[str, NDArray[np.int64]],
    targets: Mapping[str, NDArray[np.int64]],
    label_set: LabelSet,
) -> float:
    """Sub-category accuracy on the pictures of the nine largest sub-categories."""
    index = label_set.index["sub_category"]
    wanted = [index[name] for name in LARGEST_SUB_CATEGORIES if name in index]
    rows = np.isin(targets["sub_category"], wanted)
    return float((predicted["sub_category"][rows] == targets["sub_category"][rows]).mean())


def similarity(outputs: Outputs, gallery: Floats, pictures: Pictures) -> dict[str, float]:
    """Precision at 10 of cosine nearest neighbours; queries: test, gallery: train."""
    near = np.argpartition(-(outputs["embedding"] @ gallery.T), 10, axis=1)[:, :10]
    test, train = pictures.indices("test"), pictures.indices("train")
    same = {
        a: pictures.labels[a][train][near] == pictures.labels[a][test][:, None]
        for a in ("article_type", "base_colour")
    }
    return {
        "p10_type": float(same["article_type"].mean()),
        "p10_type_and_colour": float((same["article_type"] & same["base_colour"]).mean()),
    }


def non_fashion_auroc(backend: OpenVinoBackend, card: Card, fashion: Outputs, data: Path) -> float:
    """How well `fashion_score` tells test products from photographs of other things."""
    import pandas as pd

    from models.pictures import decode
    from models.transforms import to_pixels

    files = pd.read_parquet(data / NON_FASHION_FILE)["jpeg"]
    pixels = np.stack(
        [to_pixels(decode(f, min(card.height, card.width)), card.height, card.width) for f in files]
    )
    parts = [backend.infer(pixels[i : i + 64]) for i in range(0, len(pixels), 64)]
    other = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    scores = np.concatenate([fashion_scores(fashion, card), fashion_scores(other, card)])
    is_fashion = np.repeat([1, 0], [len(fashion["embedding"]), len(pixels)])
    return float(roc_auc_score(is_fashion, scores))


def table(figures: Mapping[str, Any]) -> str:
    """Lay the figures out for a terminal."""
    lines = [
        f"{'attribute':<16}{'top-1':>8}{'ECE':>8}{'published':>11}{'precision':>11}{'wrong':>7}"
    ]
    for attribute in ATTRIBUTES:
        row = figures[attribute]
        precision = row["accepted_precision"]
        lines.append(
            f"{attribute:<16}{row['top1']:>8.2%}{row['ece']:>8.3f}{row['accepted']:>11.1%}"
            f"{'–' if precision is None else format(precision, '.2%'):>11}{row['n_wrong']:>7}"
        )
    lines += [
        "",
        f"test pictures                              {figures['n_test']}",
        f"macro-F1, types with ≥ 10 pictures         {figures['article_type']['macro_f1_10']:.3f}",
        f"sub_category, nine largest                 {figures['sub_category']['largest_nine']:.2%}",
        f"similarity P@10, same type                 {figures['similarity']['p10_type']:.3f}",
        "similarity P@10, same type and colour      "
        f"{figures['similarity']['p10_type_and_colour']:.3f}",
    ]
    if "non_fashion_auroc" in figures:
        lines.append(
            f"non-fashion told from fashion, AUROC       {figures['non_fashion_auroc']:.3f}"
        )
    return "\n".join(lines)
