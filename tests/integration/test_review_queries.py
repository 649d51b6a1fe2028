"""Review items: claimed by one operator at a time, decided once, published at once."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from db import roles
from db.queries.reviews import (
    ReviewConflict,
    ReviewItem,
    claim_next_review_item,
    count_open,
    decide_review_item,
    get_preview,
    mark_skipped,
)
from db.session import make_engine, transaction
from errors import UsageError
from tests.integration.rows import (
    JPEG,
    TOP5,
    Waiting,
    expire_leases,
    insert_waiting,
    insert_world,
    published_tags,
    scalar,
)

LEASE_SECONDS = 60


@pytest.fixture
def owner(database_url: str) -> Iterator[Engine]:
    """Engine of one who may do everything, for setting up and looking."""
    engine = make_engine(database_url, pool_size=2)
    insert_world(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(owner: Engine, database_url: str) -> Iterator[Engine]:
    """Engine under the operators' role: what it is not granted, the queries cannot do."""
    engine = make_engine(database_url, pool_size=4, role=roles.OPERATOR)
    yield engine
    engine.dispose()


def claim(engine: Engine, operator: str) -> ReviewItem | None:
    with transaction(engine) as session:
        return claim_next_review_item(session, operator, LEASE_SECONDS)


def claimed_id(engine: Engine, operator: str) -> int | None:
    item = claim(engine, operator)
    return item.id if item else None


def decide(engine: Engine, item_id: int, operator: str, label: str | None) -> None:
    with transaction(engine) as session:
        decide_review_item(session, item_id, operator, label)


def skip(engine: Engine, item_id: int, operator: str) -> None:
    with transaction(engine) as session:
        mark_skipped(session, item_id, operator)


def status_of(owner: Engine, waiting: Waiting) -> tuple[str, str]:
    """Status of the upload and of its review item."""
    return (
        scalar(
            owner,
            "SELECT status FROM hangtag.upload_status WHERE image_id = :id",
            id=waiting.upload_id,
        ),
        scalar(
            owner, "SELECT status FROM hangtag_data.review_items WHERE id = :id", id=waiting.item_id
        ),
    )


def count(owner: Engine, table: str) -> int:
    found: int = scalar(owner, f"SELECT count(*) FROM hangtag_data.{table}")
    return found


def test_a_claim_tells_where_the_picture_is_from_and_what_the_model_suggests(
    owner: Engine, engine: Engine
) -> None:
    waiting = insert_waiting(owner, external_id="post-7")
    item = claim(engine, "ada")
    assert item is not None
    assert (item.id, item.upload_id, item.item) == (waiting.item_id, waiting.upload_id, 0)
    assert (item.source, item.external_id) == ("shop", "post-7")
    assert (item.reason, item.suggested) == ("below_threshold", TOP5)
    assert 0 < (item.lease_until - item.created_at).total_seconds() <= LEASE_SECONDS + 5


def test_items_come_by_priority_then_age(owner: Engine, engine: Engine) -> None:
    young = insert_waiting(owner)
    old = insert_waiting(owner, age_seconds=60)
    urgent = insert_waiting(owner, priority=5)
    order = []
    for _ in range(3):
        item_id = claimed_id(engine, "ada")
        assert item_id is not None
        order.append(item_id)
        decide(engine, item_id, "ada", "Tops")
    assert order == [urgent.item_id, old.item_id, young.item_id]
    assert claim(engine, "ada") is None


def test_an_operator_gets_back_the_item_they_hold(owner: Engine, engine: Engine) -> None:
    held = insert_waiting(owner)
    assert claimed_id(engine, "ada") == held.item_id
    insert_waiting(owner, priority=9)
    assert claimed_id(engine, "ada") == held.item_id


def test_two_operators_hold_different_items(owner: Engine, engine: Engine) -> None:
    insert_waiting(owner)
    insert_waiting(owner)
    ada, bo = claimed_id(engine, "ada"), claimed_id(engine, "bo")
    assert None not in (ada, bo)
    assert ada != bo


def test_operators_who_claim_at_the_same_moment_never_hold_the_same_item(
    owner: Engine, database_url: str
) -> None:
    names = [f"operator{number}" for number in range(8)]
    insert_world(owner, names)
    for _ in range(len(names)):
        insert_waiting(owner)
    engine = make_engine(database_url, pool_size=len(names), role=roles.OPERATOR)
    start = threading.Barrier(len(names))
    held: dict[str, int | None] = {}

    def work(name: str) -> None:
        start.wait(30)
        held[name] = claimed_id(engine, name)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    engine.dispose()
    assert len(set(held.values())) == len(names)
    assert None not in held.values()


def test_many_operators_at_once_decide_each_item_exactly_once(
    owner: Engine, database_url: str
) -> None:
    """Leases that run out all the time, decisions sent twice: one decision an item, by a holder."""
    names = [f"operator{number}" for number in range(5)]
    insert_world(owner, names)
    items = {insert_waiting(owner).item_id for _ in range(40)}
    engine = make_engine(database_url, pool_size=len(names), role=roles.OPERATOR)
    saved: list[tuple[int, str]] = []
    faults: list[BaseException] = []

    def work(name: str) -> None:
        pick = random.Random(name)  # noqa: S311 (a test that can be repeated)
        label = pick.choice(["Tops", "Shirts", None])
        try:
            while count(owner, "review_items WHERE status = 'open'"):
                with transaction(engine) as session:
                    item = claim_next_review_item(session, name, pick.choice([0.0, 0.01, 5.0]))
                if item is None:
                    continue
                time.sleep(pick.random() / 50)
                with contextlib.suppress(ReviewConflict):
                    decide(engine, item.id, name, label)
                    decide(engine, item.id, name, label)
                    saved.append((item.id, name))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    engine.dispose()
    assert faults == []
    with owner.connect() as connection:
        decisions = connection.execute(
            text("SELECT review_item_id, operator FROM hangtag_data.decisions")
        ).all()
    assert sorted((row.review_item_id, row.operator) for row in decisions) == sorted(saved)
    assert {item_id for item_id, _ in saved} == items
    assert count(owner, "audit_log WHERE action = 'decide'") == len(items)


def test_the_same_decision_sent_twice_at_the_same_moment_is_one(
    owner: Engine, engine: Engine
) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    start = threading.Barrier(4)
    outcomes: list[str] = []

    def send(label: str) -> None:
        start.wait(30)
        try:
            decide(engine, waiting.item_id, "ada", label)
            outcomes.append("saved")
        except ReviewConflict:
            outcomes.append("conflict")

    labels = ["Tops", "Tops", "Shirts", "Shirts"]
    threads = [threading.Thread(target=send, args=(label,)) for label in labels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["conflict", "conflict", "saved", "saved"]
    assert count(owner, "decisions") == 1


def test_an_expired_lease_lets_another_take_over(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    assert claimed_id(engine, "ada") == waiting.item_id
    assert claim(engine, "bo") is None
    expire_leases(owner)
    assert claimed_id(engine, "bo") == waiting.item_id
    assert claim(engine, "ada") is None


def test_a_decision_after_another_took_over_conflicts_and_writes_nothing(
    owner: Engine, engine: Engine
) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    expire_leases(owner)
    claim(engine, "bo")
    with pytest.raises(ReviewConflict) as caught:
        decide(engine, waiting.item_id, "ada", "Tops")
    assert caught.value.code == "review_conflict"
    assert count(owner, "decisions") == 0
    assert status_of(owner, waiting) == ("review", "open")
    with pytest.raises(ReviewConflict):
        skip(engine, waiting.item_id, "ada")


def test_a_lease_that_nobody_took_over_does_not_stop_its_holder(
    owner: Engine, engine: Engine
) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    expire_leases(owner)
    decide(engine, waiting.item_id, "ada", "Tops")
    assert status_of(owner, waiting) == ("tagged", "decided")


def test_an_item_that_was_never_claimed_cannot_be_decided(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    with pytest.raises(ReviewConflict):
        decide(engine, waiting.item_id, "ada", "Tops")
    with pytest.raises(ReviewConflict):
        decide(engine, 10**9, "ada", "Tops")


def test_the_same_decision_twice_is_one(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    decide(engine, waiting.item_id, "ada", "Tops")
    decide(engine, waiting.item_id, "ada", "Tops")
    assert count(owner, "decisions") == 1


@pytest.mark.parametrize(("operator", "label"), [("ada", "Shirts"), ("ada", None), ("bo", "Tops")])
def test_another_decision_on_a_decided_item_conflicts(
    owner: Engine, engine: Engine, operator: str, label: str | None
) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    decide(engine, waiting.item_id, "ada", "Tops")
    with pytest.raises(ReviewConflict):
        decide(engine, waiting.item_id, operator, label)
    assert published_tags(owner, waiting.upload_id)["article_type"][0] == "Tops"


def test_a_decision_publishes_the_type_and_its_categories_as_the_operators(
    owner: Engine, engine: Engine
) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    decide(engine, waiting.item_id, "ada", "Casual Shoes")
    tags = published_tags(owner, waiting.upload_id)
    assert tags.pop("base_colour")[2] == "model"
    assert tags == {
        "article_type": ("Casual Shoes", 1.0, "operator"),
        "sub_category": ("Shoes", 1.0, "operator"),
        "master_category": ("Footwear", 1.0, "operator"),
    }


def test_a_decision_files_the_vector_and_closes_the_upload(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    decide(engine, waiting.item_id, "ada", "Casual Shoes")
    with owner.connect() as connection:
        vector = connection.execute(
            text("SELECT article_type, sub_category, master_category FROM hangtag.image_embeddings")
        ).one()
    assert tuple(vector) == ("Casual Shoes", "Shoes", "Footwear")
    assert status_of(owner, waiting) == ("tagged", "decided")


def test_a_decision_is_logged_beside_what_the_model_had_said(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    decide(engine, waiting.item_id, "ada", "Tops")
    with owner.connect() as connection:
        row = connection.execute(text("SELECT * FROM hangtag_data.decisions")).one()
    assert (row.review_item_id, row.upload_id) == (waiting.item_id, waiting.upload_id)
    assert (row.action, row.label, row.operator) == ("label", "Tops", "ada")
    assert (row.suggested, row.confidence) == ("Tshirts", pytest.approx(0.46))


def test_not_fashion_withdraws_tags_and_vector(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    other = insert_waiting(owner, age_seconds=-60)
    claim(engine, "ada")
    decide(engine, waiting.item_id, "ada", None)
    assert published_tags(owner, waiting.upload_id) == {}
    left = scalar(owner, "SELECT array_agg(image_id) FROM hangtag.image_embeddings")
    assert left == [other.upload_id]
    assert status_of(owner, waiting) == ("tagged", "decided")
    assert scalar(owner, "SELECT action FROM hangtag_data.decisions") == "not_fashion"


def test_an_unknown_label_is_refused_and_writes_nothing(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    with pytest.raises(UsageError, match="no article type 'Spoons'"):
        decide(engine, waiting.item_id, "ada", "Spoons")
    assert count(owner, "decisions") == 0
    assert claimed_id(engine, "ada") == waiting.item_id


def test_skip_puts_an_item_back_behind_the_others(owner: Engine, engine: Engine) -> None:
    first = insert_waiting(owner, age_seconds=60)
    second = insert_waiting(owner)
    assert claimed_id(engine, "ada") == first.item_id
    skip(engine, first.item_id, "ada")
    assert claimed_id(engine, "ada") == second.item_id
    assert claimed_id(engine, "bo") == first.item_id


def test_only_the_holder_sees_the_preview(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    with transaction(engine) as session:
        assert get_preview(session, waiting.item_id, "ada") == JPEG
        assert get_preview(session, waiting.item_id, "bo") is None


def test_open_items_are_counted(owner: Engine, engine: Engine) -> None:
    waiting = insert_waiting(owner)
    insert_waiting(owner, age_seconds=-60)
    claim(engine, "ada")
    decide(engine, waiting.item_id, "ada", None)
    with transaction(engine) as session:
        assert count_open(session) == 1


@pytest.mark.parametrize(
    "change",
    ["UPDATE hangtag_data.decisions SET label = 'Shirts'", "DELETE FROM hangtag_data.decisions"],
)
def test_decisions_are_append_only_even_for_the_owner(
    owner: Engine, engine: Engine, change: str
) -> None:
    waiting = insert_waiting(owner)
    claim(engine, "ada")
    decide(engine, waiting.item_id, "ada", "Tops")
    with pytest.raises(DBAPIError, match="append-only"), owner.begin() as connection:
        connection.execute(text(change))
