"""Errors that a user or another program can meet; every one has a stable `code`."""


class HangtagError(Exception):
    """Anything that Hangtag reports by one line: what is wrong, with what, and what to do."""

    code = "error"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class TransientError(HangtagError):
    """The same call may succeed later: the database is away, the store does not answer."""

    code = "transient"


class PermanentError(HangtagError):
    """The same call fails again whenever it is made; an upload that meets it is dead.

    Codes: `undecodable` (not an image, or a damaged one), `too_large` (bytes, pixels or parts),
    `unsupported_format` (its decoder is not installed), `not_found`,
    `forbidden_uri` (outside the allowed roots, or a scheme that is off),
    `unreadable` (there, but may not be read), `attempts_exhausted` (set by the reaper).
    """

    code = "permanent"


class UsageError(HangtagError):
    """A command or a setting that cannot be carried out as it is written."""

    code = "usage"
