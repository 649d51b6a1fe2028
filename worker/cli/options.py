"""Options that several commands of the ML engineer have, and what all of them need."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from errors import UsageError

DataOption = Annotated[
    Path,
    typer.Option("--data", help="Data set; see `hangtag data report --help`.", exists=True),
]
WeightsOption = Annotated[
    Path, typer.Option("--weights", help="Where model versions are kept.", file_okay=False)
]


def require_train_extra(*more: str) -> None:
    """Raise UsageError where the `train` extra is not installed."""
    missing = [
        name
        for name in ("torch", "timm", "pandas", "safetensors", "sklearn", *more)
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"training needs {', '.join(missing)}: pip install -c requirements.lock -e '.[train]'"
        )
