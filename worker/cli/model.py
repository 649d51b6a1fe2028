"""`hangtag train`, `model`: for the ML engineer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy.orm import Session

from db.queries.models import (
    ModelVersion,
    activate_model,
    get_active_model,
    get_previous_model,
    list_models,
)
from db.queries.parts import count_fresh, get_index_state
from db.session import make_engine, transaction
from errors import UsageError
from models.card import WEIGHTS, Card, default_version, version_folder
from worker.cli import backfill, index
from worker.cli.compare import BackboneWeightsOption, DownloadOption
from worker.cli.options import DataOption, WeightsOption, require_train_extra, weights_folder
from worker.cli.output import note, print_json, progress_bar
from worker.janitor import KEPT_FRESH
from worker.settings import load_settings
from worker.setup import register_folder

if TYPE_CHECKING:
    from models.training.backbones import Backbone

model_app = typer.Typer(help="Model versions: which there are, which one is active.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(train)
    backfill.register(model_app)
    index.register(model_app)
    app.add_typer(model_app, name="model")


def train(
    data: DataOption,
    run: Annotated[
        Path, typer.Option(help="Folder of this run; started again it goes on from there.")
    ] = Path("runs/latest"),
    weights: WeightsOption = None,
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
        float, typer.Option(min=0, help="Highest rate of the heads; --backbone-rate for the rest.")
    ] = 1e-3,
    strength: Annotated[
        float, typer.Option(min=0, max=2, help="How much training pictures are changed.")
    ] = 1.0,
    backbone_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Rate of the backbone, as a part of the heads'.")
    ] = 0.5,
    weight_decay: Annotated[float, typer.Option(min=0, help="Decay of all weights.")] = 0.05,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of features left out before the heads.")
    ] = 0.3,
    drop_path: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of residual branches left out.")
    ] = 0.1,
    frozen: Annotated[
        int | None,
        typer.Option(
            min=0, max=7, help="Stages of the backbone that are not retrained. [default: 3]"
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Network of timm or torchvision, e.g. resnet50; EfficientNet-Lite0."),
    ] = None,
    backbone_weights: BackboneWeightsOption = None,
    download: DownloadOption = False,
    split: Annotated[
        str, typer.Option(help="How products are split: random, grouped or by_year.")
    ] = "random",
    photos: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of photographs in each batch, where phone_photos.parquet or "
            "street_photos.parquet lie beside the products.",
        ),
    ] = 0.2,
    views: Annotated[
        int,
        typer.Option(
            min=0,
            max=16,
            help="Cuts of each garment in street photographs; with --teacher also "
            "of what they are only tagged with. 0 for none.",
        ),
    ] = 4,
    teacher: Annotated[
        list[str] | None,
        typer.Option(help="A version whose beliefs are learnt beside the labels; may be repeated."),
    ] = None,
    distill: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the loss that teachers' beliefs make up.")
    ] = 0.5,
    data_name: Annotated[
        str | None,
        typer.Option(help="What the card calls the data, with their licence; the folder's name."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the new version.")] = "not stated",
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    make_default: Annotated[
        bool, typer.Option("--default/--no-default", help="Serve it where nobody chose another.")
    ] = True,
) -> None:
    """Fine-tune on labelled pictures, calibrate, export, and measure on the test split.

    An hour or two on two cores. Killed or stopped, the same command goes on where it was.
    Over several processes or GPUs: torchrun --nproc-per-node 4 -m -- worker train --data …
    Needs the extra `train`: ./run install train

    Example: hangtag train --data ~/fashion --run runs/first

    Example: hangtag train --data ~/own.csv --run runs/own --version own-1

    Example: hangtag train --data ~/fashion --run runs/r50 --backbone resnet50 --download

    Example: hangtag train --data ~/fashion --run runs/next --from VERSION --teacher VERSION
    """
    require_train_extra()
    weights = weights_folder(weights)
    from models.recipe import parse_stages, run_recipe
    from models.train import TrainSettings

    name, built = _chosen_backbone(backbone, backbone_weights, download)
    if built and (frozen or start_from):
        raise UsageError(
            f"--backbone {backbone} starts from weights of its own: no --frozen, no --from"
        )
    settings = TrainSettings(
        stages=parse_stages(epochs),
        learning_rate=learning_rate,
        strength=strength,
        start_from=start_from,
        backbone_rate=backbone_rate,
        weight_decay=weight_decay,
        dropout=dropout,
        drop_path=drop_path,
        backbone=name,
        frozen=3 if frozen is None and built is None else frozen or 0,
        split=split,
        photos=photos,
        views=views,
        teachers=tuple(teacher or ()),
        distill=distill,
        seed=seed,
    )
    with progress_bar("{task.description}", 1) as bar:

        def progress(event: dict[str, Any]) -> None:
            doing = event.get("doing", "training")
            bar.update(
                bar.task_ids[0], description=doing, completed=event["step"], total=event["steps"]
            )
            if bar.disable:
                note(json.dumps(event))

        result = run_recipe(
            data, run, weights, version, settings, progress, built, data_name, licence
        )
    if result is None:
        return  # one of several processes, and not the first
    folder, text = result
    if make_default:
        (weights / "default").write_text(folder.name + "\n")
    print(text)
    note(f"version {folder.name} is in {folder}")


def _chosen_backbone(
    name: str | None, weights: Path | None, download: bool
) -> tuple[str, Backbone | None]:
    """Return a backbone's name, and its module where it is not one whose weights are installed."""
    from models.network import BACKBONE
    from models.training.backbones import build_backbone, installed

    if not name and (weights or download):
        raise UsageError("--backbone-weights and --download are for --backbone; name a network")
    own = installed(name or BACKBONE)
    if own and not (weights or download):
        return own, None
    built, _, said = build_backbone(name or BACKBONE, weights, download)
    note(said)
    return built.name, built


@model_app.command("list")
def listing() -> None:
    """List model versions: those on disk, and what the database knows of them.

    `fresh` vectors are not in the index yet; `index` is `valid`, `building`, `missing` or
    `invalid`: of the latter two `hangtag model index VERSION` makes a valid one.

    Example: hangtag model list
    """
    settings = load_settings()
    folder = settings.weights or WEIGHTS
    known: dict[str, ModelVersion] = {}
    vectors: dict[str, dict[str, Any]] = {}
    is_asked = settings.database_url is not None
    if settings.database_url:
        with transaction(make_engine(settings.database_url)) as session:
            known = {row.version: row for row in list_models(session)}
            vectors = {row.version: _vectors(session, row.generation) for row in known.values()}
    if not is_asked:
        note("HANGTAG_DATABASE_URL is not set: what is on disk, and nothing of a database")
    default = default_version(folder) if (folder / "default").is_file() else None
    on_disk = sorted(path.parent.name for path in folder.glob("*/card.json"))
    for version in sorted({*on_disk, *known}):
        row = known.get(version)
        print_json(
            {
                "version": version,
                "on_disk": version in on_disk,
                "default": version == default,
                "active": bool(row and row.active) if is_asked else None,
                "generation": row.generation if row else None,
                **vectors.get(version, {"fresh": None, "index": None}),
            }
        )


def _vectors(session: Session, generation: int) -> dict[str, Any]:
    connection = session.connection()
    return {
        "fresh": count_fresh(connection, generation),
        "index": get_index_state(connection, generation),
    }


@model_app.command("activate")
def activate(
    version: Annotated[str, typer.Argument(help="A version on disk; see `hangtag model list`.")],
) -> None:
    """Make a version the active one: workers load it with their next batch.

    From then on the similarity view shows this version's vectors alone. Connects as the owner.

    Example: hangtag model activate VERSION
    """
    settings = load_settings()
    engine = make_engine(settings.require_url())
    register_folder(engine, version_folder(version, settings.weights or WEIGHTS))
    with transaction(engine) as session:
        activate_model(session, version)
        generation = get_active_model(session).generation  # type: ignore[union-attr]  # just set
        fresh = count_fresh(session.connection(), generation)
    print_json({"version": version, "active": True})
    if fresh > KEPT_FRESH:
        note(f"{fresh} vectors are not in the index yet; quickest: hangtag model index {version}")


@model_app.command("rollback")
def rollback() -> None:
    """Go back to the version that was active before; its vectors are still there.

    Pictures that were tagged meanwhile are not found by similarity then. A second rollback leads
    forward again.

    Example: hangtag model rollback
    """
    settings = load_settings()
    engine = make_engine(settings.require_url())
    with transaction(engine) as session:
        previous = get_previous_model(session)
        if previous is None:
            raise UsageError("no other version was active before")
        Card.load(version_folder(previous.version, settings.weights or WEIGHTS))  # is it here?
        activate_model(session, previous.version)
    print_json({"version": previous.version, "active": True})
