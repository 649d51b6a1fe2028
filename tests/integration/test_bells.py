"""Who is called by the broker, and how often."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from worker import process
from worker.app import BACKFILL, INGEST, make_app
from worker.bell import _newest, announce, ring
from worker.client import Client
from worker.settings import WorkerSettings


def test_a_broker_that_is_away_keeps_no_producer_waiting(settings: WorkerSettings) -> None:
    """Connecting by kombu's default takes six seconds, each time."""
    client = Client(settings.require_url(), "redis://127.0.0.1:1/0")
    started = time.monotonic()
    for number in range(3):
        assert client.submit("file:///a.jpg", "test", str(number)).created
    assert time.monotonic() - started < 3
    client.close()


def test_it_is_not_rung_where_enough_messages_wait(settings: WorkerSettings) -> None:
    """Thousands of rings for uploads handed in one by one would each cost a worker milliseconds."""
    with make_app(settings) as app, app.connection_for_read() as connection:
        waiting = connection.default_channel.client
        waiting.delete(INGEST, BACKFILL)
        for _ in range(3):
            assert ring(app, INGEST, 1, 64)
        assert (waiting.llen(INGEST), waiting.llen(BACKFILL)) == (1, 0)
        assert ring(app, INGEST, 200, 64)
        assert waiting.llen(INGEST) == 4
        # Another message is none: who takes it may have nothing to do with rows.
        app.send_task("hangtag.ingest", args=["file:///a", '"task": "hangtag.process"'])
        assert ring(app, INGEST, 1, 64)
        assert ring(app, INGEST, 1, 64)
        assert waiting.llen(INGEST) == 6
        waiting.delete(INGEST)


def test_a_back_catalogue_wakes_who_waits_for_the_first_lane(settings: WorkerSettings) -> None:
    """Where bells wait hardly anybody sleeps, and each upload would cost workers a bell."""
    with make_app(settings) as app, app.connection_for_read() as connection:
        waiting = connection.default_channel.client
        waiting.delete(INGEST, BACKFILL)
        for _ in range(3):
            assert announce(app, BACKFILL, 130, 64)
            assert (waiting.llen(INGEST), waiting.llen(BACKFILL)) == (1, 3)
        waiting.delete(INGEST, BACKFILL)
        assert announce(app, INGEST, 130, 64)
        assert (waiting.llen(INGEST), waiting.llen(BACKFILL)) == (3, 0)
        waiting.delete(INGEST)


def test_a_bell_is_counted_beside_somebody_who_waits_for_a_message(
    settings: WorkerSettings,
) -> None:
    """On one connection the answer to one would be taken for the answer to the other."""
    with make_app(settings) as app, app.producer_pool.acquire() as producer:
        channel = producer.channel
        channel.client.delete(INGEST, BACKFILL)
        assert ring(app, INGEST, 1, 64)
        client = channel.client
        # As kombu's consumers do, which share connections with producers.
        client.connection = client.connection_pool.get_connection()
        client.connection.send_command("BRPOP", BACKFILL, 1)
        assert len(_newest(producer, INGEST, 16)) == 1
        assert client.parse_response(client.connection, "BRPOP") is None
        client.connection_pool.release(client.connection)
        client.connection = None
        channel.client.delete(INGEST)


def test_a_bell_of_the_back_catalogue_ends_where_messages_of_fresh_uploads_wait(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a producer sent to the broker alone is in no row yet, so nothing else lets it pass."""
    answered: list[bool] = []
    with make_app(settings) as app:

        def work(backfill: bool) -> bool:
            answered.append(backfill)
            ring(app, BACKFILL, 1, 64)
            if len(answered) == 3:
                app.send_task("hangtag.ingest", args=["file:///a.jpg", "celery"], queue=INGEST)
            time.sleep(0.01)
            return True

        monkeypatch.setattr(process, "settings", lambda: settings)
        monkeypatch.setattr(process, "_app", lambda: app)
        monkeypatch.setattr(process, "_answer", work)
        for part in ("pipeline", "drawer"):
            monkeypatch.setattr(process, part, lambda: SimpleNamespace(stuck=0))
        process.answer(backfill=True)
    assert answered == [True] * 3
