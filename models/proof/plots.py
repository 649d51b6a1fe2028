"""Plots for the page: drawn from the figures that `hangtag evaluate --json` prints, as small PNGs.

Needs matplotlib (the `train` extra); draws with Agg alone, so no screen is needed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from PIL import Image

from models.labels import ATTRIBUTES, domain_of

DOTS_PER_INCH = 100
#: Colours that people with a colour vision deficiency tell apart (Okabe and Ito, 2008).
BLUE, VERMILION, GREEN, GREY, LIGHT = "#0072b2", "#d55e00", "#009e73", "#777777", "#d0d0d0"
COLOURS = {"catalogue": BLUE, "phone": VERMILION, "street": GREEN}
STYLES = {"catalogue": "-", "phone": "--", "street": "-."}


def draw_plots(proof: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw all plots for `models.proof.prove.prove`'s figures into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Callable[[], Figure]] = {
        "confusion": lambda: plot_confusion(proof["confusion_matrix"]),
        "reliability": lambda: plot_reliability(proof["reliability"], proof["intervals"]),
        "risk_coverage": lambda: plot_risk_coverage(proof["risk_coverage"]),
    }
    return [save(draw(), folder / f"{name}.png") for name, draw in drawn.items()]


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG of 256 colours: the same figures give the same file."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")  # without pyplot a figure has no other canvas than Agg
    # No dithering: lines and text stay clean, and the file small.
    small = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, "PNG", optimize=True)
    return path


def plot_confusion(matrix: Mapping[str, Any]) -> Figure:
    """Draw shares of each true type (a row) that were given each type (a column).

    `matrix` has `types` and `counts` (types, types + 1), the last column all other types.
    """
    names = list(matrix["types"])
    counts = np.array(matrix["counts"], dtype=float).reshape(len(names), len(names) + 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(8.5, 8), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    # The root shows errors of one in a hundred beside right answers of ninety.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    axes.set_xticks(range(len(names) + 1), [*names, "any other"], rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("type the model gave")
    axes.set_ylabel("true type")
    axes.set_title(f"The {len(names)} types with most test pictures", fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the true type")
    return figure


def plot_reliability(
    reliability: Mapping[str, list[dict[str, float]]], intervals: Mapping[str, Any]
) -> Figure:
    """Draw the share right over the confidence for each attribute, and how many had it."""
    attributes = [a for a in ATTRIBUTES if a in reliability]
    across = min(4, len(attributes))
    down = -(-len(attributes) // across)
    size = (2.3 * across + 0.4, 2.5 * down + 0.2)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, attribute in zip(panels, attributes, strict=False):
        bins = reliability[attribute]
        total = sum(b["n"] for b in bins)
        for b in bins:
            axes.bar(b["from"], b["n"] / total, b["to"] - b["from"], align="edge", color=LIGHT)
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
        points = ([b["confidence"] for b in bins], [b["right"] for b in bins])
        axes.plot(*points, color=BLUE, marker="o", markersize=3)
        error = intervals["catalogue"][attribute]["ece"]["value"]
        axes.set_title(f"{attribute}\nECE {error:.3f}", fontsize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.tick_params(labelsize=7)
    for axes in panels[len(attributes) :]:
        axes.set_axis_off()
    figure.supxlabel("confidence (bars: share of the pictures)", fontsize=8)
    figure.supylabel("share right", fontsize=8)
    return figure


def plot_risk_coverage(datasets: Mapping[str, Any]) -> Figure:
    """Draw the share wrong over the share tagged alone; a dot where the thresholds stand."""
    figure = Figure(figsize=(6.4, 4), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    highest = 0.0
    for dataset, found in datasets.items():
        colour = COLOURS.get(dataset, GREY)
        coverage, risk = np.array(found["curve"]).T
        highest = max(highest, float(risk.max()))
        label = f"{dataset}: {_chosen_words(dataset, found)}"
        axes.plot(coverage, risk, STYLES.get(dataset, "-"), color=colour, label=label)
        chosen = found["chosen"]
        if chosen["risk"] is not None:
            # Not clipped: a dot without mistakes lies on the edge.
            axes.plot([chosen["coverage"]], [chosen["risk"]], "o", color=colour, clip_on=False)
    axes.set(xlim=(0, 1.02), ylim=(0, max(0.02, 1.05 * highest)))
    axes.set_xlabel("share of the pictures that are tagged alone")
    axes.set_ylabel("share of those with a wrong article type")
    axes.grid(alpha=0.3)
    axes.legend(title="dots: the thresholds chosen", fontsize=8, title_fontsize=8, loc="upper left")
    return figure


def _chosen_words(dataset: str, found: Mapping[str, Any]) -> str:
    threshold = found["thresholds"].get(domain_of(dataset), 2.0)
    chosen = found["chosen"]
    if chosen["risk"] is None:
        return "none tagged alone"
    share = f"{chosen['coverage']:.0%} tagged alone, {chosen['risk']:.1%} of them wrong"
    return f"{share}, from {threshold:.3f}" if threshold <= 1 else share
