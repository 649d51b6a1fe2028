"""The workers that people write first, on the installation's own PostgreSQL and broker.

`torch` and `onnx`: a Celery task a picture that decodes in full, predicts alone and commits a row
(`benchmarks.first_worker`). `http`: the same, but the model is behind a server that is asked once
a picture (`benchmarks.model_server`).
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psycopg2.extras
from celery import Celery
from matplotlib.axes import Axes

from benchmarks import pictures, report
from benchmarks.contestants import BareLoop, Contestant, Rates, ratio, take_turns
from benchmarks.first_worker import KIND, ONNX, SERVER
from benchmarks.installation import Installation, count, run_sql
from benchmarks.model_server import THREADS
from db.embedded import spawn, stop_process
from errors import HangtagError
from models.card import Card, version_folder

START_SECONDS = 180.0
#: A worker that writes nothing for so long is broken; the first picture waits for torch.
STALL_SECONDS = 120.0
NAMES = {"torch": "first-written, torch", "onnx": "first-written, ONNX", "http": "model server"}
#: Two sizes are enough to see what decoding in full costs.
SIZES = ("1080", "12mp")
COUNTS = {"1080": 900, "12mp": 240}

_TABLE = """
    DROP SCHEMA IF EXISTS first CASCADE;
    CREATE SCHEMA first;
    CREATE TABLE first.photos (
        id integer PRIMARY KEY, path text NOT NULL, done boolean NOT NULL DEFAULT false,
        tags jsonb, embedding halfvec(256)
    );
    CREATE INDEX ON first.photos USING hnsw (embedding halfvec_cosine_ops);
"""


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add nothing: the options are those of `pipeline`."""


def run(options: argparse.Namespace) -> None:
    """Measure the peers beside the bare loop, with one process a core."""
    rows: list[dict[str, object]] = []
    figures: dict[str, object] = {}
    sizes, rounds, scale = (("1080",), 1, 0.1) if options.quick else (SIZES, 3, 1.0)
    with tempfile.TemporaryDirectory(prefix="hangtag-bench-") as name:
        folder = Path(name)
        made = {
            size: pictures.make_pictures(options.images, folder, pictures.SIZES[size], 48)
            for size in sizes
        }
        with Installation(folder / "site", 1) as site:
            peers = start_peers(site, folder, report.cores())
            limit = BareLoop(report.cores())
            for size in sizes:
                number = max(8, round(COUNTS[size] * scale))
                rates = take_turns([limit, *peers], made[size], number, rounds)
                rows += rate_rows(size, report.cores(), rates)
                figures |= {
                    f"ratio_limit_{one.kind}_{size}": ratio(rates, one.name, "limit")
                    for one in peers
                }
            close_all([limit, *peers])

    def plot(axes: Axes) -> None:
        plot_rates(axes, rows)

    report.finish("peers", figures, rows, plot)


def rate_rows(size: str, processes: int, rates: Rates) -> list[dict[str, object]]:
    """Return a row a contestant: its rate, and its share of the limit's."""
    return [
        {
            "pictures": size,
            "processes": processes,
            "way": name,
            "per_second": report.median(values),
            "spread": report.rounded((max(values) - min(values)) / report.median(values), 2),
            "of_the_limit": ratio(rates, name, "limit"),
        }
        for name, values in rates.items()
    ]


def plot_rates(axes: Axes, rows: Sequence[dict[str, object]]) -> None:
    """Draw a bar a row, in groups of one kind of picture."""
    labels = [f"{row['pictures']}, {row['processes']} × {row['way']}" for row in rows]
    values = [float(str(row["per_second"])) for row in rows]
    kinds = list(dict.fromkeys(row["pictures"] for row in rows))
    axes.barh(labels, values, color=[f"C{kinds.index(row['pictures'])}" for row in rows])
    axes.bar_label(axes.containers[0], fmt="%.0f", padding=2, fontsize=7)  # type: ignore[arg-type]
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("pictures a second")


class Peer:
    """A Celery worker of `processes` processes that tags a picture a task."""

    #: It is slow; a smaller number of pictures takes about as long as the others'.
    share = 0.15

    def __init__(
        self, site: Installation, folder: Path, kind: str, processes: int, more: dict[str, str]
    ) -> None:
        self.kind = kind
        self.name = NAMES[kind]
        self._connection = site.connect()
        env = {**site.environment, **more, KIND: kind, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.first_worker", "worker"]
        options = [f"--concurrency={processes}", f"--queues={kind}", f"--hostname={kind}@%h"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        self._log = folder / f"{kind}.log"
        self._process = spawn([*command, *options, *quiet], self._log, env=env)
        self._app = Celery("first", broker=site.broker_url)

    def run(self, files: Sequence[Path]) -> float:
        """Insert a row and send a task each; return the seconds until all are written."""
        run_sql(self._connection, "TRUNCATE first.photos")
        started = time.perf_counter()
        with self._connection.cursor() as cursor:
            psycopg2.extras.execute_values(
                cursor,
                "INSERT INTO first.photos (id, path) VALUES %s",
                [(number, str(file)) for number, file in enumerate(files)],
            )
        with self._app.producer_pool.acquire(block=True) as producer:
            for number, file in enumerate(files):
                self._app.send_task(
                    "first.tag", args=[number, str(file)], queue=self.kind, producer=producer
                )
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        """Wait until all rows are written. Raises HangtagError with the log where they are not."""
        left, moved = -1, time.monotonic()
        while found := count(self._connection, "SELECT count(*) FROM first.photos WHERE NOT done"):
            if found != left:
                left, moved = found, time.monotonic()
            elif time.monotonic() - moved > STALL_SECONDS or self._process.poll() is not None:
                end = self._log.read_text(errors="replace")[-2000:]
                raise HangtagError(f"{self.name} does not go on:\n{end}")
            time.sleep(0.01)

    def close(self) -> None:
        """End the worker."""
        stop_process(self._process, signal.SIGTERM, seconds=30)
        self._connection.close()


class ServedPeer(Peer):
    """The same with a model server of its own."""

    def __init__(self, site: Installation, folder: Path, processes: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        env = {**site.environment, THREADS: str(processes)}
        command = [sys.executable, "-m", "uvicorn", "benchmarks.model_server:app"]
        options = ["--port", str(port), "--log-level", "warning"]
        self._server = spawn([*command, *options], folder / "server.log", env=env)
        wait_for_server(f"{address}/docs", self._server)
        super().__init__(site, folder, "http", processes, {SERVER: f"{address}/predict"})

    def close(self) -> None:
        """End the worker, then its server."""
        super().close()
        stop_process(self._server, signal.SIGTERM, seconds=30)


def wait_for_server(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers. Raises HangtagError where it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 (our own address)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise HangtagError("the model server did not start; see server.log")


def start_peers(site: Installation, folder: Path, processes: int) -> list[Peer]:
    """Start all of them, each with so many processes."""
    run_sql(site.connect(), _TABLE)
    file = folder / "network.onnx"
    export_onnx(file)
    return [
        Peer(site, folder, "torch", processes, {}),
        Peer(site, folder, "onnx", processes, {ONNX: str(file)}),
        ServedPeer(site, folder, processes),
    ]


def close_all(contestants: Sequence[Contestant]) -> None:
    """End what contestants started."""
    for one in contestants:
        one.close()


def export_onnx(file: Path) -> None:
    """Write the default version's network as ONNX, for any batch size."""
    import torch

    from models.network import load_network

    folder = version_folder(None)
    card = Card.load(folder)
    network = load_network(folder)
    pixels = torch.from_numpy(np.zeros((1, card.height, card.width, 3), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is the old one
        torch.onnx.export(
            network,
            (pixels,),
            os.fspath(file),
            input_names=["pixels"],
            output_names=list(network.names),
            dynamic_axes={"pixels": {0: "pictures"}},
            dynamo=False,
        )
