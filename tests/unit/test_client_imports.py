"""A producer's imports stay light."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

HEAVY = ("matplotlib", "torch", "torchvision", "timm", "openvino", "pandas", "scipy", "sklearn")


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=True,
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "from worker.client import Client",
        "import worker.tasks, worker.process, worker.pipeline, worker.cli",
    ],
    ids=["client", "celery-and-command-line"],
)
def test_no_network_library_is_loaded_before_a_network_is_needed(statement: str) -> None:
    """The Celery parent must not load them either: its children are forked."""
    loaded = loaded_after(statement)
    assert "worker" in loaded
    assert sorted(loaded & set(HEAVY)) == []


def test_the_check_would_notice_a_heavy_import() -> None:
    assert "openvino" in loaded_after("import openvino")
