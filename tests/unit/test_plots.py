"""The page's plots: what they show is what the figures say, and the files stay small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from models.proof.plots import draw_plots, plot_confusion, plot_reliability, plot_risk_coverage
from tests.conftest import ROOT

MOST_BYTES = 150_000


def bins(seed: int, count: int = 15) -> list[dict[str, float]]:
    random = np.random.default_rng(seed)
    return [
        {
            "from": b / 15,
            "to": (b + 1) / 15,
            "n": int(random.integers(1, 500)),
            "confidence": (b + 0.5) / 15,
            "right": float(random.random()),
        }
        for b in range(15 - count, 15)
    ]


@pytest.fixture
def proof() -> dict[str, Any]:
    """Figures as large as a page has them: thirty types, seven attributes, three sources."""
    random = np.random.default_rng(0)
    attributes = ["master_category", "sub_category", "article_type", "base_colour", "gender",
                  "season", "usage"]  # fmt: skip
    curve = [[n / 100, float(n / 1000 + random.random() / 100)] for n in range(1, 101)]
    sources = {
        "catalogue": {"coverage": 0.75, "risk": 0.01},
        "phone": {"coverage": 0.6, "risk": 0.04},
        "street": {"coverage": 0.0, "risk": None},
    }
    thresholds = {"catalogue": 0.957, "phone": 0.9, "street": 1.01}
    return {
        "confusion_matrix": {
            "types": [f"A rather long type {n}" for n in range(30)],
            "counts": random.integers(0, 300, (30, 31)).tolist(),
        },
        "reliability": {a: bins(seed) for seed, a in enumerate(attributes)},
        "intervals": {"catalogue": {a: {"ece": {"value": 0.0123}} for a in attributes}},
        "risk_coverage": {
            s: {"curve": curve, "chosen": chosen, "thresholds": thresholds}
            for s, chosen in sources.items()
        },
    }


def lines_of(axes: Axes) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(line.get_xydata()) for line in axes.get_lines()]


def test_every_plot_is_a_small_png(proof: dict[str, Any], tmp_path: Path) -> None:
    written = draw_plots(proof, tmp_path / "model")
    assert [p.name for p in written] == ["confusion.png", "reliability.png", "risk_coverage.png"]
    assert sorted((tmp_path / "model").iterdir()) == sorted(written)
    for path in written:
        assert 2_000 < path.stat().st_size < MOST_BYTES, path.name
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.width <= 1000
            assert len(set(picture.convert("L").tobytes())) > 20  # something is drawn


def test_the_same_figures_give_the_same_files(proof: dict[str, Any], tmp_path: Path) -> None:
    """So that a page made again is a change only where a figure changed."""
    for one, other in zip(
        draw_plots(proof, tmp_path / "a"), draw_plots(proof, tmp_path / "b"), strict=True
    ):
        assert one.read_bytes() == other.read_bytes()


def test_the_confusion_matrix_shows_shares_of_the_true_type() -> None:
    figure = plot_confusion({"types": ["Jeans", "Tops"], "counts": [[6, 2, 2], [0, 0, 4]]})
    axes = figure.axes[0]
    shown = np.asarray(axes.get_images()[0].get_array())
    assert shown == pytest.approx(np.array([[0.6, 0.2, 0.2], [0, 0, 1]]))
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Jeans", "Tops"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["Jeans", "Tops", "any other"]


def test_the_reliability_plot_has_a_panel_an_attribute_with_its_error() -> None:
    found = {"article_type": bins(1), "season": bins(2, count=8)}
    intervals = {"catalogue": {a: {"ece": {"value": e}} for a, e in
                               (("article_type", 0.031), ("season", 0.002))}}  # fmt: skip
    figure = plot_reliability(found, intervals)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["article_type\nECE 0.031", "season\nECE 0.002"]
    for axes, attribute in zip(figure.axes, found, strict=True):
        points = [[b["confidence"], b["right"]] for b in found[attribute]]
        assert any(np.array_equal(line, points) for line in lines_of(axes))
        heights = [bar.get_bbox().height for bar in axes.patches if isinstance(bar, Rectangle)]
        assert sum(heights) == pytest.approx(1)
        assert len(heights) == len(points)


def test_the_risk_curve_and_its_dots_are_where_the_figures_say(proof: dict[str, Any]) -> None:
    axes = plot_risk_coverage(proof["risk_coverage"]).axes[0]
    drawn = lines_of(axes)
    curve = np.array(proof["risk_coverage"]["phone"]["curve"])
    assert sum(line.shape == curve.shape and np.array_equal(line, curve) for line in drawn) == 3
    dots = [line[0].tolist() for line in drawn if len(line) == 1]
    assert dots == [[0.75, 0.01], [0.6, 0.04]]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "catalogue: 75% tagged alone, 1.0% of them wrong, from 0.957",
        "phone: 60% tagged alone, 4.0% of them wrong, from 0.900",
        "street: none tagged alone",
    ]


def test_data_of_one_attribute_and_one_source_are_drawn(
    proof: dict[str, Any], tmp_path: Path
) -> None:
    few = {
        "confusion_matrix": {"types": ["Bag"], "counts": [[3, 0]]},
        "reliability": {"article_type": bins(3, count=1)},
        "intervals": proof["intervals"],
        "risk_coverage": {
            "catalogue": {
                "curve": [[1.0, 0.0]],
                "chosen": {"coverage": 0.0, "risk": None},
                "thresholds": {},
            }
        },
    }
    assert len(draw_plots(few, tmp_path)) == 3


def test_drawing_needs_no_screen_and_opens_no_window() -> None:
    """Without pyplot there is no global state, and no backend to choose."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import models.proof.plots, sys; print('matplotlib.pyplot' in sys.modules)",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
