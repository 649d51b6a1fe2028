"""`hangtag evaluate`: a version's figures, its page, another promise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from errors import UsageError
from models.card import WEIGHTS, Card, version_folder
from worker.cli.compare import (
    ROWS,
    BackboneOption,
    BackboneWeightsOption,
    CompareOption,
    DownloadOption,
    OnlyOption,
    RowsOption,
    print_comparison,
)
from worker.cli.options import DataOption, WeightsOption, require_train_extra, weights_folder
from worker.cli.output import note, print_json, progress_bar

#: What an operator takes for a decision unless another time is named.
SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(evaluate)


def evaluate(
    data: DataOption,
    model: Annotated[str | None, typer.Option(help="A version; the default one if none.")] = None,
    weights: WeightsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="All figures of the page as JSON instead of a table.")
    ] = False,
    promise: Annotated[
        float | None,
        typer.Option(
            help="Share of types and categories to be right among those published of catalogue "
            "pictures, e.g. 0.99."
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Keep the promise's thresholds in the version's card.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            help="Write the model card page, plots in a folder beside it; with --compare only its "
            "chapter on simpler models."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="What an operator takes for a decision, for the page.")
    ] = SECONDS,
    sheets: Annotated[
        Path | None,
        typer.Option(help="Draw neighbours and worst mistakes there; shows the data's pictures."),
    ] = None,
    compare: CompareOption = False,
    only: OnlyOption = None,
    run: RowsOption = ROWS,
    backbone: BackboneOption = None,
    backbone_weights: BackboneWeightsOption = None,
    download: DownloadOption = False,
) -> None:
    """Measure a model version on the test split, which decides nothing in training.

    With --promise thresholds are chosen and certified anew, and the figures
    are those under them; the version's card stays as it is without --write.
    Needs the extra `train`: ./run install train

    Example: hangtag evaluate --data ~/fashion

    Example: hangtag evaluate --data ~/fashion --page model.md --seconds 8

    Example: hangtag evaluate --data ~/fashion --promise 0.99 --json

    Example: hangtag evaluate --data ~/fashion --promise 0.99 --write

    Example: hangtag evaluate --data ~/fashion --sheets ~/sheets

    Example: hangtag evaluate --data ~/fashion --compare --only majority,cnn2,shipped

    Example: hangtag evaluate --data ~/fashion --compare --page model.md
    """
    require_train_extra("matplotlib")
    weights = weights_folder(weights)
    if compare:
        if promise is not None or write or sheets or seconds != SECONDS:
            raise UsageError(
                "--compare prints baselines alone; run evaluate once more for --promise, "
                "--write, --seconds and --sheets"
            )
        folder = version_folder(model, weights)
        print_comparison(
            data, run, only, folder, backbone, backbone_weights, download, as_json, page
        )
        return
    if only or run != ROWS or backbone or backbone_weights or download:
        raise UsageError(
            "--only, --run, --backbone, --backbone-weights and --download are for --compare; add it"
        )
    from models.proof.page import check_page, compared_with, write_page
    from models.proof.prove import prove
    from models.proof.sheets import write_sheets
    from models.recipe import measure
    from models.training.promise import check_promise, store_promise

    if promise is not None:
        check_promise(promise)
    elif write:
        raise UsageError("--write keeps a promise's thresholds; name one, e.g. --promise 0.99")
    if page:
        check_page(page)
    card = Card.load(version_folder(model, weights))
    with progress_bar("{task.description}", 1) as bar:

        def progress(doing: str, done: int, total: int) -> None:
            bar.update(bar.task_ids[0], description=doing, completed=done, total=total)

        found = measure(card, data, promise, progress)
    figures, evidence = found.figures, found.evidence
    changes = found.changes if found.changes or promise is None else ["no threshold changes"]
    row: dict[str, Any] = {"version": card.version, **figures}
    if promise is not None:
        row |= {"promise": promise, "acceptance": evidence.card.raw["acceptance"]}
    if as_json or page:
        row["proof"] = prove(evidence, figures, seconds, None if write else promise)
    if as_json:
        print_json(row)
    else:
        print("\n".join([card.version, *changes, found.text]))
    if write:
        store_promise(evidence.card, evidence.pictures, figures)
        note(
            f"{card.folder / 'card.json'}: {len(found.changes)} threshold(s) changed; workers that "
            "run go on with the old ones until they are started again"
        )
        for change in found.changes:
            note(f"  {change}")
    command = _command(card, weights, seconds, None if write else promise)
    compared = compared_with(page) if page else None
    written = write_page(page, evidence.card, figures, row["proof"], command) if page else []
    written += write_sheets(evidence, sheets) if sheets else []
    for path in written:
        note(f"wrote {path}")
    if compared not in (None, card.version):
        note(
            f"{page}: the chapter on simpler models was about {compared} and is left out; to write "
            f"it for {card.version}, run this once more with --compare --page {page}"
        )


def _command(card: Card, weights: Path, seconds: float, promise: float | None) -> str:
    """Return the command that prints a page's figures again."""
    words = ["hangtag evaluate --data DIR --model", card.version]
    words += [] if weights == WEIGHTS else ["--weights DIR"]
    words += [] if seconds == SECONDS else [f"--seconds {seconds:g}"]
    words += [] if promise is None else [f"--promise {promise:g}"]
    return " ".join(words)
