"""Engines and sessions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    PoolProxiedConnection,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from errors import HangtagError, TransientError, UsageError

#: A connection that lay about for so long is asked whether it is still one. Each time would cost a
#: round trip a transaction, which on a busy machine is a hundredth of a batch's time.
_TRUSTED_SECONDS = 1.0


def make_engine(
    url: str,
    pool_size: int = 1,
    role: str | None = None,
    limits: Mapping[str, str] | None = None,
    autocommit: bool = False,
) -> Engine:
    """Return an engine on `url`; it connects when first used.

    With `role` every connection takes on that role, for servers where one login serves all
    (the embedded one). `limits` are settings of each connection, e.g. {"lock_timeout": "5s"}.
    With `autocommit` each statement is a transaction of its own (`connection`).
    Raises UsageError on a malformed URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            "HANGTAG_DATABASE_URL is not a database URL, e.g. postgresql://user:password@host/db"
        ) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise UsageError(f"HANGTAG_DATABASE_URL: {parsed.drivername} is not PostgreSQL")
    # Options of the URL (the embedded server's role is one) are kept, not replaced by ours.
    given = parsed.query.get("options", ())
    options = " ".join(
        [*([given] if isinstance(given, str) else given), "-c application_name=hangtag"]
        + ([f"-c role={role}"] if role else [])
        + [f"-c {name}={value}" for name, value in (limits or {}).items()]
    )
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg2").difference_update_query(["options"]),
        pool_size=pool_size,
        max_overflow=0,
        **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}),
        connect_args={
            "connect_timeout": 10,
            "options": options,
            # A peer that vanished without a word is noticed within half a minute.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        },
    )
    _ask_after_a_rest(engine)
    return engine


def _ask_after_a_rest(engine: Engine) -> None:
    """Let the pool replace connections that were lost while nobody used them.

    SQLAlchemy's own `pool_pre_ping` asks each time.
    """

    @event.listens_for(engine, "connect")
    @event.listens_for(engine, "checkin")
    def note(_connection: Any, record: Any) -> None:
        record.info["seen"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, record: Any, _fairy: Any) -> None:
        if time.monotonic() - record.info["seen"] < _TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error  # the pool connects anew


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Open one transaction; commit at its end, roll back on an error.

    A lost connection becomes a TransientError, a refusal by one of the contract's functions
    (SQLSTATE class HT) a UsageError.
    """
    with _translating(), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def connection(engine: Engine) -> Iterator[Connection]:
    """Borrow a connection of an engine with `autocommit`; errors are those of `transaction`.

    That is two round trips less where one statement is all.
    """
    with _translating(), engine.connect() as connection:
        if not connection.connection.autocommit:
            raise ValueError("nothing would be committed: make the engine with `autocommit`")
        yield connection


def ask(engine: Engine, statement: str) -> Any:
    """Return the one value that a statement gives, in a transaction of its own.

    Straight from the driver, for what is asked many times a second: SQLAlchemy's ways to a result
    take longer than the database. Several statements in one string are one transaction and one
    round trip. Errors are those of `transaction`.
    """
    driver = engine.dialect.loaded_dbapi
    with _translating():
        try:
            return _ask(engine.raw_connection(), statement)
        except driver.Error as error:
            raise DBAPIError.instance(statement, None, error, driver.Error) from error


def _ask(link: PoolProxiedConnection, statement: str) -> Any:
    try:
        own: Any = link.dbapi_connection
        autocommit, own.autocommit = own.autocommit, True
        with own.cursor() as cursor:
            cursor.execute(statement)
            (value,) = cursor.fetchone()
        own.autocommit = autocommit
        return value
    except BaseException:  # nobody may get it back as it is
        link.invalidate()
        raise
    finally:
        link.close()


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise TransientError("the database is busy: no connection became free") from error
    except DBAPIError as error:
        raise translate(error) from error


def limit_statements(session: Session, seconds: float) -> None:
    """Let a statement of this transaction take so long at most; then TransientError, `busy`."""
    session.execute(text(f"SET LOCAL statement_timeout = {int(1000 * seconds)}"))


def translate(error: DBAPIError) -> HangtagError | DBAPIError:
    """Return the error that a user should see for a driver's error."""
    state = getattr(error.orig, "pgcode", None) or ""
    first_line = str(error.orig).strip().splitlines()[0] if str(error.orig) else ""
    if state.startswith("HT"):
        return UsageError(first_line)
    if state == "42P01" or state == "3F000":
        return TransientError(
            "the database has no Hangtag tables yet; run `hangtag migrate`", "not_migrated"
        )
    if state == "42703":  # a column that a later migration adds, or took away
        return TransientError(
            f"the database's schema is not this release's ({first_line}); run `hangtag migrate`",
            "not_migrated",
        )
    if state == "42501":
        return TransientError(
            f"this login may not do that: {first_line}; see docs/operations.md", "not_allowed"
        )
    if state in ("55P03", "57014"):  # by lock_timeout or statement_timeout
        return TransientError(
            f"the database is busy: {first_line}; nothing was changed, try again later", "busy"
        )
    if state.startswith(("22", "54")):  # data that no retry makes fit, or too much of it
        return UsageError(first_line)
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return TransientError(f"the database does not answer: {first_line}", "database_unavailable")
    return error
