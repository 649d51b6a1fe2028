"""A stock of tagged uploads: tables and vector index as large as in a used installation."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from benchmarks.installation import Installation
from db.queries.models import get_active_model
from db.queries.results import Result, write_results
from db.session import make_engine, transaction
from errors import HangtagError
from models.pictures import decode, read_bytes
from models.predictor import Predictor
from models.transforms import to_pixels
from worker.vectors import vector_text

SEED = 5
CHUNK = 500
#: How far a made vector lies from the mixture it is made of.
NOISE = 0.02

Vectors = NDArray[np.float32]


def add_stock(site: Installation, files: list[Path], count: int) -> None:
    """Add `count` tagged uploads with vectors like those of the files. Raises HangtagError."""
    engine = make_engine(site.url)
    with transaction(engine) as session:
        active = get_active_model(session)
    if active is None:
        raise HangtagError("no model version is active")
    for vectors in _chunks(real_vectors(files), count):
        results = [stock_result(vector) for vector in vectors]
        with transaction(engine) as session:
            session.execute(
                text(
                    "INSERT INTO hangtag_data.uploads (id, source, uri, status, finished_at) "
                    "SELECT id, 'stock', 'file:///stock', 'tagged', now() "
                    "FROM unnest(CAST(:ids AS uuid[])) AS s (id)"
                ),
                {"ids": [str(result.upload_id) for result in results]},
            )
            write_results(session, results, active.version, active.generation)
    engine.dispose()


def real_vectors(files: list[Path]) -> Vectors:
    """Return the network's vectors (files, 256) of some pictures."""
    predictor = Predictor.load()
    height, width = predictor.card.height, predictor.card.width
    pixels = [to_pixels(decode(read_bytes(f), min(height, width)), height, width) for f in files]
    return np.stack([found.embedding for found in predictor.predict(pixels)])


def _chunks(known: Vectors, count: int) -> Iterator[Vectors]:
    """Yield `count` unit vectors between three known ones each, with some noise."""
    rng = np.random.default_rng(SEED)
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        weights = rng.dirichlet(np.full(3, 0.5), size).astype(np.float32)
        chosen = known[rng.integers(0, len(known), (size, 3))]
        mixed = np.einsum("nk,nkd->nd", weights, chosen)
        mixed += rng.normal(0, NOISE, mixed.shape).astype(np.float32)
        yield mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def stock_result(vector: Vectors) -> Result:
    """Return the result of a picture that the model was sure of, with this vector."""
    tags = {
        attribute: {"label": label, "confidence": 0.99}
        for attribute, label in (
            ("master_category", "Apparel"),
            ("sub_category", "Topwear"),
            ("article_type", "Tshirts"),
        )
    }
    return Result(
        upload_id=uuid.uuid4(),
        item=0,
        article_type="Tshirts",
        confidence=0.99,
        decision="accept",
        reason=None,
        top5=[["Tshirts", 0.99]],
        tags=tags,
        published=tags,
        fashion_score=0.9,
        embedding=vector_text(vector),
    )
