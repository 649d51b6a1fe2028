"""For producers in Python: hand in uploads. Needs neither torch nor OpenVINO.

from worker.client import Client
client = Client(database_url, broker_url)
client.submit("file:///srv/uploads/4711.jpg", source="feed", external_id="4711").id
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from db.queries.uploads import Submitted, insert_uploads
from db.session import connection, make_engine
from errors import PermanentError, UsageError
from worker.app import make_app
from worker.bell import announce, lane_of
from worker.settings import WorkerSettings
from worker.storage import PictureStore, Stored

#: Priority of the backfill lane.
BACKFILL_PRIORITY = -1
_MOST_NAME_BYTES = 1000


class Client:
    """Hands in uploads. Not for sharing between threads or across a fork."""

    def __init__(self, database_url: str, broker_url: str, store: Path | None = None) -> None:
        self._settings = WorkerSettings(
            database_url=database_url, broker_url=broker_url, store=store
        )
        self._engine = make_engine(database_url, autocommit=True)
        self._app = make_app(self._settings)

    def submit(
        self, uri: str, source: str, external_id: str | None = None, priority: int = 0
    ) -> Submitted:
        """Hand in one upload by URI; see `submit_many`."""
        return self.submit_many([uri], source, [external_id], priority)[0]

    def submit_many(
        self,
        uris: Sequence[str],
        source: str,
        external_ids: Sequence[str | None] | None = None,
        priority: int = 0,
    ) -> list[Submitted]:
        """Hand in uploads in order; the same (source, external_id) twice is one upload.

        When this returns the rows are committed: nothing that happens to the broker or a worker
        loses them. Raises TransientError where the database does not answer (as a rule nothing was
        handed in; with external_ids it is safe to try again), UsageError where an argument does
        not fit.
        """
        if not uris:
            return []
        identities = [None] * len(uris) if external_ids is None else external_ids
        if len(identities) != len(uris):
            raise UsageError("name as many external_ids as uris")
        with connection(self._engine) as own:
            submitted = insert_uploads(own, uris, source, identities, priority)
        fresh = sum(one.created for one in submitted)
        if fresh:
            announce(self._app, lane_of(priority), fresh, self._settings.batch_size)
        return submitted

    def submit_files(
        self,
        paths: Sequence[Path],
        source: str,
        priority: int = 0,
        on_error: Callable[[PermanentError], None] | None = None,
    ) -> list[tuple[Path, str, Submitted]]:
        """Copy files into the picture store and hand them in; return (path, uri, answer).

        A file is known by its path and content: handing in the same folder again changes
        nothing, a changed file is a new upload. A file that cannot be read raises
        PermanentError, or is left out where `on_error` takes the error.
        """
        store = PictureStore(self._settings.require_store(), max_bytes=self._settings.max_bytes)
        stored: list[tuple[Path, Stored]] = []
        for path in paths:
            try:
                stored.append((path, store.put(path)))
            except PermanentError as error:
                if on_error is None:
                    raise
                on_error(error)
        identities = [f"{_short(readable(path))}@{one.sha256[:16]}" for path, one in stored]
        answers = self.submit_many([one.uri for _, one in stored], source, identities, priority)
        return [
            (path, one.uri, answer) for (path, one), answer in zip(stored, answers, strict=True)
        ]

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()
        self._app.close()


def _short(name: str) -> str:
    """Return a name that an index takes (2,704 bytes); a longer one by its hash and its end."""
    data = name.encode()
    if len(data) <= _MOST_NAME_BYTES:
        return name
    end = data[-_MOST_NAME_BYTES // 2 :].decode(errors="ignore")
    return f"{hashlib.sha256(data).hexdigest()}…{end}"


def readable(path: Path) -> str:
    """Return a path, absolute and without `..`, as text that a database takes.

    A name need not be UTF-8: other bytes are written as hexadecimal escapes.
    """
    return os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")  # noqa: PTH100 (it also takes out `..`)
