"""Operators' passwords: argon2id hashes with the library's defaults (RFC 9106)."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 10

_hasher = PasswordHasher()
# Verified when the name is unknown, so that an unknown name takes as long as a wrong password.
_decoy = _hasher.hash(secrets.token_hex(16))


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, salt and parameters included."""
    return _hasher.hash(password)


def verify_password(password: str, password_hash: str | None) -> bool:
    """Tell whether a password fits a hash; with None it takes as long and says no."""
    try:
        fits = _hasher.verify(password_hash or _decoy, password)
    except (VerificationError, InvalidHashError):
        return False
    return fits and password_hash is not None


def random_password() -> str:
    """Return a password of 96 random bits that can be typed."""
    return secrets.token_urlsafe(12)
