"""An upload that only a message knows is kept, whatever becomes of database and broker."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.conftest import SAMPLES, wait_until
from tests.faults.producers import SOURCE
from tests.faults.site import LEASE_SECONDS, Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, workers=1)
    made.start()
    yield made
    made.stop()


def send(site: Site, name: str) -> None:
    uri = site.put(SAMPLES / "polo_green.jpg")
    with Celery(broker=site.broker_url) as app:
        app.send_task("hangtag.ingest", args=[uri, SOURCE, name], queue="ingest")


def is_tagged(site: Site, name: str) -> bool:
    with site.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT status IN ('tagged', 'review') FROM hangtag_data.uploads "
            "WHERE external_id = %s",
            (name,),
        )
        return cursor.fetchone() == (True,)


def test_a_database_that_never_answers_costs_no_message(site: Site) -> None:
    """The time limit ends the task: its message must come again."""
    send(site, "before")
    wait_until(lambda: is_tagged(site, "before"), what="a tag")
    site.database.hold()
    send(site, "silent")
    time.sleep(LEASE_SECONDS + 4)
    site.database.release()
    wait_until(lambda: is_tagged(site, "silent"), what="the upload", seconds=60)


def test_a_lock_that_is_held_for_long_costs_no_message(site: Site) -> None:
    """Another producer's transaction has the same upload, and does not end for long."""
    with site.connect() as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT hangtag.submit_upload('file:///gone.jpg', %s, 'locked')", (SOURCE,))
        send(site, "locked")
        time.sleep(LEASE_SECONDS + 2)
        cursor.execute("ROLLBACK")
    wait_until(lambda: is_tagged(site, "locked"), what="the upload", seconds=60)


def test_a_full_broker_and_no_database_cost_no_message(site: Site) -> None:
    """The message cannot be put off: the broker takes none."""
    send(site, "before")
    wait_until(lambda: is_tagged(site, "before"), what="a tag")
    site.database.hold()
    send(site, "full")
    wait_until(lambda: site.redis().hlen("unacked") > 0, what="the message")
    site.redis().config_set("maxmemory", 1)
    process = site.postgres.process
    assert process is not None
    process.send_signal(signal.SIGQUIT)
    process.wait(30)
    site.database.release()
    time.sleep(4)
    site.redis().config_set("maxmemory", 0)
    site.postgres.launch()
    wait_until(lambda: is_tagged(site, "full"), what="the upload", seconds=90)
