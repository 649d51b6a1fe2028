"""Baselines beside the shipped version, on one split: `hangtag evaluate --compare --data DIR`.

Each row is trained on the split `train` of the products and measured on `test`, and is kept in
RUN/NAME.json: a comparison that is started again goes on with the rows that are missing. With
`--page FILE` the table becomes a chapter of the model card page.
Needs torch, openvino and scikit-learn (the `train` extra).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from errors import UsageError
from models.baselines.bench import Bench, CompareSettings, test_rows, train_rows
from models.baselines.contestants import CONTESTANTS, Answer, Contestant
from models.card import Card, version_folder
from models.data import Pictures
from models.evaluate import frequent_types, largest_nine, macro_f1
from models.proof.markdown import NOTHING, bullets, chapter, number, percent
from models.proof.similarity import mean_hits, nearest, neighbour_hits
from models.train import Progress
from models.training.backbones import Backbone


@dataclass(frozen=True)
class Row:
    """One contestant's figures on the test split, shares of 0..1; None where there are none.

    `article_type` top-1; `macro_f1_10` over types with at least ten pictures; `largest_nine` the
    sub-category on the nine largest; `master_category`; `p10_*` the share of the ten nearest
    training pictures that are of the same type, and of the same colour too. `seconds` of
    training; `made_of` and `data` decide whether a kept row still holds.
    """

    name: str
    title: str
    article_type: float | None
    macro_f1_10: float | None
    largest_nine: float | None
    master_category: float | None
    p10_type: float | None
    p10_type_and_colour: float | None
    seconds: float | None
    parameters: int
    train_pictures: int
    test_pictures: int
    note: str
    data: str
    made_of: dict[str, Any]


def compare(
    data: Path,
    run: Path,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
    *,
    settings: CompareSettings | None = None,
    version: Path | None = None,
    backbone: tuple[Backbone, int, str] | None = None,
) -> list[Row]:
    """Train and measure the rows that are named, or all but the long ones; return them.

    Rows that `run` keeps are not made again; without names, all others that it keeps are
    returned too. `version` is a model version's folder, the default one if None; `backbone`, from
    `build_backbone`, makes rows of its own for the frozen features.
    Raises UsageError for names that are none, and where `run` holds rows of other data.
    """
    chosen = _chosen(names)
    card = Card.load(version or version_folder())
    bench = Bench(data, run, settings or CompareSettings(), card, backbone, progress)
    run.mkdir(parents=True, exist_ok=True)
    found = {}
    for contestant in chosen:
        name = _row_name(contestant, bench)
        row = kept(run / f"{name}.json")
        if row and row.data != bench.current().digest:
            raise UsageError(f"{run} holds rows of other data; name another folder with --run")
        if row is None or row.made_of != _made_of(contestant, bench):
            row = _make(contestant, name, bench)
            keep(run / f"{name}.json", row)
        found[name] = row
    if names is None:
        for path in sorted(run.glob("*.json")):
            row = kept(path)
            if row and row.data == bench.current().digest:
                found.setdefault(row.name, row)
    return sorted(found.values(), key=_place)


def _chosen(names: Sequence[str] | None) -> list[Contestant]:
    """Return the contestants of some names. Raises UsageError."""
    if names is None:
        return [one for one in CONTESTANTS if not one.long]
    known = {one.name: one for one in CONTESTANTS}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise UsageError(f"--only {name}: there is no such row{hint}")
    return [one for one in CONTESTANTS if one.name in names]


def _row_name(contestant: Contestant, bench: Bench) -> str:
    if not contestant.backbone or bench.backbone is None:
        return contestant.name
    return f"{contestant.name}@{re.sub(r'[^a-zA-Z0-9._]', '-', bench.backbone[0].name)}"


def _made_of(contestant: Contestant, bench: Bench) -> dict[str, Any]:
    """Return what a row depends on besides the data, as JSON gives it back."""
    made_of: dict[str, Any] = {"split": bench.split}
    if not contestant.version:
        epochs = bench.settings.epochs.get(contestant.name.partition("_embedding")[0])
        made_of["settings"] = {**asdict(bench.settings), "epochs": epochs}
    else:
        made_of["version"] = bench.card.version
    if contestant.backbone and bench.backbone:
        made_of["backbone"] = bench.backbone[2]
    plain: dict[str, Any] = json.loads(json.dumps(made_of))
    return plain


def _place(row: Row) -> tuple[int, str]:
    order = [one.name for one in CONTESTANTS]
    name = row.name.partition("@")[0]
    return (order.index(name) if name in order else len(order), row.name)


def _make(contestant: Contestant, name: str, bench: Bench) -> Row:
    """Let a contestant learn and answer, and measure it."""
    bench.tell(name, 0, 1)
    answer = contestant.work(bench, name)
    pictures = bench.current()
    title = contestant.title
    if contestant.backbone and bench.backbone:
        title = f"{title} ({bench.backbone[0].name})"
    return Row(
        name=name,
        title=title,
        **measure(answer, pictures),
        seconds=answer.seconds,
        parameters=answer.parameters,
        train_pictures=len(train_rows(pictures)),
        test_pictures=len(test_rows(pictures)),
        note=answer.note,
        data=pictures.digest,
        made_of=_made_of(contestant, bench),
    )


def measure(answer: Answer, pictures: Pictures) -> dict[str, float | None]:
    """Return a row's figures. The categories are those of the type that was answered."""
    label_set, rows = answer.label_set, test_rows(pictures)
    targets = {a: t[rows] for a, t in pictures.targets(label_set).items()}
    predicted = {"article_type": answer.types}
    for attribute, matrix in label_set.summing.items():
        predicted[attribute] = matrix.argmax(axis=1)[answer.types]
    right = {a: float((predicted[a] == targets[a]).mean()) for a in predicted}
    return {
        "article_type": right["article_type"],
        "macro_f1_10": macro_f1(predicted, targets, frequent_types(pictures, label_set)),
        "largest_nine": largest_nine(predicted, targets, label_set)
        if "sub_category" in predicted
        else None,
        "master_category": right.get("master_category"),
        **precision(answer, pictures),
    }


def precision(answer: Answer, pictures: Pictures) -> dict[str, float | None]:
    """Precision at 10 of the cosine neighbours: queries are test, the gallery train."""
    if answer.queries is None or answer.gallery is None:
        return {"p10_type": None, "p10_type_and_colour": None}
    near = train_rows(pictures)[nearest(answer.queries, answer.gallery)]
    return mean_hits(neighbour_hits(pictures, test_rows(pictures), near))


def kept(path: Path) -> Row | None:
    """Read a row; None where there is none, or one of another form."""
    try:
        return Row(**json.loads(path.read_text()))
    except (FileNotFoundError, TypeError, ValueError):
        return None


def keep(path: Path, row: Row) -> None:
    """Write a row; a kill in the middle leaves none or the old one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(row), indent=1) + "\n")
    temporary.replace(path)


def compare_table(rows: Sequence[Row]) -> str:
    """Lay rows out as a table that is Markdown and lines up in a terminal, with its notes."""
    return "\n".join([_table(rows), "", *_notes(rows)])


def compare_chapter(rows: Sequence[Row], command: str) -> str:
    """Return the model card page's chapter; `command` prints the table again."""
    return chapter(
        "Beside simpler models",
        "What simpler models make of the same test pictures of products. All but the shipped "
        "version learnt from the products of the split `train` alone. macro-F1 is over types with "
        "at least ten pictures, 'nine largest' the sub-category on the nine largest, P@10 the "
        "share of the ten nearest training pictures that is alike. The training's time is that on "
        "the machine that made the row, with whatever else it did.",
        _table(rows),
        bullets([*_notes(rows), f"SHA-256 of the products and their labels: `{rows[0].data}`."]),
        f"*Printed again by* `{command}`*, and as JSON with* `--json`*.*",
    )


def _table(rows: Sequence[Row]) -> str:
    head = ("", "article_type", "macro-F1 (≥ 10)", "nine largest", "master_category",
            "P@10 type", "P@10 and colour", "training", "parameters")  # fmt: skip
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    lines = [_line(line, widths) for line in cells]
    rule = [("-" * w if i == 0 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    lines.insert(1, _line(rule, widths))
    return "\n".join(lines)


def _notes(rows: Sequence[Row]) -> list[str]:
    tested = sorted({(row.train_pictures, row.test_pictures) for row in rows})
    lines = [f"Trained on {of:,} pictures, measured on {n:,} others." for of, n in tested]
    return lines + [f"{row.title}: {row.note}." for row in rows if row.note]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def _cells(row: Row) -> tuple[str, ...]:
    minutes = NOTHING if row.seconds is None else f"{row.seconds / 60:.1f} min"
    return (
        row.title,
        percent(row.article_type, 2),
        number(row.macro_f1_10),
        percent(row.largest_nine, 2),
        percent(row.master_category, 2),
        number(row.p10_type),
        number(row.p10_type_and_colour),
        minutes,
        f"{row.parameters:,}",
    )
