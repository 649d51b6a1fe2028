"""The model card page: `hangtag evaluate --data DIR --page docs/model.md`.

Opens with plain words for whoever decides; every figure comes from the dicts that the command
prints with `--json`, and the page says which. With `--compare` the command writes the chapter on
simpler models alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from errors import UsageError
from models.card import Card
from models.proof import beside, chapters
from models.proof.markdown import bullets, cell, chapter, names, number, percent, table
from models.proof.plots import draw_plots

#: What stands below this line is written by people; a new page keeps it.
KEPT = "<!-- Below this line people write; `hangtag evaluate --page` keeps it. -->"
#: The first line, and the version that the page is about.
HEADING = re.compile(r"^# Model card: (\S+)\s*$", re.MULTILINE)
#: The chapter on simpler models stands before the first of these lines that a page has.
PLACES = (f"## {chapters.PUBLISHED}", KEPT)
#: What the data sets are called, and where photographs come from.
DATASET_NAMES = {
    "catalogue": "product pictures (catalogue)",
    "phone": "phone photographs",
    "street": "garments in street photographs",
}
PHOTO_LICENCES = {
    "phone": "phone photographs 'clothing-dataset' (CC0)",
    "street": "street photographs 'Clothing Co-Parsing' (Apache-2.0)",
}
COARSE = (
    "Photographs are labelled coarsely: `top` makes Tops, Tshirts and Tunics right. 'Wrong' means "
    "there that the label excludes the type; which of the types that a label admits it is was not "
    "labelled, and is neither measured nor promised."
)
OTHER_DATA = (
    "**These are not the data that the version was trained on**: pictures that it has learned "
    "from may be among the test pictures, and the figures too good then."
)
#: Types with fewer test pictures are not called weak: chance alone makes them so.
ENOUGH = 5
WEAKEST = 8


def write_page(
    path: Path, card: Card, figures: Mapping[str, Any], proof: Mapping[str, Any], command: str
) -> list[Path]:
    """Write the page and its plots, which lie in a folder beside it of the same name.

    `figures` are those of `measure_all`, `proof` those of `prove`, `command` what prints both
    again. The chapter on simpler models is kept, unless it is about another version. Returns the
    files. Raises UsageError where the path is none of a Markdown file, or the page is damaged.
    """
    check_page(path)
    old = _read(path) if path.is_file() else ""
    below, compared = old.partition(KEPT)[2], beside.find(old)
    if compared and compared.version != card.version:
        below, compared = below.replace(compared.text, ""), None
    kept = below.strip()
    plots = draw_plots(proof, path.with_suffix(""))
    text = page(card, figures, proof, command, path.stem)
    text = f"{text}\n{KEPT}\n" + (f"\n{kept}\n" if kept else "")
    if compared:
        text = beside.put(text, compared, PLACES)
    path.write_text(text, encoding="utf-8")
    return [path, *plots]


def write_comparison(path: Path, version: str, text: str) -> None:
    """Write the chapter on simpler models into a version's page; all else stays as it is.

    Raises UsageError as `check_comparison`.
    """
    check_comparison(path, version)
    text = beside.put(_read(path), beside.block(version, text), PLACES)
    path.write_bytes(text.encode())


def check_page(path: Path) -> None:
    """Raise UsageError where no page can be written to a path, or what is there is damaged."""
    _check_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    compared_with(path)


def check_comparison(path: Path, version: str) -> None:
    """Raise UsageError where there is no page, or one of another version, or a damaged one."""
    _check_name(path)
    found = HEADING.search(_read(path))
    if found and found[1] != version:
        raise UsageError(
            f"--page {path} is about {found[1]}, the comparison would be about {version}: add "
            f"--model {found[1]}, or write the page anew first, without --compare"
        )
    compared_with(path)


def compared_with(path: Path) -> str | None:
    """Return the version that a page's chapter on simpler models is about, None without one."""
    if not path.is_file():
        return None
    try:
        found = beside.find(_read(path))
    except UsageError as error:
        raise UsageError(f"--page {path}: {error}") from error
    return found.version if found else None


def _check_name(path: Path) -> None:
    if path.suffix != ".md" or path.is_dir():
        raise UsageError(f"--page {path}: name a Markdown file, e.g. docs/model.md")


def _read(path: Path) -> str:
    """Read a page with the line ends that it has."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError as error:
        raise UsageError(
            f"--page {path}: there is no such page; write it first, without --compare"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--page {path}: it cannot be read as text in UTF-8") from error


def page(
    card: Card, figures: Mapping[str, Any], proof: Mapping[str, Any], command: str, plots: str
) -> str:
    """Return the page; `plots` is the folder of its plots, as the page names it."""
    parts = [
        f"# Model card: {card.version}",
        in_short(card, figures, proof, command),
        origin(card),
        limits(figures, proof),
        chapters.overview(figures, proof, command),
        chapters.published(card, figures, proof, command),
        chapters.resembling(card, proof, command),
        chapters.risk_coverage(proof, command, plots),
        chapters.backoff(proof, command),
        chapters.confidence(command, plots),
        chapters.types(proof, command),
        chapters.confusions(proof, command, plots),
        chapters.similarity(figures, proof, command),
        chapters.non_fashion(figures, command),
        chapters.sheets(command),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def in_short(card: Card, figures: Mapping[str, Any], proof: Mapping[str, Any], command: str) -> str:
    """Say in plain words what a service would gain, and what it would pay in mistakes."""
    return chapter(
        "In short",
        _plain_words(proof["per_1000"], proof["seconds"]),
        _decision_table(card, figures, proof),
        "Measured on test pictures that neither training nor the choice of the thresholds saw. "
        "'Wrong' speaks of the article type; the other tags have promises of their own, below. "
        "How many go to a person at a service depends on its mixture of such pictures.",
        COARSE if set(proof["per_1000"]) - {"catalogue"} else "",
        "" if proof["same_data"] else OTHER_DATA,
        "" if proof["promise"] is None else _other_promise(proof["promise"], command),
        chapters.again(command, "proof.per_1000"),
    )


def _other_promise(promise: float, command: str) -> str:
    return (
        f"**This page is about a promise of {100 * promise:g} %, which is not the version's own.** "
        f"To have it kept: `{command} --write`."
    )


def _plain_words(datasets: Mapping[str, Any], seconds: float) -> str:
    found, pictures = datasets["catalogue"], dataset_name("catalogue", datasets)
    alone = round(found["alone"])
    if not alone:
        return (
            f"Of 1,000 {pictures}, **none is tagged alone**: no threshold keeps "
            "the promise for sure. All go to a person, who has the model's suggestions at hand."
        )
    return (
        f"Of 1,000 {pictures}, **{alone} are tagged alone**; about "
        f"**{number(found['wrong'], 0)} of them get a wrong article type** (at most "
        f"{math.ceil(found['wrong_upper_95'])}, the upper bound at 95 %). "
        f"**{1000 - alone} go to a person.** At {seconds:g} seconds a decision that saves "
        f"{hours(found['hours_saved_1000'])} for each 1,000 uploads and "
        f"{hours(found['hours_saved_50000'])} for 50,000, against a person who decides on all."
    )


def _decision_table(card: Card, figures: Mapping[str, Any], proof: Mapping[str, Any]) -> str:
    rows = []
    for dataset, found in proof["per_1000"].items():
        part = figures if dataset == "catalogue" else figures[dataset]
        alone = round(found["alone"])
        rows.append(
            [
                f"{dataset_name(dataset, proof['per_1000'])} ({found['n_test']:,} measured)",
                f"{alone}",
                number(found["wrong"], 1),
                number(found["wrong_upper_95"], 1),
                f"{1000 - alone}",
                number(found["hours_saved_1000"], 1),
                number(found["hours_saved_50000"], 0),
                chapters.verdict(chapters.promise_of(card, dataset), part["article_type"]),
            ]
        )
    header = [
        "of 1,000", "tagged alone", "of these wrong", "at most (95 %)", "to a person",
        "hours saved, 1,000", "hours saved, 50,000", "the promise",
    ]  # fmt: skip
    return table(header, rows)


def dataset_name(dataset: str, datasets: Collection[str]) -> str:
    """Name a data set; where there is one alone, it is no catalogue beside photographs."""
    if set(datasets) <= {"catalogue"}:
        return "pictures like these data's"
    return DATASET_NAMES.get(dataset, cell(dataset))


def hours(value: float) -> str:
    """Write hours, below ten with a digit after the point."""
    return f"{number(value, 1 if value < 10 else 0)} hours"


def origin(card: Card) -> str:
    """Say what a version was made from, by its card, and under which licences."""
    data, raw = card.raw["data"], card.raw
    datasets = data.get("datasets", {"catalogue": data["rows"]})
    licences = [data["name"], *(PHOTO_LICENCES[s] for s in datasets if s in PHOTO_LICENCES)]
    counts = [f"{count:,} {DATASET_NAMES.get(s, cell(s))}" for s, count in datasets.items()]
    splits = [f"{count:,} {split}" for split, count in data.get("splits", {}).items()]
    dropped = [f"{count:,} {reason}" for reason, count in data.get("dropped", {}).items() if count]
    rows = [
        ["data", "; ".join(licences)],
        ["pictures", ", ".join(counts)],
        ["splits", ", ".join(splits) or "not stated"],
        ["left out", ", ".join(dropped) or "nothing"],
        ["SHA-256 of the data", f"`{data['sha256']}`"],
        ["backbone", str(raw.get("backbone", "not stated"))],
        ["input", f"{card.height}×{card.width} pixels"],
        ["the version's own licence", str(raw.get("licence", "not stated"))],
        ["made", f"{raw.get('created', 'not stated')}, code at {raw.get('commit', 'not stated')}"],
        ["training", f"`{json.dumps(raw.get('training', {}), ensure_ascii=False)}`"],
    ]
    rows = [[name, value.replace("|", "\\|")] for name, value in rows]
    text = table(["", ""], rows, mark="---")
    return chapter("What it was trained on", text, "From the version's `card.json`.")


def limits(figures: Mapping[str, Any], proof: Mapping[str, Any]) -> str:
    """Say what a version must not be used for, and where it is weak, with figures."""
    barred = [
        "Anything about people: who is in the picture, their body, age or sex.",
        "Telling what may be shown from what may not, counterfeits from originals, or one brand "
        "from another: it has never seen an example of these.",
        "Decisions that nobody can put right, such as customs tariffs or refunds.",
        "Pictures of several garments as a whole: it names one article. Cut them apart first.",
    ]
    if "gender" in figures:
        barred[0] += " The tag `gender` is the section of the shop that a garment is sold in."
    weak = [*_weak_types(proof), *_weak_attributes(figures), *_weak_datasets(figures, proof)]
    return f"{chapter('Not for', bullets(barred))}\n\n{chapter('Where it is weak', bullets(weak))}"


def _weak_types(proof: Mapping[str, Any]) -> list[str]:
    known = [row for row in proof["types"] if row["n_test"] >= ENOUGH]
    weakest = sorted(known, key=lambda row: row["f1"])[:WEAKEST]
    listed = ", ".join(f"{cell(row['type'])} ({number(row['f1'], 2)})" for row in weakest)
    few, none = len(proof["types"]) - len(known), len(proof["types_without_test"])
    lines = (
        [f"Lowest F1 of types with {ENOUGH} or more test pictures: {listed}."] if weakest else []
    )
    if few:
        lines.append(f"Hardly measured: types with fewer than {ENOUGH} test pictures, {few} here.")
    if none:
        lines.append(f"Not measured: types without a test picture, {none} here, named below.")
    return lines


def _weak_attributes(figures: Mapping[str, Any]) -> list[str]:
    found = [
        f"{a} ({percent(figures[a]['top1'])})"
        for a in ("base_colour", "season", "usage", "gender")
        if a in figures and figures[a]["top1"] < 0.9
    ]
    return [f"Tags whose first guess is often wrong: {', '.join(found)}."] if found else []


def _weak_datasets(figures: Mapping[str, Any], proof: Mapping[str, Any]) -> list[str]:
    photos = [dataset for dataset in proof["per_1000"] if dataset != "catalogue"]
    if not photos:
        return [
            "Photographs other than the data set's own kind: not measured here, so expect neither "
            "the accuracy nor the promise."
        ]
    products = percent(figures["article_type"]["top1"])
    lines = [
        f"{DATASET_NAMES.get(s, cell(s)).capitalize()}: "
        f"{percent(figures[s]['article_type']['top1'])} right, against {products} of product "
        "pictures, although coarse labels let several types count as right there."
        for s in photos
    ]
    return [*lines, f"Photographs unlike these ({names(photos)}): not measured."]
