"""How long fresh uploads are expected."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from worker.arrivals import Arrivals


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Hold the time, in its only place."""
    now = [1000.0]
    monkeypatch.setattr("worker.arrivals.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_fresh_uploads_are_expected_for_a_few_of_their_gaps(clock: list[float]) -> None:
    now = clock
    arrivals = Arrivals()
    assert not arrivals.are_expected()

    def expected_for(gap: float) -> float:
        """Let many come at this distance, and see how long another one is expected."""
        for _ in range(max(40, round(20 / gap))):
            now[0] += gap
            arrivals.note()
        last = now[0]
        while arrivals.are_expected():
            now[0] += 0.1
        return now[0] - last

    assert expected_for(0.01) == pytest.approx(2, abs=0.2)
    assert expected_for(5) == pytest.approx(20, abs=0.2)
    assert expected_for(0.01) == pytest.approx(2, abs=0.2)
    assert expected_for(600) == pytest.approx(120, abs=0.2)


def test_a_burst_is_expected_again_after_a_pause_as_long_as_those_before(
    clock: list[float],
) -> None:
    """Workers share it out in batches that follow each other closely, which tell little."""
    arrivals = Arrivals()
    expected = []
    for _ in range(30):
        clock[0] += 10
        expected.append(arrivals.are_expected())
        for _ in range(5):
            clock[0] += 0.05
            arrivals.note()
    assert expected[0] is False
    assert all(expected[5:])
