"""What a producer may hand in: checked before the database sees it.

The function `submit_uploads` checks lengths and bounds; what does not even reach it (other types,
text that PostgreSQL cannot hold) would be a driver's error, and a message of the broker with it
would be tried for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from errors import UsageError


def check_submission(
    uris: Sequence[Any], source: Any, external_ids: Sequence[Any], priority: Any
) -> tuple[list[str], list[str | None]]:
    """Return URIs and external ids as text; a number may be an external id.

    Raises UsageError that names the argument.
    """
    _check_text("source", source)
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise UsageError(f"priority must be a whole number, not {_shown(priority)}")
    if not -100 <= priority <= 100:
        raise UsageError("priority must lie between -100 and 100")
    for name, given in (("uris", uris), ("external_ids", external_ids)):
        if isinstance(given, str | bytes) or not isinstance(given, Sequence):
            raise UsageError(f"{name} must be a list, not {_shown(given)}")
    return (
        [_check_text("uri", uri) for uri in uris],
        [None if name is None else _identity(name) for name in external_ids],
    )


def _identity(name: Any) -> str:
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    return _check_text("external_id", name)


def _check_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name} must be text, not {_shown(value)}")
    if "\0" in value:
        raise UsageError(f"{name} holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{name} is no valid Unicode: {error.reason}") from error
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
