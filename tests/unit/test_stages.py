"""Where a worker's time goes: counted by its children, read by their parent."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.stages import STAGES, StageTimes, note_batch, read_totals


def test_threads_add_up_and_a_stage_that_fails_counts_too() -> None:
    times = StageTimes()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: times.add("decode", 0.5), range(100)))
    with pytest.raises(ValueError, match="no picture"), times.measure("fetch"):
        raise ValueError("no picture")
    assert times.seconds["decode"] == 50
    assert times.seconds["fetch"] > 0
    assert "decode 50000" in str(times)


def test_the_parent_reads_what_a_child_has_done() -> None:
    before = read_totals()
    child = os.fork()
    if child == 0:
        times = StageTimes()
        times.add("predict", 0.25)
        note_batch(32, times)
        note_batch(8, times)
        os._exit(0)
    os.waitpid(child, 0)
    after = read_totals()
    gained = {name: after[name] - before[name] for name in after}
    assert (gained["batches"], gained["uploads"]) == (2, 40)
    assert gained["predict"] == pytest.approx(0.5)
    assert set(gained) == {"batches", "uploads", *STAGES}
