"""Connections that were lost between uses, and questions straight to the driver."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from db.session import ask, connection, make_engine, transaction
from errors import TransientError
from models.predictor import Predictor
from tests.conftest import run_sql
from worker.pipeline import Pipeline
from worker.settings import WorkerSettings


def cut(settings: WorkerSettings) -> None:
    """End all other connections to the database, as a restart of a proxy would."""
    run_sql(
        settings.require_url(),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND application_name = 'hangtag'",
    )


def test_a_connection_that_was_lost_while_it_rested_is_replaced(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.session._TRUSTED_SECONDS", 0.0)
    own = make_engine(settings.require_url())
    for _ in range(2):
        with transaction(own) as session:
            assert session.execute(text("SELECT 1")).scalar_one() == 1
        cut(settings)


def test_a_connection_that_was_lost_in_use_is_an_error_once(settings: WorkerSettings) -> None:
    own = make_engine(settings.require_url(), autocommit=True)
    for question in (lambda: ask(own, "SELECT 1"), lambda: asked(own)):
        assert question() == 1
        cut(settings)
        with pytest.raises(TransientError, match="does not answer") as caught:
            question()
        assert caught.value.code == "database_unavailable"
        assert question() == 1


def test_where_nothing_would_be_committed_no_connection_is_lent(engine: Engine) -> None:
    with pytest.raises(ValueError, match="autocommit"), connection(engine):
        pass


def asked(engine: Engine) -> int:
    with connection(engine) as own:
        value: int = own.execute(text("SELECT 1")).scalar_one()
        return value


def test_a_question_to_a_server_that_is_not_there_is_a_clear_error() -> None:
    nobody = make_engine("postgresql://hangtag:none@127.0.0.1:1/hangtag")
    with pytest.raises(TransientError, match="does not answer"):
        ask(nobody, "SELECT 1")


def test_after_a_question_a_transaction_is_one(settings: WorkerSettings) -> None:
    """A connection on which each statement commits must not come back to others as it is."""
    own = make_engine(settings.require_url())

    def roll_back() -> None:
        with pytest.raises(KeyError), transaction(own) as session:
            session.execute(text("CREATE TABLE never (a int)"))
            raise KeyError

    ask(own, "SELECT 1")
    roll_back()
    with pytest.raises(TypeError):  # there is no value
        ask(own, "SELECT 1 LIMIT 0")
    roll_back()
    assert ask(own, "SELECT to_regclass('never') IS NULL")


def test_a_batch_whose_connection_was_cut_is_written_on_a_new_one(
    engine: Engine,
    settings: WorkerSettings,
    predictor: Predictor,
    submit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its work is done; the lease would have to run out, and each upload would spend a try."""
    submit("fresh", 5, 0)
    predict = Predictor.predict
    monkeypatch.setattr(Predictor, "predict", lambda *given: (cut(settings), predict(*given))[1])
    pipeline = Pipeline(engine, settings, "test", lambda _: predictor)
    assert pipeline.run_batch(backfill=False).written == 5
    [(tries,)] = run_sql(settings.require_url(), "SELECT max(attempt) FROM hangtag_data.uploads")
    assert tries == 1
