"""Bad requests: a short, repeatable form of the run in tests/integration/bad_requests.py."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from db.session import make_engine
from tests.integration.bad_requests import console, run
from tests.integration.drawn_requests import ROUTES


def test_no_bad_request_brings_a_fault_or_changes_anything(
    database_url: str, tmp_path: Path
) -> None:
    """600 requests, always the same ones."""
    owner: Engine = make_engine(database_url, pool_size=2)
    try:
        with console(database_url, owner, tmp_path) as target:
            assert run(target, 600, derandomize=True) >= 600
    finally:
        owner.dispose()
    assert {200, 303, 401, 403, 404, 405, 413, 422} <= set(target.statuses)


def test_every_route_of_the_console_is_tried() -> None:
    assert {"/", "/login", "/logout", "/audit", "/claims", "/healthz"} <= set(ROUTES)
    assert {f"/items/{{item_id}}/{one}" for one in ("decide", "skip", "release", "reopen")} <= set(
        ROUTES
    )
