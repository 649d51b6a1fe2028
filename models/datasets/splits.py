"""Splits: which pictures train, which choose and certify thresholds, which measure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from errors import UsageError

#: Shares of the splits. `select` fits temperatures and thresholds, `certify` bounds the error
#: of the chosen rule, `test` is read by `evaluate` alone.
SPLITS = {"train": 0.8, "select": 0.04, "certify": 0.08, "test": 0.08}
#: How a data set can be split. `random` keeps exact copies together, `grouped` near-duplicates
#: too; `by_year` tests on the newest years, near-duplicates together.
SPLIT_KINDS = ("random", "grouped", "by_year")
#: The split of a picture that no split may have: a copy of another author's test picture, or a
#: held-out photograph that training has seen too.
LEFT_OUT = ""


def split_of(key: str, seed: int, shares: Mapping[str, float] = SPLITS) -> str:
    """Return the split of a picture, drawn from a hash of its key.

    The key is the file's own hash: the same file twice in the data lies on one side, and rows
    added later move nothing.
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return name


def split_rows(
    group: Sequence[str] | NDArray[np.str_],
    kind: str = "random",
    seed: int = 0,
    year: Sequence[int] = (),
    test: Sequence[bool] = (),
) -> NDArray[np.str_]:
    """Return the split (N,) of each picture; one group lies in one split.

    `group` (N,) are keys from `group_duplicates`, or file hashes. Where the data set's authors
    set `test` (N,) pictures aside, these and no others are the test split; the rest of their
    groups is in no split. By year, a group is as new as its newest picture.
    Raises UsageError for a kind that is none, and for `by_year` where fewer than two years are
    known.
    """
    if kind not in SPLIT_KINDS:
        raise UsageError(f"there is no split {kind}; choose one of {', '.join(SPLIT_KINDS)}")
    keys, place = np.unique(np.asarray(group, dtype=str), return_inverse=True)
    aside = np.array(test, dtype=bool)
    if kind == "by_year":
        newest = np.zeros(len(keys), dtype=np.int64)
        np.maximum.at(newest, place, _known(year, len(group)))
        aside = newest[place] >= first_test_year(year)
    if not len(aside):
        return np.array([split_of(key, seed) for key in keys], dtype=str)[place]
    rest = {name: share / (1 - SPLITS["test"]) for name, share in SPLITS.items() if name != "test"}
    splits = np.array([split_of(key, seed, rest) for key in keys], dtype="U16")[place]
    splits[np.isin(place, place[aside])] = LEFT_OUT
    splits[aside] = "test"
    return splits


def first_test_year(year: Sequence[int]) -> int:
    """Return the year from which pictures are the test split of `by_year`.

    The newest years whose pictures come nearest to the test split's share; the oldest year
    never. 0 stands for a year that is not known: such pictures count as old.
    Raises UsageError where fewer than two years are known.
    """
    years, counts = np.unique(_known(year, len(year)), return_counts=True)
    years, counts = years[years > 0], counts[years > 0]
    if len(years) < 2:
        raise UsageError("the data know fewer than two years; choose the split random or grouped")
    shares = np.cumsum(counts[::-1]) / len(year)  # newest first; all years are farthest off
    return int(years[-1 - np.argmin(np.abs(shares - SPLITS["test"]))])


def _known(year: Sequence[int], rows: int) -> NDArray[np.int64]:
    """Return the years (N,), all 0 in a data set without any."""
    return np.array(year if len(year) else [0] * rows, dtype=np.int64)
