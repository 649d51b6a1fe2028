"""Arrays as text: what an element may hold."""

from __future__ import annotations

import pytest

from db.queries.arrays import array_text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "{}"),
        ([1, -2], "{1,-2}"),
        ([0.5, None], "{0.5,NULL}"),
        (["", "NULL", None], '{"","NULL",NULL}'),
        (["a,b", "{c}", ' "d" ', "e\\f"], r'{"a,b","{c}"," \"d\" ","e\\f"}'),
    ],
)
def test_elements_are_quoted(values: list[str | float | None], text: str) -> None:
    assert array_text(values) == text
