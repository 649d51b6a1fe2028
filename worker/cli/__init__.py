"""The command line `hangtag`: one line on stderr for an error, exit code ≠ 0."""

from __future__ import annotations

import logging
import os
import sys
from importlib import metadata
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from errors import HangtagError, UsageError
from worker.cli import data, evaluate, model, operators, predict, services, tune, uploads

app = typer.Typer(
    name="hangtag",
    help="Tags fashion uploads in the background. Start with: hangtag up",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"hangtag {metadata.version('hangtag')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version of Hangtag and end.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


for module in (services, uploads, predict, data, model, evaluate, tune, operators):
    module.register(app)


def main() -> None:
    """Run the command line; the console script's entry point."""
    try:
        _set_up_logging()
        # Not standalone: Typer would frame its own errors, over several lines.
        sys.exit(app(standalone_mode=False))
    except HangtagError as error:
        print(f"hangtag: {error}", file=sys.stderr)
        sys.exit(2 if error.code == "usage" else 1)
    except TyperException as error:  # arguments that do not fit; no message where help was shown
        if message := " ".join(error.format_message().split()):
            end = "" if message[-1] in ".?!" else "."
            print(f"hangtag: {message}{end} See --help", file=sys.stderr)
        sys.exit(error.exit_code)
    except Abort:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output left; that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # a fault of ours or of the machine: one line here, too
        logging.getLogger(__name__).debug("unexpected error", exc_info=error)
        detail = " ".join(str(error).split())
        print(
            f"hangtag: {type(error).__name__}: {detail} (HANGTAG_LOG_LEVEL=DEBUG shows where)",
            file=sys.stderr,
        )
        sys.exit(1)


def _set_up_logging() -> None:
    level = os.environ.get("HANGTAG_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise UsageError(f"HANGTAG_LOG_LEVEL: {level} is no level; write DEBUG, INFO or WARNING")
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("alembic", "kombu", "celery.redirected", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
