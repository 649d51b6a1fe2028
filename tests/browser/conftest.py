"""The console served by `python -m review`, a queue of pictures, and Chromium."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from sqlalchemy import Engine

from tests.browser.console import console_environment, preview
from tests.conftest import ROOT
from tests.integration.rows import Waiting, insert_waiting

CHROMIUM_ARGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SHOES = [["Casual Shoes", 0.51], ["Formal Shoes", 0.29], ["Sandals", 0.11], ["Heels", 0.04]]


@pytest.fixture
def queue(owner: Engine) -> list[Waiting]:
    """Insert four pictures, in the order in which they come."""
    return [
        insert_waiting(owner, "post-1042", preview("tshirt_*.jpg"), age_seconds=400),
        insert_waiting(
            owner, "post-1043", preview("brogue_*.jpg"), suggested=SHOES, age_seconds=300
        ),
        insert_waiting(owner, "post-1044", preview("cat.jpg"), "not_fashion", age_seconds=200),
        insert_waiting(owner, "post-1045", preview("dress_*.jpg"), age_seconds=100),
    ]


@pytest.fixture
def server(owner: Engine, database_url: str) -> Iterator[str]:
    """Serve the console on a free port; its address is the one line that it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "review"],
        cwd=ROOT,
        env=console_environment(database_url),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"console: (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line
        yield found.group(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once a module."""
    path = shutil.which("chromium")
    assert path, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """Open a page; a script error or a breach of the content policy fails the test."""
    context = browser.new_context(base_url=server, viewport=DESKTOP)
    context.set_default_timeout(10_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: faults.append(message.text) if "Content Security" in message.text else None,
    )
    yield page
    context.close()
    assert faults == []
