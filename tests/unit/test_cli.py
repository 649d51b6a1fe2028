"""The command line: help on every command, one line for an error."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from errors.hints import program
from tests.conftest import ROOT
from worker.cli import app, main

GROUPS = ("", "data", "dead", "model", "operator")


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its words, groups not counted."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from walk(child, (*path, name))


COMMANDS = dict(walk(typer.main.get_command(app)))


def hangtag(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real program with no settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HANGTAG_")}
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean,
        timeout=120,
        check=False,
    )


def test_the_commands_of_the_contract_are_there() -> None:
    names = {" ".join(path) for path in COMMANDS}
    assert names >= {
        "up",
        "env",
        "demo",
        "submit",
        "status",
        "dead list",
        "dead requeue",
        "predict",
        "similar",
        "train",
        "evaluate",
        "model list",
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert re.search(rf"Example: .*hangtag {' '.join(path)}\b", text)
    assert re.search(r"Usage: .+?\] (\S.{20,})", text)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_and_argument_says_what_it_is(path: tuple[str, ...]) -> None:
    unexplained = [
        parameter.name
        for parameter in COMMANDS[path].params
        if parameter.name != "help" and not getattr(parameter, "help", None)
    ]
    assert unexplained == []


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_lists_its_commands_with_a_line_each(group: str) -> None:
    words = group.split()
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    for path in COMMANDS:
        if list(path[:-1]) == words:
            assert re.search(rf"\b{path[-1]}\b +\w.{{10,}}", result.output)


@pytest.mark.parametrize("arguments", [["-h"], ["status", "-h"]])
def test_the_short_option_for_help_works_too(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["status"], {}, "HANGTAG_DATABASE_URL is not set"),
        (["bogus"], {}, "No such command 'bogus'"),
        (["predict"], {}, "Missing argument"),
        (["submit", "--nope", "x"], {}, "No such option: --nope"),
        (["predict", "samples/pictures/cat.jpg", "--model", "none"], {}, "no such model version"),
        (["dead", "requeue"], {}, "name the IDs to try again, or --all"),
        (["status"], {"HANGTAG_BATCH_SIZE": "many"}, "HANGTAG_BATCH_SIZE: "),
        (["status"], {"HANGTAG_BROKER_URL": "amqp://localhost"}, "HANGTAG_BROKER_URL: "),
        (["status"], {"HANGTAG_LOG_LEVEL": "loud"}, "HANGTAG_LOG_LEVEL: "),
        (["status"], {"HANGTAG_DATABASE_URL": "nonsense"}, "is not a database URL"),
        (
            ["status", "no-id"],
            {"HANGTAG_DATABASE_URL": "postgresql://127.0.0.1:1/none"},
            "no-id: not an upload's id",
        ),
        (
            ["worker", "--lanes", "fast"],
            {
                "HANGTAG_DATABASE_URL": "postgresql://127.0.0.1:1/none",
                "HANGTAG_BROKER_URL": "redis://127.0.0.1:1/0",
                "HANGTAG_STORE": "/tmp",  # noqa: S108 (nothing is written)
            },
            "--lanes fast: there are ingest and backfill",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_line_on_stderr_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    settings: dict[str, str],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["hangtag", *arguments])
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("hangtag: ")
    assert message in err


def test_the_program_ends_with_the_same_line_and_code() -> None:
    result = hangtag("status")
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    found = re.fullmatch(
        r"hangtag: HANGTAG_DATABASE_URL is not set; for a running `hangtag up`: "
        r'eval "\$\((.+) env --data-dir DIR\)"',
        line,
    )
    assert found
    # No PATH leads to it after `./run install`; the line can be pasted all the same.
    assert os.access(shlex.split(found[1])[0], os.X_OK)


def test_the_version_is_that_of_the_package() -> None:
    result = hangtag("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"hangtag {metadata.version('hangtag')}\n"


def test_env_for_a_folder_where_nothing_runs_says_how_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["hangtag", "env", "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        f"hangtag: nothing runs in {tmp_path}; start it: {program()} up --data-dir {tmp_path}"
    ]


def test_without_a_command_the_help_is_shown_and_no_error_line() -> None:
    result = hangtag()
    assert result.returncode == 2
    assert "Usage:" in result.stdout
    assert "predict" in result.stdout
    assert result.stderr == ""
