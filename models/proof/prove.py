"""The proof: figures for whoever decides on using a version, and for whoever doubts them.

All of them are printed by `hangtag evaluate --data DIR --json`; `models.proof.page` lays them out.
Needs the `train` extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array, hstack

from models.bootstrap import Bootstrap, Interval, calibration_error, macro_f1, ratio
from models.calibrate import upper_error
from models.datasets.duplicates import Fingerprint, fingerprint, group_duplicates
from models.evaluate import frequent_types, similarity_hits
from models.labels import LabelSet
from models.proof.evidence import Answers, Evidence
from models.proof.similarity import DISTANCES, Hits, mean_hits
from models.training.losses import PREFIXES

#: What an operator takes for a decision unless somebody measured it.
SECONDS = 5.0
#: Equal-width bins of the reliability plot; as many as the calibration error has.
BINS = 15
#: Types in the confusion matrix, rows in the table of confusions, points of a risk-coverage curve.
MATRIX_TYPES, CONFUSIONS, CURVE_POINTS = 30, 20, 100


def prove(
    evidence: Evidence,
    figures: Mapping[str, Any],
    seconds: float = SECONDS,
    promise: float | None = None,
) -> dict[str, Any]:
    """Return what the page says beyond `figures`, those of `measure_all` for the same evidence.

    `seconds` is what an operator takes for a decision; `promise` the one that the evidence's
    thresholds are for, None where it is the version's own. Shares are 0..1; None stands for a
    figure that these pictures do not give.
    """
    label_set = evidence.card.labels()
    everything = evidence.everything()
    by_dataset = {s: figures if s == "catalogue" else figures[s] for s in everything}
    hits = {d: similarity_hits(evidence, PREFIXES[-1], d) for d in DISTANCES}
    types, without = per_type(evidence.products, *_types(evidence, label_set))
    return {
        "same_data": evidence.pictures.digest == evidence.card.raw["data"]["sha256"],
        "seconds": seconds,
        "promise": promise,
        "per_1000": {
            s: per_1000(f["article_type"], seconds)
            for s, f in by_dataset.items()
            if "article_type" in f
        },
        "intervals": {s: intervals(evidence, s, f, hits["cosine"]) for s, f in by_dataset.items()},
        "types": types,
        "types_without_test": without,
        **confusion(evidence.products, *_types(evidence, label_set)),
        "reliability": {
            a: reliability(evidence.products, a) for a in label_set.attributes if a in figures
        },
        "risk_coverage": {
            s: risk_coverage(a, evidence.card.thresholds)
            for s, a in everything.items()
            if "article_type" in by_dataset[s]
        },
        "distances": {d: mean_hits(found) for d, found in hits.items()},
        "resembling": resembling(evidence),
        "backoff": {
            s: backoff(a) for s, a in everything.items() if "sub_category" in by_dataset[s]
        },
    }


def resembling(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Measure apart the test products that have near-duplicates in training, and those without.

    A random split leaves some pictures of a product on either side; those without any are what a
    split by groups would have tested on. See `models.datasets.duplicates` for what counts as such.
    """
    answers = evidence.products
    rows = np.concatenate([evidence.gallery, answers.rows])

    def taken(row: int) -> Fingerprint:
        pixels = evidence.pictures.pixels[row]
        return fingerprint(pixels.tobytes(), Image.fromarray(pixels))

    with ThreadPoolExecutor() as threads:  # half a minute for 30,000 pictures, one after another
        prints = list(threads.map(taken, rows.tolist()))
    groups = group_duplicates(prints)
    seen = np.isin(groups[len(evidence.gallery) :], groups[: len(evidence.gallery)])
    right, known = answers.right["article_type"]
    published = answers.published["article_type"]
    parts = {"with": seen & known, "without": ~seen & known}
    return {name: _type_figures(right, published, part) for name, part in parts.items()}


def _type_figures(
    right: NDArray[np.bool_], published: NDArray[np.bool_], rows: NDArray[np.bool_]
) -> dict[str, Any]:
    """Figures of the article type on some rows (N,)."""
    accepted = int((published & rows).sum())
    return {
        "n": int(rows.sum()),
        "top1": float(right[rows].mean()) if rows.any() else None,
        "n_accepted": accepted,
        "n_wrong": int((published & rows & ~right).sum()),
        "accepted_precision": float(right[published & rows].mean()) if accepted else None,
    }


def _types(evidence: Evidence, label_set: LabelSet) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the true types (N,) of the test pictures, -1 where not known, and all their names."""
    targets = evidence.pictures.targets(label_set)["article_type"]
    return targets[evidence.products.rows], label_set.names["article_type"]


def per_1000(figures: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Say what becomes of 1,000 uploads, from the article type's figures.

    Hours are those that nobody spends because no person decides.
    """
    alone = 1000 * figures["accepted"]
    count = figures["n_accepted"]
    hours = alone * seconds / 3600
    return {
        "n_test": figures["n"],
        "alone": alone,
        "wrong": alone * figures["n_wrong"] / count if count else 0.0,
        "wrong_upper_95": alone * figures["wrong_upper_95"] if count else 0.0,
        "person": 1000 - alone,
        "hours_saved_1000": hours,
        "hours_saved_50000": 50 * hours,
    }


def intervals(
    evidence: Evidence, dataset: str, figures: Mapping[str, Any], hits: Hits
) -> dict[str, Any]:
    """Bootstrap the figures of one data set; `groups` is the number of what was drawn.

    `hits` are those of the catalogue's pictures.
    """
    answers, pictures = evidence.everything()[dataset], evidence.pictures
    grouped = len(pictures.group) > 0
    bootstrap = Bootstrap(pictures.group[answers.rows] if grouped else answers.rows)
    found: dict[str, Any] = {"groups": bootstrap.groups}
    for attribute in answers.chosen:
        if attribute in figures:
            found[attribute] = attribute_intervals(bootstrap, answers, attribute)
    if dataset == "catalogue":
        label_set = evidence.card.labels()
        kept = frequent_types(pictures, label_set)
        counts = type_counts(answers, _types(evidence, label_set)[0], kept)
        found["article_type"]["macro_f1_10"] = bootstrap.interval(counts, macro_f1)
        found["similarity"] = {
            name: bootstrap.interval(_pair(np.nan_to_num(h), ~np.isnan(h)), ratio)
            for name, h in hits.items()
        }
    return found


def attribute_intervals(
    bootstrap: Bootstrap, answers: Answers, attribute: str
) -> dict[str, Interval | None]:
    """Bootstrap one attribute: first guess, calibration error, what is published and how right."""
    right, known = answers.right[attribute]
    published = answers.published[attribute] & known
    confidence = answers.chosen[attribute][1]
    place = bin_of(confidence)
    sums = [np.where(known, values, 0) for values in (confidence, right, np.ones(len(known)))]
    shape = (len(known), BINS)
    rows = np.arange(len(known))
    bins = hstack([csr_array((values, (rows, place)), shape) for values in sums], format="csr")
    return {
        "top1": bootstrap.interval(_pair(right & known, known), ratio),
        "ece": bootstrap.interval(bins, calibration_error),
        "accepted": bootstrap.interval(_pair(published, known), ratio),
        "accepted_precision": bootstrap.interval(_pair(published & right, published), ratio),
    }


def _pair(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    return np.stack([above, below], axis=1).astype(np.float64)


def type_counts(answers: Answers, truth: NDArray[np.int64], types: list[int]) -> Any:
    """Return right answers, answers and pictures of some types, a sparse (N, 3 · types)."""
    given = answers.chosen["article_type"][0]
    known = truth >= 0
    place = np.full(max(int(truth.max()), int(given.max()), *types, 0) + 1, -1)
    place[types] = np.arange(len(types))
    parts = []
    for labels, counted in (
        (truth, known & (truth == given)),
        (given, known),
        (truth, known),
    ):
        rows = np.flatnonzero(counted & (place[labels] >= 0))
        entries = (np.ones(len(rows)), (rows, place[labels[rows]]))
        parts.append(csr_array(entries, (len(truth), len(types))))
    return hstack(parts, format="csr")


def per_type(
    answers: Answers, truth: NDArray[np.int64], names: tuple[str, ...]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each type with test pictures, the most frequent first, and the others.

    `truth` (N,) are true types, -1 where not known. Precision is None where the version never
    names the type.
    """
    known = truth >= 0
    truth, given = truth[known], answers.chosen["article_type"][0][known]
    support, named, right = (
        np.bincount(labels, minlength=len(names)).tolist()
        for labels in (truth, given, truth[truth == given])
    )
    rows = [
        {
            "type": names[t],
            "n_test": support[t],
            "n_named": named[t],
            "precision": right[t] / named[t] if named[t] else None,
            "recall": right[t] / support[t],
            "f1": 2 * right[t] / (support[t] + named[t]),
        }
        for t in sorted(range(len(names)), key=lambda t: (-support[t], names[t]))
        if support[t]
    ]
    return rows, [name for name, count in zip(names, support, strict=True) if not count]


def confusion(answers: Answers, truth: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the most frequent confusions, and the matrix of the most frequent types.

    A row of the matrix is a true type, its last column all types that have no column.
    """
    known = truth >= 0
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (truth[known], answers.chosen["article_type"][0][known]), 1)
    support = counts.sum(axis=1)
    off = counts - np.diag(np.diag(counts))
    places = np.argsort(-off, axis=None, kind="stable")[:CONFUSIONS].tolist()
    pairs = [divmod(place, len(names)) for place in places]
    frequent = np.argsort(-support, kind="stable")[:MATRIX_TYPES]
    frequent = frequent[support[frequent] > 0]
    matrix = counts[np.ix_(frequent, frequent)]
    others = support[frequent] - matrix.sum(axis=1)
    return {
        "confusions": [
            {
                "true": names[t],
                "given": names[g],
                "n": int(off[t, g]),
                "share_of_true": float(off[t, g] / support[t]),
            }
            for t, g in pairs
            if off[t, g]
        ],
        "confusion_matrix": {
            "types": [names[t] for t in frequent],
            "counts": np.column_stack([matrix, others]).tolist(),
        },
    }


def bin_of(confidence: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bin (N,) of each confidence (N,), as the calibration error has them."""
    places: NDArray[np.int64] = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return places


def reliability(answers: Answers, attribute: str) -> list[dict[str, float]]:
    """Return each bin of confidence that has pictures: its share right and mean confidence."""
    right, known = answers.right[attribute]
    confidence, right = answers.chosen[attribute][1][known], right[known]
    place = bin_of(confidence)
    return [
        {
            "from": b / BINS,
            "to": (b + 1) / BINS,
            "n": int((place == b).sum()),
            "confidence": float(confidence[place == b].mean()),
            "right": float(right[place == b].mean()),
        }
        for b in range(BINS)
        if (place == b).any()
    ]


def risk_coverage(
    answers: Answers, thresholds: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return the share wrong among the surest article types, by how many of them are taken.

    `curve` holds (share taken, share wrong among them); `chosen` is where the routing rule
    stands, `thresholds` its least confidence for each look of a picture. Source of the curve:
    El-Yaniv and Wiener, 'On the foundations of noise-free selective classification', 2010.
    """
    right, known = answers.right["article_type"]
    order = np.argsort(-answers.chosen["article_type"][1][known], kind="stable")
    wrong = np.cumsum(~right[known][order])
    taken = np.unique(np.ceil(len(wrong) * np.arange(1, CURVE_POINTS + 1) / CURVE_POINTS))
    published = answers.published["article_type"][known]
    accepted = int(published.sum())
    return {
        "curve": [
            [float(count / len(wrong)), float(wrong[int(count) - 1] / count)] for count in taken
        ],
        "chosen": {
            "coverage": accepted / len(wrong),
            "risk": float((published & ~right[known]).sum() / accepted) if accepted else None,
        },
        "thresholds": {s: t["article_type"] for s, t in thresholds.items() if "article_type" in t},
    }


def backoff(answers: Answers) -> dict[str, Any]:
    """Tell how many pictures whose type goes to review have their sub-category published."""
    right, known = answers.right["sub_category"]
    review = known & ~answers.published["article_type"]
    published = review & answers.published["sub_category"]
    count, wrong = int(published.sum()), int((published & ~right).sum())
    return {
        "n_review": int(review.sum()),
        "n_published": count,
        "n_wrong": wrong,
        "published": count / int(review.sum()) if review.any() else None,
        "precision": 1 - wrong / count if count else None,
        "wrong_upper_95": upper_error(wrong, count),
    }
