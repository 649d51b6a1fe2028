"""`hangtag submit`, `status`, `dead`, `similar`."""

from __future__ import annotations

import difflib
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from db.queries.embeddings import get_embedding, list_similar
from db.queries.models import get_active_model, list_labels
from db.queries.tags import list_tags
from db.queries.uploads import (
    Submitted,
    count_by_status,
    get_status,
    list_dead,
    list_status,
    requeue_dead,
)
from db.session import make_engine, transaction
from errors import PermanentError, UsageError
from models.card import WEIGHTS, version_folder
from models.pictures import decode, read_bytes
from models.predictor import Predictor
from models.transforms import to_pixels
from worker.app import make_app
from worker.bell import ring
from worker.cli.output import note, print_json, progress_bar
from worker.client import BACKFILL_PRIORITY, Client
from worker.settings import load_settings
from worker.setup import missing_weights
from worker.storage import is_folder, list_pictures
from worker.vectors import vector_text

#: Files are copied, handed in and reported this many at a time.
CHUNK = 500
FINAL = ("tagged", "review", "dead")
#: What is printed of an upload, before it is JSON.
Line = dict[str, Any]

dead_app = typer.Typer(help="Uploads that could not be processed: look at them, try them again.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(submit)
    app.command()(status)
    app.command()(similar)
    app.add_typer(dead_app, name="dead")


def submit(
    things: Annotated[list[str], typer.Argument(metavar="PATH|DIR|URI…", help="What to hand in.")],
    source: Annotated[
        str, typer.Option(help="Who hands it in; with the path or URI it names the upload.")
    ] = "cli",
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Back catalogue: fresh uploads go first.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the results and print the tags too.")
    ] = False,
) -> None:
    """Hand in pictures; print a JSON line an upload.

    A local file is copied into the picture store. A folder is searched for pictures. A URI
    (file://…) is taken as it is and must lie inside the store or HANGTAG_FILE_ROOTS.
    The same file or URI from the same source twice is one upload. Ends with 1 where something
    could not be handed in, where there was nothing to hand in, or, with --wait, an upload died.

    Example: hangtag submit ~/photos --source app --wait
    """
    settings = load_settings()
    client = Client(settings.require_url(), settings.require_broker(), settings.store)
    paths, uris, failed = _sort_out(things)
    priority = BACKFILL_PRIORITY if backfill else 0
    waiting: list[tuple[Line, Submitted]] = []
    dead = 0
    refused: list[PermanentError] = []
    with progress_bar("handing in", len(paths) + len(uris)) as bar:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            answers = client.submit_files(chunk, source, priority, on_error=refused.append)
            lines: list[Line] = [{"path": str(path), "uri": uri} for path, uri, _ in answers]
            waiting += _report(lines, [answer for _, _, answer in answers], wait)
            bar.advance(bar.task_ids[0], len(chunk))
        for start in range(0, len(uris), CHUNK):
            part = uris[start : start + CHUNK]
            submitted = client.submit_many(part, source, part, priority)
            waiting += _report([{"uri": uri} for uri in part], submitted, wait)
            bar.advance(bar.task_ids[0], len(part))
    client.close()
    for error in refused:
        note(f"hangtag: {error}")
    if wait:
        dead = _wait_for(make_engine(settings.require_url()), waiting)
    if failed or refused or dead or not (paths or uris):
        raise typer.Exit(1)


def _sort_out(things: list[str]) -> tuple[list[Path], list[str], int]:
    """Part arguments into local files and URIs; what is neither is reported and counted."""
    paths: list[Path] = []
    uris: list[str] = []
    failed = 0
    for thing in things:
        path = Path(thing)
        if not thing:  # an empty variable of a shell; it would be the current folder
            raise UsageError("an argument is empty; for the current folder write .")
        if "://" in thing:
            uris.append(thing)
        elif is_folder(path):
            found, left_out = list_pictures(path)
            paths += found
            if left_out:
                note(f"{path}: left out, without a picture's suffix: {left_out}")
            if not found:
                note(f"{path}: no pictures in here")
        elif os.path.lexists(path):  # what is no regular file is refused where it is opened
            paths.append(path)
        else:
            failed += 1
            note(f"hangtag: {thing}: no such file")
    return paths, uris, failed


def _report(
    lines: Sequence[Line], answers: Sequence[Submitted], wait: bool
) -> list[tuple[Line, Submitted]]:
    if not wait:
        for line, one in zip(lines, answers, strict=True):
            print_json({"id": one.id, **line, "status": one.status})
    return list(zip(lines, answers, strict=True))


def _wait_for(engine: Engine, waiting: list[tuple[Line, Submitted]]) -> int:
    """Print each upload with its tags, in the order of submission, as soon as it is final.

    Return how many died.
    """
    _warn_without_weights(engine)
    dead = 0
    with progress_bar("tagging", len(waiting)) as bar:
        place = 0
        while place < len(waiting):
            part = waiting[place : place + CHUNK]
            ids = [one.id for _, one in part]
            with transaction(engine) as session:
                found = list_status(session, ids)
                tags = list_tags(session, ids)
            for line, one in part:
                state = found[one.id]
                if state.status not in FINAL:
                    break
                row: Line = {"id": one.id, **line, "status": state.status}
                row["tags"] = tags.get(one.id, {})
                if state.status == "dead":
                    dead += 1
                    row |= {"error_code": state.error_code, "error": state.error}
                print_json(row)
                place += 1
                bar.advance(bar.task_ids[0])
            else:
                continue
            time.sleep(0.1)
    return dead


def _warn_without_weights(engine: Engine) -> None:
    """Say where nothing can be tagged, because the active version is not here."""
    with transaction(engine) as session:
        active = get_active_model(session)
    if warning := missing_weights(active.version if active else None, load_settings().weights):
        note(f"hangtag: {warning}")


def status(
    upload: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An upload; without it, all in numbers.")
    ] = None,
) -> None:
    """Show where an upload stands, or how many stand where; JSON.

    Example: hangtag status 0b8f3e9c-5c6e-4d0e-9a55-0d6f5a1c2b3d
    """
    engine = make_engine(load_settings().require_url())
    if upload is None:
        with transaction(engine) as session:
            counts = count_by_status(session)
        print_json({name: counts.get(name, 0) for name in ("pending", "processing", *FINAL)})
        _warn_without_weights(engine)
        return
    with transaction(engine) as session:
        identity = parse_id(upload)
        found = get_status(session, identity)
        if found is None:
            raise PermanentError(f"there is no upload {upload}", "not_found")
        print_json({**asdict(found), "tags": list_tags(session, [identity]).get(identity, {})})


@dead_app.command("list")
def dead_list(
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
) -> None:
    """List dead letters with their reasons, a JSON line each.

    Example: hangtag dead list --limit 20
    """
    engine = make_engine(load_settings().require_url())
    with transaction(engine) as session:
        for row in list_dead(session, limit):
            print_json(asdict(row))


@dead_app.command("requeue")
def dead_requeue(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Dead uploads.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
) -> None:
    """Try dead letters again, with fresh attempts; print a JSON line each.

    Example: hangtag dead requeue --all
    """
    if bool(ids) == everything:
        raise UsageError("name the IDs to try again, or --all")
    settings = load_settings()
    wanted = None if everything else [parse_id(one) for one in ids or []]
    engine = make_engine(settings.require_url())
    with transaction(engine) as session:
        returned = requeue_dead(session, wanted)
    if returned and settings.broker_url:
        ring(make_app(settings), "ingest", len(returned), settings.batch_size)
    for identity in returned:
        print_json({"id": identity, "status": "pending"})
    missing = set(wanted or ()) - set(returned)
    if missing:
        names = ", ".join(str(one) for one in sorted(missing))
        raise PermanentError(f"not dead, so not tried again: {names}", "not_found")


def similar(
    what: Annotated[str, typer.Argument(metavar="PATH|ID", help="A picture, or an upload.")],
    count: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many.")] = 10,
    article_type: Annotated[
        str | None, typer.Option(help="Only of this type, e.g. 'Casual Shoes'.")
    ] = None,
    sub_category: Annotated[
        str | None, typer.Option(help="Only of this sub-category, e.g. Shoes.")
    ] = None,
) -> None:
    """List the most similar uploads, a JSON line each, nearest first.

    Example: hangtag similar photo.jpg -k 5 --sub-category Shoes
    """
    settings = load_settings()
    engine = make_engine(settings.require_url())
    with transaction(engine) as session:
        for attribute, label in (("article_type", article_type), ("sub_category", sub_category)):
            if label is not None:
                check_label(attribute, label, list_labels(session, attribute))
    path = Path(what)
    leave_out = None
    vector: str | None
    if os.path.isfile(what):  # noqa: PTH113 (false for a name that no file can have)
        # The view shows the active version's vectors; another's are no neighbours of them.
        with transaction(engine) as session:
            active = get_active_model(session)
        if active is None:
            raise UsageError("no model version is active; run `hangtag migrate`")
        predictor = Predictor.load_folder(
            version_folder(active.version, settings.weights or WEIGHTS)
        )
        card = predictor.card
        try:
            picture = decode(
                read_bytes(path, settings.limits.max_bytes),
                min(card.height, card.width),
                settings.limits,
            )
        except PermanentError as error:
            raise PermanentError(f"{path}: {error}", error.code) from error
        pixels = to_pixels(picture, card.height, card.width)
        [prediction] = predictor.predict([pixels])
        prediction.require_finite()
        vector = vector_text(prediction.embedding)
    else:
        leave_out = parse_id(what, "neither a file nor an upload's id")
        with transaction(engine) as session:
            vector = get_embedding(session, leave_out)
        if vector is None:
            raise PermanentError(f"upload {what} has no vector (yet)", "not_found")
    with transaction(engine) as session:
        for row in list_similar(session, vector, count, article_type, sub_category, leave_out):
            print_json(asdict(row))


def check_label(attribute: str, label: str, known: Sequence[str]) -> None:
    """Raise UsageError where a label is none, with those that are written nearly so."""
    if label in known:
        return
    by_lower = {name.lower(): name for name in known}
    near = [by_lower[name] for name in difflib.get_close_matches(label.lower(), by_lower, 3)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"there is no {attribute} {label!r}{hint}")


def parse_id(value: str, otherwise: str = "not an upload's id") -> uuid.UUID:
    """Parse an upload's id. Raises UsageError."""
    try:
        return uuid.UUID(value)
    except ValueError as error:
        raise UsageError(f"{value}: {otherwise}") from error
