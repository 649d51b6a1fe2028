"""Fuzzing the ways in: odd text, other types, huge numbers."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import uuid
from typing import Any
from unittest import mock

import psycopg2
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from db.queries.uploads import insert_uploads
from db.session import transaction
from errors import HangtagError, UsageError
from worker import cli, process
from worker.settings import WorkerSettings

#: Text with every kind of character, lone surrogates and NUL as well.
TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from(
    [
        "",
        " ",
        "\0",
        "\ud800",
        "'; DROP TABLE hangtag_data.uploads; --",
        "{a,b}",
        '"',
        "\\",
        "%s %(uri)s :uri",
        "NULL",
        "x" * 200,
        "x" * 201,
        "x" * 2048,
        "x" * 2049,
        "ü" * 4096,
        "".join(chr(0x4E00 + i * 7919 % 20_000) for i in range(2000)),  # for an index too long
        "x" * 1_000_000,
        "file:///a.jpg",
        "file:///%00",
        "🩳" * 50,
        "\u202e",
    ]
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([-(2**63), 2**63, 32768, -32769, 101, -101, 10**30])
)
#: What JSON can hold, so what a message of the broker can.
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
ARGUMENTS = st.tuples(TEXT | ANYTHING, TEXT | ANYTHING, TEXT | ANYTHING, NUMBERS | ANYTHING)
#: Half of the time only one of them is odd, or nothing would ever come through.
ONE_ODD = st.tuples(st.integers(0, 3), ARGUMENTS).map(
    lambda drawn: tuple(
        odd if place == drawn[0] else good
        for place, (odd, good) in enumerate(
            zip(drawn[1], ("file:///a.jpg", "fuzz", None, 0), strict=True)
        )
    )
)
SUBMISSIONS = ARGUMENTS | ONE_ODD
#: SQL's own types; psycopg2 itself refuses NUL and what is no Unicode.
SQL_TEXT = st.none() | TEXT.filter(lambda t: ("\0" not in t and t.isprintable()) or t == "")
SQL_ARGUMENTS = st.tuples(
    SQL_TEXT, SQL_TEXT, SQL_TEXT, st.none() | st.integers(-(2**31), 2**31 - 1)
)
#: What a shell can pass: no NUL, any other byte; folders are left out, they would be searched.
WORDS = st.lists(
    st.binary(max_size=60).filter(lambda b: b"\0" not in b).map(os.fsdecode)
    | TEXT.filter(lambda t: "\0" not in t and t.isprintable() and len(t) < 100_000)
    | st.sampled_from(
        ["--source", "--backfill", "-x", "--", "file:///a.jpg", "http://a", "a" * 5000]
    ),
    max_size=5,
).filter(lambda words: not any(_is_folder_or_wait(word) for word in words))


def _is_folder_or_wait(word: str) -> bool:
    return os.path.isdir(word) or word.startswith("--w")  # noqa: PTH112 (any text)


def check_insert(engine: Engine, arguments: tuple[Any, Any, Any, Any]) -> None:
    """Python: a UsageError, or a row that can be found."""
    uri, source, external_id, priority = arguments
    try:
        with transaction(engine) as session:
            [one] = insert_uploads(session, [uri], source, [external_id], priority)
    except UsageError as error:
        _check_message(error)
        return
    with engine.connect() as connection:
        query = text("SELECT status, uri FROM hangtag.upload_status WHERE image_id = :id")
        assert connection.execute(query, {"id": one.id}).one().status == "pending"


def check_message(engine: Engine, arguments: tuple[Any, Any, Any, Any]) -> None:
    """The broker: never an error, for Celery would log it or try again for ever."""
    with (
        mock.patch.object(process, "engine", lambda: engine),
        mock.patch.object(process, "ring"),
        mock.patch.object(process, "_app"),
        mock.patch.object(process, "settings", WorkerSettings),
    ):
        process.hand_in(*arguments)


def check_sql(url: str, arguments: tuple[Any, Any, Any, Any]) -> None:
    """SQL: a UUID, or an error with a code of its own (HT001) or of class 22 or 54."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT hangtag.submit_upload(%s, %s, %s, %s)", arguments)
            [found] = cursor.fetchone() or [None]
            uuid.UUID(str(found))
    except psycopg2.Error as error:
        code = error.pgcode or ""
        assert code == "HT001" or code[:2] in ("22", "54"), (code, str(error))
    finally:
        connection.close()


def check_command(words: list[str]) -> None:
    """The command line: lines on stderr and an exit code, never a traceback."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO(), errors="replace")
    with (
        mock.patch.object(sys, "argv", ["hangtag", "submit", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as error:
            code = error.code
    err.flush()
    said = err.buffer.getvalue().decode(errors="replace")  # type: ignore[attr-defined]
    assert code in (None, 0, 1, 2), (code, said)
    assert "Traceback" not in said
    assert "HANGTAG_LOG_LEVEL=DEBUG shows where" not in said, said  # an error nobody foresaw


def _check_message(error: HangtagError) -> None:
    assert error.code == "usage"
    assert str(error).strip()
    assert len(str(error)) < 500
