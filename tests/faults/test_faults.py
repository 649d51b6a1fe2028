"""A short campaign of faults; and the same checker with each protection switched off."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.faults.campaign import DRAIN_SECONDS, Outcome, run_campaign
from tests.faults.site import LEASE_SECONDS

#: Protection that is off, the fault that it is for, and what the checker must find then. What is
#: lost can not only have been too slow: it is nowhere, or nobody takes it back.
SWITCHED_OFF = {
    "fence": ("freeze_worker", "superseded", "ended it"),
    "late_ack": ("kill_while_held", "lost", "not there"),
    "reaper": ("kill_child", "lost", "still processing, its lease is over"),
    "lease": ("kill_child", "lost", "still processing, its lease does not end"),
}


ZEROS = {"lost": 0, "doubled": 0, "superseded": 0, "wrong": 0}


def test_nothing_is_lost_doubled_superseded_or_wrong(tmp_path: Path) -> None:
    """Faults that lose messages belong to the even seeds."""
    outcome = run_campaign(tmp_path, 2, 20, 120)
    assert outcome.uploads == 120
    assert outcome.faults.total() > 2
    assert outcome.findings.counts() == ZEROS, outcome.findings


def test_the_command_says_so_in_its_last_line() -> None:
    """So many uploads that some are always under way: recovery is measured on those."""
    command = "./run faults --seed 1 --minutes 0.33 --uploads 600"
    done = subprocess.run(
        command.split(), cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    total = json.loads(done.stdout.splitlines()[-1])
    assert {kind: total[kind] for kind in ZEROS} == ZEROS
    assert (total["seeds"], total["uploads"]) == (1, 600)
    assert total["faults"] > 2
    assert 0 < total["recovery_p95_seconds"] <= total["recovery_max_seconds"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    """Campaigns without one protection each, beside each other: they mostly wait."""
    wanted: dict[str, dict[str, Any]] = {
        # A freeze takes ten seconds, and must meet a worker with a batch in hand.
        off: {"off": off, "only": [fault], "seconds": 12, "uploads": 60}
        | ({"seconds": 45, "uploads": 250} if off == "fence" else {})
        # A task that a killed child had in hand is what late acknowledgement is for.
        | ({"ways": ["task"]} if off == "late_ack" else {})
        for off, (fault, _, _) in SWITCHED_OFF.items()
    }
    wanted["none"] = {**wanted["late_ack"], "off": "all"}
    with ThreadPoolExecutor(len(wanted)) as threads:
        yield {
            name: threads.submit(
                run_campaign,
                tmp_path_factory.mktemp(name),
                seed=1,
                drain_seconds=DRAIN_SECONDS if name == "none" else 2.5 * LEASE_SECONDS,
                **options,
            )
            for name, options in wanted.items()
        }


def test_messages_that_killed_children_had_in_hand_come_again(
    outcomes: dict[str, Future[Outcome]],
) -> None:
    outcome = outcomes["none"].result()
    assert outcome.faults["kill_while_held"] > 0  # how many there is time for is chance
    assert outcome.findings.counts() == ZEROS, outcome.findings


@pytest.mark.parametrize("off", SWITCHED_OFF)
def test_a_protection_that_is_switched_off_is_noticed(
    off: str, outcomes: dict[str, Future[Outcome]]
) -> None:
    """Otherwise the zeros above would prove nothing."""
    _, kind, found = SWITCHED_OFF[off]
    findings = getattr(outcomes[off].result().findings, kind)
    assert any(found in one for one in findings.values()), findings
