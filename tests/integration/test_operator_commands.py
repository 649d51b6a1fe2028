"""`hangtag operator` and `hangtag audit`, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from errors import UsageError
from review.app import create_app
from tests.integration.console import log_in, settings_for
from tests.integration.rows import PASSWORD
from worker.cli import app


@pytest.fixture
def run(
    owner: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, Any]]]:
    """Run a command, return the JSON lines that it printed; its error is raised."""
    monkeypatch.setenv("HANGTAG_DATABASE_URL", database_url)

    def call(*arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
        result = CliRunner().invoke(app, list(arguments), input=stdin, standalone_mode=False)
        if result.exception:
            raise result.exception
        return [json.loads(line) for line in result.stdout.splitlines()]

    return call


@pytest.fixture
def browser(owner: Engine, database_url: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings_for(database_url)), follow_redirects=False) as client:
        yield client


def test_a_lead_is_added_and_sees_the_audit_trail(
    run: Callable[..., list[dict[str, Any]]], browser: TestClient
) -> None:
    added = run("operator", "add", "lea", "--lead", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert added == [{"operator": "lea", "role": "lead"}]
    log_in(browser, "lea")
    assert browser.get("/audit").status_code == 200
    listed = {row["operator"]: row for row in run("operator", "list")}
    assert [row["role"] for row in listed.values()] == ["operator", "operator", "lead"]
    assert listed["lea"]["last_login"]
    assert listed["ada"]["last_login"] is None


def test_promote_demote_disable_enable_take_effect_at_once(
    run: Callable[..., list[dict[str, Any]]], browser: TestClient
) -> None:
    log_in(browser)
    assert browser.get("/audit").status_code == 403
    assert run("operator", "promote", "ada")[0]["role"] == "lead"
    assert browser.get("/audit").status_code == 200
    assert run("operator", "demote", "ada")[0]["role"] == "operator"
    assert browser.get("/audit").status_code == 403
    assert run("operator", "disable", "ada")[0]["active"] is False
    assert browser.get("/").headers["location"] == "/login"
    assert log_in(browser).status_code == 401
    run("operator", "enable", "ada")
    assert log_in(browser).status_code == 303


def test_unlock_lifts_the_waits_of_an_account(
    run: Callable[..., list[dict[str, Any]]], browser: TestClient
) -> None:
    for _ in range(5):
        log_in(browser, "ada", "wrong password")
    assert log_in(browser).status_code == 429
    run("operator", "unlock", "ada")
    assert log_in(browser).status_code == 303


@pytest.mark.parametrize("option", [["--address", "testclient"], ["--all-addresses"]])
def test_unlock_tells_of_addresses_that_wait_on_and_lifts_those_it_is_told(
    run: Callable[..., list[dict[str, Any]]], browser: TestClient, option: list[str]
) -> None:
    for number in range(20):
        log_in(browser, f"name{number}", "wrong password")
    assert log_in(browser).status_code == 429
    assert run("operator", "unlock", "ada") == [
        {"operator": "ada", "unlocked": True, "addresses_that_wait": ["testclient"]}
    ]
    assert log_in(browser).status_code == 429
    assert run("operator", "unlock", "ada", *option)[0]["addresses_that_wait"] == []
    assert log_in(browser).status_code == 303


@pytest.mark.parametrize("command", ["promote", "demote", "disable", "enable", "unlock"])
def test_an_unknown_operator_is_named(
    run: Callable[..., list[dict[str, Any]]], command: str
) -> None:
    with pytest.raises(UsageError, match="there is no operator nobody"):
        run("operator", command, "nobody")


def test_audit_prints_what_was_done_the_newest_first(
    run: Callable[..., list[dict[str, Any]]], browser: TestClient, database_url: str
) -> None:
    log_in(browser, "ada", "wrong password")
    log_in(browser)
    run("operator", "promote", "ada")
    run("operator", "add", "ada", "--replace", "--password-stdin", stdin="another passphrase\n")
    found = run("audit", "--operator", "ada")
    assert [row["action"] for row in found] == [
        "operator_password",
        "operator_promoted",
        "login",
        "login_failed",
        "operator_added",
    ]
    assert (found[2]["actor"], found[2]["address"]) == ("ada", "testclient")
    assert (found[0]["actor"], found[0]["login"]) == (None, "postgres")
    assert "hash" not in json.dumps(found)
    assert [row["subject"] for row in run("audit", "--action", "login_failed")] == ["ada"]
    assert len(run("audit", "-n", "2")) == 2
    assert run("audit", "--since", "2100-01-01") == []


def test_audit_goes_on_behind_its_first_page(
    run: Callable[..., list[dict[str, Any]]], owner: Engine
) -> None:
    with owner.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO hangtag_data.audit_log (action, subject) "
                "SELECT 'skip', n FROM generate_series(1, 1203) AS n"
            )
        )
    found = run("audit", "--action", "skip", "--limit", "0")
    assert [row["subject"] for row in found] == [str(n) for n in range(1203, 0, -1)]
    assert len(run("audit", "--action", "skip", "--limit", "700")) == 700


def test_an_action_that_is_none_is_refused(run: Callable[..., list[dict[str, Any]]]) -> None:
    with pytest.raises(UsageError, match="there is no action dance"):
        run("audit", "--action", "dance")
