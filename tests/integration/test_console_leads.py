"""What leads do: read the audit trail, release claims, reopen decisions; and that others cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from db import roles
from db.queries.operators import update_operator
from db.queries.reviews import reopen_review_item
from db.session import make_engine, transaction
from errors import UsageError
from tests.integration.console import JSON, decide, log_in, token
from tests.integration.rows import (
    JPEG,
    Waiting,
    expire_leases,
    insert_waiting,
    insert_world,
    published_tags,
    scalar,
)


@pytest.fixture
def lea(client: TestClient, owner: Engine) -> Iterator[TestClient]:
    """Log a lead in, in a browser of her own."""
    insert_world(owner, ["lea"])
    with transaction(owner) as session:
        update_operator(session, "lea", role="lead")
    with TestClient(client.app, follow_redirects=False) as browser:
        assert log_in(browser, "lea").status_code == 303
        yield browser


def post(client: TestClient, path: str, page: str, **fields: str) -> Any:
    return client.post(path, data={"csrf": token(client, page), **fields})


def reopen(lead: TestClient, waiting: Waiting) -> Any:
    return post(lead, f"/items/{waiting.item_id}/reopen", "/audit")


def entries(owner: Engine, action: str) -> list[tuple[Any, ...]]:
    with owner.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT actor, subject, review_item_id FROM hangtag_data.audit_log "
                "WHERE action = :action ORDER BY id"
            ),
            {"action": action},
        )
        return [tuple(row) for row in rows]


# Who may ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/audit", "/claims"])
def test_an_operator_sees_no_page_of_leads(ada: TestClient, path: str) -> None:
    assert ada.get(path).status_code == 403
    assert ada.get(path, headers=JSON).json()["code"] == "leads_only"
    assert f'href="{path}"' not in ada.get("/").text


def test_an_operator_can_neither_release_nor_reopen(ada: TestClient, owner: Engine) -> None:
    waiting = insert_waiting(owner)
    ada.get("/")
    decide(ada, waiting.item_id, label="Tops")
    for action in ("release", "reopen"):
        assert post(ada, f"/items/{waiting.item_id}/{action}", "/").status_code == 403
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.review_items") == 1


def test_a_lead_who_was_demoted_is_an_operator_at_once(lea: TestClient, owner: Engine) -> None:
    assert lea.get("/audit").status_code == 200
    with transaction(owner) as session:
        update_operator(session, "lea", role="operator")
    assert lea.get("/audit").status_code == 403


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_the_database_itself_reopens_for_leads_alone(
    ada: TestClient, owner: Engine, database_url: str, name: str
) -> None:
    waiting = insert_waiting(owner)
    ada.get("/")
    decide(ada, waiting.item_id, label="Tops")
    engine = make_engine(database_url, role=roles.OPERATOR)
    with pytest.raises(UsageError, match="only a lead"), transaction(engine) as session:
        reopen_review_item(session, waiting.item_id, name, 60)
    engine.dispose()


def test_leads_forms_need_their_token(lea: TestClient) -> None:
    for action in ("release", "reopen"):
        assert lea.post(f"/items/1/{action}", data={"holder": "ada"}).status_code == 403


# Claims ----------------------------------------------------------------------------------


def test_a_lead_releases_a_claim_and_its_holder_cannot_decide_any_more(
    ada: TestClient, lea: TestClient, owner: Engine
) -> None:
    waiting = insert_waiting(owner, external_id="post-7")
    ada.get("/")
    page = lea.get("/claims").text
    assert "post-7" in page
    assert "ada" in page
    path = f"/items/{waiting.item_id}/release"
    assert post(lea, path, "/claims", holder="ada").headers["location"] == "/claims"
    assert "Released." in lea.get("/claims").text
    # ada's browser still shows the picture; a page of leads has taken it meanwhile
    lea.get("/")
    headers = {**JSON, "X-CSRF-Token": token(ada, "/login")}
    answer = ada.post(f"/items/{waiting.item_id}/decide", json={"label": "Tops"}, headers=headers)
    assert answer.status_code == 409
    assert entries(owner, "release") == [("lea", "ada", waiting.item_id)]


def test_a_claim_that_changed_hands_meanwhile_is_not_released(
    ada: TestClient, lea: TestClient, owner: Engine
) -> None:
    """The page showed ada; by now it is bo's, who must not lose it by that."""
    waiting = insert_waiting(owner)
    ada.get("/")
    expire_leases(owner)
    with TestClient(ada.app, follow_redirects=False) as bo:
        log_in(bo, "bo")
        bo.get("/")
    post(lea, f"/items/{waiting.item_id}/release", "/claims", holder="ada")
    assert "Nothing to release" in lea.get("/claims").text
    assert scalar(owner, "SELECT claimed_by FROM hangtag_data.review_items") == "bo"


# Reopening -------------------------------------------------------------------------------


def test_a_lead_reopens_a_decision_and_decides_anew(
    ada: TestClient, lea: TestClient, owner: Engine
) -> None:
    waiting = insert_waiting(owner)
    ada.get("/")
    decide(ada, waiting.item_id, label="Tops")
    other = insert_waiting(owner)  # which the lead holds when she reopens
    assert lea.get("/", headers=JSON).json()["item"]["id"] == other.item_id
    assert "Reopen</button>" in lea.get("/audit").text
    assert reopen(lea, waiting).headers["location"] == "/"
    # What was published stays until it is decided again.
    assert published_tags(owner, waiting.upload_id)["article_type"][0] == "Tops"
    item = lea.get("/", headers=JSON).json()["item"]
    assert item["id"] not in (waiting.item_id, other.item_id)
    assert item["why"] == "You reopened the decision on this picture."
    assert lea.get(item["picture"]).content == JPEG
    assert decide(lea, item["id"], label="Shirts").status_code == 200
    assert published_tags(owner, waiting.upload_id)["article_type"][0] == "Shirts"
    log = "SELECT array_agg(concat(operator, ' ', label) ORDER BY id) FROM hangtag_data.decisions"
    assert scalar(owner, log) == ["ada Tops", "lea Shirts"]
    assert entries(owner, "reopen") == [("lea", str(waiting.item_id), item["id"])]
    status = "SELECT status FROM hangtag.upload_status WHERE image_id = :id"
    assert scalar(owner, status, id=waiting.upload_id) == "tagged"


def test_reopened_no_fashion_item_has_its_tags_and_vector_back(
    ada: TestClient, lea: TestClient, owner: Engine
) -> None:
    waiting = insert_waiting(owner)
    vector = "SELECT CAST(embedding AS text) FROM hangtag.image_embeddings WHERE image_id = :id"
    before = scalar(owner, vector, id=waiting.upload_id)
    ada.get("/")
    decide(ada, waiting.item_id, action="not_fashion")
    assert published_tags(owner, waiting.upload_id) == {}
    reopen(lea, waiting)
    assert published_tags(owner, waiting.upload_id)["base_colour"][:1] == ("Blue",)
    assert scalar(owner, vector, id=waiting.upload_id) == before
    item = lea.get("/", headers=JSON).json()["item"]
    decide(lea, item["id"], label="Heels")
    found = "SELECT article_type FROM hangtag.image_embeddings WHERE image_id = :id"
    assert scalar(owner, found, id=waiting.upload_id) == "Heels"


def test_a_decision_is_reopened_once_and_only_while_its_picture_is_kept(
    ada: TestClient, lea: TestClient, owner: Engine
) -> None:
    first, second = insert_waiting(owner, age_seconds=9), insert_waiting(owner)
    ada.get("/")
    decide(ada, first.item_id, label="Tops")
    decide(ada, second.item_id, label="Tops")
    reopen(lea, first)
    reopen(lea, first)
    assert "reopened already" in lea.get("/audit").text
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE hangtag_data.previews SET kept_until = now() WHERE kept_until IS NOT NULL")
        )
    # The next decision sweeps up what was kept long enough; the reopened picture is not.
    decide(lea, lea.get("/", headers=JSON).json()["item"]["id"], label="Tops")
    reopen(lea, second)
    assert "not kept any more" in lea.get("/audit").text
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.previews") == 1


def test_what_a_decision_took_away_is_kept_as_long_as_its_picture(
    ada: TestClient, lea: TestClient, owner: Engine
) -> None:
    """Otherwise a reopened picture would have neither tags nor a vector."""
    waiting = insert_waiting(owner)
    ada.get("/")
    decide(ada, waiting.item_id, action="not_fashion")
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.withdrawn SET kept_until = now()"))
    assert log_in(ada).status_code == 303
    assert reopen(lea, waiting).status_code == 303
    assert published_tags(owner, waiting.upload_id)


def test_what_was_kept_long_enough_goes_with_a_log_in_too(ada: TestClient, owner: Engine) -> None:
    waiting = insert_waiting(owner)
    ada.get("/")
    decide(ada, waiting.item_id, label="Tops")
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.previews SET kept_until = now()"))
    log_in(ada)
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.previews") == 0


@pytest.mark.parametrize("item", ["open", "unknown"])
def test_what_is_not_decided_is_not_reopened(lea: TestClient, owner: Engine, item: str) -> None:
    waiting = insert_waiting(owner)
    path = f"/items/{waiting.item_id if item == 'open' else 10**9}/reopen"
    assert post(lea, path, "/audit").headers["location"] == "/audit"
    assert "not decided" in lea.get("/audit").text


# The audit trail -------------------------------------------------------------------------


def test_all_that_operators_do_is_written_down(
    ada: TestClient, lea: TestClient, owner: Engine
) -> None:
    first, second = insert_waiting(owner, age_seconds=9), insert_waiting(owner)
    ada.get("/")
    decide(ada, first.item_id, label="Tops")
    headers = {**JSON, "X-CSRF-Token": token(ada, "/")}
    ada.post(f"/items/{second.item_id}/skip", json={}, headers=headers)
    log_in(ada, "ada", "wrong password")
    ada.post("/logout", data={"csrf": token(ada, "/")})
    assert entries(owner, "decide") == [("ada", "Tops", first.item_id)]
    assert entries(owner, "skip") == [("ada", None, second.item_id)]
    skipped = "SELECT upload_id FROM hangtag_data.audit_log WHERE action = 'skip'"
    assert scalar(owner, skipped) == second.upload_id
    assert entries(owner, "login_failed") == [(None, "ada", None)]
    assert entries(owner, "logout") == [("ada", None, None)]
    assert ("ada", None, None) in entries(owner, "login")
    assert "lea" in [subject for _, subject, _ in entries(owner, "operator_promoted")]
    page = lea.get("/audit").text
    for words in ("Tops (model: Tshirts)", "skipped", "failed to log in", "made a lead"):
        assert words in page


def test_a_double_submit_is_one_entry(ada: TestClient, owner: Engine) -> None:
    waiting = insert_waiting(owner)
    ada.get("/")
    for _ in range(3):
        assert decide(ada, waiting.item_id, label="Tops").status_code == 200
    assert len(entries(owner, "decide")) == 1


def test_what_was_not_saved_is_not_in_the_trail(ada: TestClient, owner: Engine) -> None:
    waiting = insert_waiting(owner)
    ada.get("/")
    assert decide(ada, waiting.item_id, label="Spoons").status_code == 422
    assert entries(owner, "decide") == []


def test_the_trail_is_read_page_by_page_and_by_name(lea: TestClient, owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO hangtag_data.audit_log (actor, action, subject) "
                "SELECT CASE n % 2 WHEN 0 THEN 'ada' ELSE 'bo' END, 'decide', 'thing-' || n || '.' "
                "FROM generate_series(1, 120) AS n"
            )
        )
    seen: list[str] = []
    path = "/audit?who=ada&what=decide"
    for _ in range(3):
        page = lea.get(path).text
        assert "thing-1." not in page  # bo's
        seen += [n for n in range(120, 0, -1) if f"thing-{n}." in page]
        if "Older" not in page:
            break
        path = page.rpartition('">Older')[0].rpartition('href="')[2].replace("&amp;", "&")
    assert seen == list(range(120, 0, -2))
    assert "Nothing was found" in lea.get("/audit?who=nobody").text
    assert lea.get("/audit?before=0").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hangtag_data.audit_log SET actor = 'bo'",
        "DELETE FROM hangtag_data.audit_log",
        "TRUNCATE hangtag_data.audit_log",
    ],
)
def test_the_trail_is_append_only_even_for_the_owner(owner: Engine, change: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), owner.begin() as connection:
        connection.execute(text(change))


@pytest.mark.parametrize("column", ["at", "login"])
def test_the_console_chooses_neither_time_nor_login_of_an_entry(
    owner: Engine, database_url: str, column: str
) -> None:
    value = {"at": "now() - interval '1 day'", "login": "'x'"}[column]
    engine = make_engine(database_url, role=roles.OPERATOR)
    with pytest.raises(DBAPIError, match="permission denied"), engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO hangtag_data.audit_log (action, {column}) VALUES ('x', {value})")
        )
    engine.dispose()
