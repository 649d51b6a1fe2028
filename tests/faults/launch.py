"""Start `hangtag …` as the harness wants it: with a store that can be slow, or a protection off.

python -m tests.faults.launch PROTECTION worker --concurrency 2

PROTECTION is `all` or the one that is switched off on purpose, to see that the checker notices.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celery import Celery
from sqlalchemy import text
from sqlalchemy.orm import Session

import worker.cli.services
import worker.pipeline
import worker.previews
import worker.process
import worker.storage
import worker.writer
from db.queries.uploads import Claim
from worker.cli import main

#: While this file is in the store, each read takes `SLOW_SECONDS` longer.
SLOW_FLAG = ".slow"
SLOW_SECONDS = 0.5
#: A picture that ends the process which reads it, as a bug in a decoder's C code would.
KILLER = b"whoever reads this is killed"
#: Messages of a killed parent come back after this long instead of five minutes.
VISIBILITY_SECONDS = 20
#: What can be switched off here; the harness itself leaves out the reaper, or the lease.
PROTECTIONS = ("all", "fence", "attempt", "late_ack", "reaper", "lease")
#: Set for a worker that gives up no picture: thawed, it tries to write what it had in hand.
PATIENT = "FAULTS_PATIENT"
#: Set for a worker that takes `SLOW_SECONDS` longer over each message that hands in an upload, so
#: that a kill finds one in its hand.
SLOW_HAND_IN = "FAULTS_SLOW_HAND_IN"


def make_store_harmful(flag: Path) -> None:
    """Delay reads while the flag is there; die of the picture that kills."""
    read = worker.storage.PictureStore.read

    def harmful(self: worker.storage.PictureStore, uri: str) -> bytes:
        if flag.exists():
            time.sleep(SLOW_SECONDS)
        data = read(self, uri)
        if data == KILLER:
            os.kill(os.getpid(), signal.SIGKILL)
        return data

    worker.storage.PictureStore.read = harmful  # type: ignore[method-assign]


def configure(change: Callable[[Celery], None]) -> None:
    """Change each Celery app that is made."""
    make = worker.cli.services.make_app

    def changed(settings: Any) -> Celery:
        app = make(settings)
        change(app)
        return app

    worker.cli.services.make_app = changed


def return_messages_soon(app: Celery) -> None:
    """Shorten the time after which a dead worker's messages are delivered again."""
    app.conf.broker_transport_options["visibility_timeout"] = VISIBILITY_SECONDS


def acknowledge_early(app: Celery) -> None:
    """Acknowledge a message before its task has run."""
    app.conf.update(task_acks_late=False, task_reject_on_worker_lost=False)


def finish_without_fence(session: Session, outcomes: Sequence[tuple[Claim, str]]) -> set[uuid.UUID]:
    """Do what `mark_finished` does for any attempt, in any status."""
    for claim, status in outcomes:
        session.execute(
            text(
                "UPDATE hangtag_data.uploads SET status = :status, finished_at = now(), "
                "lease_until = NULL, claimed_by = NULL, error = NULL, error_code = NULL "
                "WHERE id = :id"
            ),
            {"id": claim.id, "status": status},
        )
    return {claim.id for claim, _ in outcomes}


def finish_any_attempt(session: Session, outcomes: Sequence[tuple[Claim, str]]) -> set[uuid.UUID]:
    """Do what `mark_finished` does for any attempt, as long as one is under way."""
    done = session.execute(
        text(
            "UPDATE hangtag_data.uploads AS u SET status = o.status, finished_at = now(), "
            "lease_until = NULL, claimed_by = NULL, error = NULL "
            "FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[])) AS o (id, status) "
            "WHERE u.id = o.id AND u.status = 'processing' RETURNING u.id"
        ),
        {"ids": [str(c.id) for c, _ in outcomes], "statuses": [status for _, status in outcomes]},
    )
    return {row.id for row in done}


def tell_the_attempt(name: str) -> None:
    """Let a statement that ends claims say which attempts it speaks for; see `checker.AUDIT`."""
    end = getattr(worker.writer, name)

    def telling(session: Session, claims: Any, *more: Any) -> Any:
        given = [claims] if isinstance(claims, Claim) else claims
        held = [one if isinstance(one, Claim) else one[0] for one in given]
        attempts = json.dumps({str(claim.id): claim.attempt for claim in held})
        session.execute(
            text("SELECT set_config('faults.attempts', :attempts, true)"), {"attempts": attempts}
        )
        return end(session, claims, *more)

    setattr(worker.writer, name, telling)


def wait_for_late_pictures() -> None:
    """Give up no picture and hand none back: what was frozen would never be tried to be written."""
    patient = worker.pipeline.PatientThreads
    for module in (worker.pipeline, worker.previews):
        module.PatientThreads = lambda threads, seconds: patient(threads, 3600)
    worker.pipeline.Pipeline._is_over = lambda self, share: False


def hand_in_slowly() -> None:
    """Take longer over messages that hand in uploads."""
    hand_in = worker.process.hand_in

    def slowly(*upload: Any) -> None:
        time.sleep(SLOW_SECONDS)
        hand_in(*upload)

    worker.process.hand_in = slowly


def prepare(off: str) -> None:
    """Patch this process; its children inherit it."""
    make_store_harmful(Path(os.environ["HANGTAG_STORE"]) / SLOW_FLAG)
    configure(return_messages_soon)
    if PATIENT in os.environ:
        wait_for_late_pictures()
    if SLOW_HAND_IN in os.environ:
        hand_in_slowly()
    if off == "fence":
        worker.writer.mark_finished = finish_without_fence
    if off == "attempt":
        worker.writer.mark_finished = finish_any_attempt
    for name in ("mark_finished", "mark_dead", "mark_pending", "return_claims"):
        tell_the_attempt(name)
    if off == "late_ack":
        configure(acknowledge_early)


if __name__ == "__main__":
    off = sys.argv.pop(1)
    if off not in PROTECTIONS:
        sys.exit(f"{off}: name one of {', '.join(PROTECTIONS)}")
    prepare(off)
    main()
