"""Operators: the people who review."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

OPERATOR = "operator"
LEAD = "lead"

_COLUMNS = "name, password_hash, active, role"


@dataclass(frozen=True)
class Operator:
    """An operator's account; `password_hash` is argon2's own text form."""

    name: str
    password_hash: str
    active: bool
    role: str

    @property
    def leads(self) -> bool:
        """Whether the operator is a lead."""
        return self.role == LEAD


def get_operator(session: Session, name: str) -> Operator | None:
    """Return an operator by name, or None."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM hangtag_data.operators WHERE name = :name"),  # noqa: S608 (constant)
        {"name": name},
    ).first()
    return Operator(*row) if row else None


def insert_operator(session: Session, name: str, password_hash: str, role: str) -> bool:
    """Add an operator; false where the name is taken."""
    row = session.execute(
        text(
            "INSERT INTO hangtag_data.operators (name, password_hash, role) "
            "VALUES (:name, :hash, :role) ON CONFLICT (name) DO NOTHING RETURNING name"
        ),
        {"name": name, "hash": password_hash, "role": role},
    ).first()
    return row is not None


def upsert_password(session: Session, name: str, password_hash: str) -> None:
    """Add an operator, or give one a new password."""
    session.execute(
        text(
            "INSERT INTO hangtag_data.operators (name, password_hash) VALUES (:name, :hash) "
            "ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash"
        ),
        {"name": name, "hash": password_hash},
    )


def update_operator(
    session: Session, name: str, role: str | None = None, active: bool | None = None
) -> Operator | None:
    """Change what is not None; return the account, or None where there is none.

    Closed or opened again, it has no session: one that began while it was being closed may have
    been too young for the trigger to see.
    """
    if active is not None:
        session.execute(
            text("DELETE FROM hangtag_data.console_sessions WHERE operator = :name"),
            {"name": name},
        )
    row = session.execute(
        text(
            "UPDATE hangtag_data.operators SET role = coalesce(:role, role), "  # noqa: S608 (constant)
            f"active = coalesce(:active, active) WHERE name = :name RETURNING {_COLUMNS}"
        ),
        {"name": name, "role": role, "active": active},
    ).first()
    return Operator(*row) if row else None


# Sessions of the console -------------------------------------------------------------------


def insert_session(session: Session, token_hash: str, name: str, hours: float) -> bool:
    """Begin the session of an operator who is active still; those that ran out go."""
    session.execute(text("DELETE FROM hangtag_data.console_sessions WHERE expires_at < now()"))
    row = session.execute(
        text(
            "INSERT INTO hangtag_data.console_sessions (token_hash, operator, expires_at) "
            "SELECT :token_hash, name, now() + make_interval(secs => :seconds) "
            "FROM hangtag_data.operators WHERE name = :name AND active RETURNING operator"
        ),
        {"token_hash": token_hash, "name": name, "seconds": hours * 3600},
    ).first()
    return row is not None


def get_session_operator(session: Session, token_hash: str) -> Operator | None:
    """Return the active operator of a session that has not run out, or None."""
    row = session.execute(
        text(
            "SELECT o.name, o.password_hash, o.active, o.role "
            "FROM hangtag_data.console_sessions AS s "
            "JOIN hangtag_data.operators AS o ON o.name = s.operator "
            "WHERE s.token_hash = :token_hash AND s.expires_at > now() AND o.active"
        ),
        {"token_hash": token_hash},
    ).first()
    return Operator(*row) if row else None


def delete_session(session: Session, token_hash: str) -> str | None:
    """End a session; return whose it was, or None where it had ended."""
    name: str | None = session.execute(
        text(
            "DELETE FROM hangtag_data.console_sessions WHERE token_hash = :token_hash "
            "RETURNING operator"
        ),
        {"token_hash": token_hash},
    ).scalar()
    return name


@dataclass(frozen=True)
class Account:
    """An operator as `hangtag operator list` shows one."""

    name: str
    role: str
    active: bool
    created_at: dt.datetime
    last_login: dt.datetime | None


def list_names(session: Session) -> list[str]:
    """List the names of all operators."""
    return list(session.scalars(text("SELECT name FROM hangtag_data.operators ORDER BY name")))


def list_accounts(session: Session) -> list[Account]:
    """List all operators by name, with their last log-in."""
    rows = session.execute(
        text(
            "SELECT o.name, o.role, o.active, o.created_at, "
            "(SELECT a.at FROM hangtag_data.audit_log AS a WHERE a.actor = o.name "
            "AND a.action = 'login' ORDER BY a.id DESC LIMIT 1) AS last_login "
            "FROM hangtag_data.operators AS o ORDER BY o.name"
        )
    )
    return [Account(*row) for row in rows]
