"""The console's settings, and what an operator's browser sends it."""

from __future__ import annotations

import re
from typing import Any

from fastapi.testclient import TestClient

from review.settings import ReviewSettings
from tests.integration.rows import PASSWORD

SECRET = "0123456789abcdef" * 4
JSON = {"Accept": "application/json"}
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


def settings_for(database_url: str, **changes: object) -> ReviewSettings:
    """Make the settings of a console on a database."""
    values = {"database_url": database_url, "session_secret": SECRET, **changes}
    return ReviewSettings.model_validate(values)


def token(client: TestClient, path: str = "/login") -> str:
    """Read the token that a page's forms send along."""
    found = CSRF.search(client.get(path).text)
    assert found is not None
    return found.group(1)


def log_in(client: TestClient, name: str = "ada", password: str = PASSWORD) -> Any:
    """Log in as the form does."""
    return client.post("/login", data={"name": name, "password": password, "csrf": token(client)})


def decide(client: TestClient, item_id: int, **fields: str) -> Any:
    """Decide as the console's script does."""
    headers = {**JSON, "X-CSRF-Token": token(client, "/")}
    return client.post(f"/items/{item_id}/decide", json=fields, headers=headers)
