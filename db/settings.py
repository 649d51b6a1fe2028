"""Settings that every part needs: where the database is."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from errors import UsageError
from errors.hints import env_hint


class DatabaseSettings(BaseSettings):
    """Read from the environment, prefix HANGTAG_."""

    model_config = SettingsConfigDict(env_prefix="HANGTAG_", extra="ignore")

    database_url: str | None = Field(
        None,
        description="PostgreSQL ≥ 16 with pgvector ≥ 0.8.4, as postgresql://user:password@host/db",
    )

    def require_url(self) -> str:
        """Return the database's URL. Raises UsageError where none is set."""
        if not self.database_url:
            raise UsageError(
                f"HANGTAG_DATABASE_URL is not set; for a running `hangtag up`: {env_hint()}"
            )
        return self.database_url
