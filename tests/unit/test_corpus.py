"""The corpus of bad input: the decoder, the store and `hangtag predict` on all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from errors import PermanentError
from models.pictures import decode
from tests.conftest import ROOT
from tests.inputs.case import GOOD
from tests.inputs.corpus import Input, cases, write
from tests.unit.drawn import CORNERS, MARKS
from worker.storage import PICTURE_SUFFIXES, PictureStore

pytestmark = MARKS
#: The dearest picture that is allowed takes one or two; a machine may be busy.
MOST_SECONDS = 20


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Input]:
    """Write the corpus."""
    return write(tmp_path_factory.mktemp("corpus"))


def test_the_decoder_gives_each_file_its_code_or_a_picture() -> None:
    wrong = {}
    for case in cases():
        start = time.monotonic()
        try:
            picture = decode(case.data, 120)
            found = GOOD if picture.mode == "RGB" else picture.mode
        except PermanentError as error:
            found = error.code
        if found != case.outcome or time.monotonic() - start > MOST_SECONDS:
            wrong[case.name] = (found, time.monotonic() - start)
    assert wrong == {}


def test_all_orientations_show_the_same_picture() -> None:
    by_format = defaultdict(list)
    for case in cases():
        if case.kind == "orientation":
            by_format[case.name.rsplit(b".", 1)[1]].append(decode(case.data, 40))
    assert len(by_format) == 6
    for pictures in by_format.values():
        assert {picture.size for picture in pictures} == {(60, 40)}
        for pixels in map(np.asarray, pictures):
            corners = [pixels[y, x].astype(int) for y in (10, 30) for x in (15, 45)]
            assert np.abs(np.subtract(corners, CORNERS)).max() <= 12


def test_the_store_gives_each_uri_its_code_or_bytes(inputs: list[Input], tmp_path: Path) -> None:
    """What is wrong with the bytes themselves is the decoder's matter."""
    folder = next(i.path for i in inputs if i.path is not None).parents[1]
    store = PictureStore(tmp_path / "store", roots=[folder])
    wrong = {}
    for one in inputs:
        try:
            store.read(one.uri)
            found = GOOD
        except PermanentError as error:
            found = error.code
        about_bytes = one.by_uri in ("undecodable", "too_large") and found == GOOD
        if found != one.by_uri and not about_bytes:
            wrong[one.uri] = found
    assert wrong == {}


def test_predict_gives_a_line_for_each_file_and_goes_on(inputs: list[Input]) -> None:
    """One process over the folder, and over files whose suffix names no picture."""
    expected = {os.fsencode(i.path): i.by_path for i in inputs if i.path is not None}
    folder = next(i.path for i in inputs if i.path is not None).parents[1]
    unseen = folder / "deep" / "stdin"  # what no suffix or no row of the corpus names
    unseen.write_bytes(b"text")
    (folder / "link-stdin.jpg").unlink(missing_ok=True)
    expected[os.fsencode(unseen)] = "undecodable"
    gone = folder / ("gone" * 500)
    expected[os.fsencode(gone)] = "not_found"
    named = [
        p for p in map(os.fsdecode, expected) if Path(p).suffix.lower() not in PICTURE_SUFFIXES
    ]
    hidden = [p for p in map(os.fsdecode, expected) if Path(p).name.startswith(".")]
    done = subprocess.run(
        [sys.executable, "-m", "worker", "predict", "--jsonl", "--", str(folder), *named, *hidden],
        capture_output=True,
        cwd=ROOT,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # some have no answer
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = {os.fsencode(row["path"]): row.get("code", GOOD) for row in rows}
    assert found == expected
    assert len(rows) == len(expected)
    assert all("article_type" in row or row["error"] for row in rows)


def test_the_short_table_has_a_line_a_file_whatever_its_name(inputs: list[Input]) -> None:
    odd = [i for i in inputs if i.path is not None and i.path.suffix.lower() == ".jpg"]
    names = [
        str(i.path) for i in odd if b"\n" in os.fsencode(i.path) or b"\xe4" in os.fsencode(i.path)
    ]
    assert len(names) == 2
    done = subprocess.run(
        [sys.executable, "-m", "worker", "predict", "--", *names],
        capture_output=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert b"new\\nline\\ttab.jpg" in done.stdout
    assert b"latin-1 \xe4\xff.jpg" in done.stdout
