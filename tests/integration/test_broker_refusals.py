"""A broker that answers with errors is waited for, as one that does not answer is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest
import redis

from tests.conftest import run_sql, wait_until
from worker.client import Client
from worker.settings import WorkerSettings

Start = Callable[..., "subprocess.Popen[bytes]"]

REFUSALS = {"a full one": ("maxmemory", 1), "one without a replica": ("min-replicas-to-write", 1)}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("is_started_before", [True, False])
def test_a_worker_outlives_its_refusals(
    settings: WorkerSettings,
    server: redis.Redis,
    start: Start,
    refusal: tuple[str, int],
    is_started_before: bool,
) -> None:
    """Whether they come while it runs, or when it starts."""
    client = Client(settings.require_url(), settings.require_broker(), settings.require_store())
    workers = [start("worker")] if is_started_before else []
    if workers:
        time.sleep(3)
    name, value = refusal
    server.config_set(name, value)
    try:
        workers = workers or [start("worker")]
        time.sleep(4)
    finally:
        server.config_set(name, 0)
    assert workers[0].poll() is None
    client.submit("file:///gone.jpg", "test")
    client.close()
    wait_until(
        lambda: (
            run_sql(settings.require_url(), "SELECT status FROM hangtag.upload_status")
            == [("dead",)]
        ),
        what="the upload",
    )
