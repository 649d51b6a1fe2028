"""The console's sessions: logging in and out, the cookie, and what is refused without a token."""

from __future__ import annotations

import time

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from db.passwords import hash_password, verify_password
from db.queries.operators import update_operator, upsert_password
from db.session import transaction
from review.app import create_app
from tests.integration.console import JSON, log_in, settings_for, token
from tests.integration.rows import PASSWORD, insert_waiting, scalar

# Logging in ------------------------------------------------------------------------------


def test_the_right_password_leads_to_the_review_page(client: TestClient) -> None:
    response = log_in(client)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    page = client.get("/")
    assert page.status_code == 200
    assert "ada" in page.text


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("nobody", PASSWORD), ("ada", ""), ("", ""), ("a\0b", PASSWORD)],
)
def test_wrong_password_and_unknown_name_get_the_same_answer(
    client: TestClient, name: str, password: str
) -> None:
    response = log_in(client, name, password)
    assert response.status_code == 401
    assert "Name and password do not fit together" in response.text
    assert client.get("/").headers["location"] == "/login"


def test_an_operator_who_was_made_inactive_is_out_at_once(ada: TestClient, owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.operators SET active = false"))
    assert ada.get("/").headers["location"] == "/login"
    assert log_in(ada).status_code == 401


def test_an_account_that_is_opened_again_has_no_session_of_before(
    ada: TestClient, owner: Engine
) -> None:
    for active in (False, True):
        with transaction(owner) as session:
            update_operator(session, "ada", active=active)
    answer = ada.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert log_in(ada).status_code == 303
    with transaction(owner) as session:
        upsert_password(session, "ada", hash_password("another passphrase"))
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.console_sessions") == 0


def test_an_account_that_is_closed_during_its_log_in_gets_no_session(
    client: TestClient, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened again later, it must not have one of before."""

    def close_and_verify(password: str, hashed: str | None) -> bool:
        with transaction(owner) as session:
            update_operator(session, "ada", active=False)
        return verify_password(password, hashed)

    monkeypatch.setattr("review.service.verify_password", close_and_verify)
    assert log_in(client).status_code == 401
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.console_sessions") == 0


def test_a_new_password_ends_sessions_of_the_old_one(ada: TestClient, owner: Engine) -> None:
    with transaction(owner) as session:
        upsert_password(session, "ada", hash_password("another passphrase"))
    assert ada.get("/").headers["location"] == "/login"


def test_log_out_ends_the_session(ada: TestClient) -> None:
    response = ada.post("/logout", data={"csrf": token(ada, "/")})
    assert response.headers["location"] == "/login"
    assert ada.get("/").headers["location"] == "/login"


def test_a_copy_of_the_cookie_is_worth_nothing_after_the_log_out(ada: TestClient) -> None:
    copied = {"Cookie": f"hangtag_session={ada.cookies['hangtag_session']}"}
    ada.post("/logout", data={"csrf": token(ada, "/")})
    with TestClient(ada.app, follow_redirects=False) as thief:
        assert thief.get("/", headers=copied).headers["location"] == "/login"


def test_a_session_in_use_ends_after_its_hours_as_well(ada: TestClient, owner: Engine) -> None:
    """Each answer may renew the cookie; what counts is when the operator logged in."""
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.console_sessions SET expires_at = now()"))
    assert ada.get("/").headers["location"] == "/login"


def test_a_session_that_was_planted_before_the_log_in_stays_nobodys(client: TestClient) -> None:
    token(client)
    planted = {"Cookie": f"hangtag_session={client.cookies['hangtag_session']}"}
    log_in(client)
    with TestClient(client.app, follow_redirects=False) as attacker:
        assert attacker.get("/", headers=planted).headers["location"] == "/login"


def test_another_log_in_ends_the_session_before_it(ada: TestClient, owner: Engine) -> None:
    before = {"Cookie": f"hangtag_session={ada.cookies['hangtag_session']}"}
    ada.post("/login", data={"name": "bo", "password": PASSWORD, "csrf": token(ada, "/")})
    with TestClient(ada.app, follow_redirects=False) as thief:
        assert thief.get("/", headers=before).headers["location"] == "/login"
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.console_sessions") == 1


def test_the_database_holds_no_token(ada: TestClient, owner: Engine) -> None:
    hashed = scalar(owner, "SELECT token_hash FROM hangtag_data.console_sessions")
    assert len(hashed) == 64
    assert hashed not in ada.cookies["hangtag_session"]


def test_logging_in_starts_a_new_session_with_a_new_csrf_token(client: TestClient) -> None:
    before = token(client)
    log_in(client)
    assert token(client, "/") != before


def test_a_log_in_without_its_token_is_refused(client: TestClient) -> None:
    response = client.post("/login", data={"name": "ada", "password": PASSWORD})
    assert response.status_code == 403
    assert "out of date" in response.text


def test_a_link_from_another_site_neither_ends_the_session_nor_starts_one(
    client: TestClient,
) -> None:
    """The strict cookie does not come along; the page goes on by itself, then it does."""
    for path in ("/", "/login"):
        response = client.get(path, headers={"Sec-Fetch-Site": "cross-site"})
        assert 'http-equiv="refresh" content="0; url=/"' in response.text
        assert "set-cookie" not in response.headers


# The session cookie ----------------------------------------------------------------------


def test_the_cookie_is_hidden_from_scripts_and_stays_on_this_site(client: TestClient) -> None:
    cookie = log_in(client).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "max-age=43200" in cookie
    assert "secure" not in cookie


def test_the_cookie_is_for_https_only_where_that_is_set(owner: Engine, database_url: str) -> None:
    app = create_app(settings_for(database_url, console_secure_cookie=True))
    with TestClient(app, base_url="https://testserver", follow_redirects=False) as client:
        cookies = log_in(client).headers.get_list("set-cookie")
        # The prefix: no other host of the domain can plant one.
        assert sorted(cookie.partition("=")[0] for cookie in cookies) == [
            "__Host-hangtag_device",
            "__Host-hangtag_session",
        ]
        assert all("; secure" in cookie.lower() for cookie in cookies)
        assert all("domain" not in cookie.lower() for cookie in cookies)


def test_a_cookie_that_was_changed_or_signed_elsewhere_leads_to_the_log_in(
    ada: TestClient, database_url: str
) -> None:
    cookie = ada.cookies["hangtag_session"]
    changed = ("A" if cookie[0] != "A" else "B") + cookie[1:]
    other = create_app(settings_for(database_url, session_secret="f" * 64))
    for app, value in ((ada.app, changed), (other, cookie)):
        with TestClient(app, follow_redirects=False, cookies={"hangtag_session": value}) as thief:
            assert thief.get("/").headers["location"] == "/login"


def test_a_session_ends_after_its_hours(owner: Engine, database_url: str) -> None:
    app = create_app(settings_for(database_url, session_hours=1 / 3600))
    with TestClient(app, follow_redirects=False) as client:
        log_in(client)
        value = client.cookies["hangtag_session"]
        headers = {"Cookie": f"hangtag_session={value}"}  # sent on, though it is too old
        assert client.get("/", headers=headers).status_code == 200
        time.sleep(2.1)
        client.cookies.clear()
        assert client.get("/", headers=headers).headers["location"] == "/login"


# Without a session or a token ------------------------------------------------------------


def test_without_a_session_nothing_is_shown_or_taken(client: TestClient, owner: Engine) -> None:
    item_id = insert_waiting(owner).item_id
    assert client.get("/").headers["location"] == "/login"
    assert client.get(f"/items/{item_id}/picture").status_code == 401
    for action in ("decide", "skip"):
        path = f"/items/{item_id}/{action}"
        assert client.post(path, data={"label": "Tops"}).headers["location"] == "/login"
        answer = client.post(path, json={"label": "Tops"}, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (401, "login_required")
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 0


@pytest.mark.parametrize("given", ["", "wrong", "ümläut"])
def test_without_the_token_nothing_is_decided(ada: TestClient, owner: Engine, given: str) -> None:
    item_id = insert_waiting(owner).item_id
    ada.get("/")
    for action in ("decide", "skip"):
        form = ada.post(f"/items/{item_id}/{action}", data={"label": "Tops", "csrf": given})
        assert form.status_code == 403
        answer = ada.post(
            f"/items/{item_id}/{action}",
            json={"label": "Tops"},
            headers={b"accept": b"application/json", b"x-csrf-token": given.encode("latin-1")},
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_mismatch")
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 0
    assert ada.post("/logout").status_code == 403
