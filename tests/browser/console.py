"""The console's environment, and what an operator does and sees in Chromium."""

from __future__ import annotations

import io
import os
import urllib.parse

from PIL import Image, ImageOps
from playwright.sync_api import Page, expect
from sqlalchemy import Engine, text

from db import roles
from tests.conftest import SAMPLES
from tests.integration.rows import PASSWORD, Waiting


def preview(name: str) -> bytes:
    """Draw a sample picture as the worker would: a JPEG of 640 pixels at most."""
    with Image.open(sorted(SAMPLES.glob(name))[0]) as picture:
        small = ImageOps.exif_transpose(picture).convert("RGB")
    small.thumbnail((640, 640))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return out.getvalue()


def console_environment(database_url: str, **changes: str) -> dict[str, str]:
    """Let `python -m review` connect as operators do, on a free port."""
    query = urllib.parse.urlencode(
        {"options": f"-c role={roles.OPERATOR}"}, quote_via=urllib.parse.quote
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HANGTAG_")}
    return {
        **kept,
        "HANGTAG_DATABASE_URL": f"{database_url}{'&' if '?' in database_url else '?'}{query}",
        "HANGTAG_SESSION_SECRET": "browser-test-" * 4,
        "HANGTAG_CONSOLE_PORT": "0",
        **changes,
    }


def log_in(page: Page, name: str = "ada") -> None:
    """Log in by keys."""
    page.goto("/")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#review")).to_be_visible()


def expect_picture(page: Page, waiting: Waiting) -> None:
    """Wait until an item stands on the screen with its picture loaded."""
    expect(page.locator("#open-search")).to_be_visible()  # the script is at work
    address = f"/items/{waiting.item_id}/picture"
    expect(page.locator("#picture")).to_have_attribute("src", address)
    page.wait_for_function(
        "picture => picture.complete && picture.naturalWidth > 0",
        arg=page.locator("#picture").element_handle(),
    )
    expect(page.locator("#picture")).to_be_visible()


def decided(owner: Engine, waiting: Waiting) -> tuple[str, str | None] | None:
    """Return the action and the label that were saved, if any."""
    with owner.connect() as connection:
        row = connection.execute(
            text("SELECT action, label FROM hangtag_data.decisions WHERE review_item_id = :id"),
            {"id": waiting.item_id},
        ).first()
    return (row.action, row.label) if row else None
