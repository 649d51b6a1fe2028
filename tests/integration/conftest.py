"""The console on a fresh database, an operator who is logged in, and the emptied broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from db import roles
from db.session import make_engine
from review.app import create_app
from tests.integration.console import log_in, settings_for
from worker.broker import EmbeddedValkey


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
