"""The console in Chromium: worked by keys as an operator does, by the mouse, and without script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, text

from tests.browser.console import decided, expect_picture, log_in, preview
from tests.conftest import ROOT
from tests.integration.rows import TOP5, Waiting, insert_waiting, published_tags, scalar


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
    kept = "SELECT count(*) FROM hangtag_data.previews WHERE kept_until IS NULL"
    assert scalar(owner, kept) == 0


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
