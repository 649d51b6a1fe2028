"""What a lead can do beyond an operator: read the audit trail, release claims, reopen decisions."""

from __future__ import annotations

from sqlalchemy import Engine

from db.queries.audit import Entry, insert_entry, list_entries
from db.queries.operators import list_names
from db.queries.reviews import Held, list_held, release_review_item, reopen_review_item
from db.session import transaction

PAGE_SIZE = 50


class Leadership:
    """The actions of leads, on one database; each is one transaction."""

    def __init__(self, engine: Engine, lease_seconds: float) -> None:
        self.engine = engine
        self.lease_seconds = lease_seconds

    def list_entries(
        self, before: int | None, actor: str | None, action: str | None
    ) -> tuple[list[Entry], bool]:
        """Return a page of the audit trail, the newest first, and whether older ones follow."""
        with transaction(self.engine) as session:
            entries = list_entries(session, PAGE_SIZE + 1, before, actor, action)
        return entries[:PAGE_SIZE], len(entries) > PAGE_SIZE

    def list_names(self) -> list[str]:
        """List the names of all operators."""
        with transaction(self.engine) as session:
            return list_names(session)

    def list_held(self) -> list[Held]:
        """List the items that operators hold."""
        with transaction(self.engine) as session:
            return list_held(session)

    def release(self, item_id: int, holder: str, lead: str) -> None:
        """Take an item from who holds it. Raises ReviewConflict where they do not any more."""
        with transaction(self.engine) as session:
            upload_id = release_review_item(session, item_id, holder)
            insert_entry(
                session,
                "release",
                lead,
                subject=holder,
                upload_id=upload_id,
                review_item_id=item_id,
            )

    def reopen(self, item_id: int, lead: str) -> int:
        """Put a decided item before a lead once more; return the new item's id.

        Raises UsageError where that cannot be.
        """
        with transaction(self.engine) as session:
            return reopen_review_item(session, item_id, lead, self.lease_seconds)
