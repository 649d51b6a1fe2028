"""`hangtag operator`: accounts of the people who review; `hangtag audit`: what was done."""

from __future__ import annotations

import datetime as dt
import re
import sys
from typing import Annotated

import typer

from db.passwords import MIN_LENGTH, hash_password, random_password
from db.queries.audit import ACTIONS, insert_entry, list_entries
from db.queries.logins import (
    account_prefixes,
    delete_attempts,
    list_waiting_addresses,
    network_of,
)
from db.queries.operators import (
    LEAD,
    OPERATOR,
    get_operator,
    insert_operator,
    list_accounts,
    update_operator,
    upsert_password,
)
from db.session import make_engine, transaction
from errors import UsageError
from worker.cli.output import print_json
from worker.settings import load_settings

operator_app = typer.Typer(help="Accounts for the review console.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(operator_app, name="operator")
    app.command("audit")(audit)


@operator_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Letters, digits, dot, dash, underscore.")],
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read the password from standard input, a line of ten characters at least.",
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give an existing operator a new password.")
    ] = False,
    lead: Annotated[
        bool, typer.Option("--lead", help="A lead: sees the audit trail, reopens decisions.")
    ] = False,
) -> None:
    """Add an operator. Asks for the password; never takes it as an argument.

    Example: hangtag operator add mira --lead
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise UsageError(f"{name!r}: a name has 1 to 64 letters, digits, dots, dashes, underscores")
    engine = make_engine(load_settings().require_url())
    hashed = hash_password(_ask(password_stdin))
    with transaction(engine) as session:
        if replace:
            upsert_password(session, name, hashed)
            if lead:
                update_operator(session, name, role=LEAD)
        elif not insert_operator(session, name, hashed, LEAD if lead else OPERATOR):
            raise UsageError(f"there is an operator {name}; --replace gives a new password")
        account = get_operator(session, name)
    print_json({"operator": name, "role": account.role if account else None})


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
        accounts = list_accounts(session)
    for one in accounts:
        print_json(
            {
                "operator": one.name,
                "active": one.active,
                "role": one.role,
                "last_login": one.last_login,
            }
        )


NameArgument = Annotated[str, typer.Argument(help="The operator's name.")]


@operator_app.command("promote")
def promote(name: NameArgument) -> None:
    """Make an operator a lead.

    Example: hangtag operator promote mira
    """
    _change(name, role=LEAD)


@operator_app.command("demote")
def demote(name: NameArgument) -> None:
    """Make a lead an operator.

    Example: hangtag operator demote mira
    """
    _change(name, role=OPERATOR)


@operator_app.command("disable")
def disable(name: NameArgument) -> None:
    """Close an account; its sessions end at once, its decisions stay.

    Example: hangtag operator disable mira
    """
    _change(name, active=False)


@operator_app.command("enable")
def enable(name: NameArgument) -> None:
    """Open an account again.

    Example: hangtag operator enable mira
    """
    _change(name, active=True)


@operator_app.command("unlock")
def unlock(
    name: NameArgument,
    address: Annotated[
        str | None, typer.Option(help="Lift the wait of this address, too; many may share it.")
    ] = None,
    all_addresses: Annotated[
        bool, typer.Option("--all-addresses", help="Lift the waits of all addresses, too.")
    ] = False,
) -> None:
    """Lift the waits after failed log-ins, for this account.

    Addresses that wait on are printed: nobody logs in from there in a new browser.

    Example: hangtag operator unlock mira --address 192.0.2.7
    """
    with transaction(make_engine(load_settings().require_url())) as session:
        if get_operator(session, name) is None:
            raise UsageError(f"there is no operator {name}; hangtag operator list shows all")
        prefixes = account_prefixes(name) + (["address:"] if all_addresses else [])
        keys = [f"address:{network_of(address)}"] if address else []
        delete_attempts(session, prefixes, keys)
        lifted = "all" if all_addresses else address
        insert_entry(session, "operator_unlocked", None, subject=name, address=lifted)
        waiting = list_waiting_addresses(session)
    print_json({"operator": name, "unlocked": True, "addresses_that_wait": waiting})


def _change(name: str, role: str | None = None, active: bool | None = None) -> None:
    with transaction(make_engine(load_settings().require_url())) as session:
        changed = update_operator(session, name, role, active)
    if changed is None:
        raise UsageError(f"there is no operator {name}; hangtag operator list shows all")
    print_json({"operator": name, "active": changed.active, "role": changed.role})


#: Entries that one query of `hangtag audit` fetches.
PAGE_SIZE = 500


def audit(
    operator: Annotated[
        str | None, typer.Option(help="What this operator did, and what was done to the account.")
    ] = None,
    action: Annotated[str | None, typer.Option(help="One of: " + ", ".join(ACTIONS))] = None,
    since: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="From then on, UTC."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="The newest so many; 0: all.")
    ] = 100,
) -> None:
    """Print the audit trail, the newest first, a JSON line each.

    Example: hangtag audit --operator mira --since 2026-11-01
    """
    if action is not None and action not in ACTIONS:
        raise UsageError(f"there is no action {action}; there are {', '.join(ACTIONS)}")
    start = since.replace(tzinfo=dt.UTC) if since else None
    engine = make_engine(load_settings().require_url())
    before, left = None, limit or None
    while True:
        size = PAGE_SIZE if left is None else min(left, PAGE_SIZE)
        with transaction(engine) as session:
            entries = list_entries(session, size, before, operator, action, start)
        for one in entries:
            row = {name: value for name, value in vars(one).items() if name != "reopenable"}
            print_json({**row, "at": one.at.isoformat()})
        left = None if left is None else left - len(entries)
        if len(entries) < size or left == 0:
            return
        before = entries[-1].id
