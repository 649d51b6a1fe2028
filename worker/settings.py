"""Settings of workers, producers and the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from db.settings import DatabaseSettings
from errors import UsageError
from errors.hints import env_hint
from models.pictures import MAX_BYTES, MAX_PIXELS, Limits

#: A process that predicts batches of 32 has set aside some 430 MiB before a large picture comes.
LEAST_MEMORY_MB = 640
#: What the transport in `worker.delivery` reads.
BROKER_SCHEMES = ("redis://", "rediss://", "redis+socket://")


class WorkerSettings(DatabaseSettings):
    """Read from the environment, prefix HANGTAG_; a variable that is empty counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    broker_url: str | None = Field(
        None, description="Valkey or Redis, as redis://:password@host:6379/0"
    )
    store: Path | None = Field(
        None, description="Folder of the picture store; workers and producers share it"
    )
    file_roots: Annotated[list[Path], NoDecode] = Field(
        [], description="More folders that file:// URIs may point into, separated by `:`"
    )
    batch_size: int = Field(128, ge=1, le=512, description="Most uploads that one claim takes")
    decode_threads: int = Field(
        2, ge=1, le=64, description="Threads that read and decode in a worker process"
    )
    inference_threads: int = Field(1, ge=1, le=64, description="OpenVINO threads, a process")
    picture_seconds: float = Field(
        30.0,
        gt=0,
        description="Longest that reading and decoding one picture may take; at most half a lease",
    )
    child_memory_mb: int = Field(
        1792,
        ge=0,
        description="Most memory of a worker process, in MiB (Linux); 0: no limit. Raise it with "
        "`HANGTAG_MAX_PIXELS` and `HANGTAG_DECODE_THREADS`",
    )
    lease_seconds: float = Field(
        120.0, gt=0, description="How long a claim holds before the reaper takes it back"
    )
    max_attempts: int = Field(5, ge=1, description="Claims of an upload before it is dead")
    retry_seconds: float = Field(
        5.0, ge=0, description="Wait before the second attempt; doubles with each further one"
    )
    reap_seconds: float = Field(
        2.0, gt=0, description="How often the reaper looks for expired leases and unheard rows"
    )
    stall_seconds: float | None = Field(
        None,
        gt=0,
        description="A worker that takes nothing for so long while uploads wait is stuck; one and "
        "a half leases if not set",
    )
    progress_file: Path | None = Field(
        None, description="File that a worker touches with each batch; `hangtag health` reads it"
    )
    max_bytes: int = Field(MAX_BYTES, gt=0, description="Largest file that is read, in bytes")
    max_pixels: int = Field(
        MAX_PIXELS,
        gt=0,
        # Above this Pillow warns of a decompression bomb, which is an error here.
        le=89_478_485,
        description="Largest picture, width × height",
    )
    preview_side: int = Field(
        720, ge=64, le=4096, description="Longer side of the picture an operator sees, in pixels"
    )
    weights: Path | None = Field(
        None, description="Folder of model versions; by default the one that Hangtag ships"
    )

    @field_validator("file_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [Path(part) for part in value.split(os.pathsep) if part]
        return value

    @field_validator("child_memory_mb")
    @classmethod
    def _room_for_the_model(cls, value: int) -> int:
        if 0 < value < LEAST_MEMORY_MB:
            raise ValueError(f"the model alone takes more; write 0 or at least {LEAST_MEMORY_MB}")
        return value

    @field_validator("broker_url")
    @classmethod
    def _is_redis(cls, value: str | None) -> str | None:
        if value and not value.startswith(BROKER_SCHEMES):
            raise ValueError(f"a URL that begins with {', '.join(BROKER_SCHEMES)} is wanted")
        return value

    @property
    def stall_limit(self) -> float:
        """Seconds after which a worker that takes nothing is stuck; a batch may take a lease."""
        return self.stall_seconds or 1.5 * self.lease_seconds

    @property
    def limits(self) -> Limits:
        """The most that a picture may hold."""
        return Limits(self.max_bytes, self.max_pixels)

    def require_broker(self) -> str:
        """Return the broker's URL. Raises UsageError where none is set."""
        if not self.broker_url:
            raise UsageError(
                f"HANGTAG_BROKER_URL is not set; for a running `hangtag up`: {env_hint()}"
            )
        return self.broker_url

    def require_store(self) -> Path:
        """Return the picture store's folder. Raises UsageError where none is set."""
        if self.store is None:
            raise UsageError(
                "HANGTAG_STORE is not set: the folder that pictures are copied into; for a "
                f"running `hangtag up`: {env_hint()}"
            )
        return self.store


def load_settings() -> WorkerSettings:
    """Read the settings. Raises UsageError that names the variable which does not fit."""
    try:
        return WorkerSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "HANGTAG_" + str(first["loc"][0]).upper()
        raise UsageError(f"{name}: {first['msg']}") from error
