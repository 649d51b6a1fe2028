"""Fixtures for tests of previews: uploads that all go to review, and who draws them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from db import roles
from db.queries.reviews import claim_next_review_item
from db.queries.uploads import insert_uploads
from db.session import make_engine, transaction
from models.predictor import Predictor
from tests.conftest import SAMPLES, run_sql
from worker.pipeline import Pipeline
from worker.previews import Drawer
from worker.settings import WorkerSettings


@pytest.fixture(scope="module")
def unsure() -> Predictor:
    """The shipped model, sure of nothing: all it sees goes to review."""
    shipped = Predictor.load()
    never = {d: dict.fromkeys(r, 2.0) for d, r in shipped.card.thresholds.items()}
    return Predictor(replace(shipped.card, thresholds=never), shipped._backend)


@pytest.fixture
def worker_engine(settings: WorkerSettings) -> Iterator[Engine]:
    """Engine under the workers' role: what it is not granted, the drawer cannot do."""
    made = make_engine(settings.require_url(), pool_size=4, role=roles.WORKER)
    yield made
    made.dispose()


@pytest.fixture
def review(
    worker_engine: Engine, settings: WorkerSettings, unsure: Predictor
) -> Callable[..., list[str]]:
    """Hand in files of the store and run their batches; return the uploads' ids."""
    pipeline = Pipeline(worker_engine, settings, "test", lambda _version: unsure)

    def run(*names: str, priority: int = 0) -> list[str]:
        store = settings.require_store()
        for name in names:
            if not (store / name).exists():
                shutil.copy(SAMPLES / "cat.jpg", store / name)
        uris = [(store / name).as_uri() for name in names]
        with transaction(worker_engine) as session:
            rows = insert_uploads(session, uris, "test", list(names), priority)
        while pipeline.run_batch(backfill=True).claimed:
            pass
        return [str(row.id) for row in rows]

    return run


@pytest.fixture
def drawer(worker_engine: Engine, settings: WorkerSettings) -> Drawer:
    return Drawer(worker_engine, settings)


def one_at_a_time(worker_engine: Engine, settings: WorkerSettings, **more: Any) -> Drawer:
    """A drawer whose slices are one picture."""
    return Drawer(worker_engine, settings.model_copy(update={"batch_size": 1, **more}))


def drawn(settings: WorkerSettings) -> list[str]:
    """The names of uploads whose preview is there."""
    rows = run_sql(
        settings.require_url(),
        "SELECT u.external_id FROM hangtag_data.previews AS p "
        "JOIN hangtag_data.uploads AS u ON u.id = p.upload_id ORDER BY 1",
    )
    return [str(row[0]) for row in rows]


def outcomes(settings: WorkerSettings) -> list[tuple[object, ...]]:
    """Name, status and code of each upload, and the status of its items in order."""
    return run_sql(
        settings.require_url(),
        "SELECT u.external_id, u.status, u.error_code, (SELECT array_agg(i.status ORDER BY i.id) "
        "FROM hangtag_data.review_items AS i WHERE i.upload_id = u.id) "
        "FROM hangtag_data.uploads AS u ORDER BY 1",
    )


def insert_ada(settings: WorkerSettings) -> None:
    run_sql(
        settings.require_url(),
        "INSERT INTO hangtag_data.operators (name, password_hash) VALUES ('ada', 'a hash')",
    )


def turn(engine: Engine, operator: str = "ada") -> tuple[int, str] | None:
    """Claim as an operator; return the item and its upload's name."""
    with transaction(engine) as session:
        item = claim_next_review_item(session, operator, 300)
    return (item.id, str(item.external_id)) if item else None
