"""A campaign: uploads at a steady rate while faults happen, then healing, then the checker.

    ./run faults                          one seed, two minutes, 600 uploads
    ./run faults --seed 7 --minutes 10 --uploads 3000
    ./run faults --seeds 20 --minutes 2 --uploads 2000 --jobs 2
    ./run faults --off fence              see the checker notice that a protection is missing

What happens hangs on the seed; when it happens, on the machine. The last line is one JSON object;
the exit code is 0 only where nothing was lost, doubled, superseded or wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psycopg2

from tests.conftest import SAMPLES
from tests.faults.checker import AUDIT, REFERENCE, Findings, check
from tests.faults.injections import FAULTS, LOSE_MESSAGES, heal
from tests.faults.launch import KILLER, PROTECTIONS
from tests.faults.producers import WAYS, Picture, Producer, missing
from tests.faults.site import Site
from worker.client import Client

#: Seconds between two faults, at most.
MOST_BETWEEN = 6.0
#: After the last fault all uploads end within so many seconds, or are lost.
DRAIN_SECONDS = 240.0
#: A picture that kills whoever reads it is dead after all its attempts, each of which ends with
#: a lease: too long for a campaign of less than so many seconds.
KILLER_SECONDS = 60.0
KILLER_NAME = "killer.jpg"
#: One upload in so many is a poison picture.
POISON_SHARE = 0.1


@dataclass
class Outcome:
    """What a campaign found."""

    seed: int
    uploads: int
    refused: int
    faults: Counter[str]
    findings: Findings
    refused_late: int
    recovery: list[float] = field(default_factory=list)

    def row(self) -> dict[str, object]:
        """Return the line of JSON."""
        recovery = np.array(self.recovery or [0.0])
        return {
            "seed": self.seed,
            "uploads": self.uploads,
            "faults": self.faults.total(),
            "kinds": dict(sorted(self.faults.items())),
            **self.findings.counts(),
            **{
                f"recovery_p{share}_seconds": round(float(np.quantile(recovery, share / 100)), 2)
                for share in (50, 95, 100)
            },
            "refused": self.refused,
            "refused_late": self.refused_late,
        }


class Watch:
    """Measures recovery: from a fault's end until all that was open then is done.

    But for the picture that kills: it is meant to be tried for long.
    """

    def __init__(self, site: Site) -> None:
        self.seconds: list[float] = []
        self._site = site
        self._open: list[tuple[float, set[str]]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def fault_ended(self) -> None:
        """Note what is open now."""
        since = time.monotonic()
        while (open_now := self._ask()) is None:
            time.sleep(0.1)  # the time until the database answers counts
        if open_now:
            with self._lock:
                self._open.append((since, open_now))

    def stop(self) -> None:
        """Look for the last time."""
        self._stop.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self._look()

    def _look(self) -> None:
        if (open_now := self._ask()) is None:
            return
        with self._lock:
            now = time.monotonic()
            done = [since for since, then in self._open if not then & open_now]
            self.seconds += [now - since for since in done]
            self._open = [(since, then) for since, then in self._open if then & open_now]

    def _ask(self) -> set[str] | None:
        try:
            connection = self._site.connect()
        except psycopg2.OperationalError:
            return None  # it is down just now
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT CAST(id AS text) FROM hangtag_data.uploads "
                    "WHERE status IN ('pending', 'processing') AND uri NOT LIKE %s",
                    (f"%/{KILLER_NAME}",),
                )
                return {row[0] for row in cursor.fetchall()}
        except psycopg2.Error:
            return None
        finally:
            connection.close()


def run_campaign(
    folder: Path, seed: int, seconds: float, uploads: int, off: str = "all",
    only: list[str] | None = None, drain_seconds: float = DRAIN_SECONDS,
    ways: Sequence[str] = (),
) -> Outcome:  # fmt: skip
    """Run one campaign in an empty folder.

    `only` names the faults that may happen, `ways` how producers hand in; by default all that
    can be promised.
    """
    chance, others = random.Random(seed), random.Random(seed + 1)  # noqa: S311 (what happens)
    # Every second seed has faults that lose messages, the others producers who have only these.
    loses = seed % 2 == 0 if only is None else bool(LOSE_MESSAGES & set(only))
    names = [name for name in only or FAULTS if loses or name not in LOSE_MESSAGES]
    ways = ways or [way for way in WAYS if way != "task" or not loses]
    site = Site(folder, off=off, slow_hand_in=list(ways) == ["task"])
    counts: Counter[str] = Counter()
    try:
        site.start()
        with site.connect() as connection, connection.cursor() as cursor:
            cursor.execute(AUDIT)
        good = [Picture(p.name, site.put(p)) for p in healthy_samples()]
        hand_in_reference(site, good)
        producer = Producer(site, good + poison(site, len(good)), ways, others)
        if seconds >= KILLER_SECONDS:
            producer.hand_in_once(killer(site))
        stop = threading.Event()
        hands = threading.Thread(target=producer.run, args=(uploads, seconds, stop), daemon=True)
        watch = Watch(site)
        watch.start()
        hands.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.5, MOST_BETWEEN))
            name = chance.choice(names)
            say(f"seed {seed}: {name}")
            if FAULTS[name](site, chance) is not False:
                counts[name] += 1
                watch.fault_ended()
        heal(site)
        hands.join(DRAIN_SECONDS)
        stop.set()
        hands.join()
        if len(producer.ledger.pictures) != uploads:
            raise RuntimeError(
                f"seed {seed}: only {len(producer.ledger.pictures)} of {uploads} uploads were "
                f"acknowledged; see {folder}"
            )
        drain(site, producer.ledger.pictures, drain_seconds)
        watch.stop()
        with site.connect() as connection:
            findings = check(connection, producer.ledger.pictures)
        producer.close()
        return Outcome(
            seed,
            len(producer.ledger.pictures),
            producer.ledger.refused,
            counts,
            findings,
            site.refused_late(),
            watch.seconds,
        )
    finally:
        site.stop()


def healthy_samples() -> list[Path]:
    """Return the drawn pictures that can be tagged."""
    return [
        path
        for path in sorted(SAMPLES.iterdir())
        if path.suffix in (".jpg", ".png", ".webp") and path.name != "damaged.jpg"
    ]


def poison(site: Site, good: int) -> list[Picture]:
    """Plant files that cannot be tagged, about `POISON_SHARE` of all."""
    whole = (SAMPLES / "damaged.jpg").read_bytes()
    made = {
        "garbage.jpg": (b"no picture at all" * 99, "undecodable"),
        "empty.jpg": (b"", "undecodable"),
        "cut.jpg": (whole[: len(whole) // 3], "undecodable"),
    }
    planted = [missing(site)]
    for name, (data, code) in made.items():
        path = site.store / name
        path.write_bytes(data)
        planted.append(Picture(name, path.as_uri(), code))
    outside = Picture("outside", "file:///etc/hostname", "forbidden_uri")
    planted.append(outside)
    return planted * max(1, round(POISON_SHARE * good / len(planted)))


def killer(site: Site) -> Picture:
    """Plant a file that kills the process which reads it, again and again."""
    path = site.store / KILLER_NAME
    path.write_bytes(KILLER)
    return Picture(path.name, path.as_uri(), "attempts_exhausted")


def hand_in_reference(site: Site, good: list[Picture]) -> None:
    """Have each good picture tagged once before anything happens."""
    client = Client(site.producer_url, site.broker_url)
    client.submit_many([p.uri for p in good], REFERENCE, [p.name for p in good])
    client.close()
    deadline = time.monotonic() + 120
    while unfinished(site):
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing is tagged even without faults; see {site.folder}")
        time.sleep(0.2)
    whole = _count(
        site,
        f"source = '{REFERENCE}' AND status IN ('tagged', 'review') "
        "AND image_id IN (SELECT image_id FROM hangtag.image_embeddings)",
    )
    if whole != len(good):
        raise RuntimeError(f"{whole} of {len(good)} are tagged without faults; see {site.folder}")


def drain(site: Site, acknowledged: dict[str, Picture], seconds: float) -> None:
    """Wait until all that was acknowledged has ended, or long enough."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not unfinished(site) and arrived(site) >= len(acknowledged):
            return
        time.sleep(0.5)


def unfinished(site: Site) -> int:
    """Count uploads that are in no final state, and previews that are owed."""
    owed = _count(site, "status = 'open' AND preview_due IS NOT NULL", "hangtag_data.review_items")
    return owed + _count(site, "status IN ('pending', 'processing')")


def arrived(site: Site) -> int:
    """Count uploads of producers."""
    return _count(site, f"source <> '{REFERENCE}'")


def _count(site: Site, where: str, table: str = "hangtag.upload_status") -> int:
    connection = site.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE {where}")
            [(number,)] = cursor.fetchall()
            return int(number)
    finally:
        connection.close()


def say(message: str) -> None:
    """Tell on stderr what happens."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr)


def main() -> int:
    """Run campaigns; print a table of findings and a line of JSON."""
    parser = argparse.ArgumentParser(
        prog="./run faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="what happens; 0")
    parser.add_argument("--seeds", type=int, default=1, help="campaigns, from --seed on; 1")
    parser.add_argument("--minutes", type=float, default=2.0, help="of faults, each; 2")
    parser.add_argument("--uploads", type=int, default=600, help="each; 600")
    parser.add_argument("--jobs", type=int, default=1, help="campaigns beside each other; 1")
    parser.add_argument("--off", choices=PROTECTIONS, default="all", help="protection switched off")
    parser.add_argument("--only", help="faults that may happen, as NAME,…: " + ", ".join(FAULTS))
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.CRITICAL)
    only = options.only.split(",") if options.only else None
    if unknown := set(only or ()) - set(FAULTS):
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")

    def run(seed: int) -> Outcome:
        folder = Path(tempfile.mkdtemp(prefix="hangtag-faults-"))
        outcome = run_campaign(
            folder, seed, 60 * options.minutes, options.uploads, options.off, only
        )
        report(outcome, folder)
        return outcome

    with ThreadPoolExecutor(options.jobs) as threads:
        outcomes = list(threads.map(run, range(options.seed, options.seed + options.seeds)))
    total = _total(outcomes)
    print(json.dumps(total))
    return int(any(total[kind] for kind in ("lost", "doubled", "superseded", "wrong")))


def report(outcome: Outcome, folder: Path) -> None:
    """Print what a campaign found; its folder stays where that is not nothing."""
    lines = [json.dumps(outcome.row())]
    for kind, found in vars(outcome.findings).items():
        lines += [f"  {kind}: {name}: {what}" for name, what in list(found.items())[:10]]
    if any(outcome.findings.counts().values()):
        lines.append(f"  logs and database: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(lines), flush=True)


def _total(outcomes: list[Outcome]) -> dict[str, object]:
    """Add campaigns up: the last line."""
    kinds: Counter[str] = Counter()
    for outcome in outcomes:
        kinds.update(outcome.findings.counts())
    recovery = np.array([s for one in outcomes for s in one.recovery] or [0.0])
    return {
        "seeds": len(outcomes),
        "uploads": sum(one.uploads for one in outcomes),
        "faults": sum(one.faults.total() for one in outcomes),
        "refused_late": sum(one.refused_late for one in outcomes),
        **{kind: kinds[kind] for kind in ("lost", "doubled", "superseded", "wrong")},
        **{
            f"recovery_{name}_seconds": round(float(np.quantile(recovery, share)), 2)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
        },
    }


if __name__ == "__main__":
    sys.exit(main())
