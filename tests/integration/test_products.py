"""The shipped model on the data set's own photographs; skipped where they are not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from models.card import Card, version_folder
from models.data import COLUMNS, split_of
from models.training.acceptance import PHOTO_PROMISES, PROMISES
from tests.conftest import ROOT

DATA = ROOT.parent / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not (DATA / "fashion_products.parquet").exists(),
    reason="the data set (fashion_products.parquet) is not here",
)


def test_predict_is_as_good_on_files_as_the_card_says(
    hangtag: Callable[..., object], tmp_path: Path
) -> None:
    """400 test pictures as files through `hangtag predict` reach the card's accuracy."""
    table = pd.read_parquet(DATA / "fashion_products.parquet")
    digests = [hashlib.sha256(data).hexdigest() for data in table["jpeg"]]
    test = table[[split_of(digest, 0) == "test" for digest in digests]].head(400)
    for row in test.itertuples():
        (tmp_path / f"{row.id}.jpg").write_bytes(row.jpeg)  # type: ignore[arg-type]
    done = hangtag("predict", str(tmp_path), "--jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]  # type: ignore[attr-defined]
    truth = dict(zip(test["id"].astype(str), test[COLUMNS["article_type"]], strict=True))
    right = [row["article_type"] == truth[Path(row["path"]).stem] for row in rows]
    accepted = [ok for ok, row in zip(right, rows, strict=True) if row["decision"] == "accept"]
    claimed = Card.load(version_folder()).raw["test"]["article_type"]
    assert len(rows) == 400
    # Four standard errors of 400 draws around what the card claims.
    assert abs(sum(right) / 400 - claimed["top1"]) < 0.07
    assert sum(accepted) / len(accepted) > 0.95


@pytest.mark.timeout(900)
def test_evaluate_prints_the_card_s_figures_again(hangtag: Callable[..., object]) -> None:
    done = hangtag("evaluate", "--data", str(DATA), "--json", timeout=880)
    again = json.loads(done.stdout)  # type: ignore[attr-defined]
    claimed = Card.load(version_folder()).raw["test"]
    parts = {"catalogue": (again, claimed, PROMISES)}
    for source in ("phone", "street"):
        if (DATA / f"{source}_photos.parquet").exists():
            parts[source] = (again[source], claimed[source], PHOTO_PROMISES)
    for source, (found, figures, attributes) in parts.items():
        assert found["n_test"] == figures["n_test"], source
        for attribute in attributes:
            for figure in ("top1", "accepted", "accepted_precision"):
                one, two = found[attribute][figure], figures[attribute][figure]
                assert one == pytest.approx(two, abs=0.005), (source, attribute, figure)
    for dimensions in ("64", "128", "256"):
        one, two = again["similarity"][dimensions], claimed["similarity"][dimensions]
        assert one["p10_type"] == pytest.approx(two["p10_type"], abs=0.005)
    if (DATA / "non_fashion_eval.parquet").exists():
        for figure in ("auroc", "fashion_kept", "others_found"):
            one, two = again["non_fashion"][figure], claimed["non_fashion"][figure]
            assert one == pytest.approx(two, abs=0.005)


@pytest.mark.timeout(900)
def test_the_test_pictures_of_the_card_are_products_that_nobody_trained_on() -> None:
    """The rows of the products' test split are as many as the card says."""
    table = pd.read_parquet(DATA / "fashion_products.parquet", columns=["jpeg"])
    digests = [hashlib.sha256(data).hexdigest() for data in table["jpeg"]]
    test = sum(split_of(digest, 0) == "test" for digest in digests)
    assert Card.load(version_folder()).raw["test"]["n_test"] == test
