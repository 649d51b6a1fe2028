"""The simulation of the queue: what is known of queues by arithmetic must come out of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scaling import Rates, percentile_of, simulate, smallest
from errors import UsageError

RATES = Rates(batch_ms=8, picture_ms=10, batch_size=32)


def test_a_lone_upload_takes_as_long_as_a_batch_of_one() -> None:
    seconds = simulate(RATES, processes=1, per_second=0.1, count=500)
    assert percentile_of(seconds, 50) == pytest.approx(RATES.seconds(1))


def test_nobody_is_served_before_they_came_nor_faster_than_alone() -> None:
    seconds = simulate(RATES, processes=2, per_second=1.5 * RATES.top, count=5_000)
    assert seconds.min() >= RATES.seconds(1) - 1e-9


def test_a_queue_that_gets_more_than_it_can_do_grows_as_fast_as_it_must() -> None:
    """Uploads come at twice the top rate: the last of 10,000 waits for half of all the work."""
    seconds = simulate(RATES, processes=1, per_second=2 * RATES.top, count=10_000)
    assert seconds[-1] == pytest.approx(10_000 / RATES.top / 2, rel=0.05)


def test_a_queue_of_single_pictures_waits_as_long_as_the_formula_says() -> None:
    """Pollaczek-Khinchine for constant service times: half of rho / (1 - rho) services."""
    alone = Rates(batch_ms=0, picture_ms=10, batch_size=1)
    seconds = simulate(alone, processes=1, per_second=70, count=200_000)
    assert float(np.mean(seconds)) == pytest.approx(0.01 * (1 + 0.7 / 0.3 / 2), rel=0.05)


def test_the_smallest_number_of_processes_keeps_the_limit_and_one_less_does_not() -> None:
    per_second = 3.3 * RATES.top
    processes, seconds = smallest(RATES, per_second, limit=1.0)
    assert processes == 4
    assert percentile_of(seconds, 95) <= 1.0
    fewer = simulate(RATES, processes - 1, per_second, len(seconds))
    assert percentile_of(fewer, 95) > 1.0


def test_a_limit_below_one_pictures_time_is_refused() -> None:
    with pytest.raises(UsageError, match="--limit"):
        smallest(RATES, 1.0, limit=0.001)


def test_no_fewer_processes_than_the_work_needs_where_the_simulated_time_is_short() -> None:
    """400,000 uploads are seconds at such a rate: a growing queue would not be seen in them."""
    per_second = 300.5 * RATES.top
    assert smallest(RATES, per_second, limit=2.0)[0] >= 301
