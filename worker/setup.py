"""Making a database ready: migrations, the shipped model, the first activation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from db.queries.models import (
    activate_model,
    get_active_model,
    register_model,
    upsert_labels,
)
from db.session import make_engine, transaction, translate
from errors import UsageError
from models.card import WEIGHTS, Card, default_version, version_folder

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def migrate(database_url: str, weights: Path | None = None) -> str:
    """Bring a database to the newest schema and register the default model.

    The model becomes active where none is. Returns the active version. Running it again
    changes nothing; two at once wait for each other.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    try:
        command.upgrade(config, "head")
    except DBAPIError as error:
        raise translate(error) from error
    except CommandError as error:
        raise UsageError(f"the database's schema is not one of this version's: {error}") from error
    engine = make_engine(database_url)
    try:
        with transaction(engine) as session:
            session.execute(text("SELECT hangtag_data.set_database()"))
            limited = session.scalars(text("SELECT hangtag_data.limit_readers()")).all()
        if limited:
            log.warning("%s", _what_was_limited(engine.url.database, limited))
        folder = weights or WEIGHTS
        return register_folder(engine, version_folder(default_version(folder), folder))
    finally:
        engine.dispose()


def _what_was_limited(database: str | None, logins: Sequence[str]) -> str:
    return (
        f"logins that are readers have a statement timeout of 30 s in this database now: "
        f'{", ".join(logins)}. To lift it for good: ALTER ROLE "{logins[0]}" IN DATABASE '
        f'"{database}" SET statement_timeout = 0 (and idle_in_transaction_session_timeout = 0)'
    )


def missing_weights(active: str | None, weights: Path | None = None) -> str | None:
    """Say in one line that the active version's weights are not here; None where they are.

    Workers claim nothing then: it happens after an upgrade that ships another version. Those of
    another folder (`HANGTAG_WEIGHTS`) may have it.
    """
    folder = weights or WEIGHTS
    if active is None:
        return None
    try:
        Card.load(folder / active)
    except UsageError as error:
        return (
            f"model {active} is active, but {error}. Workers with these weights tag nothing until "
            f"another one is: {_what_to_activate(active, folder)}"
        )
    return None


def _what_to_activate(active: str, folder: Path) -> str:
    try:
        shipped = default_version(folder)
        Card.load(folder / shipped)
    except UsageError:
        return "hangtag model list shows which there are"
    return f"hangtag model activate {shipped}"


def register_folder(engine: Engine, folder: Path) -> str:
    """Register the model version in a folder with its labels; return the active version."""
    card = Card.load(folder)
    labels = card.labels()
    with transaction(engine) as session:
        upsert_labels(session, "master_category", _tops(labels.names["master_category"]), None)
        masters = {sub: top for sub, top in labels.parents.values() if sub}
        upsert_labels(session, "sub_category", masters.items(), "master_category")
        subs = {kind: sub for kind, (sub, _) in labels.parents.items()}
        upsert_labels(session, "article_type", subs.items(), "sub_category")
        for attribute in ("base_colour", "gender", "season", "usage"):
            upsert_labels(session, attribute, _tops(labels.names[attribute]), None)
        register_model(session, card.version, card.raw)
        active = get_active_model(session)
        if active is None:
            activate_model(session, card.version)
            return card.version
        return active.version


def _tops(names: tuple[str, ...]) -> list[tuple[str, str | None]]:
    return [(name, None) for name in names]
