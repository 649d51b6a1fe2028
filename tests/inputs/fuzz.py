"""`python -m tests.inputs.fuzz --minutes 5`: try inputs until the time is over.

Decoding runs in a child with the memory of a worker process: a file that kills or holds it counts
as a crash and is written to `--keep`. The last line is JSON: inputs tried, crashes.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tests.inputs.mutations import check_decoding, mutated
from tests.inputs.submissions import (
    SQL_ARGUMENTS,
    SUBMISSIONS,
    WORDS,
    check_command,
    check_insert,
    check_message,
    check_sql,
)
from worker.process import limit_memory
from worker.settings import WorkerSettings

#: Inputs a round; each round has another seed.
ROUND = 500
#: A child that has not come to its next input by then hangs.
HANG_SECONDS = 60.0


def try_round(
    strategy: SearchStrategy[Any], check: Callable[[Any], None], number: int, size: int = ROUND
) -> None:
    """Try some inputs of a strategy; raises what the first bad one raised."""

    @seed(number)
    @settings(
        max_examples=size,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(one: Any) -> None:
        check(one)

    run()


class Counted:
    """A check that counts its calls."""

    def __init__(self, check: Callable[[Any], None], count: Callable[[], None]) -> None:
        self._check, self._count = check, count

    def __call__(self, one: Any) -> None:
        """Count the input, then check it."""
        self._count()
        self._check(one)


def fuzz_decoder(end: float, keep: Path) -> tuple[int, list[str]]:
    """Decode mutated files in children; return how many, and what went wrong."""
    context = multiprocessing.get_context("spawn")
    tried, crashes = 0, []
    while time.monotonic() < end:
        count = context.Value("Q", 0)
        current = keep / "current"
        child = context.Process(
            target=_decode_rounds, args=(count, str(current), end - time.monotonic())
        )
        child.start()
        seen, seen_at = -1, time.monotonic()
        while child.is_alive():
            child.join(1)
            if count.value != seen:
                seen, seen_at = count.value, time.monotonic()
            elif time.monotonic() - seen_at > HANG_SECONDS:
                child.kill()
        tried += count.value
        if child.exitcode:
            kept = keep / f"crash-{len(crashes)}"
            current.rename(kept)
            crashes.append(f"exit code {child.exitcode}: {kept}")
    return tried, crashes


def _decode_rounds(count: Any, current: str, seconds: float) -> None:
    limit_memory(WorkerSettings.model_fields["child_memory_mb"].default)
    end = time.monotonic() + seconds
    descriptor = os.open(current, os.O_RDWR | os.O_CREAT)

    def before(data: bytes) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data, 0)
        count.value += 1

    while time.monotonic() < end:
        try_round(mutated(), lambda data: check_decoding(data, before), random.getrandbits(64))


def fuzz_submissions(end: float) -> tuple[int, list[str]]:
    """Hand in odd arguments, to servers of its own; return how many, and what went wrong."""
    logging.disable()  # each refusal is a line
    from db.embedded import EmbeddedPostgres
    from db.session import make_engine
    from worker.broker import EmbeddedValkey
    from worker.setup import migrate

    tried, crashes = 0, []

    def count() -> None:
        nonlocal tried
        tried += 1

    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "pg")
        server.start()
        broker = EmbeddedValkey(Path(folder) / "vk")
        broker.start()
        try:
            url = server.url()
            migrate(url)
            os.environ |= {
                "HANGTAG_DATABASE_URL": url,
                "HANGTAG_BROKER_URL": broker.url,
                "HANGTAG_STORE": f"{folder}/store",
            }
            engine = make_engine(url)
            # The command line makes its connections anew each time.
            ways: list[tuple[SearchStrategy[Any], Callable[[Any], None], int]] = [
                (SUBMISSIONS, lambda one: check_insert(engine, one), ROUND),
                (SUBMISSIONS, lambda one: check_message(engine, one), ROUND),
                (SQL_ARGUMENTS, lambda one: check_sql(url, one), ROUND),
                (WORDS, check_command, 50),
            ]
            while time.monotonic() < end:
                for strategy, check, size in ways:
                    number = random.getrandbits(64)
                    try:
                        try_round(strategy, Counted(check, count), number, size)
                    except Exception as error:  # each is a finding
                        crashes.append(f"{type(error).__name__}: {error}"[:500])
            engine.dispose()
        finally:
            broker.stop()
            server.stop()
    return tried, crashes


def main() -> None:
    """Run for so long; exit code 1 where anything crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--what", choices=["decoder", "submissions"], default="decoder")
    parser.add_argument("--keep", type=Path, help="folder for files that crash")
    options = parser.parse_args()
    keep = options.keep or Path(tempfile.mkdtemp(prefix="hangtag-fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    if options.what == "decoder":
        tried, crashes = fuzz_decoder(end, keep)
    else:
        tried, crashes = fuzz_submissions(end)
    for crash in crashes:
        print(crash, file=sys.stderr)
    result = {"what": options.what, "minutes": options.minutes, "inputs": tried}
    print(json.dumps(result | {"crashes": len(crashes)}))
    sys.exit(bool(crashes))


if __name__ == "__main__":
    main()
