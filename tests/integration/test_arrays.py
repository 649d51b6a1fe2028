"""Arrays as text come back from the server as they were."""

from __future__ import annotations

from sqlalchemy import Engine, text

from db.queries.arrays import array_text
from db.session import transaction

ODD = [
    "",
    " ",
    "NULL",
    "null",
    None,
    "{}",
    "a,b",
    '"',
    "\\",
    "\\\\",
    "'",
    "\n\t",
    "é",
    "💡",
    "$1 %s %(a)s :a",
]


def test_text_comes_back(engine: Engine) -> None:
    for odd in (ODD, []):
        with transaction(engine) as session:
            given = {"values": array_text(odd)}
            found = session.execute(text("SELECT CAST(:values AS text[])"), given).scalar_one()
        assert found == odd


def test_numbers_come_back(engine: Engine) -> None:
    numbers = [0.1, -1e-30, 3.0, 123456789.125, 1e300]
    with transaction(engine) as session:
        given = {"values": array_text(numbers)}
        found = session.execute(text("SELECT CAST(:values AS float8[])"), given).scalar_one()
    assert found == numbers
