"""What each part leaves behind: a table, JSON and a plot in `results/`, and figures in a last line.

Figures of one run are comparable with each other, and with those of another machine only as
ratios; cores and processor are written beside them.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
#: Overwritten by each run and not in git; what is to stay is copied into `results/kept/`.
RESULTS = ROOT / "benchmarks" / "results"


def finish(
    part: str,
    figures: dict[str, object],
    rows: list[dict[str, object]],
    plot: Callable[[Axes], None] | None = None,
) -> None:
    """Print the rows as a table and the figures as one JSON line; write both, and the plot.

    They go to `results/<part>.json` and `results/<part>.png`.
    """
    machine = machine_facts()
    RESULTS.mkdir(parents=True, exist_ok=True)
    whole = {
        "part": part,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine,
        "figures": figures,
        "rows": rows,
    }
    (RESULTS / f"{part}.json").write_text(json.dumps(whole, indent=1, default=str) + "\n")
    if plot is not None:
        draw(plot, RESULTS / f"{part}.png", f"{machine['cores']} cores, {machine['processor']}")
    print(f"{part}: {machine['cores']} cores, {machine['processor']}\n")
    print(table(rows), end="\n\n")
    print(json.dumps({"part": part, **machine, **figures}, default=str), flush=True)


def machine_facts() -> dict[str, object]:
    """Return the cores this process may use, and the processor's name."""
    return {"cores": cores(), "processor": processor()}


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Return the processor's name, with the matrix instructions that networks run on."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.partition(":")[::2] for line in text.split("\n\n")[0].splitlines())
    known = {name.strip(): value.strip() for name, value in facts.items()}
    name = known.get("model name", platform.machine())
    flags = known.get("flags", "").split()
    extras = [flag for flag in ("avx2", "avx512f", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(extras)})" if extras else name


def commit() -> str | None:
    """Return the commit that is measured, with a + where files were changed; None without git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],  # noqa: S607 (on PATH)
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def table(rows: Sequence[dict[str, object]]) -> str:
    """Lay rows out in columns; a row need not have all of them."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return "(no rows)"
    cells = [columns, *([shown(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    numeric = [
        all(isinstance(row.get(name), int | float | None) for row in rows) for name in columns
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def shown(value: object) -> str:
    """Return a cell's text: three significant digits, and nothing for what was not measured."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def draw(plot: Callable[[Axes], None], file: Path, footnote: str) -> None:
    """Let `plot` draw into an empty picture of 1,200 × 750 pixels, and write it."""
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    plot(figure.subplots())
    figure.text(0.99, 0.01, footnote, ha="right", va="bottom", fontsize=6, color="grey")
    figure.savefig(file)


def note(line: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"{dt.datetime.now().astimezone():%H:%M:%S} {line}", file=sys.stderr, flush=True)


def rounded(value: float, digits: int = 3) -> float:
    """Round to significant digits: what is left out is noise."""
    return float(f"{value:.{digits}g}")


def median(values: Sequence[float]) -> float:
    """Return the median, rounded; of ratios within each repeat where a ratio is meant."""
    return rounded(statistics.median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of the values do not exceed.

    Raises ValueError where there are none.
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    place = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(place) - 1)]
