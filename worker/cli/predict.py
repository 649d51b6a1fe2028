"""`hangtag predict`: the model on files, without database or broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from errors import HangtagError, PermanentError, TransientError, UsageError
from models.card import WEIGHTS, version_folder
from models.pictures import decode, read_bytes
from models.predictor import Prediction, Predictor
from models.transforms import Pixels, to_pixels
from worker.cli.output import note, print_json, print_line, progress_bar
from worker.failures import one_line
from worker.routing import route
from worker.settings import WorkerSettings, load_settings
from worker.storage import is_folder, list_pictures


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(predict)


def predict(
    things: Annotated[
        list[Path], typer.Argument(metavar="PATH|DIR…", help="Pictures, or folders of them.")
    ],
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="A JSON line a picture instead of a short table.")
    ] = False,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Add the 256 numbers of the vector.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="A model version; see `hangtag model list`.")
    ] = None,
) -> None:
    """Tag pictures right here; needs no database and no broker.

    The answers come in the order of the sorted paths. A file that cannot be decoded gives a
    line with its error, and the run goes on; the exit code is 1 then.

    Example: hangtag predict ~/photos --jsonl > tags.jsonl
    """
    settings = load_settings()
    paths = _collect(things)
    predictor = Predictor.load_folder(
        version_folder(model, settings.weights or WEIGHTS), settings.inference_threads
    )
    failed = 0
    with progress_bar("predicting", len(paths)) as bar:
        for row in predict_files(predictor, paths, settings, embedding):
            if jsonl:
                print_json(row)
            else:
                print_line(_short(row))
            failed += "error" in row
            bar.advance(bar.task_ids[0])
    if failed:
        raise typer.Exit(1)


def _collect(things: Sequence[Path]) -> list[Path]:
    paths: set[Path] = set()
    for thing in things:
        if is_folder(thing):
            found, left_out = list_pictures(thing)
            paths.update(found)
            if left_out:
                note(f"{thing}: left out, without a picture's suffix: {left_out}")
        else:
            paths.add(thing)
    if not paths:
        raise UsageError(f"no pictures in {', '.join(str(t) for t in things)}")
    return sorted(paths, key=str)


def predict_files(
    predictor: Predictor, paths: Sequence[Path], settings: WorkerSettings, embedding: bool
) -> Iterator[dict[str, Any]]:
    """Yield a row a file, in order; the keys are a contract with other programs."""
    card = predictor.card

    def load(path: Path) -> Pixels | PermanentError:
        try:
            picture = decode(
                read_bytes(path, settings.limits.max_bytes),
                min(card.height, card.width),
                settings.limits,
            )
            return to_pixels(picture, card.height, card.width)
        except PermanentError as error:
            return error
        except Exception as error:  # one picture's trouble must not end the run
            return PermanentError(one_line(f"{type(error).__name__}: {error}"), "failed")

    with ThreadPoolExecutor(settings.decode_threads) as threads:
        for start in range(0, len(paths), settings.batch_size):
            part = paths[start : start + settings.batch_size]
            loaded = list(threads.map(load, part))
            predictions = iter(
                predictor.predict([one for one in loaded if not isinstance(one, PermanentError)])
            )
            for path, one in zip(part, loaded, strict=True):
                if isinstance(one, PermanentError):
                    yield _error_row(path, one)
                    continue
                prediction = next(predictions)
                try:
                    prediction.require_finite()
                except TransientError as error:
                    yield _error_row(path, error)
                else:
                    yield _row(path, prediction, predictor, embedding)


def _error_row(path: Path, error: HangtagError) -> dict[str, Any]:
    return {"path": str(path), "error": one_line(str(error)), "code": error.code}


def _row(
    path: Path, prediction: Prediction, predictor: Predictor, embedding: bool
) -> dict[str, Any]:
    card = predictor.card
    way = route(prediction, card.thresholds_for(prediction.domain), card.fashion["threshold"])
    label, confidence = prediction.tags["article_type"]
    row: dict[str, Any] = {
        "path": str(path),
        "model_version": card.version,
        "article_type": label,
        "confidence": round(confidence, 6),
        "decision": way.decision,
        "reason": way.reason,
        "top5": [[name, round(value, 6)] for name, value in prediction.top5],
        "tags": {
            attribute: {"label": name, "confidence": round(value, 6)}
            for attribute, (name, value) in prediction.tags.items()
        },
        "fashion_score": round(prediction.fashion_score, 6),
    }
    if embedding:
        row["embedding"] = [round(float(value), 7) for value in prediction.embedding]
    return row


def _short(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['path']}: {row['error']}"
    colour = f", {row['tags']['base_colour']['label']}" if "base_colour" in row["tags"] else ""
    return (
        f"{row['path']}: {row['article_type']} {row['confidence']:.0%}{colour} "
        f"({row['decision']}{': ' + row['reason'] if row['reason'] else ''})"
    )
