"""Labelled data sets before they are decoded: a row a picture, with its file and its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from errors import PermanentError
from models.labels import ATTRIBUTES
from models.pictures import MAX_BYTES, read_bytes

#: The label of an attribute that nobody named for a picture.
UNKNOWN = ""
#: Files are handed to so many threads, so many at a time.
THREADS = 2
CHUNK = 256
#: A picture's file: its bytes, or where it lies.
File = bytes | Path | None
Progress = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """What an importer found: one entry a picture, in the data set's order.

    `labels` has the attributes that the data set knows, `UNKNOWN` where a row lacks one;
    `year` (0: not known) is empty in a data set without years; `test` says which rows the data
    set's authors set aside, empty where they did not; `dropped` counts the rows left out so far.
    """

    ids: Sequence[str]
    files: Sequence[File]
    labels: Mapping[str, Sequence[str]]
    year: Sequence[int] = ()
    test: Sequence[bool] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    def take(self, rows: Sequence[int]) -> Rows:
        """Return some of the rows, by position."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            files=[self.files[row] for row in rows],
            labels={a: [names[row] for row in rows] for a, names in self.labels.items()},
            year=[self.year[row] for row in rows] if self.year else (),
            test=[self.test[row] for row in rows] if self.test else (),
        )

    def labelled(self) -> Rows:
        """Return the rows that have their labels; count the others as `missing_label`.

        Every label is needed in a data set that knows all seven attributes, the article type
        alone in any other.
        """
        needed = ATTRIBUTES if set(self.labels) >= set(ATTRIBUTES) else ("article_type",)
        rows = [r for r in range(len(self.ids)) if all(self.labels[a][r] for a in needed)]
        known = self if len(rows) == len(self.ids) else self.take(rows)
        missing = {"missing_label": len(self.ids) - len(rows)}
        return replace(known, dropped={**self.dropped, **missing})

    def all_labels(self) -> dict[str, NDArray[np.str_]]:
        """Labels (N,) of all seven attributes, `UNKNOWN` for those the data set does not have."""
        nothing = [UNKNOWN] * len(self.ids)
        return {a: np.array(self.labels.get(a, nothing), dtype=str) for a in ATTRIBUTES}


def read_file(file: File, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a file's bytes, one more than allowed at most; none of a file that is None.

    Raises PermanentError with code `not_found` or `unreadable`.
    """
    return read_bytes(file, max_bytes) if isinstance(file, Path) else file or b""


def each_file(
    files: Sequence[File], work: Callable[[bytes], T], progress: Progress | None = None
) -> Iterator[T | PermanentError]:
    """Yield what `work` makes of each file's bytes, in order, or why it could not.

    `work` runs in threads; the files of one chunk are in memory at a time.
    """

    def attempt(file: File) -> T | PermanentError:
        try:
            return work(read_file(file))
        except PermanentError as error:
            return error

    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(files), CHUNK):
            if progress:
                progress(start, len(files))
            yield from threads.map(attempt, files[start : start + CHUNK])
    if progress:
        progress(len(files), len(files))
