"""The console over HTTP, against a real database, under the operators' role."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from db import roles
from db.passwords import hash_password
from db.queries.operators import upsert_password
from db.session import make_engine, transaction
from errors import UsageError
from review.app import create_app
from review.settings import ReviewSettings
from tests.integration.rows import (
    JPEG,
    PASSWORD,
    expire_leases,
    insert_waiting,
    insert_world,
    published_tags,
    scalar,
)

SECRET = "0123456789abcdef" * 4
JSON = {"Accept": "application/json"}
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@pytest.fixture
def owner(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    insert_world(engine)
    yield engine
    engine.dispose()


def settings_for(database_url: str, **changes: object) -> ReviewSettings:
    values = {"database_url": database_url, "session_secret": SECRET, **changes}
    return ReviewSettings.model_validate(values)


@pytest.fixture
def client(owner: Engine, database_url: str) -> Iterator[TestClient]:
    app = create_app(settings_for(database_url))
    # What operators are not granted, the console cannot do.
    app.state.service.engine = make_engine(database_url, pool_size=4, role=roles.OPERATOR)
    with TestClient(app, follow_redirects=False) as client:
        yield client
    app.state.service.engine.dispose()


def token(client: TestClient, path: str = "/login") -> str:
    found = CSRF.search(client.get(path).text)
    assert found is not None
    return found.group(1)


def log_in(client: TestClient, name: str = "ada", password: str = PASSWORD) -> Any:
    return client.post("/login", data={"name": name, "password": password, "csrf": token(client)})


@pytest.fixture
def ada(client: TestClient) -> TestClient:
    """Return a client in which ada is logged in."""
    assert log_in(client).status_code == 303
    return client


def decide(client: TestClient, item_id: int, **fields: str) -> Any:
    """Decide as the console's script does."""
    headers = {**JSON, "X-CSRF-Token": token(client, "/")}
    return client.post(f"/items/{item_id}/decide", json=fields, headers=headers)


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


def test_a_new_password_ends_sessions_of_the_old_one(ada: TestClient, owner: Engine) -> None:
    with transaction(owner) as session:
        upsert_password(session, "ada", hash_password("another passphrase"))
    assert ada.get("/").headers["location"] == "/login"


def test_log_out_ends_the_session(ada: TestClient) -> None:
    response = ada.post("/logout", data={"csrf": token(ada, "/")})
    assert response.headers["location"] == "/login"
    assert ada.get("/").headers["location"] == "/login"


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
        assert "; secure" in log_in(client).headers["set-cookie"].lower()


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


# Deciding --------------------------------------------------------------------------------


def test_the_page_shows_suggestions_reason_origin_and_queue(ada: TestClient, owner: Engine) -> None:
    insert_waiting(owner, external_id="<b>post</b>", age_seconds=7300)
    insert_waiting(owner)
    page = ada.get("/").text
    for expected in ("Tshirts", "46 %", "Tunics", "&lt; 1 %", "not sure enough", "shop"):
        assert expected in page
    assert '<b id="waiting">2</b>' in page
    assert "&lt;b&gt;post&lt;/b&gt;" in page
    assert "waiting for 2 hours" in page
    assert ">Sunglasses<" in page  # every article type can be searched for


def test_the_holder_gets_the_picture_and_another_operator_does_not(
    ada: TestClient, owner: Engine, client: TestClient
) -> None:
    item_id = insert_waiting(owner).item_id
    ada.get("/")
    picture = ada.get(f"/items/{item_id}/picture")
    assert (picture.status_code, picture.content) == (200, JPEG)
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert "private" in picture.headers["cache-control"]
    with TestClient(ada.app, follow_redirects=False) as other:
        log_in(other, "bo")
        assert other.get(f"/items/{item_id}/picture").status_code == 404


def test_the_script_decides_and_gets_the_next_item(ada: TestClient, owner: Engine) -> None:
    first = insert_waiting(owner, age_seconds=60)
    second = insert_waiting(owner)
    response = decide(ada, first.item_id, label="Tops")
    answer = response.json()
    assert (response.status_code, answer["message"]) == (200, "Tops ✓")
    assert (answer["item"]["id"], answer["waiting"]) == (second.item_id, 1)
    assert answer["item"]["suggested"][0] == {"label": "Tshirts", "share": 0.46, "percent": "46 %"}
    assert published_tags(owner, first.upload_id)["article_type"] == ("Tops", 1.0, "operator")
    answer = decide(ada, second.item_id, action="not_fashion").json()
    assert (answer["message"], answer["item"]) == ("Not a fashion item ✓", None)
    assert published_tags(owner, second.upload_id) == {}


def test_forms_decide_without_the_script(ada: TestClient, owner: Engine) -> None:
    waiting = insert_waiting(owner)
    response = ada.post(
        f"/items/{waiting.item_id}/decide", data={"label": "Shirts", "csrf": token(ada, "/")}
    )
    assert (response.status_code, response.headers["location"]) == (303, "/")
    page = ada.get("/").text
    assert "Shirts ✓" in page
    assert "All done" in page
    assert "Shirts ✓" not in ada.get("/").text  # said once
    assert published_tags(owner, waiting.upload_id)["article_type"] == ("Shirts", 1.0, "operator")


def test_the_same_decision_sent_again_is_saved_once(ada: TestClient, owner: Engine) -> None:
    """An operator presses again when the answer was lost on its way."""
    waiting = insert_waiting(owner)
    ada.get("/")
    assert decide(ada, waiting.item_id, label="Tops").status_code == 200
    assert decide(ada, waiting.item_id, label="Tops").status_code == 200
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 1


def test_a_conflict_says_so_and_brings_the_next_item(ada: TestClient, owner: Engine) -> None:
    taken = insert_waiting(owner, age_seconds=60)
    free = insert_waiting(owner)
    ada.get("/")
    expire_leases(owner)
    with TestClient(ada.app, follow_redirects=False) as bo:
        log_in(bo, "bo")
        assert bo.get("/", headers=JSON).json()["item"]["id"] == taken.item_id
    headers = {**JSON, "X-CSRF-Token": token(ada, "/login")}
    response = ada.post(f"/items/{taken.item_id}/decide", json={"label": "Tops"}, headers=headers)
    answer = response.json()
    assert (response.status_code, answer["code"]) == (409, "review_conflict")
    assert "no longer yours" in answer["message"]
    assert answer["item"]["id"] == free.item_id
    form = ada.post(
        f"/items/{taken.item_id}/decide", data={"label": "Tops", "csrf": token(ada, "/")}
    )
    assert form.status_code == 303
    assert "no longer yours" in ada.get("/").text


def test_skip_brings_another_item_and_says_when_there_is_none(
    ada: TestClient, owner: Engine
) -> None:
    first = insert_waiting(owner, age_seconds=60)
    second = insert_waiting(owner)
    headers = {**JSON, "X-CSRF-Token": token(ada, "/")}
    answer = ada.post(f"/items/{first.item_id}/skip", json={}, headers=headers).json()
    assert (answer["message"], answer["item"]["id"]) == ("Skipped", second.item_id)
    decide(ada, second.item_id, label="Tops")
    answer = ada.post(f"/items/{first.item_id}/skip", json={}, headers=headers).json()
    assert answer["message"] == "This is the only picture left"
    assert answer["item"]["id"] == first.item_id


@pytest.mark.parametrize("fields", [{}, {"label": ""}, {"label": "Spoons"}, {"label": "a\0b"}])
def test_a_decision_that_makes_no_sense_is_refused(
    ada: TestClient, owner: Engine, fields: dict[str, str]
) -> None:
    item_id = insert_waiting(owner).item_id
    ada.get("/")
    response = decide(ada, item_id, **fields)
    assert (response.status_code, response.json()["code"]) == (422, "usage")
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.decisions") == 0


def test_a_body_that_is_no_json_or_too_large_is_refused(ada: TestClient) -> None:
    headers = {**JSON, "Content-Type": "application/json", "X-CSRF-Token": token(ada, "/")}
    for body in (b"{", b"[]", b"\xff"):
        assert ada.post("/items/1/decide", content=body, headers=headers).status_code == 422
    assert ada.post("/login", content=b"x" * 20_000, headers=headers).status_code == 413


# Headers, errors, health -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/", "/nowhere", "/static/console.js", "/healthz"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    for part in (
        *("default-src 'none'", "img-src 'self'", "style-src 'self'", "script-src 'self'"),
        *("connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    ):
        assert part in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == (
        "public, max-age=31536000, immutable" if path.startswith("/static") else "no-store"
    )


def test_templates_hold_no_inline_script_or_style() -> None:
    templates = Path(__file__).resolve().parents[2] / "review" / "templates"
    for template in templates.glob("*.html"):
        source = template.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://", source), template
        assert not re.search(r"<script(?![^>]*\ssrc=)", source), template


@pytest.mark.parametrize(
    "path", ["/nowhere", "/items/0/picture", "/items/x/picture", f"/items/{2**63}/picture"]
)
def test_an_unknown_address_gets_a_page_of_404(ada: TestClient, path: str) -> None:
    response = ada.get(path)
    assert response.status_code == 404
    assert "nothing at this address" in response.text


def test_no_interface_description_is_served(client: TestClient) -> None:
    assert {client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")} == {404}


def test_health_is_told_without_a_session_and_without_details(client: TestClient) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, "ok")


def test_a_database_that_is_away_gets_a_page_that_tries_again(tmp_path: Path) -> None:
    app = create_app(settings_for(f"postgresql://postgres@/none?host={tmp_path}"))
    with TestClient(app, follow_redirects=False) as client:
        assert client.get("/healthz").status_code == 503
        response = client.post(
            "/login", data={"name": "ada", "password": PASSWORD, "csrf": token(client)}
        )
        assert response.status_code == 503
        assert "does not answer" in response.text
        assert str(tmp_path) not in response.text
        assert 'http-equiv="refresh"' in response.text
        answer = client.get("/healthz", headers=JSON)
        assert answer.json()["code"] == "transient"


def test_a_fault_of_our_own_shows_no_details(client: TestClient) -> None:
    def fail() -> None:
        raise RuntimeError("the secret plan")

    client.app.state.service.check_database = fail  # type: ignore[attr-defined]
    with TestClient(client.app, raise_server_exceptions=False) as quiet:
        response = quiet.get("/healthz")
    assert response.status_code == 500
    assert "secret plan" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


# Settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(("secret", "fault"), [(None, "is not set"), ("short", "is too short")])
def test_a_missing_or_short_secret_is_named_with_what_to_do(
    database_url: str, secret: str | None, fault: str
) -> None:
    with pytest.raises(UsageError, match=f"HANGTAG_SESSION_SECRET {fault}.*python3 -c"):
        create_app(settings_for(database_url, session_secret=secret))


def test_a_missing_database_is_named() -> None:
    with pytest.raises(UsageError, match="HANGTAG_DATABASE_URL is not set"):
        create_app(ReviewSettings.model_validate({"database_url": "", "session_secret": SECRET}))


def test_every_setting_is_described() -> None:
    assert all(field.description for field in ReviewSettings.model_fields.values())
