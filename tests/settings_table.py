"""`python -m tests.settings_table`: the README's table of settings, made from the settings."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic_settings import BaseSettings

from review.settings import ReviewSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """Return the table, a row a setting, both parts' in one."""
    kinds: list[type[BaseSettings]] = [WorkerSettings, ReviewSettings]
    fields = {name: field for kind in kinds for name, field in kind.model_fields.items()}
    rows = ["| variable | default | what |", "|---|---|---|"]
    for name, field in fields.items():
        default = "" if field.default in (None, []) else f"`{field.default}`"
        rows.append(f"| `HANGTAG_{name.upper()}` | {default} | {field.description} |")
    rows.append("| `HANGTAG_LOG_LEVEL` | `INFO` | How much is said: DEBUG, INFO or WARNING |")
    return "\n".join(rows)


def replace(readme: str) -> str:
    """Return the README with the table as it should be."""
    pattern = re.compile(f"{START}.*?{END}", re.DOTALL)
    return pattern.sub(lambda _: f"{START}\n{table()}\n{END}", readme)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(replace(path.read_text()))
