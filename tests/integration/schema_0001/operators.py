"""Operators: the people who review."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Operator:
    """An operator's account; `password_hash` is argon2's own text form."""

    name: str
    password_hash: str
    active: bool


def get_operator(session: Session, name: str) -> Operator | None:
    """Return an operator by name, or None."""
    row = session.execute(
        text("SELECT name, password_hash, active FROM hangtag_data.operators WHERE name = :name"),
        {"name": name},
    ).first()
    return Operator(*row) if row else None


def list_operators(session: Session) -> list[Operator]:
    """List all operators by name."""
    rows = session.execute(
        text("SELECT name, password_hash, active FROM hangtag_data.operators ORDER BY name")
    )
    return [Operator(*row) for row in rows]


def insert_operator(session: Session, name: str, password_hash: str) -> bool:
    """Add an operator; false where the name is taken."""
    row = session.execute(
        text(
            "INSERT INTO hangtag_data.operators (name, password_hash) VALUES (:name, :hash) "
            "ON CONFLICT (name) DO NOTHING RETURNING name"
        ),
        {"name": name, "hash": password_hash},
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
