"""Health checks of the worker and the reaper: `python health.py worker|reaper`, in its container.

Exit code 0 while the process does its work, 1 with one line on stderr where it does not.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable

from errors import HangtagError
from worker.settings import load_settings

ANSWER_SECONDS = 5.0
#: A sweep may wait for a broker that is away; after this long it hangs.
SWEEP_SECONDS = 60.0

# Each sweep begins with a statement on the connection that holds the lock. Its time is shown
# to sessions of the same login, which the reaper's own container has.
_LAST_SWEEP = """
    SELECT extract(epoch FROM clock_timestamp() - a.query_start)
    FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid = 0 AND l.objid = :key AND l.objsubid = 1
"""


def check_worker() -> None:
    """Ask this container's worker over the broker: it must hear, and answer.

    Raises HangtagError where it does not, or the broker is away.
    """
    from worker.app import make_app  # here: each check loads no more than it needs

    node = f"hangtag@{socket.gethostname()}"
    app = make_app(load_settings())
    try:
        answers = app.control.inspect([node], timeout=ANSWER_SECONDS).ping() or {}
    except Exception as error:  # whatever the transport raises, the broker is not there
        raise HangtagError(f"the broker does not answer: {error}") from error
    if node not in answers:
        raise HangtagError(f"{node} did not answer within {ANSWER_SECONDS:.0f} s")


def check_reaper() -> None:
    """Ask the database when a reaper last began a sweep; a second, waiting reaper is well too.

    Raises HangtagError where none sweeps, or the database is away.
    """
    from sqlalchemy import text

    from db.session import make_engine, transaction
    from worker.reaper import REAPER_LOCK

    settings = load_settings()
    limit = SWEEP_SECONDS + settings.reap_seconds
    with transaction(make_engine(settings.require_url())) as session:
        seconds = session.execute(text(_LAST_SWEEP), {"key": REAPER_LOCK}).scalar()
    if seconds is None:
        raise HangtagError("no reaper holds the lock")
    if seconds > limit:
        raise HangtagError(f"the last sweep began {seconds:.0f} s ago")


CHECKS: dict[str, Callable[[], None]] = {"worker": check_worker, "reaper": check_reaper}


def main() -> int:
    """Run the check that the first argument names."""
    parser = argparse.ArgumentParser(description="Check a service of this container.")
    parser.add_argument("service", choices=CHECKS)
    service: str = parser.parse_args().service
    try:
        CHECKS[service]()
    except HangtagError as error:
        print(f"unhealthy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
