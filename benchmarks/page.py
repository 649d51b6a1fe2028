"""Blocks of a page that a command writes: between two comments, the rest is people's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from benchmarks.needs import Assumed, Measured, Quantities
from benchmarks.report import rounded, shown
from errors import UsageError
from models.proof.markdown import table


@dataclass(frozen=True)
class Block:
    """What stands between `<!-- name -->` and `<!-- /name -->`, and its rows for `report`."""

    name: str
    text: str
    rows: list[dict[str, object]] = field(default_factory=list)


def quantity_block(
    name: str, columns: Mapping[object, Quantities], over: str = "uploads a day"
) -> Block:
    """Lay quantities out, one a row; the columns are numbers of uploads or the like."""
    header = [over, *(shown(column) for column in columns)]
    names = next(iter(columns.values()))
    rows: list[dict[str, object]] = [
        {
            "block": name,
            "what": what,
            **{str(column): _plain(values[what]) for column, values in columns.items()},
        }
        for what in names
    ]
    lines = [[str(row["what"]), *(shown(row[str(column)]) for column in columns)] for row in rows]
    return Block(name, table(header, lines), rows)


def fact_block(name: str, facts: Measured | Assumed) -> Block:
    """Lay out what was measured, or assumed with its option."""
    header = ["figure", "value"]
    lines = []
    for one in fields(facts):
        value = getattr(facts, one.name)
        value = value if isinstance(value, str) else shown(_plain(value))
        if meaning := one.metadata.get("meaning"):
            header = ["option", "value", "what"]
            lines.append([f"`--{one.name.replace('_', '-')}`", value, meaning])
        else:
            lines.append([f"`{one.name}`", value])
    return Block(name, table(header, lines))


def bullet_block(name: str, ends: Sequence[tuple[str, float]]) -> Block:
    """Lay out what ends where, in uploads a day."""
    rows: list[dict[str, object]] = [
        {"block": name, "what": what, "uploads a day": _plain(value)} for what, value in ends
    ]
    lines = [[str(row["what"]), shown(row["uploads a day"])] for row in rows]
    return Block(name, table(["what ends", "at uploads a day"], lines), rows)


def _plain(value: float) -> float:
    """Round, and make whole numbers whole."""
    value = rounded(value)
    return int(value) if value == int(value) else value


def write_blocks(path: Path, blocks: Sequence[Block]) -> None:
    """Replace the blocks in a page. Raises UsageError where the page or a block's place is missing.

    Nothing is written then.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--page {path}: {error.strerror}") from error
    for block in blocks:
        start, end = f"<!-- {block.name} -->", f"<!-- /{block.name} -->"
        pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise UsageError(f"--page {path}: there is no place {start} … {end}")
        text = pattern.sub(lambda _, b=block, s=start, e=end: f"{s}\n{b.text}\n{e}", text)
    path.write_text(text, encoding="utf-8")
