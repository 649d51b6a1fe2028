"""Options that several commands of the ML engineer have, and what all of them need."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from errors import UsageError
from models.card import WEIGHTS
from worker.settings import load_settings

DataOption = Annotated[
    Path,
    typer.Option("--data", help="Data set; see `hangtag data report --help`.", exists=True),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Where model versions are kept; HANGTAG_WEIGHTS, or Hangtag's own folder.",
        file_okay=False,
    ),
]


def weights_folder(given: Path | None) -> Path:
    """Return the folder of model versions: the option's, the setting's, or our own."""
    return given or load_settings().weights or WEIGHTS


def require_train_extra(*more: str) -> None:
    """Raise UsageError where the `train` extra is not installed."""
    missing = [
        name
        for name in ("torch", "timm", "pandas", "safetensors", "sklearn", *more)
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(f"training needs {', '.join(missing)}: ./run install train")
