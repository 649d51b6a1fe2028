"""What commands print: JSON lines on stdout, progress on a terminal's stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def print_json(row: dict[str, Any]) -> None:
    """Print one JSON line."""
    line = json.dumps(row, ensure_ascii=False, default=str) + "\n"
    # A file's name need not be UTF-8; what is not becomes JSON's own escape (\udcff).
    sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def print_line(text: str) -> None:
    """Print a line whose names of files may hold anything: neither UTF-8 nor one line."""
    line = "".join(c if c.isprintable() or _is_byte(c) else repr(c)[1:-1] for c in text)
    sys.stdout.buffer.write((line + "\n").encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def _is_byte(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


def note(message: str) -> None:
    """Say something on stderr."""
    print(message, file=sys.stderr)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Progress]:
    """Show a bar on a terminal, nothing elsewhere; `advance` it through task 0."""
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        bar.add_task(title, total=total)
        yield bar
