"""The console's settings, read from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from db.settings import DatabaseSettings
from errors import UsageError

#: Characters a session secret must have; 32 hex digits are 128 random bits.
MIN_SECRET_LENGTH = 32


class ReviewSettings(DatabaseSettings):
    """Read from the environment, prefix HANGTAG_."""

    session_secret: SecretStr | None = Field(
        default=None,
        description="signs the console's session cookies; at least 32 characters, kept secret",
    )
    console_host: str = Field(default="127.0.0.1", description="address the console listens on")
    console_port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="port the console listens on; `hangtag up` takes the next free one",
    )
    console_proxies: str = Field(
        default="",
        description="addresses of proxies, comma between them, whose X-Forwarded-For is believed",
    )
    console_lease_seconds: float = Field(
        default=300,
        gt=0,
        description="how long an operator holds a picture before others may have it",
    )
    console_secure_cookie: bool = Field(
        default=False, description="send the session cookie over HTTPS only; set it behind TLS"
    )
    session_hours: float = Field(
        default=12, gt=0, le=24 * 30, description="hours after which an operator logs in again"
    )

    def require_secret(self) -> str:
        """Return the session secret. Raises UsageError where none is set, or a short one."""
        secret = self.session_secret.get_secret_value() if self.session_secret else ""
        if len(secret) < MIN_SECRET_LENGTH:
            fault = "is too short" if secret else "is not set"
            raise UsageError(
                f"HANGTAG_SESSION_SECRET {fault}; it takes at least {MIN_SECRET_LENGTH} characters,"
                " e.g. the output of: python3 -c 'import secrets; print(secrets.token_hex(32))'"
            )
        return secret
