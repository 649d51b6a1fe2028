"""The checker sees who ended a claim, also where that left one result only, and what is owed."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

import worker.writer
from db.queries.uploads import Claim, claim_uploads, insert_uploads, mark_finished, reap_expired
from db.session import transaction
from tests.faults import launch
from tests.faults.checker import AUDIT, Findings, check
from tests.faults.producers import SOURCE, Picture
from tests.integration.rows import insert_waiting

NAME = "0:polo.jpg"


def claimed(owner: Engine, worker_name: str, lease_seconds: float) -> Claim:
    with transaction(owner) as session:
        [claim] = claim_uploads(session, worker_name, 1, lease_seconds, backfill=True)
    return claim


def findings_after(owner: Engine) -> Findings:
    """Let the first of two attempts end the claim that the second holds; return what is found."""
    with owner.begin() as connection:
        connection.exec_driver_sql(AUDIT)
    with transaction(owner) as session:
        insert_uploads(session, ["file:///polo.jpg"], SOURCE, [NAME])
    first = claimed(owner, "frozen", 0.0)
    with transaction(owner) as session:
        assert reap_expired(session, 5).returned == 1
    claimed(owner, "second", 60.0)
    with transaction(owner) as session:
        worker.writer.mark_finished(session, [(first, "tagged")])
    return found_in(owner)


def found_in(owner: Engine) -> Findings:
    raw = owner.raw_connection()
    try:
        return check(raw.driver_connection, {NAME: Picture("polo.jpg", "file:///polo.jpg")})  # type: ignore[arg-type]
    finally:
        raw.close()


@pytest.mark.parametrize("fence", [True, False])
def test_a_claim_that_another_attempt_ends_is_superseded(
    engine: Engine, fence: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One final state and one set of tags would look right, whoever wrote them."""
    end = mark_finished if fence else launch.finish_any_attempt
    monkeypatch.setattr(worker.writer, "mark_finished", end)
    launch.tell_the_attempt("mark_finished")
    found = findings_after(engine)
    ended = "attempt 1 ended it, processing by attempt 2"
    assert (found.superseded.get(NAME) == ended) is not fence
    assert (found.lost.get(NAME) == "still processing") is fence


def test_a_review_item_without_its_preview_is_lost(owner: Engine) -> None:
    waiting = insert_waiting(owner, "0:polo.jpg")
    with owner.begin() as connection:
        connection.exec_driver_sql(AUDIT)
        connection.exec_driver_sql(f"UPDATE hangtag_data.uploads SET source = '{SOURCE}'")
    assert NAME not in found_in(owner).lost
    for change in (
        "UPDATE hangtag_data.review_items SET preview_due = now()",
        f"DELETE FROM hangtag_data.previews WHERE upload_id = '{waiting.upload_id}'",
    ):
        with owner.begin() as connection:
            connection.exec_driver_sql(change)
        assert found_in(owner).lost[NAME] == "its preview was begun 0 times and is not there"
        with owner.begin() as connection:
            connection.exec_driver_sql("UPDATE hangtag_data.review_items SET preview_due = NULL")
