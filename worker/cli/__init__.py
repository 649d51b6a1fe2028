"""The command line `hangtag`: one line on stderr for an error, exit code ≠ 0."""

from __future__ import annotations

import logging
import os
import sys

import typer

from errors import HangtagError
from worker.cli import model, operators, predict, services, uploads

app = typer.Typer(
    name="hangtag",
    help="Tags fashion uploads in the background. Start with: hangtag up",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (services, uploads, predict, model, operators):
    module.register(app)


def main() -> None:
    """Run the command line; the console script's entry point."""
    logging.basicConfig(
        level=os.environ.get("HANGTAG_LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("alembic", "kombu", "celery.redirected"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app()
    except HangtagError as error:
        print(f"hangtag: {error}", file=sys.stderr)
        sys.exit(2 if error.code == "usage" else 1)
    except BrokenPipeError:
        # The reader of our output left; that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
