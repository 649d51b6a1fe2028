"""`hangtag operator`: accounts of the people who review."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from db.passwords import MIN_LENGTH, hash_password, random_password
from db.queries.operators import insert_operator, list_operators, upsert_password
from db.session import make_engine, transaction
from errors import UsageError
from worker.cli.output import print_json
from worker.settings import load_settings

operator_app = typer.Typer(help="Accounts for the review console.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(operator_app, name="operator")


@operator_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Letters, digits, dot, dash, underscore.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give an existing operator a new password.")
    ] = False,
) -> None:
    """Add an operator. Asks for the password; never takes it as an argument.

    Example: hangtag operator add mira
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise UsageError(f"{name!r}: a name has 1 to 64 letters, digits, dots, dashes, underscores")
    engine = make_engine(load_settings().require_url())
    hashed = hash_password(_ask(password_stdin))
    with transaction(engine) as session:
        if replace:
            upsert_password(session, name, hashed)
        elif not insert_operator(session, name, hashed):
            raise UsageError(f"there is an operator {name}; --replace gives a new password")
    print_json({"operator": name})


def _ask(from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    elif sys.stdin.isatty():
        password = typer.prompt(
            f"Password (at least {MIN_LENGTH} characters; empty: make one up)",
            hide_input=True,
            default="",
            show_default=False,
        )
        if not password:
            password = random_password()
            typer.echo(f"The password is {password}", err=True)
        elif typer.prompt("Once more", hide_input=True) != password:
            raise UsageError("the passwords differ")
    else:
        raise UsageError("no terminal to ask for a password; use --password-stdin")
    if len(password) < MIN_LENGTH:
        raise UsageError(f"a password has at least {MIN_LENGTH} characters")
    return password


@operator_app.command("list")
def listing() -> None:
    """List the operators, a JSON line each.

    Example: hangtag operator list
    """
    engine = make_engine(load_settings().require_url())
    with transaction(engine) as session:
        for one in list_operators(session):
            print_json({"operator": one.name, "active": one.active})
