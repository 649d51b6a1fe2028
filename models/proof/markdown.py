"""Markdown: tables, and figures as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Stands where there is no figure.
NOTHING = "–"


def cell(text: str) -> str:
    """Escape a name from the data, so that it cannot end a cell or begin markup."""
    text = " ".join(text.split())
    for mark in "\\|`*_<[":
        text = text.replace(mark, f"\\{mark}")
    return text


def chapter(title: str, *parts: str) -> str:
    """Put parts under a title, a blank line between them; empty parts are left out."""
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def bullets(lines: Iterable[str]) -> str:
    """Return a list, an entry a line."""
    return "\n".join(f"- {line}" for line in lines)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], mark: str = "---:") -> str:
    """Lay out a table: the first column to the left, the others to the right, or by `mark`."""
    marks = ["---", *[mark] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, marks, *rows))


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share (0..1) as '86.7 %'."""
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many digits after the point."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def percent_within(interval: Mapping[str, float] | None) -> str:
    """Write a share with its interval, as '86.7 % (85.5–87.9)'."""
    if interval is None:
        return NOTHING
    low, high = (f"{100 * interval[edge]:.1f}" for edge in ("low", "high"))
    return f"{percent(interval['value'])} ({low}–{high})"


def number_within(interval: Mapping[str, float] | None) -> str:
    """Write a number with its interval, as '0.746 (0.721–0.771)'."""
    if interval is None:
        return NOTHING
    low, high = (number(interval[edge]) for edge in ("low", "high"))
    return f"{number(interval['value'])} ({low}–{high})"


def names(labels: Iterable[Any]) -> str:
    """List names from the data in one line."""
    return ", ".join(cell(str(label)) for label in labels) or NOTHING
