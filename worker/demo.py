"""`./run demo`: all of Hangtag on a few pictures, in front of one's eyes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from db.passwords import hash_password, random_password
from db.queries.embeddings import get_embedding, list_similar
from db.queries.models import activate_model
from db.queries.operators import upsert_password
from db.queries.reviews import list_guesses
from db.queries.tags import list_tags
from db.queries.uploads import Submitted, UploadStatus, list_status
from db.session import make_engine, transaction
from errors import HangtagError, UsageError
from errors.hints import env_hint
from models.card import WEIGHTS, default_version, version_folder
from worker.cli.output import note
from worker.client import Client
from worker.settings import WorkerSettings, load_settings
from worker.setup import missing_weights, register_folder
from worker.storage import list_pictures
from worker.supervisor import Supervisor

SAMPLES = Path(__file__).resolve().parent.parent / "samples" / "pictures"
WAIT_SECONDS = 300
FINAL = {"tagged", "review", "dead"}
DEMO_OPERATOR = "demo"
#: Of how many pictures the one with the best neighbours is shown.
MOST_COMPARED = 50

#: Into a file or a pipe a table is printed at full width, not at the 80 columns of no terminal.
console = Console(width=None if sys.stdout.isatty() else 110)


def run_demo(data_dir: Path, images: Path | None, serve: bool, port: int) -> None:
    """Start, hand in, wait, show, and serve until Ctrl-C (or stop)."""
    paths = _pictures(images)
    supervisor = Supervisor(data_dir, _own_settings(), workers=1, console_port=port)
    console.print("[bold]Hangtag[/] starts what it needs: servers, a worker and the console …")
    supervisor.start()
    try:
        _have_a_model(supervisor)
        _show(supervisor, paths, drawings=images is None)
        if serve:
            _serve(supervisor)
    except KeyboardInterrupt:
        console.print("stopping …")
    finally:
        supervisor.stop()


def _own_settings() -> WorkerSettings:
    """Return the settings without what they name outside: drawings are nobody's uploads."""
    settings = load_settings()
    named = [name for name in ("database_url", "broker_url", "store") if getattr(settings, name)]
    for name in named:
        note(f"HANGTAG_{name.upper()} is set and left alone: a demo uses nothing but its own")
    return settings.model_copy(update=dict.fromkeys(named))


def _have_a_model(supervisor: Supervisor) -> None:
    """Activate the shipped version where an earlier demo's is no longer here."""
    missing = missing_weights(supervisor.active_model, supervisor.weights)
    if missing is None:
        return
    folder = supervisor.weights or WEIGHTS
    shipped = default_version(folder)
    engine = make_engine(supervisor.environment["HANGTAG_DATABASE_URL"])
    register_folder(engine, version_folder(shipped, folder))
    with transaction(engine) as session:
        activate_model(session, shipped)
    engine.dispose()
    console.print(
        f"Model {supervisor.active_model}, with which pictures were tagged here before, is no "
        f"longer shipped; {shipped} takes over.",
        highlight=False,
        soft_wrap=True,
    )
    supervisor.active_model = shipped


def _pictures(images: Path | None) -> list[Path]:
    folder = images or SAMPLES
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; --images wants a folder of pictures")
    paths, _ = list_pictures(folder)
    if not paths:
        raise UsageError(f"{folder}: no pictures in here")
    return paths


def _show(supervisor: Supervisor, paths: list[Path], drawings: bool) -> None:
    environment = supervisor.environment
    engine = make_engine(environment["HANGTAG_DATABASE_URL"])
    client = Client(
        environment["HANGTAG_DATABASE_URL"],
        environment["HANGTAG_BROKER_URL"],
        Path(environment["HANGTAG_STORE"]),
    )
    started = time.monotonic()
    submitted = client.submit_files(
        paths, source="demo", on_error=lambda error: console.print(f"left out: {error}")
    )
    paths = [path for path, _, _ in submitted]
    answers = [answer for _, _, answer in submitted]
    states = _wait(supervisor, engine, answers)
    seconds = time.monotonic() - started
    _print_tags(engine, paths, answers, states)
    counts = {name: sum(s.status == name for s in states) for name in ("tagged", "review", "dead")}
    new = sum(answer.created for answer in answers)
    took = f"in {seconds:.1f} s" if new else "of an earlier demo"
    console.print(
        f"{len(paths)} uploads {took}: {counts['tagged']} tagged, "
        f"{counts['review']} for review, {counts['dead']} dead."
    )
    if drawings:
        console.print(
            "These pictures are drawings made by this project. The model learned from\n"
            "photographs: of products it tags most alone, but most drawings go to a person, with\n"
            "its guess. Your own photographs: [bold]./run demo --images DIR[/]"
        )
    _print_similar(engine, paths, answers, states)
    client.close()
    engine.dispose()


def _wait(supervisor: Supervisor, engine: Engine, answers: list[Submitted]) -> list[UploadStatus]:
    """Wait until every upload is final. Raises HangtagError where that takes too long."""
    ids = [answer.id for answer in answers]
    deadline = time.monotonic() + WAIT_SECONDS
    with console.status("tagging …"):
        while True:
            with transaction(engine) as session:
                found = list_status(session, ids)
            open_ones = sum(found[i].status not in FINAL for i in ids)
            if not open_ones:
                return [found[i] for i in ids]
            if time.monotonic() > deadline:
                raise HangtagError(
                    f"{open_ones} uploads are not done after {WAIT_SECONDS} s; "
                    f"see {supervisor.data_dir / 'logs'}"
                )
            supervisor.check()
            time.sleep(0.05)


def _print_tags(
    engine: Engine, paths: list[Path], answers: list[Submitted], states: list[UploadStatus]
) -> None:
    table = Table(
        title="Published tags (a `?` is a guess that goes to a person)",
        title_justify="left",
        header_style="bold",
    )
    for column in ("picture", "status", "article type", "sub-category", "colour"):
        table.add_column(column, no_wrap=True, min_width=6)
    with transaction(engine) as session:
        ids = [answer.id for answer in answers]
        tags, guesses = list_tags(session, ids), list_guesses(session, ids)
    for path, answer, state in zip(paths, answers, states, strict=True):
        own = tags.get(answer.id, {})

        def cell(attribute: str, own: dict[str, dict[str, object]] = own) -> str:
            tag = own.get(attribute)
            return f"{tag['label']} {tag['confidence']:.0%}" if tag else "–"

        article_type = cell("article_type")
        if answer.id in guesses:
            label, confidence = guesses[answer.id]
            article_type = f"[dim]{label}? {confidence:.0%}[/]"
        if state.status == "dead":
            article_type = f"{state.error_code}"
        table.add_row(
            path.name,
            state.status,
            article_type,
            cell("sub_category"),
            cell("base_colour"),
        )
    console.print(table)


def _print_similar(
    engine: Engine, paths: list[Path], answers: list[Submitted], states: list[UploadStatus]
) -> None:
    """Show the contract's query for the tagged picture that has the most similar neighbour."""
    names = {answer.id: path.name for path, answer in zip(paths, answers, strict=True)}
    tagged = [s.image_id for s in states if s.status == "tagged"] or [
        s.image_id for s in states if s.status == "review"
    ]
    if not tagged:
        return
    neighbours = {}
    with transaction(engine) as session:
        for image_id in tagged[:MOST_COMPARED]:
            vector = get_embedding(session, image_id)
            if vector and (near := list_similar(session, vector, 5, leave_out=image_id)):
                neighbours[image_id] = near
    if not neighbours:
        return
    shown, found = min(neighbours.items(), key=lambda item: item[1][0].distance)
    console.print(f"\n[bold]Most similar to {names[shown]}[/], in plain SQL:")
    console.print(
        "  SELECT image_id FROM hangtag.image_embeddings ORDER BY embedding <=> $1 LIMIT 5",
        highlight=False,
        soft_wrap=True,
    )
    for row in found:
        # Of an earlier start: known by the path it was handed in with.
        known = (row.external_id or str(row.image_id)).split("@")[0]
        name = names.get(row.image_id) or Path(known).name
        console.print(f"  {row.distance:.3f}  {name}", highlight=False)


def _serve(supervisor: Supervisor) -> None:
    """Give the demo's operator a new password and run until Ctrl-C."""
    password = random_password()
    engine = make_engine(supervisor.environment["HANGTAG_DATABASE_URL"])
    with transaction(engine) as session:
        upsert_password(session, DEMO_OPERATOR, hash_password(password))
    engine.dispose()
    console.print(
        f"\nReview what the model was unsure of: [bold]{supervisor.console_url}[/]\n"
        f"  name [bold]{DEMO_OPERATOR}[/], password [bold]{password}[/] (of this start)",
        highlight=False,
    )
    console.print(
        f"In other terminals: {env_hint(supervisor.data_dir)}\nCtrl-C ends everything.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    supervisor.watch()
