"""What is written down of a picture that could not be processed."""

from __future__ import annotations

import logging

from errors import HangtagError, PermanentError, TransientError

log = logging.getLogger(__name__)

#: Characters of a dead letter's reason.
_MOST_ERROR_LENGTH = 1000


def too_slow(late: TimeoutError) -> TransientError:
    """Return the error of a picture that was given up."""
    return TransientError(f"reading and decoding {late} (HANGTAG_PICTURE_SECONDS)")


def kept(error: Exception) -> Exception:
    """Return an error as it may be kept until it is written.

    The frames of one that was out of memory hold the picture, and with it the memory that writing
    needs.
    """
    return MemoryError() if isinstance(error, MemoryError) else error


def describe(error: Exception) -> tuple[str | None, str]:
    """Return the dead letter's code (None: try again) and one line on what happened."""
    if isinstance(error, MemoryError):
        return None, one_line("out of memory; HANGTAG_CHILD_MEMORY_MB may limit it")
    if isinstance(error, PermanentError):
        return error.code, one_line(str(error))
    if isinstance(error, HangtagError):
        return None, one_line(str(error))
    log.error("unexpected error with a picture", exc_info=error)
    return None, one_line(f"{type(error).__name__}: {error}")


def one_line(text: str) -> str:
    """Return text that PostgreSQL and a terminal take: a decoder quotes the file it choked on."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= _MOST_ERROR_LENGTH else line[:_MOST_ERROR_LENGTH] + "…"
