"""`hangtag data`: look at labelled pictures before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.card import WEIGHTS, version_folder
from worker.cli.options import require_train_extra
from worker.cli.output import note, progress_bar
from worker.settings import load_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.datasets.report import Embed
    from models.datasets.rows import Rows

#: Pictures that are embedded at once.
BATCH = 64
data_app = typer.Typer(help="Labelled pictures: what a data set holds.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(data_app, name="data")


@data_app.callback()
def group() -> None:
    """Say that these are commands of a group, though there is one alone."""


@data_app.command()
def report(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="styles.csv with images, a parquet file, one folder a class, a CSV with a column "
            "`path` and `label` or any attribute's name, or Fashion-MNIST's folder.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Where the page and its plots are written.", file_okay=False)
    ] = Path("runs/data-report"),
    model: Annotated[
        str | None,
        typer.Option(help="A version whose vectors near-duplicates must share, too (slow)."),
    ] = None,
) -> None:
    """Count labels, copies and splits of a data set; draw sizes and brightness.

    Prints the figures; `report.md` in the folder shows them with the plots.
    Half a minute for 40,000 small pictures.
    Needs the extra `train`: ./run install train

    Example: hangtag data report --data ~/fashion --out report
    """
    require_train_extra("matplotlib")
    from models.datasets.importers import read_dataset
    from models.datasets.report import examine, text_table, write_page

    rows = read_dataset(data)
    embed = embedder(version_folder(model, load_settings().weights or WEIGHTS)) if model else None
    with progress_bar("looking", len(rows.ids)) as bar:
        found = examine(
            rows, embed, lambda done, all_: bar.update(bar.task_ids[0], completed=done, total=all_)
        )
    print(text_table(found))
    note(f"the page is {write_page(found, out)}")


def embedder(version: Path) -> Embed:
    """Return what embeds rows by a model version."""
    import numpy as np

    from models.data import decode_all
    from models.predictor import Predictor

    predictor = Predictor.load_folder(version)

    def embed(rows: Rows) -> NDArray[np.float32]:
        pixels, _ = decode_all(rows.files, predictor.card.height, predictor.card.width)
        vectors = [
            one.embedding
            for start in range(0, len(pixels), BATCH)
            for one in predictor.predict(list(pixels[start : start + BATCH]))
        ]
        return np.array(vectors, dtype=np.float32)

    return embed
