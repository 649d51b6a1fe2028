"""The console in Chromium: served by `python -m review`, worked by keys as an operator does."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect, sync_playwright
from sqlalchemy import Engine, text

from db import roles
from db.session import make_engine
from tests.integration.rows import (
    PASSWORD,
    TOP5,
    Waiting,
    expire_leases,
    insert_waiting,
    insert_world,
    published_tags,
    scalar,
)

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "samples" / "pictures"
CHROMIUM_ARGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SHOES = [["Casual Shoes", 0.51], ["Formal Shoes", 0.29], ["Sandals", 0.11], ["Heels", 0.04]]


def preview(name: str) -> bytes:
    """Draw a sample picture as the worker would: a JPEG of 640 pixels at most."""
    with Image.open(sorted(PICTURES.glob(name))[0]) as picture:
        small = ImageOps.exif_transpose(picture).convert("RGB")
    small.thumbnail((640, 640))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return out.getvalue()


@pytest.fixture
def owner(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    insert_world(engine)
    yield engine
    engine.dispose()


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


def console_environment(database_url: str, **changes: str) -> dict[str, str]:
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


def log_in(page: Page, name: str = "ada") -> None:
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
    with owner.connect() as connection:
        row = connection.execute(
            text("SELECT action, label FROM hangtag_data.decisions WHERE review_item_id = :id"),
            {"id": waiting.item_id},
        ).first()
    return (row.action, row.label) if row else None


def test_an_operator_works_through_the_queue_by_keys(
    page: Page, owner: Engine, queue: list[Waiting], tmp_path: Path
) -> None:
    """Log in, take a suggestion, search for a type, no fashion, skip, until all is done."""
    shirt, shoe, cat, dress = queue
    log_in(page)
    expect_picture(page, shirt)
    wanted = os.environ.get("CONSOLE_SCREENSHOT") == "1"
    page.screenshot(path=ROOT / "docs" / "console.png" if wanted else tmp_path / "console.png")

    page.keyboard.press("1")
    expect(page.locator("#toast")).to_have_text("Tshirts ✓")
    expect_picture(page, shoe)
    expect(page.locator("#waiting")).to_have_text("3")
    expect(page.locator(".tag:visible")).to_have_count(4)

    page.keyboard.press("/")
    page.keyboard.type("sports shoes 1")  # a digit in the search decides nothing
    expect(page.get_by_text("No article type fits")).to_be_visible()
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect_picture(page, cat)

    page.keyboard.press("s")
    expect_picture(page, dress)
    page.keyboard.press("o")
    page.keyboard.type("s")
    page.keyboard.press("ArrowDown")
    second = page.locator("#types [aria-selected=true]").inner_text()
    page.keyboard.press("Enter")
    expect_picture(page, cat)
    expect(page.locator("#why")).to_contain_text("not a fashion item")
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="All done")).to_be_visible()

    assert decided(owner, shirt) == ("label", "Tshirts")
    assert decided(owner, shoe) == ("label", "Sports Shoes")
    assert decided(owner, dress) == ("label", second)
    assert decided(owner, cat) == ("not_fashion", None)
    assert published_tags(owner, shoe.upload_id)["master_category"][0] == "Footwear"
    assert published_tags(owner, cat.upload_id) == {}
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.previews") == 0


def test_a_new_picture_appears_on_the_empty_page_by_itself(page: Page, owner: Engine) -> None:
    log_in(page)
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    waiting = insert_waiting(owner, "late", preview("cap_*.jpg"))
    expect_picture(page, waiting)
    page.keyboard.press("2")
    expect(page.locator("#toast")).to_have_text("Tops ✓")


def test_the_empty_page_tells_when_others_hold_the_last_picture(page: Page, owner: Engine) -> None:
    waiting = insert_waiting(owner, "last", preview("cap_*.jpg"))
    log_in(page)
    expect_picture(page, waiting)
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.review_items SET claimed_by = 'bo'"))
    page.keyboard.press("1")
    expect(page.locator("#toast")).to_contain_text("no longer yours; nothing was saved")
    expect(page.get_by_text("Other operators have the last picture")).to_be_visible()


def test_a_key_held_down_decides_once(page: Page, owner: Engine, queue: list[Waiting]) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    for _ in range(30):
        page.keyboard.down("1")
    page.keyboard.up("1")
    expect_picture(page, queue[1])
    page.wait_for_timeout(300)
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 1


def test_enter_held_down_on_a_button_decides_once(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    page.locator(".tag").nth(1).focus()
    for _ in range(30):
        page.keyboard.down("Enter")
        page.wait_for_timeout(10)
    page.keyboard.up("Enter")
    expect_picture(page, queue[1])
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 1
    assert decided(owner, queue[0]) == ("label", "Tops")


def test_no_key_decides_before_its_picture_is_seen(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    held: list[Route] = []
    page.route("**/picture", lambda route: held.append(route))
    log_in(page)
    expect(page.locator("#question")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("n")
    page.wait_for_timeout(200)
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 0
    held[0].continue_()
    expect_picture(page, queue[0])
    page.keyboard.press("1")
    expect(page.locator("#toast")).to_have_text("Tshirts ✓")


def test_a_request_that_fails_keeps_the_picture_and_the_key_works_again(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    page.route("**/decide", lambda route: route.abort())
    page.keyboard.press("1")
    expect(page.locator("#toast")).to_have_text("Not saved — press again to retry")
    expect_picture(page, queue[0])
    page.unroute("**/decide")
    page.wait_for_timeout(250)
    page.keyboard.press("1")
    expect_picture(page, queue[1])
    expect(page.locator("#toast")).to_have_text("Tshirts ✓")


def test_a_picture_that_another_took_over_is_not_decided_and_the_next_comes(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    expire_leases(owner)
    with owner.begin() as connection:
        connection.execute(
            text(
                "UPDATE hangtag_data.review_items SET claimed_by = 'bo', "
                "lease_until = now() + interval '1 hour' WHERE id = :id"
            ),
            {"id": queue[0].item_id},
        )
    page.keyboard.press("1")
    expect(page.locator("#toast")).to_contain_text("no longer yours")
    expect_picture(page, queue[1])
    assert decided(owner, queue[0]) is None


def test_a_session_that_ended_leads_to_the_log_in(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    page.context.clear_cookies()
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert decided(owner, queue[0]) is None


def test_help_lists_the_keys_and_keeps_them_from_deciding(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_hidden()
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 0


def test_the_mouse_does_all_that_the_keys_do(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    page.locator('.tag[value="Shirts"]').click()
    expect_picture(page, queue[1])
    page.get_by_role("button", name="Another type").click()
    page.get_by_role("option", name="Heels").click()
    expect_picture(page, queue[2])
    page.get_by_role("button", name="Not fashion").click()
    expect_picture(page, queue[3])
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert [decided(owner, waiting) for waiting in queue] == [
        ("label", "Shirts"),
        ("label", "Heels"),
        ("not_fashion", None),
        None,
    ]


def test_without_script_the_forms_do_the_work(
    browser: Browser, server: str, owner: Engine, queue: list[Waiting]
) -> None:
    context = browser.new_context(base_url=server, java_script_enabled=False)
    page = context.new_page()
    log_in(page)
    page.locator('.tag[value="Tshirts"]').click()
    expect(page.get_by_text("Tshirts ✓")).to_be_visible()
    page.get_by_label("Another type").select_option("Sandals")
    page.get_by_role("button", name="Choose").click()
    expect(page.get_by_text("Sandals ✓")).to_be_visible()
    page.get_by_role("button", name="Skip").click()
    expect(page.get_by_text("Skipped")).to_be_visible()
    context.close()
    assert [decided(owner, waiting) for waiting in queue[:2]] == [
        ("label", "Tshirts"),
        ("label", "Sandals"),
    ]


@pytest.mark.parametrize("size", [(1280, 800), (760, 900), (390, 844)])
def test_nothing_runs_over_the_edge(page: Page, owner: Engine, size: tuple[int, int]) -> None:
    """A long name and a long id wrap; at desktop size all answers are in sight."""
    long = [["Lounge Pants And Something Very Long Indeed Without An End", 0.4], *TOP5[1:]]
    insert_waiting(owner, "x" * 900, preview("tshirt_*.jpg"), suggested=long)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    log_in(page)
    expect(page.locator("#picture")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if size[0] >= 1280:
        expect(page.locator("#skip")).to_be_in_viewport(ratio=1)


def test_a_port_that_is_taken_gives_one_line(server: str, database_url: str) -> None:
    port = server.rsplit(":", 1)[1]
    result = run_console(console_environment(database_url, HANGTAG_CONSOLE_PORT=port))
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(rf"error: the console cannot listen on .* port {port}: .*\n", result.stderr)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HANGTAG_SESSION_SECRET", ""),
        ("HANGTAG_DATABASE_URL", ""),
        ("HANGTAG_DATABASE_URL", "mysql://x/y"),
        ("HANGTAG_CONSOLE_PORT", "high"),
    ],
)
def test_a_wrong_setting_gives_one_line_that_names_it(
    database_url: str, name: str, value: str
) -> None:
    result = run_console(console_environment(database_url, **{name: value}))
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(rf"error: {name}.*\n", result.stderr), result.stderr


def run_console(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "review"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_health_answers_while_the_console_runs(server: str) -> None:
    with urllib.request.urlopen(f"{server}/healthz", timeout=10) as response:
        assert (response.status, response.read()) == (200, b"ok")
