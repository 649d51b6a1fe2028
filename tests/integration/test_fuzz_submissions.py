"""A short, always equal run over the ways in; the long one is `tests.inputs.fuzz`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine, text

from tests.inputs.submissions import (
    SQL_ARGUMENTS,
    SUBMISSIONS,
    WORDS,
    check_command,
    check_insert,
    check_message,
    check_sql,
)
from worker.client import Client
from worker.settings import WorkerSettings

bounded = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_python_says_what_does_not_fit_or_has_a_row(engine: Engine) -> None:
    @bounded
    @given(SUBMISSIONS)
    def run(arguments: tuple[Any, Any, Any, Any]) -> None:
        check_insert(engine, arguments)

    run()


def test_a_message_never_raises_what_celery_would_try_again(engine: Engine) -> None:
    @bounded
    @given(SUBMISSIONS)
    def run(arguments: tuple[Any, Any, Any, Any]) -> None:
        check_message(engine, arguments)

    run()
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM hangtag_data.uploads WHERE status <> 'pending'")
        assert connection.execute(query).scalar_one() == 0


def test_sql_answers_with_an_id_or_a_code(database_url: str) -> None:
    @bounded
    @given(SQL_ARGUMENTS)
    def run(arguments: tuple[Any, Any, Any, Any]) -> None:
        check_sql(database_url, arguments)

    run()


def test_the_command_line_has_no_traceback(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        if name.startswith("HANGTAG_"):
            monkeypatch.setenv(name, value)

    @settings(bounded, max_examples=40)
    @given(WORDS)
    def run(words: list[str]) -> None:
        check_command(words)

    run()


def test_one_bad_upload_of_many_hands_in_none(settings: WorkerSettings, engine: Engine) -> None:
    """So that a producer can mend it and hand in all of them again."""
    from errors import UsageError

    client = Client(settings.require_url(), settings.require_broker())
    with pytest.raises(UsageError, match="uri holds a NUL character"):
        client.submit_many(["file:///a", "file:///\0", "file:///b"], "s", ["1", "2", "3"])
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM hangtag_data.uploads")
        assert connection.execute(query).scalar_one() == 0
    client.close()
