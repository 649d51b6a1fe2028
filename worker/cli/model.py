"""`hangtag train`, `evaluate`, `model`: for the ML engineer."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from db.queries.models import activate_model, get_previous_model, list_models
from db.session import make_engine, transaction
from errors import UsageError
from models.card import WEIGHTS, Card, version_folder
from worker.cli.output import note, print_json, progress_bar
from worker.settings import load_settings
from worker.setup import register_folder

model_app = typer.Typer(help="Model versions: which there are, which one is active.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(train)
    app.command()(evaluate)
    app.add_typer(model_app, name="model")


DataOption = Annotated[
    Path,
    typer.Option("--data", help="Folder with fashion_products.parquet.", exists=True),
]
WeightsOption = Annotated[
    Path, typer.Option("--weights", help="Where model versions are kept.", file_okay=False)
]


def train(
    data: DataOption,
    run: Annotated[
        Path, typer.Option(help="Folder of this run; started again it goes on from there.")
    ] = Path("runs/latest"),
    weights: WeightsOption = WEIGHTS,
    version: Annotated[
        str | None, typer.Option(help="Name of the new version; made up by default.")
    ] = None,
    epochs: Annotated[
        str, typer.Option(help="Epochs at each size, as EPOCHS:HEIGHTxWIDTH,…")
    ] = "3:64x48,6:96x72",
    start_from: Annotated[
        str | None, typer.Option("--from", help="Start from a version, not from ImageNet.")
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="Highest rate of the heads; the backbone's is half.")
    ] = 1e-3,
    strength: Annotated[
        float, typer.Option(min=0, max=2, help="How much training pictures are changed.")
    ] = 1.0,
    frozen: Annotated[
        int, typer.Option(min=0, max=7, help="Stages of the backbone that are not retrained.")
    ] = 3,
    photos: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of photographs in each batch.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    make_default: Annotated[
        bool, typer.Option("--default/--no-default", help="Serve it where nobody chose another.")
    ] = True,
) -> None:
    """Fine-tune on labelled pictures, calibrate, export, and measure on the test split.

    An hour or two on two cores. Killed or stopped, the same command goes on where it was.
    Needs the extra `train`: ./run install train

    Example: hangtag train --data ~/fashion --run runs/first
    """
    require_train_extra()
    from models.recipe import parse_stages, run_recipe
    from models.train import TrainSettings

    settings = TrainSettings(
        stages=parse_stages(epochs),
        learning_rate=learning_rate,
        strength=strength,
        start_from=start_from,
        frozen=frozen,
        photos=photos,
        seed=seed,
    )
    with progress_bar("training", 1) as bar:

        def progress(event: dict[str, Any]) -> None:
            bar.update(bar.task_ids[0], completed=event["step"], total=event["steps"])
            if bar.disable:
                note(json.dumps(event))

        folder, text = run_recipe(data, run, weights, version, settings, progress)
    if make_default:
        (weights / "default").write_text(folder.name + "\n")
    print(text)
    note(f"version {folder.name} is in {folder}")


def evaluate(
    data: DataOption,
    model: Annotated[str | None, typer.Option(help="A version; the default one if none.")] = None,
    weights: WeightsOption = WEIGHTS,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Measure a model version on the test split, which no other command reads.

    Needs the extra `train`: ./run install train

    Example: hangtag evaluate --data ~/fashion
    """
    require_train_extra()
    from models.recipe import measure

    card = Card.load(version_folder(model, weights))
    figures, text = measure(card, data)
    if as_json:
        print_json({"version": card.version, **figures})
    else:
        print(f"{card.version}\n{text}")


def require_train_extra() -> None:
    """Raise UsageError where the `train` extra is not installed."""
    missing = [
        name
        for name in ("torch", "timm", "pandas", "safetensors", "sklearn")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"training needs {', '.join(missing)}: pip install -c requirements.lock -e '.[train]'"
        )


@model_app.command("list")
def listing() -> None:
    """List model versions: those on disk, and what the database knows of them.

    Example: hangtag model list
    """
    settings = load_settings()
    folder = settings.weights or WEIGHTS
    known = {}
    if settings.database_url:
        with transaction(make_engine(settings.database_url)) as session:
            known = {row.version: row for row in list_models(session)}
    on_disk = sorted(path.parent.name for path in folder.glob("*/card.json"))
    for version in sorted({*on_disk, *known}):
        row = known.get(version)
        print_json(
            {
                "version": version,
                "on_disk": version in on_disk,
                "active": bool(row and row.active),
                "generation": row.generation if row else None,
            }
        )


@model_app.command("activate")
def activate(
    version: Annotated[str, typer.Argument(help="A version on disk; see `hangtag model list`.")],
) -> None:
    """Make a version the active one: workers load it with their next batch.

    From then on the similarity view shows this version's vectors alone. Connects as the owner.

    Example: hangtag model activate lite0-20261122-b84a22
    """
    settings = load_settings()
    engine = make_engine(settings.require_url())
    register_folder(engine, version_folder(version, settings.weights or WEIGHTS))
    with transaction(engine) as session:
        activate_model(session, version)
    print_json({"version": version, "active": True})


@model_app.command("rollback")
def rollback() -> None:
    """Go back to the version that was active before; its vectors are still there.

    Example: hangtag model rollback
    """
    engine = make_engine(load_settings().require_url())
    with transaction(engine) as session:
        previous = get_previous_model(session)
        if previous is None:
            raise UsageError("no other version was active before")
        activate_model(session, previous.version)
    print_json({"version": previous.version, "active": True})
