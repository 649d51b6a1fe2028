"""A short campaign of faults; and the same checker with each protection switched off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import run_campaign
from tests.faults.injections import FAULTS


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_superseded_or_wrong(seed: int, tmp_path: Path) -> None:
    """Faults that lose messages belong to the even seeds."""
    outcome = run_campaign(tmp_path, seed, 25, 120)
    assert outcome.uploads == 120
    assert outcome.faults.total() > 2
    assert outcome.findings.counts() == {"lost": 0, "doubled": 0, "superseded": 0, "wrong": 0}, (
        outcome.findings
    )


@pytest.mark.parametrize(
    ("off", "fault", "kind"),
    [
        ("fence", "freeze_worker", "superseded"),
        ("late_ack", "kill_while_held", "lost"),
        ("reaper", "kill_child", "lost"),
        ("lease", "kill_child", "lost"),
    ],
)
def test_a_protection_that_is_switched_off_is_noticed(
    off: str, fault: str, kind: str, tmp_path: Path
) -> None:
    """Otherwise the zeros above would prove nothing."""
    assert fault in FAULTS
    outcome = run_campaign(tmp_path, 1, 20, 100, off, [fault], drain_seconds=25)
    assert outcome.findings.counts()[kind] > 0
