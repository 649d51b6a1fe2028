"""The part of a model card page that sets simpler models beside its version.

`hangtag evaluate --compare --page FILE` writes it between two comments, of which the first names
the version; whoever writes the rest of the page anew keeps it by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from errors import UsageError

START, END = "<!-- simpler models: {} -->", "<!-- /simpler models -->"
_START = re.compile(r"<!-- simpler models: (\S+) -->")
_END = re.compile(re.escape(END))


@dataclass(frozen=True)
class Block:
    """What stands between the comments, both included, and the version that it is about."""

    version: str
    text: str


def block(version: str, chapter: str) -> Block:
    """Put a chapter between the comments."""
    return Block(version, f"{START.format(version)}\n{chapter}\n{END}")


def find(page: str) -> Block | None:
    """Return a page's block, None where it has none.

    Raises UsageError where a comment is missing or stands there twice: what lies between could
    be anybody's.
    """
    starts, ends = list(_START.finditer(page)), [one.end() for one in _END.finditer(page)]
    if not starts and not ends:
        return None
    if (len(starts), len(ends)) != (1, 1) or ends[0] < starts[0].end():
        raise UsageError(
            f"{START.format('VERSION')} and {END} must stand there once each, in this order; "
            "mend them, or delete both with what is between them"
        )
    return Block(starts[0][1], page[starts[0].start() : ends[0]])


def put(page: str, new: Block, before: Iterable[str]) -> str:
    """Put a block where the page has one, or before the first of the lines that it has, or last.

    Everything else stays as it is.
    """
    old = find(page)
    if old:
        return page.replace(old.text, new.text)
    for line in before:
        found = re.search(f"^{re.escape(line)}", page, re.MULTILINE)
        if found:
            above, below = page[: found.start()], page[found.start() :]
            return f"{above}{_gap(above)}{new.text}\n\n{below}"
    return f"{page}{_gap(page)}{new.text}\n"


def _gap(above: str) -> str:
    """Return what is missing to an empty line."""
    if not above or above.endswith("\n\n"):
        return ""
    return "\n" if above.endswith("\n") else "\n\n"
