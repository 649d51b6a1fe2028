"""Vectors of a version for pictures that earlier ones tagged, so that a switch forgets none.

Similarity shows the vectors of the active version alone. Tags, decisions and the review queue
stay as they are.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import Engine

from db.queries.embeddings import (
    Unembedded,
    add_embeddings,
    count_unembedded,
    list_unembedded,
)
from db.session import transaction
from errors import TransientError
from models.pictures import decode
from models.predictor import Predictor
from models.transforms import Pixels, to_pixels
from worker.settings import WorkerSettings
from worker.storage import PictureStore
from worker.vectors import vector_text

log = logging.getLogger(__name__)


@dataclass
class Backfilled:
    """What a run did: vectors written, and pictures that could not be read, by code."""

    written: int = 0
    failed: Counter[str] = field(default_factory=Counter)


def backfill(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    generation: int,
    progress: Callable[[int, int], None] | None = None,
) -> Backfilled:
    """Embed all pictures that have vectors of other generations alone, in the order of their ids.

    Stopped anywhere and run again it does what is left. `progress` gets pictures done and all.
    """
    store = PictureStore(settings.require_store(), settings.file_roots, settings.max_bytes)
    report = Backfilled()
    with transaction(engine) as session:
        total = count_unembedded(session, generation)
    done, after = 0, None
    with ThreadPoolExecutor(settings.decode_threads) as threads:
        while True:
            with transaction(engine) as session:
                batch = list_unembedded(session, generation, settings.batch_size, after)
            if not batch:
                return report

            def load(one: Unembedded) -> Pixels | Exception:
                return _load(one, predictor, store, settings)

            _embed(engine, predictor, generation, batch, list(threads.map(load, batch)), report)
            after = batch[-1].image_id
            done += len(batch)
            if progress:
                progress(done, max(done, total))  # more may have come meanwhile


def _load(
    one: Unembedded, predictor: Predictor, store: PictureStore, settings: WorkerSettings
) -> Pixels | Exception:
    card = predictor.card
    try:
        data = store.read(one.uri)
        picture = decode(data, min(card.height, card.width), settings.limits)
        return to_pixels(picture, card.height, card.width)
    except Exception as error:  # one picture's trouble must not touch the others
        log.warning("%s has no vector: %s", one.image_id, error)
        return error


def _embed(
    engine: Engine,
    predictor: Predictor,
    generation: int,
    batch: Sequence[Unembedded],
    loaded: Sequence[Pixels | Exception],
    report: Backfilled,
) -> None:
    """Predict and write one batch; count what failed."""
    found: list[tuple[Unembedded, Pixels]] = []
    for one, pixels in zip(batch, loaded, strict=True):
        if isinstance(pixels, Exception):
            report.failed[getattr(pixels, "code", type(pixels).__name__)] += 1
        else:
            found.append((one, pixels))
    predictions = predictor.predict([pixels for _, pixels in found])
    vectors = []
    for (one, _), prediction in zip(found, predictions, strict=True):
        try:
            prediction.require_finite()
        except TransientError as error:
            log.warning("%s has no vector: %s", one.image_id, error)
            report.failed[error.code] += 1
        else:
            vectors.append((one.image_id, vector_text(prediction.embedding)))
    if vectors:
        with transaction(engine) as session:
            report.written += add_embeddings(session, generation, vectors)
