"""`python -m tests.check_migrations`: empty → head → down one → head, in step with the tables."""

from __future__ import annotations

import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

from db.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent


def alembic_config(database_url: str) -> Config:
    """Return Alembic's settings for a database."""
    config = Config(ROOT / "alembic.ini")
    config.attributes["database_url"] = database_url
    return config


def main() -> None:
    """Run the migrations both ways on a real server and compare with db/tables.py."""
    with tempfile.TemporaryDirectory(prefix="hangtag-check-") as folder:
        server = EmbeddedPostgres(Path(folder), settings=["fsync=off"])
        server.start()
        try:
            config = alembic_config(server.url())
            command.upgrade(config, "head")
            command.downgrade(config, "-1")
            command.upgrade(config, "head")
            command.check(config)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
