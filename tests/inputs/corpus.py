"""`python -m tests.inputs.corpus FOLDER`: write the corpus, print what is in it."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tests.inputs.case import GOOD, Case
from tests.inputs.damaged import bombs, damaged
from tests.inputs.odd import healthy, odd
from tests.inputs.places import place, uris


@dataclass(frozen=True)
class Input:
    """One input as it is handed in; `by_path` is None where only a URI names it."""

    uri: str
    path: Path | None
    by_uri: str
    by_path: str | None


def cases() -> Iterator[Case]:
    """List all files by their content."""
    return chain(damaged(), bombs(), odd(), healthy())


def write(folder: Path) -> list[Input]:
    """Write all of it below a folder (`in` is allowed, `outside` is not) and list it."""
    inside, outside = folder / "in", folder / "outside"
    (inside / "files").mkdir(parents=True)
    outside.mkdir()
    inputs = []
    for case in cases():
        path = Path(os.fsdecode(os.fsencode(inside / "files") + b"/" + case.name))
        path.write_bytes(case.data)
        inputs.append(Input(path.as_uri(), path, case.outcome, case.outcome))
    picture = next(healthy()).data
    for one in place(inside, outside, picture):
        inputs.append(Input(one.path.as_uri(), one.path, one.by_uri, one.by_path))
    for uri, outcome in uris(inside, outside).items():
        inputs.append(Input(uri, None, outcome, None))
    return inputs


def main() -> None:
    """Write the corpus; print how many inputs of each outcome and kind there are, as JSON."""
    inputs = write(Path(sys.argv[1]))
    kinds = Counter(case.kind for case in cases())
    kinds["link, pipe, device"] = sum(i.path is not None for i in inputs) - kinds.total()
    kinds["URI"] = sum(i.path is None for i in inputs)
    outcomes = Counter(one.by_uri for one in inputs)
    bad = len(inputs) - outcomes[GOOD]
    print(json.dumps({"inputs": len(inputs), "bad": bad, "outcomes": outcomes, "kinds": kinds}))


if __name__ == "__main__":
    main()
