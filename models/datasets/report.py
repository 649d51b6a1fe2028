"""The label report: what a data set holds, and what is wrong with it, before anything is trained.

Needs matplotlib, pandas and scipy (the `train` extra).
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from errors import PermanentError, UsageError
from models.datasets.duplicates import DECODE_SIDE, Fingerprint, fingerprint, group_duplicates
from models.datasets.rows import Progress, Rows, each_file
from models.datasets.splits import LEFT_OUT, SPLIT_KINDS, SPLITS, first_test_year, split_rows
from models.labels import ATTRIBUTES
from models.pictures import FORMATS, decode

#: Fewer pictures than these make a type hard to measure, and hard to learn.
FEW = (10, 40)
PAGE = "report.md"
#: So many groups of near-duplicates are named on the page, the largest, each with so many ids.
SHOWN_GROUPS, SHOWN_IDS = 10, 6
#: More types than these are drawn without their names.
NAMED_TYPES = 200
#: Returns unit-length vectors (N, D) of some rows' pictures.
Embed = Callable[[Rows], NDArray[np.float32]]


class Look(NamedTuple):
    """What is seen of one file: width and height in pixels as stored, mean luma 0..255."""

    width: int
    height: int
    brightness: float
    print: Fingerprint


@dataclass(frozen=True)
class Report:
    """What was found in a data set.

    `rows` are those that can be used, `looks` (N) what was seen of each, `dropped` how many
    others there were and why; `group` (N,) are keys of near-duplicates, `splits` has the split
    (N,) of each picture for every kind of split that these data allow.
    """

    rows: Rows
    looks: list[Look]
    dropped: Mapping[str, int]
    group: NDArray[np.str_]
    splits: Mapping[str, NDArray[np.str_]]

    def types(self) -> Counter[str]:
        """Return the number of pictures of each article type."""
        return Counter(self.rows.labels["article_type"])

    def groups(self) -> dict[str, list[int]]:
        """Return the rows of each group of near-duplicates, the largest group first."""
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(self.group.tolist()):
            rows.setdefault(key, []).append(row)
        several = {key: members for key, members in rows.items() if len(members) > 1}
        return dict(sorted(several.items(), key=lambda item: (-len(item[1]), item[0])))


def examine(rows: Rows, embed: Embed | None = None, progress: Progress | None = None) -> Report:
    """Look at every picture of a data set.

    With `embed`, near-duplicates must have near embeddings too; the splits do not depend on it.
    Raises UsageError where no picture can be used.
    """
    rows = rows.labelled()
    looks: list[Look] = []
    kept: list[int] = []
    reasons: Counter[str] = Counter()
    for row, found in enumerate(each_file(rows.files, look, progress)):
        if isinstance(found, PermanentError):
            reasons[found.code] += 1
        else:
            looks.append(found)
            kept.append(row)
    dropped = {**rows.dropped, **reasons}
    if not kept:
        raise UsageError(f"no picture can be used ({_counts(dropped) or 'there are none'})")
    rows = rows.take(kept)
    prints = [one.print for one in looks]
    group = group_duplicates(prints)
    splits = _splits(rows, np.array([one.file for one in prints]), group)
    if embed:
        group = group_duplicates(prints, embed(rows))
    return Report(rows, looks, dropped, group, splits)


def look(data: bytes) -> Look:
    """Look at one file. Raises PermanentError where it does not decode."""
    picture = decode(data, DECODE_SIDE)
    with Image.open(io.BytesIO(data), formats=FORMATS) as stored:
        width, height = stored.size
    brightness = float(np.asarray(picture.convert("L")).mean())
    return Look(width, height, brightness, fingerprint(data, picture))


def _splits(
    rows: Rows, files: NDArray[np.str_], group: NDArray[np.str_]
) -> dict[str, NDArray[np.str_]]:
    splits = {}
    for kind in SPLIT_KINDS:
        if kind == "by_year" and len(set(rows.year) - {0}) < 2:
            continue
        keys = files if kind == "random" else group
        splits[kind] = split_rows(keys, kind, 0, rows.year, rows.test)
    return splits


def text_table(report: Report) -> str:
    """Return the figures as lines of text."""
    sizes = np.array([(one.width, one.height) for one in report.looks])
    luma = np.percentile([one.brightness for one in report.looks], [5, 50, 95]).round().astype(int)
    common, times = Counter(map(tuple, sizes.tolist())).most_common(1)[0]
    lines = {
        "pictures": f"{len(report.looks):,} used; dropped {_counts(report.dropped) or 'none'}",
        **_label_lines(report),
        **_copy_lines(report),
        **{f"split {kind}": _split_line(report, kind) for kind in report.splits},
        "sizes": f"{'×'.join(map(str, common))} in {times:,}; shorter side "
        f"{_span(sizes.min(axis=1))}, longer side {_span(sizes.max(axis=1))} pixels",
        "brightness": f"median {luma[1]} of 255; nine in ten from {luma[0]} to {luma[2]}",
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())


def _label_lines(report: Report) -> dict[str, str]:
    types = report.types()
    few = [sum(count < bound for count in types.values()) for bound in FEW]
    (most, many), (_, least) = types.most_common()[0], types.most_common()[-1]
    known = [a for a in ATTRIBUTES if any(report.rows.labels.get(a, ()))]
    return {
        "labels": ", ".join(f"{a} {len(set(report.rows.labels[a]) - {''})}" for a in known),
        "types": f"{_plain(most)} has {many:,} pictures, the rarest {least:,}; "
        + ", ".join(f"{n} with fewer than {bound}" for n, bound in zip(few, FEW, strict=True)),
    }


def _copy_lines(report: Report) -> dict[str, str]:
    files: dict[str, set[str]] = {}
    for one, kind in zip(report.looks, report.rows.labels["article_type"], strict=True):
        files.setdefault(one.print.file, set()).add(kind)
    unlike = sum(len(kinds) > 1 for kinds in files.values())
    groups = [len(members) for members in report.groups().values()]
    return {
        "exact copies": f"{len(report.looks) - len(files):,} files are there again; "
        f"{unlike:,} bear several types",
        "near-duplicates": f"{len(groups):,} groups of {sum(groups):,} pictures, "
        f"the largest of {max(groups, default=0)}",
    }


def _split_line(report: Report, kind: str) -> str:
    split = report.splits[kind]
    text = ", ".join(f"{name} {(split == name).sum():,}" for name in SPLITS)
    near = np.isin(report.group[split == "test"], report.group[split == "train"]).sum()
    if left_out := (split == LEFT_OUT).sum():
        text += f", in none {left_out:,}"
    if kind == "by_year":
        text += f" (from {first_test_year(report.rows.year)})"
    return f"{text}; {near:,} of test have a near-duplicate in train"


def _span(values: NDArray[np.int64]) -> str:
    low, high = values.min(), values.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def write_page(report: Report, folder: Path) -> Path:
    """Write the plots and a Markdown page that shows them; return the page."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = {
        "types.png": ("Pictures of each article type", _draw_types(report)),
        "sizes.png": ("Sides of the files' pictures", _draw_sizes(report)),
        "brightness.png": ("Brightness", _draw_brightness(report)),
    }
    parts = ["# Data report", f"```\n{text_table(report)}\n```"]
    for name, (title, figure) in plots.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # names in a script that the font lacks
            figure.savefig(folder / name, dpi=100)
        parts.append(f"## {title}\n\n![{title}]({name})")
    groups = list(report.groups().values())[:SHOWN_GROUPS]
    if groups:
        parts.append("## The largest groups of near-duplicates")
        parts.append("\n".join(f"- {_named(report, members)}" for members in groups))
    page = folder / PAGE
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8", errors="replace")
    return page


def _named(report: Report, members: list[int]) -> str:
    names = ", ".join(f"`{report.rows.ids[row]}`" for row in members[:SHOWN_IDS])
    return f"{len(members)}: {names}{', …' if len(members) > SHOWN_IDS else ''}"


def _plain(name: str) -> str:
    """Return a name that can be printed: a folder's need not be UTF-8."""
    return name.encode(errors="replace").decode()


def _draw_types(report: Report) -> Figure:
    names, counts = zip(*reversed(report.types().most_common()), strict=True)
    named = len(names) <= NAMED_TYPES
    figure = Figure(figsize=(8, 1.5 + 0.16 * min(len(names), NAMED_TYPES)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(names)), counts, height=0.8, color="#4878a8")
    axes.set_xscale("log")
    axes.set_xlim(left=0.7)
    axes.xaxis.set_major_formatter("{x:g}")
    labels = [_plain(name) for name in names] if named else []
    axes.set_yticks(range(len(labels)), labels, fontsize=7, parse_math=False)
    axes.set_ylim(-0.6, len(names) - 0.4)
    for bound in FEW:
        axes.axvline(bound, color="#b04030", linewidth=0.8, linestyle="--")
    axes.set_xlabel(f"pictures (log scale); dashed: {' and '.join(map(str, FEW))}")
    return figure


def _draw_sizes(report: Report) -> Figure:
    sides = np.sort([(one.width, one.height) for one in report.looks], axis=1)
    low, high = np.log10(sides.min()), np.log10(sides.max())
    bins = np.logspace(low - 0.05, high + 0.05, 60).tolist()
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.hist(sides[:, 0], bins=bins, alpha=0.6, label="shorter side")
    axes.hist(sides[:, 1], bins=bins, alpha=0.6, label="longer side")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("pixels (log scale)")
    axes.set_ylabel("pictures (log scale)")
    axes.legend()
    return figure


def _draw_brightness(report: Report) -> Figure:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.hist([one.brightness for one in report.looks], bins=64, range=(0, 255), color="#4878a8")
    axes.set_xlabel("mean luma, 0 (black) to 255 (white)")
    axes.set_ylabel("pictures")
    return figure
