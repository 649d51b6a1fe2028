"""The network and the decoder alone, and what a worker process takes of the memory."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmarks import pictures, report
from benchmarks.contestants import Submission
from benchmarks.first_worker import decode_in_full
from benchmarks.installation import Installation
from benchmarks.report import median, note, rounded
from models.backends import OpenVinoBackend
from models.card import Card, version_folder
from models.pictures import decode
from models.predictor import Predictor
from models.transforms import to_pixels

BATCHES = (1, 8, 32)
SEED = 5


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add nothing: the options are those of `pipeline`."""


def run(options: argparse.Namespace) -> None:
    """Measure the forward pass, decoding, and memory."""
    repeats, number = (1, 2) if options.quick else (9, 8)
    with tempfile.TemporaryDirectory(prefix="hangtag-bench-") as name:
        folder = Path(name)
        note("making pictures")
        made = {
            size.name: pictures.make_pictures(options.images, folder / "pictures", size, number)
            for size in pictures.SIZES.values()
        }
        network = [row for precision in precisions() for row in network_rows(precision, repeats)]
        decoding = [decoding_row(size, files, repeats) for size, files in made.items()]
        note("memory")
        with Installation(folder / "site", 2, folder / "pictures") as site:
            bulk = Submission(site, "bulk")
            for files in made.values():
                bulk.run(files * repeats * 2)
            memory = [own_share(process.pid) for process in site.worker_processes()]
            bulk.close()
    figures: dict[str, object] = {
        "precision": network[0]["precision"],
        **{name_of(row, network[0]): row["per_second"] for row in network},
        **{f"decode_ms_{row['pictures']}": row["decode_ms"] for row in decoding},
        "worker_memory_mb": rounded(max(memory)),
    }
    rows = [*network, *decoding, *({"process": "worker", "own_share_mb": mb} for mb in memory)]

    def plot(axes: Axes) -> None:
        for number, name in enumerate(("decode_ms", "resize_ms", "in_full_ms")):
            places = [place + 0.27 * number for place in range(len(decoding))]
            axes.bar(places, [float(str(row[name])) for row in decoding], 0.25, label=name)
        axes.set_xticks(range(len(decoding)), [str(row["pictures"]) for row in decoding])
        axes.set(ylabel="ms a picture", yscale="log")
        axes.legend()

    report.finish("model", figures, rows, plot)


def precisions() -> list[str]:
    """Return the arithmetic that the version is served in, and fp32 where that is another one."""
    card = Card.load(version_folder(None))
    return list(dict.fromkeys([OpenVinoBackend.of(card).precision, "f32"]))


def name_of(row: dict[str, object], served: dict[str, object]) -> str:
    """Return what a row's figure is called; what is not served says its precision."""
    name = f"pictures_per_second_at_{row['batch']}"
    precision = row["precision"]
    return name if precision == served["precision"] else f"{name}_{precision}"


def network_rows(precision: str, repeats: int) -> list[dict[str, object]]:
    """Measure pictures a second at each batch size: the network, and all of `predict`."""
    card = replace(Card.load(version_folder(None)), precision=precision)
    backend = OpenVinoBackend.of(card, threads=1)
    predictor = Predictor(card, backend)
    rng = np.random.default_rng(SEED)
    rows: list[dict[str, object]] = []
    for batch in BATCHES:
        pixels = rng.integers(0, 256, (batch, card.height, card.width, 3), dtype=np.uint8)
        forward = seconds_of(lambda pixels=pixels: backend.infer(pixels), repeats)  # type: ignore[misc]
        whole = seconds_of(lambda pixels=pixels: predictor.predict(list(pixels)), repeats)  # type: ignore[misc]
        rows.append(
            {
                "precision": backend.precision,
                "batch": batch,
                "per_second": rounded(batch / forward),
                "with_tags_per_second": rounded(batch / whole),
            }
        )
    return rows


def decoding_row(size: str, files: Sequence[Path], repeats: int) -> dict[str, object]:
    """Measure milliseconds a picture: decoded as the worker does, resized, and in full."""
    card = Card.load(version_folder(None))
    data = [path.read_bytes() for path in files]
    side = min(card.height, card.width)
    drawn = [decode(one, side) for one in data]
    each = 1000 / len(data)
    return {
        "pictures": size,
        "kilobytes": round(sum(map(len, data)) / len(data) / 1000),
        "decode_ms": rounded(each * seconds_of(lambda: [decode(d, side) for d in data], repeats)),
        "resize_ms": rounded(
            each
            * seconds_of(lambda: [to_pixels(d, card.height, card.width) for d in drawn], repeats)
        ),
        "in_full_ms": rounded(
            each
            * seconds_of(
                lambda: [decode_in_full(BytesIO(d), card.height, card.width) for d in data],
                repeats,
            )
        ),
    }


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """Return the median seconds that some work takes, after once that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return median(taken)


def own_share(pid: int) -> float:
    """Return a process's memory in MB (10⁶ bytes), shared pages by its share (PSS; Linux)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return rounded(int(value.split()[0]) * 1024 / 1e6)
    raise LookupError(f"/proc/{pid}/smaps_rollup names no Pss")
