"""What one worker process holds: engine, pipeline, app. Made in the child, never before."""

from __future__ import annotations

import ctypes
import logging
import os
import reprlib
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NoReturn

from celery import Celery, current_app
from celery.signals import worker_process_init
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from db.embedded import PR_SET_PDEATHSIG
from db.queries.uploads import count_due, insert_uploads
from db.session import limit_statements, make_engine, transaction
from errors import HangtagError, TransientError, UsageError
from models.card import WEIGHTS
from models.predictor import Predictor
from worker.app import BACKFILL, INGEST
from worker.bell import announce, has_messages, lane_of, ring
from worker.failures import one_line
from worker.health import note_progress
from worker.pipeline import Pipeline
from worker.previews import Drawer
from worker.settings import WorkerSettings, load_settings
from worker.stages import StageTimes, note_batch, note_previews
from worker.stopping import is_stopping

log = logging.getLogger(__name__)

#: What a child ends with that could not get rid of a picture.
EXIT_STUCK = 75
#: Arguments of a refused message that are logged, each cut short.
_SHOWN = 5
#: How much of a lease a process works on for one bell, batch after batch, without the broker.
#: Celery ends a task with the lease, so a last batch has all but this much of its own.
_BELL_SHARE = 1 / 60
#: Of glibc's malloc.h.
_M_ARENA_MAX = -8


@cache
def settings() -> WorkerSettings:
    """Read this process's settings once."""
    return load_settings()


@cache
def engine() -> Engine:
    """Make this process's engine once."""
    return make_engine(settings().require_url())


@cache
def pipeline() -> Pipeline:
    """Build this process's pipeline once; engines do not survive a fork."""
    own = settings()

    def load_predictor(version: str) -> Predictor:
        folder = (own.weights or WEIGHTS) / version
        return Predictor.load_folder(folder, own.inference_threads)

    name = f"{socket.gethostname()}:{os.getpid()}"
    return Pipeline(engine(), own, name, load_predictor, is_stopping, _note, _call_others)


def _note(uploads: int, times: StageTimes) -> None:
    note_batch(uploads, times)
    note_progress(settings().progress_file)


def _call_others(backfill: bool) -> None:
    ring(_app(), BACKFILL if backfill else INGEST, 1, settings().batch_size)


@cache
def drawer() -> Drawer:
    """Build this process's drawer once."""
    return Drawer(engine(), settings(), is_stopping)


def answer(backfill: bool) -> None:
    """Process one batch of a lane, or draw previews; ring again where there may be more.

    Operators' next pictures come before the batch, all others when there is no batch.
    """
    try:
        with _ending_what_is_unfit():
            end = time.monotonic() + _BELL_SHARE * settings().lease_seconds
            while _answer(backfill) and time.monotonic() < end:
                if backfill and has_messages(_app(), INGEST):
                    # Fresh uploads may be among them, which no row tells of yet. A worker of this
                    # lane alone loses some milliseconds by it, and goes on with its next bell.
                    break
    finally:
        if stuck := pipeline().stuck + drawer().stuck:
            # Its threads cannot be ended and hold memory, perhaps a core. What it held is written.
            _end(f"{stuck} pictures are stuck in this process")


def _answer(backfill: bool) -> bool:
    """Do one piece of work; tell whether there was a batch, and nothing is in the way of the next.

    Rings where there may be more, so that this is not lost if the process ends.
    """
    _draw(drawer().draw_front)
    if drawer().stuck:
        return False
    try:
        report = pipeline().run_batch(backfill)
        note_progress(settings().progress_file)
        if not report.claimed and (_anything_waits() or not _draw(drawer().draw)):
            return False  # whoever is at the other lane's backlog keeps the front drawn
    except TransientError as error:
        # The rows are safe; the reaper rings again when there is reason to.
        log.error("%s", error)
        return False
    ring(_app(), BACKFILL if backfill else INGEST, 1, settings().batch_size)
    return report.claimed > 0 and not (pipeline().stuck or drawer().stuck or is_stopping())


def _draw(slice_of: Callable[[], int]) -> int:
    """Draw a slice; return how many were claimed. Whatever fails, uploads must not wait for it."""
    try:
        claimed = slice_of()
    except (HangtagError, DBAPIError) as error:
        log.error("previews: %s", error)
        return 0
    if claimed:
        note_previews(drawer().times)
    return claimed


def _anything_waits() -> bool:
    with transaction(engine()) as session:
        return any(count_due(session, at_most=1).values())


@contextmanager
def _ending_what_is_unfit() -> Iterator[None]:
    """End this child where it has no memory or threads left."""
    try:
        yield
    except MemoryError:
        _end("this process is out of memory (HANGTAG_CHILD_MEMORY_MB)")
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        _end(f"this process {error}")  # stuck ones hold what a new one would need


def _end(reason: str) -> NoReturn:
    """End this child; Celery starts another, and hands it the doorbell, which is none too many.

    Claims come back with their lease. Without it Celery would take a MemoryError for its own end
    and stop the whole worker.
    """
    log.error("%s; it ends", reason)
    logging.shutdown()
    os._exit(EXIT_STUCK)


def hand_in(uri: str, source: str, external_id: str | None, priority: int) -> None:
    """Insert an upload that came by the broker, and ring for it.

    Raises TransientError where the database is away or too slow; the task is tried again.
    """
    try:
        with _ending_what_is_unfit(), transaction(engine()) as session:
            limit_statements(session, settings().lease_seconds / 2)
            insert_uploads(session, [uri], source, [external_id], priority)
    except UsageError as error:
        refuse((uri, source, external_id, priority), error)
        return
    announce(_app(), lane_of(priority), 1, settings().batch_size)


def refuse(given: Sequence[object], error: Exception) -> None:
    """Say that a producer's message does not fit; there is nobody to answer to."""
    shown = [reprlib.repr(value) for value in given[:_SHOWN]] + ["…"] * (len(given) > _SHOWN)
    log.error("hangtag.ingest(%s) was refused: %s", ", ".join(shown), one_line(str(error)))


def _app() -> Celery:
    app: Celery = current_app._get_current_object()
    return app


def limit_memory(megabytes: int) -> None:
    """Let this process have so much memory of its own at most; 0 changes nothing.

    Then a picture that takes more fails with a MemoryError, where the kernel would kill the
    process or, without a container's limit, whatever else is large. RLIMIT_DATA (Linux 4.7) counts
    what is set aside to be written, stacks of threads too; RLIMIT_AS would count the files that
    OpenVINO maps as well.
    """
    if megabytes:
        # One heap for all threads: each would keep, and have counted, what it once needed.
        if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
            mallopt(_M_ARENA_MAX, 1)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = megabytes << 20
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


@worker_process_init.connect
def start_process(**_: object) -> None:
    """Tie the child to its parent, and load the model before the first doorbell."""
    if sys.platform == "linux":
        # A child whose parent was killed would keep its claims and answer no bell.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        limit_memory(settings().child_memory_mb)
    try:
        pipeline().load_active()
    except HangtagError as error:
        log.error("%s", error)
