"""`hangtag evaluate --compare`: baselines beside the shipped version, on one split."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from models.card import WEIGHTS, Card, version_folder
from worker.cli.output import note, print_json, progress_bar

CompareOption = Annotated[
    bool, typer.Option("--compare", help="Measure baselines beside it, on the same split.")
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        help="Rows of --compare, as NAME,… of majority, mlp, cnn2, cnn3, frozen_linear, "
        "frozen_neighbours, shipped; finetuned and finetuned_embedding take an hour or more each "
        "and are made where they are named."
    ),
]
RowsOption = Annotated[
    Path, typer.Option("--run", help="Where --compare keeps its rows.", file_okay=False)
]
#: Where rows are kept unless another folder is named.
ROWS = Path("runs/baselines")
BackboneOption = Annotated[
    str | None,
    typer.Option(help="Network of timm or torchvision for the frozen features, e.g. vgg16."),
]
BackboneWeightsOption = Annotated[
    Path | None, typer.Option(help="Its weights, safetensors or .pth.", dir_okay=False)
]
DownloadOption = Annotated[
    bool, typer.Option("--download", help="Download the backbone's usual weights.")
]


def print_comparison(
    data: Path,
    run: Path,
    only: str | None = None,
    version: Path | None = None,
    backbone: str | None = None,
    backbone_weights: Path | None = None,
    download: bool = False,
    as_json: bool = False,
    page: Path | None = None,
) -> None:
    """Compare, showing progress; print the table, or a JSON line a row; write it into a page.

    `version` is a model version's folder, the default one if None. Raises UsageError, before
    anything is trained, where the page cannot take the table.
    """
    from models.baselines.compare import compare, compare_chapter, compare_table
    from models.proof.page import check_comparison, write_comparison
    from models.training.backbones import build_backbone

    folder = version or version_folder()
    card = Card.load(folder)
    if page:
        check_comparison(page, card.version)
    names = [name.strip() for name in only.split(",")] if only else None
    built = build_backbone(backbone, backbone_weights, download) if backbone else None
    if built:
        note(built[2])
    with progress_bar("{task.description}", 1) as bar:

        def progress(event: dict[str, Any]) -> None:
            row, step, steps = event["row"], event["step"], event["steps"]
            bar.update(bar.task_ids[0], description=row, completed=step, total=steps)
            if bar.disable and step in (0, steps):
                note(json.dumps(event))

        rows = compare(data, run, names, progress, version=folder, backbone=built)
    if as_json:
        for row in rows:
            print_json(asdict(row))
    else:
        print(compare_table(rows))
        note(f"the rows are kept in {run}")
    if page:
        named = {"--backbone": backbone, "--backbone-weights": "FILE" if backbone_weights else None}
        command = _command(card, run, [row.name for row in rows], named, download)
        write_comparison(page, card.version, compare_chapter(rows, command))
        note(f"wrote {page}")


def _command(
    card: Card, run: Path, rows: Sequence[str], named: Mapping[str, str | None], download: bool
) -> str:
    """Return the command that prints rows again; DIR and FILE stand for places of one's own."""
    words = ["hangtag evaluate --data DIR --compare --model", card.version]
    words += [] if card.folder.parent == WEIGHTS else ["--weights DIR"]
    words += [] if run == ROWS else ["--run DIR"]
    plain = [row.partition("@")[0] for row in rows]
    if len(set(plain)) == len(plain):  # no option names rows of several backbones; --run has them
        words.append(f"--only {','.join(plain)}")
    words += [f"{option} {value}" for option, value in named.items() if value]
    return " ".join([*words, *(["--download"] if download else [])])
