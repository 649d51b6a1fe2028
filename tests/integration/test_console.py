"""The console over HTTP, against a real database, under the operators' role."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from errors import UsageError
from review.app import create_app
from review.settings import ReviewSettings
from tests.integration.console import JSON, SECRET, decide, log_in, settings_for, token
from tests.integration.rows import (
    JPEG,
    PASSWORD,
    expire_leases,
    insert_waiting,
    published_tags,
    scalar,
)

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


def test_what_is_not_drawn_yet_counts_as_waiting_and_is_handed_out_when_it_is(
    ada: TestClient, owner: Engine
) -> None:
    waiting = insert_waiting(owner)
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.review_items SET preview_due = now()"))
    view = ada.get("/", headers=JSON).json()
    assert (view["item"], view["waiting"]) == (None, 1)
    assert view["rest"] == "1 picture is being made ready and will appear here by itself."
    insert_waiting(owner, age_seconds=-60)
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.review_items SET preview_due = now()"))
    assert ada.get("/", headers=JSON).json()["rest"].startswith("2 pictures are being made ready")
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.review_items SET preview_due = NULL"))
    assert ada.get("/", headers=JSON).json()["item"]["id"] == waiting.item_id


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


def test_a_decision_that_waits_for_a_lock_too_long_is_broken_off_and_can_be_sent_again(
    owner: Engine, database_url: str
) -> None:
    item_id = insert_waiting(owner).item_id
    app = create_app(settings_for(database_url))
    with TestClient(app, follow_redirects=False) as client:
        log_in(client)
        headers = {**JSON, "X-CSRF-Token": token(client, "/")}
        path = f"/items/{item_id}/decide"
        with owner.begin() as busy:
            busy.execute(text("SELECT FROM hangtag_data.review_items FOR UPDATE"))
            assert client.post(path, json={"label": "Tops"}, headers=headers).status_code == 503
        assert client.post(path, json={"label": "Tops"}, headers=headers).status_code == 200


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
