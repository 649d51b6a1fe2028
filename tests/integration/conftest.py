"""The console on a fresh database, a logged-in operator, the emptied broker, and the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from db import roles
from db.queries.uploads import insert_uploads
from db.session import make_engine, transaction
from models.predictor import Predictor
from review.app import create_app
from tests.conftest import SAMPLES
from tests.integration.console import log_in, settings_for
from worker.broker import EmbeddedValkey
from worker.settings import WorkerSettings
from worker.storage import PictureStore


@pytest.fixture
def client(owner: Engine, database_url: str) -> Iterator[TestClient]:
    """Open the console."""
    app = create_app(settings_for(database_url))
    # What operators are not granted, the console cannot do.
    app.state.service.engine = make_engine(database_url, pool_size=4, role=roles.OPERATOR)
    with TestClient(app, follow_redirects=False) as client:
        yield client
    app.state.service.engine.dispose()


@pytest.fixture
def ada(client: TestClient) -> TestClient:
    """Return a client in which ada is logged in."""
    assert log_in(client).status_code == 303
    return client


@pytest.fixture
def server(valkey: EmbeddedValkey) -> redis.Redis:
    """The emptied server, asked directly."""
    client = redis.Redis(unix_socket_path=str(valkey.socket))
    client.flushall()
    return client


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    """The shipped model, loaded once."""
    return Predictor.load()


@pytest.fixture
def submit(engine: Engine, settings: WorkerSettings) -> Callable[..., None]:
    """Hand in so many uploads of one picture; a priority below zero is the back catalogue."""
    uri = PictureStore(settings.require_store()).put(SAMPLES / "polo_green.jpg").uri

    def hand_in(source: str, count: int, priority: int) -> None:
        names = [str(number) for number in range(count)]
        with transaction(engine) as session:
            insert_uploads(session, [uri] * count, source, names, priority)

    return hand_in
