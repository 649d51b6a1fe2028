"""Who may try to log in now: counted by browser, by account and by address, in the database.

A browser in which an operator has logged in before is known by a signed cookie, and counted for
itself: what strangers try elsewhere does not keep that operator out (OWASP, 'device cookies').
Everybody else is counted by account at one address, by address, and by account wherever they are.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from db.queries.logins import Limit, TooManyAttempts, digest, network_of

DEVICE_DAYS = 180
#: Accounts that one browser is remembered for.
MOST_NAMES = 8

# argon2 takes 64 MiB a check, by design: a flood of log-ins must neither take the memory with it
# nor all the threads that serve those who work.
_checks = threading.BoundedSemaphore(2)
_places = threading.BoundedSemaphore(8)
BUSY_SECONDS = 5.0


@dataclass(frozen=True)
class Visitor:
    """Whoever tries to log in: an address, and the browser's id where it is a known one."""

    address: str
    device: str | None = None


def limits_for(name: str, visitor: Visitor) -> list[Limit]:
    """Return what an attempt is counted under."""
    account = digest(name)
    if visitor.device:
        return [Limit(f"device:{account}:{visitor.device}", 10, 30, 900)]
    address = network_of(visitor.address)
    return [
        Limit(f"pair:{account}:{address}", 5, 30, 900),
        Limit(f"address:{address}", 20, 30, 900),
        # Strangers everywhere together slow down an account's unknown browsers, no more than that.
        Limit(f"account:{account}", 100, 5, 60),
    ]


def own_keys(limits: list[Limit]) -> list[str]:
    """Return the keys that are one person's at one place; the others many may share."""
    return [limit.key for limit in limits if limit.key.startswith(("device:", "pair:"))]


def in_words(seconds: float) -> str:
    """Write a wait as a person would say it, never too short."""
    if seconds <= 90:
        whole = max(int(-(-seconds // 1)), 1)
        return f"{whole} second{'' if whole == 1 else 's'}"
    return f"{int(-(-seconds // 60))} minutes"


@contextmanager
def checking_a_password() -> Iterator[None]:
    """Wait for one of few places. Raises TooManyAttempts at once where too many wait already."""
    if not _places.acquire(blocking=False):
        raise TooManyAttempts(BUSY_SECONDS)
    try:
        with _checks:
            yield
    finally:
        _places.release()


class Devices:
    """The cookie by which a browser is known again, for the operators who logged in there."""

    def __init__(self, secret: str, secure: bool) -> None:
        self._signer = URLSafeTimedSerializer(secret, salt="hangtag device")
        self._secure = secure
        self.cookie = "__Host-hangtag_device" if secure else "hangtag_device"

    def visitor(self, request: Request, name: str) -> Visitor:
        """Return who asks; the browser counts as known to its own operators alone."""
        device, names = self._read(request)
        address = request.client.host if request.client else "unknown"
        return Visitor(address, device if digest(name) in names else None)

    def remember(self, request: Request, response: Response, name: str) -> None:
        """Let the browser be known again to an operator who has just logged in."""
        device, names = self._read(request)
        own = digest(name)
        kept = [own, *(one for one in names if one != own)][:MOST_NAMES]
        response.set_cookie(
            self.cookie,
            str(self._signer.dumps([device, kept])),
            max_age=DEVICE_DAYS * 86400,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )

    def _read(self, request: Request) -> tuple[str, list[str]]:
        try:
            device, names = self._signer.loads(
                request.cookies.get(self.cookie, ""), max_age=DEVICE_DAYS * 86400
            )
        except BadSignature:
            return secrets.token_urlsafe(12), []
        return device, names
