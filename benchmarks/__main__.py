"""`./run bench PART [OPTIONS]`: measure, and say what came out.

Each part is a module with `add_options(parser)` and `run(options)`, which ends in
`benchmarks.report.finish`.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from types import ModuleType

from errors import HangtagError

#: A part, and what it tells.
PARTS = {
    "pipeline": "uploads a second from submit to published, beside the limit and the peers",
    "latency": "milliseconds from submit to published, idle, loaded, and during a backfill",
    "similarity": "nearest neighbours by SQL: recall, time, inserts, beside hnswlib and FAISS",
    "scaling": "what a day of uploads needs, simulated from what pipeline and similarity found",
    "model": "the network alone, decoding alone, and the memory of a worker process",
    "peers": "the workers that people write first, alone",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts that the command line names."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    options = make_parser().parse_args(arguments)
    try:
        for name in PARTS if options.part == "all" else [options.part]:
            module(name).run(options)
    except HangtagError as error:
        sys.exit(f"bench: {error}")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser: options of all parts, so that `all` takes any of them."""
    parser = argparse.ArgumentParser(
        prog="./run bench",
        description="Measure; the last line of each part is its figures as JSON.",
        epilog="\n".join(f"  {name:<11} {tells}" for name, tells in PARTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="?", default="all", choices=[*PARTS, "all"])
    parser.add_argument(
        "--quick", action="store_true", help="less of all, to see that it runs; no figures to keep"
    )
    for name in PARTS:
        module(name).add_options(parser.add_argument_group(f"of {name}"))
    return parser


def module(part: str) -> ModuleType:
    """Import a part."""
    return importlib.import_module(f"benchmarks.{part}")


if __name__ == "__main__":
    main()
