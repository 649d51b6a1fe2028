"""The corpus of bad input handed in to a real worker."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import run_sql, wait_until
from tests.inputs.case import GOOD
from tests.inputs.corpus import write
from worker.client import Client
from worker.settings import WorkerSettings

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.mark.timeout(600)
def test_each_input_ends_with_its_code_and_no_child_is_lost(
    settings: WorkerSettings, start: Start, tmp_path: Path
) -> None:
    """Every bad input is dead by its code at the first attempt, every neighbour is tagged."""
    inputs = write(tmp_path / "corpus")
    url = settings.require_url()
    worker = start("worker", HANGTAG_FILE_ROOTS=str(tmp_path / "corpus" / "in"))
    start("reaper")
    client = Client(url, settings.require_broker(), settings.require_store())
    client.submit("file:///etc/passwd", "corpus", "before")
    done = "SELECT count(*) FROM hangtag_data.uploads WHERE status = 'dead'"
    wait_until(lambda: run_sql(url, done) == [(1,)], what="a first upload")
    children = {child.pid for child in psutil.Process(worker.pid).children()}
    assert len(children) == 1
    client.submit_many([i.uri for i in inputs], "corpus", [str(n) for n in range(len(inputs))])
    query = "SELECT count(*) FROM hangtag_data.uploads WHERE status IN ('pending', 'processing')"
    wait_until(lambda: run_sql(url, query) == [(0,)], 400, "the end of all uploads")
    rows = run_sql(
        url,
        "SELECT external_id, status, error_code, attempt, error FROM hangtag_data.uploads "
        "WHERE external_id <> 'before'",
    )
    wrong = []
    for number, status, code, attempt, error in rows:
        one = inputs[int(str(number))]
        found = GOOD if status in ("tagged", "review") else code
        if found != one.by_uri or attempt != 1 or (status == "dead") != bool(error):
            wrong.append((one.uri, one.by_uri, status, code, attempt, error))
    assert wrong == []
    assert len(rows) == len(inputs)
    assert {child.pid for child in psutil.Process(worker.pid).children()} == children
    vectors = run_sql(url, "SELECT count(*) FROM hangtag.image_embeddings")
    assert vectors == [(sum(one.by_uri == GOOD for one in inputs),)]
