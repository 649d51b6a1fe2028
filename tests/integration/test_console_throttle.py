"""Guessing passwords takes long; nobody keeps an operator out of a browser they know."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

import review.service
from db.queries.logins import Limit, TooManyAttempts, begin_attempt, digest, network_of
from db.queries.operators import update_operator
from db.session import transaction
from review.app import create_app
from review.logins import in_words
from tests.integration.console import log_in, settings_for
from tests.integration.rows import PASSWORD, scalar

BROWSER = "203.0.113.5"
STRANGER = "198.51.100.7"


@pytest.fixture
def visit(owner: Engine, database_url: str) -> Callable[..., TestClient]:
    """Open the console in a fresh browser at an address; each is a console of its own."""

    def open_at(address: str = BROWSER) -> TestClient:
        app = create_app(settings_for(database_url))
        return TestClient(app, follow_redirects=False, client=(address, 50000))

    return open_at


def waits_are_over(owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.login_attempts SET blocked_until = now()"))


def statuses(client: TestClient, name: str, password: str, times: int) -> list[int]:
    return [log_in(client, name, password).status_code for _ in range(times)]


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_after_five_failures_the_next_waits_and_is_told_how_long(
    visit: Callable[..., TestClient], name: str
) -> None:
    """The answers are the same for a name that nobody has, in text, status and headers."""
    client = visit()
    assert statuses(client, name, "wrong password", 5) == [401] * 5
    for password in ("wrong password", PASSWORD):
        answer = log_in(client, name, password)
        assert answer.status_code == 429
        assert "Too many attempts. Try again in " in answer.text
        assert 0 < int(answer.headers["retry-after"]) <= 30


def test_the_password_is_checked_whether_the_name_is_known_or_not(
    visit: Callable[..., TestClient], owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time tells no names: each check is one of argon2's, of nobody's hash where it must."""
    checked: list[str | None] = []
    verify = review.service.verify_password

    def watch(password: str, password_hash: str | None) -> bool:
        checked.append(password_hash)
        return verify(password, password_hash)

    monkeypatch.setattr(review.service, "verify_password", watch)
    with transaction(owner) as session:
        update_operator(session, "bo", active=False)
    client = visit()
    for name in ("ada", "nobody", "bo"):
        assert log_in(client, name, "wrong password").status_code == 401
    assert [one is None for one in checked] == [False, True, True]


def test_when_the_wait_is_over_the_right_password_works_and_failures_are_forgotten(
    visit: Callable[..., TestClient], owner: Engine
) -> None:
    client = visit()
    statuses(client, "ada", "wrong password", 6)
    waits_are_over(owner)
    assert log_in(client).status_code == 303
    assert statuses(visit(), "ada", "wrong password", 5) == [401] * 5


def test_waits_hold_over_restarts_and_in_every_console(visit: Callable[..., TestClient]) -> None:
    statuses(visit(), "ada", "wrong password", 5)
    assert log_in(visit()).status_code == 429


def test_strangers_elsewhere_keep_nobody_out(visit: Callable[..., TestClient]) -> None:
    """Neither from an address of their own, nor from the operator's own network."""
    known = visit()
    assert log_in(known).status_code == 303
    for address in (STRANGER, BROWSER):
        statuses(visit(address), "ada", "wrong password", 8)
    assert log_in(known).status_code == 303
    assert log_in(visit("192.0.2.1")).status_code == 303


def test_a_known_browser_is_throttled_too(visit: Callable[..., TestClient]) -> None:
    known = visit()
    log_in(known)
    assert statuses(known, "ada", "wrong password", 11) == [401] * 10 + [429]
    # and it is known for its own operator alone
    assert statuses(known, "bo", "wrong password", 6) == [401] * 5 + [429]


def test_a_browser_s_mark_cannot_be_made_up(visit: Callable[..., TestClient]) -> None:
    client = visit()
    client.cookies.set("hangtag_device", "WyJ4IiwgW11d.aaaa.bbbb")
    assert statuses(client, "ada", "wrong password", 6) == [401] * 5 + [429]


def test_one_address_cannot_try_many_names(visit: Callable[..., TestClient]) -> None:
    client = visit(STRANGER)
    answers = [log_in(client, f"name{number}", "x").status_code for number in range(21)]
    assert answers == [401] * 20 + [429]


def test_a_log_in_from_a_new_browser_leaves_what_strangers_tried_everywhere(
    visit: Callable[..., TestClient], owner: Engine
) -> None:
    for number in range(4):
        log_in(visit(f"192.0.2.{number}"), "ada", "wrong password")
    assert log_in(visit()).status_code == 303
    found = "SELECT failures FROM hangtag_data.login_attempts WHERE key = :key"
    assert scalar(owner, found, key=f"account:{digest('ada')}") == 4


def test_strangers_fill_neither_the_audit_trail_nor_the_table_of_attempts(
    visit: Callable[..., TestClient], owner: Engine
) -> None:
    """An entry a minute for an account at an address; names that nobody has are one account."""
    failed = "SELECT count(*) FROM hangtag_data.audit_log WHERE action = 'login_failed'"
    client = visit(STRANGER)
    for name in ("ada", "ada", "x1", "x2", "x3", "bo"):
        log_in(client, name, "wrong password")
    assert scalar(owner, failed) == 3
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE hangtag_data.login_attempts SET last_at = now() - interval '61 s'")
        )
    log_in(client, "ada", "wrong password")
    assert scalar(owner, failed) == 4
    with owner.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO hangtag_data.login_attempts (key, failures, last_at) "
                "SELECT 'pair:' || n, 1, now() - interval '2 days' FROM generate_series(1, 150) n"
            )
        )
    old = (
        "SELECT count(*) FROM hangtag_data.login_attempts WHERE last_at < now() - interval '1 day'"
    )
    for left in (50, 0):
        log_in(client, "ada", "wrong password")
        assert scalar(owner, old) == left


def test_attempts_at_the_same_moment_are_all_counted(visit: Callable[..., TestClient]) -> None:
    clients = [visit(STRANGER) for _ in range(8)]
    found: Counter[int] = Counter()

    def attempt(client: TestClient) -> None:
        found[log_in(client, "ada", "wrong password").status_code] += 1

    threads = [threading.Thread(target=attempt, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found[401] <= 5
    assert found[401] + found[429] == 8


def test_waits_double_up_to_a_limit(owner: Engine) -> None:
    limits = [Limit("pair:x", 2, 30, 900)]
    waits = []
    with transaction(owner) as session:
        begin_attempt(session, limits)
    for _ in range(7):
        waits_are_over(owner)
        with transaction(owner) as session:
            begin_attempt(session, limits)
        with pytest.raises(TooManyAttempts) as caught, transaction(owner) as session:
            begin_attempt(session, limits)
        waits.append(round(caught.value.wait_seconds))
    assert waits == [30, 60, 120, 240, 480, 900, 900]


def test_the_table_of_attempts_holds_no_name(
    visit: Callable[..., TestClient], owner: Engine
) -> None:
    """Nor does the audit trail hold one that nobody has: it may be a password."""
    log_in(visit(), "My Secret Passphrase", "x")
    log_in(visit(), "ada", "x")
    keys = scalar(owner, "SELECT string_agg(key, ' ') FROM hangtag_data.login_attempts")
    assert "Secret" not in keys
    assert "ada" not in keys
    found = "SELECT array_agg(subject ORDER BY id) FROM hangtag_data.audit_log WHERE action = :a"
    assert scalar(owner, found, a="login_failed") == [None, "ada"]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "testclient"),
    ],
)
def test_ipv6_addresses_count_by_network(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (29.1, "30 seconds"), (90, "90 seconds"), (91, "2 minutes")],
)
def test_a_wait_is_said_in_words_and_never_too_short(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_flood_of_log_ins_leaves_threads_to_those_who_work(
    visit: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where eight wait already, the next is told to come back, at once."""
    release = threading.Event()

    def slow(*_: Any) -> bool:
        release.wait(30)
        return False

    monkeypatch.setattr(review.service, "verify_password", slow)
    found: Counter[int] = Counter()
    # Each from an address of its own, as a botnet would.
    clients = [visit(f"192.0.2.{number}") for number in range(12)]

    def attempt(number: int) -> None:
        found[log_in(clients[number], f"name{number}", "x").status_code] += 1

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads[:]:
        thread.join(0.5)
    refused = found[429]
    release.set()
    for thread in threads:
        thread.join(60)
    assert refused == 4
    assert found == {429: 4, 401: 8}
