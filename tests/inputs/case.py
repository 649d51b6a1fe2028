"""One input of the corpus, and what must become of it."""

from __future__ import annotations

from dataclasses import dataclass

#: The outcome of what is tagged; every other outcome is a dead letter's code.
GOOD = "good"


@dataclass(frozen=True)
class Case:
    """A file's name (bytes, for names need not be UTF-8), its content and its outcome."""

    name: bytes
    data: bytes
    outcome: str
    kind: str
