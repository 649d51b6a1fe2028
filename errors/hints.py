"""Commands that messages name, written so that they can be pasted."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """Return the path of the `hangtag` that speaks, from any folder.

    No PATH leads to it where only `./run` installed it, or it leads to another one.
    """
    own = Path(sys.executable).with_name("hangtag")
    found = None if own.exists() else shutil.which("hangtag")
    return shlex.quote(str(own if found is None else Path(found).absolute()))


def env_hint(data_dir: Path | None = None) -> str:
    """Return the line that prepares a terminal, from any folder, for a running `hangtag up`."""
    folder = "DIR" if data_dir is None else shlex.quote(str(data_dir.absolute()))
    return f'eval "$({program()} env --data-dir {folder})"'
