"""Attempts to log in, counted so that guessing takes long."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from errors import HangtagError

#: After an hour without an attempt a key starts anew.
FORGET_SECONDS = 3600


class TooManyAttempts(HangtagError):
    """So many log-ins failed that the next one has to wait."""

    code = "too_many_attempts"

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(f"too many attempts; try again in {wait_seconds:.0f} s")
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Limit:
    """How many attempts a key has, and how long it waits then.

    The wait begins at `first_seconds`, doubles with each further failure, and ends at
    `most_seconds`.
    """

    key: str
    free: int
    first_seconds: float
    most_seconds: float


def digest(name: str) -> str:
    """Stand for a name in a key: now and then a password is typed where the name belongs."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def account_prefixes(name: str) -> list[str]:
    """Return how all keys that count an account's attempts begin."""
    return [f"{kind}:{digest(name)}" for kind in ("device", "pair", "account")]


def network_of(address: str) -> str:
    """Return an IPv4 address, or the /64 network of an IPv6 one, which is one household's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def begin_attempt(session: Session, limits: Sequence[Limit]) -> None:
    """Count an attempt as failed before its password is looked at, so that none is free.

    Of attempts at the same moment each is counted. Raises TooManyAttempts where a key has to
    wait; the caller's transaction is rolled back then, and nothing was counted.
    """
    for limit in sorted(limits, key=lambda limit: limit.key):  # in one order: no deadlock
        if session.execute(_COUNT, vars(limit) | {"forget": FORGET_SECONDS}).first() is None:
            wait: float = session.execute(_WAIT, {"key": limit.key}).scalar_one()
            raise TooManyAttempts(max(wait, 1.0))


_COUNT = text(
    """
    INSERT INTO hangtag_data.login_attempts AS a (key, failures) VALUES (:key, 1)
    ON CONFLICT (key) DO UPDATE SET (failures, last_at, blocked_until) = (
        SELECT n.failures, now(), CASE WHEN n.failures >= :free THEN now() + make_interval(
            secs => least(:most_seconds, :first_seconds * 2 ^ least(n.failures - :free, 20))) END
        FROM (SELECT CASE WHEN a.last_at < now() - make_interval(secs => :forget) THEN 1
                          ELSE a.failures + 1 END AS failures) AS n)
    WHERE a.blocked_until IS NULL OR a.blocked_until <= now()
    RETURNING failures
    """
)
_WAIT = text(
    "SELECT extract(epoch FROM blocked_until - now())::float8 "
    "FROM hangtag_data.login_attempts WHERE key = :key"
)


def forgive_attempts(session: Session, keys: Sequence[str], shared: Sequence[str]) -> None:
    """Forget the failures of keys that are one person's; take this attempt off shared ones.

    An address is shared, and so is an account that strangers try everywhere: whoever logs in must
    not wipe out what others tried.
    """
    session.execute(
        text("DELETE FROM hangtag_data.login_attempts WHERE key = ANY(CAST(:keys AS text[]))"),
        {"keys": list(keys)},
    )
    session.execute(
        text(
            "UPDATE hangtag_data.login_attempts SET failures = greatest(failures - 1, 0), "
            "blocked_until = NULL WHERE key = ANY(CAST(:keys AS text[]))"
        ),
        {"keys": sorted(shared)},
    )


def delete_old_attempts(session: Session) -> None:
    """Forget keys that nobody has used for a day, a little with each attempt."""
    session.execute(
        text(
            """
            DELETE FROM hangtag_data.login_attempts WHERE key IN (
                SELECT key FROM hangtag_data.login_attempts
                WHERE last_at < now() - interval '1 day'
                ORDER BY last_at LIMIT 100 FOR UPDATE SKIP LOCKED)
            """
        )
    )


def is_first_failure(session: Session, name: str | None, address: str) -> bool:
    """Whether no failure of this account at this address was written down for a minute.

    All names that nobody has are one account: a stranger may make up as many as they like.
    """
    key = f"audit:{digest(name) if name is not None else 'nobody'}:{network_of(address)}"
    row = session.execute(
        text(
            "INSERT INTO hangtag_data.login_attempts AS a (key, failures) VALUES (:key, 1) "
            "ON CONFLICT (key) DO UPDATE SET last_at = now() "
            "WHERE a.last_at < now() - interval '1 minute' RETURNING key"
        ),
        {"key": key},
    ).first()
    return row is not None


def delete_attempts(
    session: Session, prefixes: Sequence[str] = (), keys: Sequence[str] = ()
) -> None:
    """Forget all attempts under these keys, and under those that begin so."""
    session.execute(
        text(
            "DELETE FROM hangtag_data.login_attempts AS a WHERE a.key = ANY(CAST(:keys AS text[])) "
            "OR EXISTS (SELECT FROM unnest(CAST(:prefixes AS text[])) AS p (prefix) "
            "WHERE starts_with(a.key, p.prefix))"
        ),
        {"prefixes": list(prefixes), "keys": list(keys)},
    )


def list_waiting_addresses(session: Session) -> list[str]:
    """List the addresses that have to wait now, whatever account is tried there."""
    return list(
        session.scalars(
            text(
                "SELECT substr(key, 9) FROM hangtag_data.login_attempts "
                "WHERE starts_with(key, 'address:') AND blocked_until > now() ORDER BY key"
            )
        )
    )
