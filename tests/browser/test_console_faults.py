"""The console in Chromium when things go wrong, and how `python -m review` says what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import Engine, text

from tests.browser.console import console_environment, decided, expect_picture, log_in
from tests.conftest import ROOT
from tests.integration.rows import Waiting, expire_leases, scalar

# At work


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


def test_a_request_that_fails_keeps_the_picture_and_a_key_sends_it_again_at_once(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    page.route("**/decide", lambda route: route.abort())
    page.keyboard.press("1")
    expect(page.locator("#toast")).to_have_text("Not saved yet — trying again…")
    expect_picture(page, queue[0])
    page.unroute("**/decide")
    page.wait_for_timeout(250)
    page.keyboard.press("1")
    expect_picture(page, queue[1])
    expect(page.locator("#toast")).to_have_text("Tshirts ✓")
    assert decided(owner, queue[0]) == ("label", "Tshirts")
    assert decided(owner, queue[1]) is None


def test_a_decision_taken_while_the_network_is_cut_is_saved_when_it_is_back(
    page: Page, owner: Engine, queue: list[Waiting]
) -> None:
    log_in(page)
    expect_picture(page, queue[0])
    page.context.set_offline(True)
    page.keyboard.press("2")
    expect(page.locator("#toast")).to_have_text("Not saved yet — trying again…")
    page.wait_for_timeout(1500)  # the first time it is sent again fails, too
    assert decided(owner, queue[0]) is None
    page.context.set_offline(False)
    expect_picture(page, queue[1])
    assert decided(owner, queue[0]) == ("label", "Tops")


@pytest.mark.parametrize("fault", ["answer lost", "server away"])
def test_a_decision_is_saved_once_though_it_is_sent_twice(
    page: Page, owner: Engine, queue: list[Waiting], fault: str
) -> None:
    """Saved, but the answer got lost; or not saved, since the database was away."""
    sent: list[Route] = []

    def answer(route: Route) -> None:
        sent.append(route)
        if len(sent) > 1:
            route.continue_()
        elif fault == "answer lost":
            route.fetch()
            route.abort()
        else:
            route.fulfill(status=503, json={"code": "transient", "message": "away"})

    log_in(page)
    expect_picture(page, queue[0])
    page.route("**/decide", answer)
    page.keyboard.press("1")
    expect_picture(page, queue[1])
    assert len(sent) == 2
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 1
    assert decided(owner, queue[0]) == ("label", "Tshirts")


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


# The process


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
