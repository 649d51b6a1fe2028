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
from worker.routing import ACCEPT, BELOW_THRESHOLD, REVIEW
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


#: What a picture is like that goes to a person: sure of the section, the gender and the usage.
_SURE = ("master_category", "sub_category", "gender", "usage")
_TAGS = {
    "master_category": "Apparel",
    "sub_category": "Topwear",
    "article_type": "Tshirts",
    "base_colour": "Navy Blue",
    "gender": "Men",
    "season": "Summer",
    "usage": "Casual",
}
_TOP5 = ("Tshirts", "Tops", "Shirts", "Sweatshirts", "Sweaters")


def stock_result(vector: Vectors, to_review: bool = False) -> Result:
    """Return the result of a picture with this vector, as wide as real ones are."""
    sure = 0.6211 if to_review else 0.9931
    tags = {attribute: {"label": label, "confidence": sure} for attribute, label in _TAGS.items()}
    return Result(
        upload_id=uuid.uuid4(),
        item=0,
        article_type="Tshirts",
        confidence=sure,
        decision=REVIEW if to_review else ACCEPT,
        reason=BELOW_THRESHOLD if to_review else None,
        top5=[[name, round(sure / 3**place, 4)] for place, name in enumerate(_TOP5)],
        tags=tags,
        published={a: tags[a] for a in _SURE} if to_review else tags,
        fashion_score=0.9123,
        embedding=vector_text(vector),
    )
