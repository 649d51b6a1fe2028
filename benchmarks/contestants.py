"""What is measured side by side: ways to tag the same pictures, in turns within one run."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Protocol

from benchmarks.installation import (
    Installation,
    new_source,
    wait_for_previews,
    wait_for_the_end,
    wait_for_the_index,
)
from benchmarks.report import median, note
from models.pictures import decode, read_bytes
from models.predictor import Predictor
from models.transforms import Pixels, to_pixels
from worker.client import BACKFILL_PRIORITY
from worker.settings import WorkerSettings


class Contestant(Protocol):
    """One way to tag pictures; `share` of the usual number of pictures it is given."""

    name: str
    share: float

    def run(self, pictures: Sequence[Path]) -> float:
        """Tag them all; return the seconds it took."""

    def close(self) -> None:
        """End what it started."""


#: Pictures a second, in each of the rounds, by contestant.
Rates = dict[str, list[float]]


def take_turns(
    contestants: Sequence[Contestant], pictures: Sequence[Path], count: int, rounds: int
) -> Rates:
    """Let each tag `count` pictures (times its share) in each round, after one that is not counted.

    Every other round goes backwards, so that a machine that gets slower favours nobody.
    """
    rates: Rates = {one.name: [] for one in contestants}
    for one in contestants:
        one.run(cycle(pictures, max(1, round(count * one.share / 4))))
    for number in range(rounds):
        for one in contestants if number % 2 == 0 else reversed(contestants):
            mine = max(1, round(count * one.share))
            rate = mine / one.run(cycle(pictures, mine, number * mine))
            rates[one.name].append(rate)
            note(f"round {number + 1} of {rounds}: {one.name} {rate:.1f}/s")
    return rates


def cycle(pictures: Sequence[Path], count: int, start: int = 0) -> list[Path]:
    """Return `count` pictures from a place on, from the first again after the last."""
    return [pictures[(start + n) % len(pictures)] for n in range(count)]


def ratio(rates: Rates, name: str, beside: str) -> float:
    """Return the median over the rounds of one contestant's rate divided by another's."""
    return median([mine / other for mine, other in zip(rates[name], rates[beside], strict=True)])


class Submission:
    """The installation: from `submit` to the last published tag. `way` says how rows come in.

    `bulk`: one call. `single`: one call a row, as fast as they go. `backfill`: one call, in the
    backfill lane.
    """

    share = 1.0

    def __init__(self, site: Installation, way: str) -> None:
        self.name = way
        self._client = site.client()
        self._connection = site.connect()

    def run(self, pictures: Sequence[Path]) -> float:
        """Hand them in and wait for the last tag; return the seconds.

        What operators will see is drawn after that, and vectors go to the index: both are waited
        for, so that whoever is next has the machine for itself, and not counted.
        """
        source, uris = new_source(), [path.as_uri() for path in pictures]
        names = [str(number) for number in range(len(uris))]
        started = time.perf_counter()
        if self.name == "single":
            for uri, name in zip(uris, names, strict=True):
                self._client.submit(uri, source, name)
        else:
            priority = BACKFILL_PRIORITY if self.name == "backfill" else 0
            self._client.submit_many(uris, source, names, priority)
        wait_for_the_end(self._connection)
        seconds = time.perf_counter() - started
        wait_for_previews(self._connection)
        wait_for_the_index(self._connection)
        return seconds

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
        self._connection.close()


#: Pictures that the bare loop loads and predicts together; more, or fewer, make it no faster.
_AT_ONCE = 64


class BareLoop:
    """The limit: read, decode and predict, in as many processes as the installation has.

    The same predictor and threads as a worker's; no queue, no database, no routing.
    """

    name = "limit"
    share = 1.0

    def __init__(self, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        self._processes = []
        for _ in range(processes):
            here, there = context.Pipe()
            process = context.Process(target=_loop, args=(there,), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def run(self, pictures: Sequence[Path]) -> float:
        """Share the pictures out; return the seconds until the last process is done."""
        started = time.perf_counter()
        for number, pipe in enumerate(self._pipes):
            pipe.send(list(pictures[number :: len(self._pipes)]))
        for pipe in self._pipes:
            pipe.recv()
        return time.perf_counter() - started

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.close()
            process.join()


def _loop(pipe: Pipe) -> None:
    """Tag each list of pictures that comes, until the other side closes."""
    settings = WorkerSettings()
    predictor = Predictor.load(None, settings.inference_threads)
    card = predictor.card

    def load(path: Path) -> Pixels:
        picture = decode(read_bytes(path), min(card.height, card.width), settings.limits)
        return to_pixels(picture, card.height, card.width)

    with ThreadPoolExecutor(settings.decode_threads) as threads:
        while True:
            try:
                paths = pipe.recv()
            except EOFError:
                return
            for start in range(0, len(paths), _AT_ONCE):
                batch = paths[start : start + _AT_ONCE]
                predictor.predict(list(threads.map(load, batch)))
            pipe.send(len(paths))
