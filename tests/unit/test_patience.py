"""Threads that give up on what takes too long; reasons that fit into a row."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from errors import PermanentError, TransientError
from models.turns import ONE_LARGE
from tests.conftest import wait_until
from worker.failures import describe, one_line
from worker.patience import PatientThreads


@pytest.fixture
def hold() -> threading.Event:
    """Set at the end, so that no stuck thread outlives the tests."""
    return threading.Event()


def test_outcomes_come_in_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 * (5 - number))
        return number * number

    assert PatientThreads(2, 10).map(work, range(5)) == [0, 1, 4, 9, 16]
    assert PatientThreads(2, 10).map(work, []) == []


@pytest.mark.timeout(30)
def test_what_hangs_is_given_up_and_what_waited_behind_it_is_done(hold: threading.Event) -> None:
    """Both threads are stuck at once; the next four go on in fresh ones."""
    threads = PatientThreads(2, 0.2)

    def work(number: int) -> int:
        if number in (0, 1, 4):
            hold.wait(20)
        return number

    found = threads.map(work, range(6))
    assert [isinstance(one, TimeoutError) for one in found] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    assert str(found[0]) == "took longer than 0.2 s"
    assert [one for one in found if not isinstance(one, TimeoutError)] == [2, 3, 5]
    assert threads.stuck == 3
    assert threads.map(lambda number: number, [7, 8]) == [7, 8]
    hold.set()


@pytest.mark.timeout(30)
def test_one_that_hangs_with_the_turn_costs_the_others_nothing(hold: threading.Event) -> None:
    """Three wait behind it with their threads, two have none yet."""
    threads = PatientThreads(4, 0.3)

    def work(number: int) -> int:
        with ONE_LARGE.turn():
            if number == 0:
                hold.wait(20)
        return number

    first, *others = threads.map(work, range(6))
    assert isinstance(first, TimeoutError)
    assert others == [1, 2, 3, 4, 5]
    assert threads.stuck == 1
    hold.set()


@pytest.mark.timeout(30)
def test_waiting_for_the_turn_is_no_work() -> None:
    threads = PatientThreads(8, 0.5)

    def work(number: int) -> int:
        with ONE_LARGE.turn(), ONE_LARGE.turn():
            time.sleep(0.2)
        return number

    assert threads.map(work, range(8)) == list(range(8))
    assert threads.stuck == 0


@pytest.mark.timeout(30)
def test_who_was_given_up_takes_no_turn_any_more(hold: threading.Event) -> None:
    """Nobody would watch it there."""
    threads = PatientThreads(2, 0.2)
    ended: list[BaseException] = []

    def work(number: int) -> int:
        if number == 0:
            hold.wait(20)
        try:
            with ONE_LARGE.turn():
                return number
        except TimeoutError as error:
            ended.append(error)
            raise

    first, *others = threads.map(work, range(3))
    assert isinstance(first, TimeoutError)
    assert others == [1, 2]
    hold.set()
    wait_until(lambda: bool(ended), 10, "the end of the thread that was given up")


@pytest.mark.timeout(30)
def test_what_was_given_up_may_fail_later_without_harm_to_the_others() -> None:
    threads = PatientThreads(2, 0.5)
    failed = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            time.sleep(0.7)
            failed.set()
            raise ZeroDivisionError
        if number == 3:
            failed.wait(20)
            time.sleep(0.05)  # until its thread has told of it
        else:
            time.sleep(0.3)
        return number

    first, *others = threads.map(work, range(5))
    assert isinstance(first, TimeoutError)
    assert others == [1, 2, 3, 4]


@pytest.mark.timeout(30)
def test_many_late_ones_are_noticed_though_some_work_ends_all_the_time() -> None:
    threads = PatientThreads(8, 0.5)
    lock = threading.Lock()

    def work(number: int) -> int:
        with lock:
            time.sleep(0.2)
        return number

    start = time.monotonic()
    found = threads.map(work, range(8))
    assert time.monotonic() - start < 1
    late = [one for one in found if isinstance(one, TimeoutError)]
    assert len(late) == threads.stuck > 3


@pytest.mark.timeout(30)
def test_a_thread_that_cannot_even_begin_is_no_reason_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a process without memory: whoever waits must hear of it."""

    def refuse() -> None:
        raise MemoryError

    threads = PatientThreads(2, 5)
    monkeypatch.setattr("worker.patience.start_watch", refuse)
    with pytest.raises(MemoryError):
        threads.map(lambda number: number, range(4))


def test_where_no_second_thread_can_be_had_the_first_does_not_go_on_unwatched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = PatientThreads(2, 5)
    begun, may_end = [], threading.Event()
    submit = threads._pool.submit

    def submit_once(work: Callable[[], None]) -> None:
        monkeypatch.setattr(threads._pool, "submit", refuse)
        submit(work)

    def refuse(_work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    def work(number: int) -> None:
        begun.append(number)
        may_end.wait(20)

    monkeypatch.setattr(threads._pool, "submit", submit_once)
    with pytest.raises(RuntimeError, match="new thread"):
        threads.map(work, range(10))
    may_end.set()
    threads._pool.shutdown(wait=True)
    assert begun in ([], [0])


def test_an_error_of_the_work_itself_is_raised() -> None:
    def work(_: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        PatientThreads(2, 5).map(work, [1, 2])


def test_memory_and_other_errors_are_tried_again_and_permanent_ones_are_not() -> None:
    assert describe(PermanentError("broken", "undecodable")) == ("undecodable", "broken")
    assert describe(TransientError("away")) == (None, "away")
    code, reason = describe(MemoryError())
    assert code is None
    assert "HANGTAG_CHILD_MEMORY_MB" in reason
    assert describe(ValueError("odd")) == (None, "ValueError: odd")


def test_a_reason_is_text_that_postgresql_takes() -> None:
    assert one_line("a\0b\nc\ud800d\x1b[31m") == "a b c d [31m"
    assert len(one_line("x" * 10_000)) == 1001


@pytest.mark.timeout(30)
def test_after_a_round_that_failed_nobody_waits_behind_what_it_left(hold: threading.Event) -> None:
    """A time limit's signal is raised where the round is watched; its threads hear nothing."""
    threads = PatientThreads(1, 20)

    def hang(_: int) -> None:
        with ONE_LARGE.turn():
            os.kill(os.getpid(), signal.SIGUSR1)
            hold.wait(20)

    def take_a_turn(number: int) -> int:
        with ONE_LARGE.turn():
            return number

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            threads.map(hang, [1])
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert threads.stuck == 1
    assert threads.map(take_a_turn, [7]) == [7]
    hold.set()
