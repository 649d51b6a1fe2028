"""Producers: uploads at a steady rate, and a ledger of what was acknowledged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import psycopg2
from celery import Celery
from kombu.exceptions import OperationalError

from errors import TransientError
from tests.faults.site import Site
from worker.client import Client

SOURCE = "producer"
#: A producer gives up a connection that says nothing for so long, and hands in again.
PATIENCE_SECONDS = 5
#: Python and SQL write the row; a bare Celery task is known to the broker alone at first.
WAYS = ("client", "sql", "task")


@dataclass(frozen=True)
class Picture:
    """A file in the store. `code` is the dead letter that it must become; None for a good one."""

    name: str
    uri: str
    code: str | None = None


@dataclass
class Ledger:
    """What was acknowledged: the picture by external id. Repeated hand-ins are one upload."""

    pictures: dict[str, Picture] = field(default_factory=dict)
    refused: int = 0  # times that a producer was told to come back


class Producer:
    """Hands in one upload after the other until each is acknowledged, by some of `WAYS`."""

    def __init__(
        self, site: Site, pictures: Sequence[Picture], ways: Sequence[str], chance: random.Random
    ) -> None:
        self.ledger = Ledger()
        self._site = site
        self._pictures = pictures
        self._once: Picture | None = None
        known = {"client": self._by_client, "sql": self._by_sql, "task": self._by_task}
        self._ways = [known[way] for way in ways]
        self._chance = chance
        self._client = Client(f"{site.producer_url}&tcp_user_timeout=5000", site.broker_url)
        self._app = Celery(broker=site.broker_url)
        self._app.conf.broker_transport_options = {
            "socket_timeout": PATIENCE_SECONDS,
            "socket_connect_timeout": PATIENCE_SECONDS,
        }

    def run(self, count: int, seconds: float, stop: threading.Event) -> None:
        """Hand in `count` uploads, evenly over some seconds, later where a fault holds it up."""
        started = time.monotonic()
        for number in range(count):
            wait = started + seconds * number / count - time.monotonic()
            if wait > 0 and stop.wait(wait):
                return
            picture = (
                self._once if number == 0 and self._once else self._chance.choice(self._pictures)
            )
            external_id = f"{number}:{picture.name}"
            way = self._chance.choice(self._ways)
            while not way(picture, external_id):
                self.ledger.refused += 1
                if stop.wait(0.5):
                    return
            self.ledger.pictures[external_id] = picture

    def hand_in_once(self, picture: Picture) -> None:
        """Begin with this picture, among neighbours that come right after it."""
        self._once = picture

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
        self._app.close()

    def _by_client(self, picture: Picture, external_id: str) -> bool:
        try:
            self._client.submit(picture.uri, SOURCE, external_id)
        except TransientError:
            return False
        return True

    def _by_sql(self, picture: Picture, external_id: str) -> bool:
        try:
            connection = psycopg2.connect(
                self._site.producer_url, connect_timeout=PATIENCE_SECONDS, tcp_user_timeout=5000
            )
        except psycopg2.OperationalError:
            return False
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT hangtag.submit_upload(%s, %s, %s, 0)",
                    (picture.uri, SOURCE, external_id),
                )
        except psycopg2.Error as error:
            if isinstance(error, psycopg2.DatabaseError) and error.pgcode not in (None, "57P01"):
                raise
            return False
        finally:
            connection.close()
        return True

    def _by_task(self, picture: Picture, external_id: str) -> bool:
        try:
            self._app.send_task(
                "hangtag.ingest",
                args=[picture.uri, SOURCE, external_id],
                queue="ingest",
                retry=False,
            )
        except (OperationalError, OSError):
            return False
        return True


def missing(site: Site) -> Picture:
    """Return a picture that is not there."""
    return Picture("missing", f"{site.store.as_uri()}/{quote('not there.jpg')}", "not_found")
