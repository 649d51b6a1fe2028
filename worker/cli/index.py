"""`hangtag model index`: the HNSW index of a version, built in bulk."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import Engine

from db.queries.models import ModelVersion, get_active_model, list_models
from db.session import make_engine, transaction
from errors import UsageError
from worker.cli.output import print_json, progress_bar
from worker.indexing import Indexed, index_generation, make_indexing_engine
from worker.settings import load_settings


def register(model_app: typer.Typer) -> None:
    """Add this module's command to `hangtag model`."""
    model_app.command("index")(index)


def index(
    version: Annotated[
        str | None, typer.Argument(help="A registered version; the active one if none.")
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Build it anew. Until it is built, queries on an active version read all vectors.",
        ),
    ] = False,
) -> None:
    """Move a version's fresh vectors to its index; build that where it is missing or broken.

    For a version that is not active yet all is moved and the index built in bulk, which takes an
    eighth of the time. The index of the active version stays in use. Stopped, the same command
    does what is left. Connects as the owner.

    Example: hangtag model index VERSION
    """
    url = load_settings().require_url()
    with transaction(make_engine(url)) as session:
        active = get_active_model(session)
        found = _chosen(version, active, list_models(session))
    engine = make_indexing_engine(url)
    done = index_with_progress(engine, found.generation, bool(found.active), rebuild)
    engine.dispose()
    print_json({"version": found.version, "moved": done.moved, "built": done.built})


def index_with_progress(
    engine: Engine, generation: int, active: bool, rebuild: bool = False
) -> Indexed:
    """Index a generation, and show on a terminal how far it is."""
    with progress_bar("{task.description}", 1) as bar:

        def progress(doing: str, done: int, total: int) -> None:
            bar.update(bar.task_ids[0], description=doing, completed=done, total=total)

        return index_generation(engine, generation, active, rebuild, progress)


def _chosen(
    version: str | None, active: ModelVersion | None, known: list[ModelVersion]
) -> ModelVersion:
    if version is None:
        if active is None:
            raise UsageError("no model version is active; name one, see `hangtag model list`")
        return active
    for one in known:
        if one.version == version:
            return one
    raise UsageError(f"the database knows no version {version}; see `hangtag model list`")
