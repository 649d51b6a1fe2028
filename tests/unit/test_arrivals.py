"""How long fresh uploads are expected."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from worker import arrivals as arrivals_module


def test_fresh_uploads_are_expected_for_a_few_of_their_gaps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(arrivals_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    arrivals = arrivals_module.Arrivals()
    assert not arrivals.are_expected()

    def expected_for(gap: float) -> float:
        """Let many come at this distance, and see how long another one is expected."""
        for _ in range(40):
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
