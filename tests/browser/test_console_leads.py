"""The pages of leads in Chromium; an operator's page stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from db.queries.operators import update_operator
from db.session import transaction
from tests.browser.console import expect_picture, log_in
from tests.integration.rows import Waiting, published_tags


@pytest.fixture
def lead(owner: Engine) -> str:
    """Make bo a lead."""
    with transaction(owner) as session:
        update_operator(session, "bo", role="lead")
    return "bo"


def test_a_lead_reopens_a_decision_and_corrects_it_by_a_key(
    page: Page, owner: Engine, queue: list[Waiting], lead: str, tmp_path: Path
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)  # an operator has no such link
    page.keyboard.press("1")
    expect_picture(page, queue[1])
    page.get_by_role("button", name="Log out").click()
    log_in(page, lead)
    page.get_by_role("link", name="Claims").click()
    page.screenshot(path=tmp_path / "claims.png")
    row = page.get_by_role("row").filter(has_text="post-1043")
    expect(row).to_contain_text("ada")
    row.get_by_role("button", name="Release").click()
    expect(page.get_by_text("Released.")).to_be_visible()
    page.get_by_role("link", name="Audit").click()
    page.get_by_label("Who").select_option("ada")
    page.get_by_label("What").select_option("decided")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("cell", name="Tshirts (model: Tshirts)")).to_be_visible()
    page.screenshot(path=tmp_path / "audit.png")
    page.get_by_role("button", name="Reopen").click()
    expect(page.locator("#why")).to_have_text("You reopened the decision on this picture.")
    expect(page.locator("#picture")).to_be_visible()
    page.wait_for_load_state("load")  # keys are heard once the script has run
    page.keyboard.press("2")
    expect(page.locator("#toast")).to_have_text("Tops ✓")
    assert published_tags(owner, queue[0].upload_id)["article_type"][0] == "Tops"
