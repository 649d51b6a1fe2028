"""What an operator can do; each action is one transaction."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db.passwords import verify_password
from db.queries.audit import insert_entry
from db.queries.logins import (
    begin_attempt,
    delete_old_attempts,
    forgive_attempts,
    is_first_failure,
)
from db.queries.models import list_labels
from db.queries.operators import (
    Operator,
    delete_session,
    get_operator,
    get_session_operator,
    insert_session,
)
from db.queries.previews import count_owed
from db.queries.reviews import (
    ReviewItem,
    claim_next_review_item,
    count_open,
    decide_review_item,
    forget_kept,
    get_preview,
    mark_skipped,
)
from db.session import transaction
from review.logins import Visitor, checking_a_password, limits_for, own_keys


@dataclass(frozen=True)
class Turn:
    """What an operator has before them: an item they hold (None: nothing is left to do).

    `waiting` counts all open items, this one included; `undrawn` those of them that owe their
    preview (looked at only where nothing is left to do).
    """

    item: ReviewItem | None
    waiting: int
    undrawn: int = 0


@dataclass(frozen=True)
class LogIn:
    """An operator whose password fitted, and the token of the session that began."""

    operator: Operator
    token: str


def hash_token(token: str) -> str:
    """Return what the database knows of a session's token, from which nobody gets the token."""
    return hashlib.sha256(token.encode()).hexdigest()


class ReviewService:
    """The actions, on one database."""

    def __init__(self, engine: Engine, lease_seconds: float, session_hours: float) -> None:
        self.engine = engine
        self.lease_seconds = lease_seconds
        self.session_hours = session_hours

    def log_in(self, name: str, password: str, visitor: Visitor) -> LogIn | None:
        """Begin a session of the active operator whom name and password fit.

        As slow where there is none. Raises TooManyAttempts where the next attempt has to wait.
        """
        limits = limits_for(name, visitor)
        with checking_a_password():
            with transaction(self.engine) as session:
                begin_attempt(session, limits)
                known = get_operator(session, name)
            operator = known if known and known.active else None
            fits = verify_password(password, operator.password_hash if operator else None)
        with transaction(self.engine) as session:
            delete_old_attempts(session)
            if operator is None or not fits:
                # A name that nobody has may be a password that went into the wrong field.
                subject = known.name if known else None
                # Strangers must not fill the trail, which nothing removes.
                if is_first_failure(session, subject, visitor.address):
                    insert_entry(
                        session, "login_failed", None, subject=subject, address=visitor.address
                    )
                return None
            token = secrets.token_urlsafe(32)
            if not insert_session(session, hash_token(token), operator.name, self.session_hours):
                return None  # the account was closed while its password was checked
            own = own_keys(limits)
            forgive_attempts(session, own, [one.key for one in limits if one.key not in own])
            insert_entry(session, "login", operator.name, address=visitor.address)
        with transaction(self.engine) as session:
            forget_kept(session)
        return LogIn(operator, token)

    def log_out(self, token: str) -> None:
        """End a session for good; a copy of its cookie is worth nothing from now on."""
        with transaction(self.engine) as session:
            name = delete_session(session, hash_token(token))
            if name is not None:
                insert_entry(session, "logout", name)

    def get_operator(self, token: str) -> Operator | None:
        """Return the operator whose session this is and who may work, or None."""
        with transaction(self.engine) as session:
            return get_session_operator(session, hash_token(token))

    def next_turn(self, operator: str) -> Turn:
        """Claim the operator's next item, the one they hold already first."""
        with transaction(self.engine) as session:
            return self._claim_turn(session, operator)

    def _claim_turn(self, session: Session, operator: str) -> Turn:
        item = claim_next_review_item(session, operator, self.lease_seconds)
        return Turn(item, count_open(session), 0 if item else count_owed(session))

    def decide(self, item_id: int, operator: str, label: str | None) -> Turn:
        """Decide an item (None: no fashion item) and claim the next.

        Raises ReviewConflict where the item is not the operator's any more, UsageError where
        the label is unknown; nothing is written then.
        """
        with transaction(self.engine) as session:
            decide_review_item(session, item_id, operator, label)
            return self._claim_turn(session, operator)

    def skip(self, item_id: int, operator: str) -> Turn:
        """Put an item back and claim the next. Raises ReviewConflict as `decide` does."""
        with transaction(self.engine) as session:
            upload_id = mark_skipped(session, item_id, operator)
            insert_entry(session, "skip", operator, upload_id=upload_id, review_item_id=item_id)
            return self._claim_turn(session, operator)

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
