"""How many pictures are loaded before it is looked who wants to pass."""

from __future__ import annotations

import pytest

from worker.pace import Pace


@pytest.mark.parametrize(
    ("milliseconds", "left", "is_fresh_expected", "size"),
    [
        (1, 32, True, 8),
        (1, 32, False, 32),
        (20, 32, False, 16),  # 0.4 s hold 20: two parts alike rather than 20 and 12
        (13, 32, False, 16),  # not 30 and 2
        (200, 32, False, 2),
        (9000, 32, False, 2),  # each thread has one
        (9000, 1, True, 1),
        (1, 9, True, 6),  # each thread has as many
        (60, 32, False, 6),
    ],
)
def test_a_part_takes_as_long_as_who_comes_may_wait(
    milliseconds: float, left: int, is_fresh_expected: bool, size: int
) -> None:
    pace = Pace(2)
    pace.note(4, 4, 4 * milliseconds / 1000)
    assert pace.part_size(left, is_fresh_expected) == size


def test_before_anything_is_known_parts_are_small() -> None:
    assert Pace(2).part_size(32, False) == 8


@pytest.mark.parametrize("begun", [0, 8])
def test_what_failed_at_once_or_was_not_begun_says_nothing_of_what_comes_next(begun: int) -> None:
    pace = Pace(2)
    pace.note(8, 8, 1.6)
    pace.note(0, begun, 0.0001)
    assert pace.part_size(32, False) == 2


def test_pictures_that_fail_late_are_slow_ones() -> None:
    pace = Pace(2)
    pace.note(8, 8, 0.01)
    pace.note(0, 8, 8 * 0.2)
    assert pace.part_size(32, False) == 2


def test_every_thread_has_as_many_pictures_as_the_others() -> None:
    pace = Pace(6)
    pace.note(6, 6, 6 * 0.036)
    assert pace.part_size(14, False) == 6
    assert pace.part_size(2, False) == 2
