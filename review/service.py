"""What an operator can do; each action is one transaction."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy import Engine, text

from db.passwords import verify_password
from db.queries.models import list_labels
from db.queries.operators import Operator, get_operator
from db.queries.reviews import (
    ReviewItem,
    claim_next_review_item,
    count_open,
    decide_review_item,
    get_preview,
    mark_skipped,
)
from db.session import transaction

# argon2 takes 64 MiB a check, by design: a flood of log-ins must not take the memory with it.
_password_checks = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class Turn:
    """What an operator has before them: an item they hold (None: nothing is left to do).

    `waiting` counts all open items, this one included.
    """

    item: ReviewItem | None
    waiting: int


class ReviewService:
    """The actions, on one database."""

    def __init__(self, engine: Engine, lease_seconds: float) -> None:
        self.engine = engine
        self.lease_seconds = lease_seconds

    def log_in(self, name: str, password: str) -> Operator | None:
        """Return the active operator whom name and password fit; as slow where there is none."""
        operator = self.get_operator(name)
        with _password_checks:
            fits = verify_password(password, operator.password_hash if operator else None)
        return operator if fits else None

    def get_operator(self, name: str) -> Operator | None:
        """Return an operator who may work, or None."""
        if "\0" in name:  # text that PostgreSQL cannot hold
            return None
        with transaction(self.engine) as session:
            operator = get_operator(session, name)
        return operator if operator and operator.active else None

    def next_turn(self, operator: str) -> Turn:
        """Claim the operator's next item, the one they hold already first."""
        with transaction(self.engine) as session:
            item = claim_next_review_item(session, operator, self.lease_seconds)
            return Turn(item, count_open(session))

    def decide(self, item_id: int, operator: str, label: str | None) -> Turn:
        """Decide an item (None: no fashion item) and claim the next.

        Raises ReviewConflict where the item is not the operator's any more, UsageError where
        the label is unknown; nothing is written then.
        """
        with transaction(self.engine) as session:
            decide_review_item(session, item_id, operator, label)
            item = claim_next_review_item(session, operator, self.lease_seconds)
            return Turn(item, count_open(session))

    def skip(self, item_id: int, operator: str) -> Turn:
        """Put an item back and claim the next. Raises ReviewConflict as `decide` does."""
        with transaction(self.engine) as session:
            mark_skipped(session, item_id, operator)
            item = claim_next_review_item(session, operator, self.lease_seconds)
            return Turn(item, count_open(session))

    def get_picture(self, item_id: int, operator: str) -> bytes | None:
        """Return the JPEG of an item that the operator holds, or None."""
        with transaction(self.engine) as session:
            return get_preview(session, item_id, operator)

    def list_article_types(self) -> list[str]:
        """List the article types that can be chosen, in alphabetical order."""
        with transaction(self.engine) as session:
            return list_labels(session, "article_type")

    def check_database(self) -> None:
        """Return if the database answers. Raises TransientError where it does not."""
        with transaction(self.engine) as session:
            session.execute(text("SELECT 1"))
