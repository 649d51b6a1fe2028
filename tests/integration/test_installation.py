"""What `./run bench` waits for, so that nothing of one measurement is left in the next."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from sqlalchemy import Engine

from benchmarks import installation
from benchmarks.installation import wait_for_the_index
from db.queries.parts import fold_vectors
from errors import HangtagError
from tests.conftest import run_sql
from tests.integration.vectors import folding_engine, insert_vectors


@pytest.fixture
def connection(database_url: str) -> Iterator[installation.Connection]:
    made = psycopg2.connect(database_url)
    made.autocommit = True
    yield made
    made.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after a third of a second instead of a quarter of an hour."""
    monkeypatch.setattr(installation, "END_SECONDS", 0.3)


def test_the_index_is_waited_for_until_no_vector_is_fresh(
    engine: Engine, database_url: str, connection: installation.Connection
) -> None:
    insert_vectors(engine, 3)
    mover = folding_engine(database_url)
    for rows in (2, 1):
        with pytest.raises(HangtagError, match="vectors are still fresh"):
            wait_for_the_index(connection)
        with mover.begin() as moving:
            assert fold_vectors(moving, 1, rows) == rows
    mover.dispose()
    wait_for_the_index(connection)


def test_the_vectors_of_a_version_that_is_not_active_are_not_waited_for(
    engine: Engine, database_url: str, connection: installation.Connection
) -> None:
    """The janitor leaves them where they are."""
    [(second,)] = run_sql(database_url, "SELECT hangtag_data.register_model('second', '{}')")
    assert isinstance(second, int)
    insert_vectors(engine, 3, second)
    wait_for_the_index(connection)
