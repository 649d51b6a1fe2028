"""After an upgrade the active model version may be gone: that is said, and put right."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import Engine

from db.queries.models import activate_model, get_active_model, register_model
from db.session import transaction
from models.card import default_version
from tests.conftest import SAMPLES
from worker.demo import _have_a_model
from worker.settings import WorkerSettings
from worker.setup import missing_weights
from worker.supervisor import Supervisor

Hangtag = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def gone(engine: Engine) -> str:
    """Make a version active that is not on disk."""
    with transaction(engine) as session:
        register_model(session, "gone-1", {})
        activate_model(session, "gone-1")
    return "gone-1"


@pytest.mark.usefixtures("gone")
@pytest.mark.parametrize("command", ["migrate", "status"])
def test_commands_say_that_nothing_is_tagged_and_what_to_do(hangtag: Hangtag, command: str) -> None:
    done = hangtag(command)
    assert done.returncode == 0
    assert "model gone-1 is active, but" in done.stderr
    assert f"hangtag model activate {default_version()}" in done.stderr
    json.loads(done.stdout)


@pytest.mark.usefixtures("gone")
def test_what_it_says_puts_it_right(hangtag: Hangtag) -> None:
    assert hangtag("model", "activate", default_version()).returncode == 0
    assert hangtag("status").stderr == ""


@pytest.mark.usefixtures("gone")
def test_a_picture_is_not_compared_by_another_version_s_vector(hangtag: Hangtag) -> None:
    done = hangtag("similar", str(SAMPLES / "polo_green.jpg"))
    assert done.returncode != 0
    assert "gone-1" in done.stderr
    assert done.stdout == ""


@pytest.mark.usefixtures("gone")
def test_a_rollback_to_a_version_that_is_gone_is_refused(hangtag: Hangtag) -> None:
    assert hangtag("model", "activate", default_version()).returncode == 0
    done = hangtag("model", "rollback")
    assert done.returncode != 0
    assert "gone-1" in done.stderr
    listed = [json.loads(line) for line in hangtag("model", "list").stdout.splitlines()]
    assert {row["version"]: row["active"] for row in listed} == {
        "gone-1": False,
        default_version(): True,
    }


def test_the_demo_takes_the_shipped_version(
    gone: str, engine: Engine, settings: WorkerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor = SimpleNamespace(
        active_model=gone,
        weights=None,
        environment={"HANGTAG_DATABASE_URL": settings.require_url()},
    )
    _have_a_model(cast(Supervisor, supervisor))
    with transaction(engine) as session:
        active = get_active_model(session)
    assert active is not None
    assert active.version == default_version()
    assert "no longer shipped" in " ".join(capsys.readouterr().out.split())


def test_without_any_version_here_the_list_is_named(gone: str, tmp_path: Path) -> None:
    """What it recommends must be something that helps; and saying it must not fail."""
    said = missing_weights(gone, tmp_path)
    assert said is not None
    assert "hangtag model list" in said
    (tmp_path / "default").write_text(gone)
    assert "model activate" not in str(missing_weights(gone, tmp_path))
