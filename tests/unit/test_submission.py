"""What a producer may hand in: other types and impossible text are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from db.queries.submission import check_submission
from errors import UsageError
from worker.client import _short


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uris": "file:///a"}, "uris must be a list"),
        ({"uris": [None]}, "uri must be text, not None"),
        ({"uris": [{"a": 1}]}, "uri must be text"),
        ({"uris": [b"file:///a"]}, "uri must be text"),
        ({"uris": [Path("/a")]}, "uri must be text"),
        ({"uris": ["a\0b"]}, "uri holds a NUL character"),
        ({"uris": ["a\ud800"]}, "uri is no valid Unicode"),
        ({"source": None}, "source must be text, not None"),
        ({"source": 5}, "source must be text"),
        ({"source": "\0"}, "source holds a NUL"),
        ({"external_ids": "1"}, "external_ids must be a list"),
        ({"external_ids": [1.5]}, "external_id must be text, not 1.5"),
        ({"external_ids": [True]}, "external_id must be text, not True"),
        ({"external_ids": [["1"]]}, "external_id must be text"),
        ({"priority": "high"}, "priority must be a whole number, not 'high'"),
        ({"priority": None}, "priority must be a whole number"),
        ({"priority": 1.0}, "priority must be a whole number"),
        ({"priority": True}, "priority must be a whole number"),
        ({"priority": float("nan")}, "priority must be a whole number"),
        ({"priority": 10**20}, "priority must lie between -100 and 100"),
        ({"priority": -101}, "priority must lie between -100 and 100"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    good = {"uris": ["file:///a"], "source": "s", "external_ids": ["1"], "priority": 0}
    with pytest.raises(UsageError, match=message) as caught:
        check_submission(**{**good, **change})
    assert caught.value.code == "usage"
    assert len(str(caught.value)) < 200


def test_numbers_are_external_ids_too() -> None:
    assert check_submission(["u"] * 3, "s", [4711, None, "a"], 0)[1] == ["4711", None, "a"]


def test_a_long_path_s_name_fits_into_an_index_and_stays_its_own() -> None:
    deep = "/".join(["ü" * 100] * 20)
    assert _short("/srv/a.jpg") == "/srv/a.jpg"
    assert len(_short(deep).encode()) < 1000
    assert _short(deep) == _short(deep)
    assert _short(deep + "a") != _short("a" + deep + "a")
