"""Arrays as text: what an element may hold."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import pytest

from db.queries.arrays import array_text


class Named(str, Enum):  # noqa: UP042 (a StrEnum has its value as its format)
    """Text that prints as something else, as producers may have it."""

    ONE = "file:///a.jpg"


def test_what_is_neither_text_nor_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match="no element"):
        array_text([Path("a,b")])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "{}"),
        ([1, -2], "{1,-2}"),
        ([0.5, None], "{0.5,NULL}"),
        (["", "NULL", None], '{"","NULL",NULL}'),
        ([Named.ONE], '{"file:///a.jpg"}'),
        (["a,b", "{c}", ' "d" ', "e\\f"], r'{"a,b","{c}"," \"d\" ","e\\f"}'),
    ],
)
def test_elements_are_quoted(values: list[str | float | None], text: str) -> None:
    assert array_text(values) == text
