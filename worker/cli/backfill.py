"""`hangtag model backfill`: vectors of a version for pictures that earlier ones tagged."""

from __future__ import annotations

from typing import Annotated

import typer

from db.queries.models import get_active_model, list_models, register_model
from db.queries.parts import may_index
from db.session import make_engine, transaction
from errors import UsageError
from models.card import WEIGHTS, version_folder
from models.predictor import Predictor
from worker.backfill import backfill as run_backfill
from worker.cli.index import index_with_progress
from worker.cli.output import note, print_json, progress_bar
from worker.indexing import make_indexing_engine
from worker.settings import load_settings


def register(model_app: typer.Typer) -> None:
    """Add this module's command to `hangtag model`."""
    model_app.command("backfill")(backfill)


def backfill(
    version: Annotated[
        str | None, typer.Argument(help="A version on disk; the active one if none.")
    ] = None,
) -> None:
    """Embed the pictures that earlier versions tagged, so that similarity finds them.

    Run it before `hangtag model activate VERSION`, and once more after it for what came meanwhile.
    Tags, decisions and the review queue stay as they are. Stopped, the same command goes on where
    it was.

    Example: hangtag model backfill VERSION
    """
    settings = load_settings()
    settings.require_store()  # before anything is written
    engine = make_engine(settings.require_url(), pool_size=1)
    with transaction(engine) as session:
        active = get_active_model(session)
    if version is None:
        if active is None:
            raise UsageError("no model version is active; name one, see `hangtag model list`")
        version = active.version
    folder = version_folder(version, settings.weights or WEIGHTS)
    predictor = Predictor.load_folder(folder, threads=settings.inference_threads)
    name = predictor.card.version
    with transaction(engine) as session:
        generation = next((m.generation for m in list_models(session) if m.version == name), None)
        if generation is None:  # only the owner may make a partition; its labels come when active
            generation = register_model(session, name, predictor.card.raw)
    with progress_bar("embedding", 1) as bar:

        def progress(done: int, total: int) -> None:
            bar.update(bar.task_ids[0], completed=done, total=total)

        report = run_backfill(engine, settings, predictor, generation, progress)
    print_json({"version": name, "written": report.written, "failed": dict(report.failed)})
    with transaction(engine) as session:
        active = get_active_model(session)  # somebody may have switched meanwhile
        owner = may_index(session.connection(), generation)
    waits = active is None or active.version != name
    if waits and owner:
        indexing = make_indexing_engine(settings.require_url())
        index_with_progress(indexing, generation, active=False)
        indexing.dispose()
    if report.failed:
        note("the log above names the pictures that have no vector; run it again to try them again")
        raise typer.Exit(1)
    if waits:
        first = "" if owner else f"hangtag model index {name} (as the owner), "
        note(f"similarity shows them after: {first}hangtag model activate {name}")
