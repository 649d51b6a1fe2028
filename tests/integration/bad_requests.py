"""`python -m tests.integration.bad_requests --requests 20000`: what nobody's browser would send.

A real console process on a real database gets requests made of every route, method, header and
body that Hypothesis comes up with: logged out, as an operator, as a lead; with the right CSRF
token, a wrong one or none. Each answer must be below 500 and carry the security headers; without
the token nothing may change; nothing may leave a traceback in the console's log. The last line
is JSON: how many were tried, and how they were answered.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from db.embedded import EmbeddedPostgres
from db.queries.operators import update_operator
from db.session import make_engine, transaction
from tests.browser.console import console_environment
from tests.conftest import ROOT
from tests.integration.console import CSRF
from tests.integration.drawn_requests import Sent, nearly_right, requests
from tests.integration.rows import PASSWORD, insert_waiting, insert_world
from worker.setup import migrate

#: What a request without a token must not change. Claims are no change: looking takes one.
STATE = """
    SELECT (SELECT count(*) FROM hangtag_data.decisions),
        (SELECT md5(string_agg(concat(id, status, priority), ',' ORDER BY id))
         FROM hangtag_data.review_items),
        (SELECT md5(string_agg(concat(upload_id, attribute, label), ',' ORDER BY upload_id,
         attribute)) FROM hangtag_data.tags),
        (SELECT md5(string_agg(concat(id, status), ',' ORDER BY id)) FROM hangtag_data.uploads),
        (SELECT md5(string_agg(concat(name, password_hash, role, active), ',' ORDER BY name))
         FROM hangtag_data.operators),
        (SELECT count(*) FROM hangtag_data.previews),
        (SELECT count(*) FROM hangtag_data.console_sessions),
        (SELECT count(*) FROM hangtag_data.audit_log WHERE action <> 'login_failed')
"""


@dataclass
class Browser:
    """Cookies and token of one who is logged in, or of nobody."""

    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""


class Console:
    """A console process, and the people who use it."""

    def __init__(self, address: str, owner: Engine) -> None:
        self.host = address.removeprefix("http://")
        self.owner = owner
        self.statuses: Counter[int] = Counter()
        self.browsers: dict[str | None, Browser] = {}

    def browser(self, who: str | None) -> Browser:
        """Return a session that lives, logging in where there is none."""
        if who not in self.browsers:
            self.forgive()
            self.browsers[who] = self.log_in(who)
        return self.browsers[who]

    def log_in(self, who: str | None) -> Browser:
        made = Browser()
        made.token = self.token(made, "/login")
        if who:
            form = urllib.parse.urlencode({"name": who, "password": PASSWORD, "csrf": made.token})
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            assert self.ask(made, "POST", "/login", form.encode(), headers).status == 303
            made.token = self.token(made, "/")
        return made

    def token(self, browser: Browser, path: str) -> str:
        found = CSRF.search(self.ask(browser, "GET", path).text)
        assert found is not None
        return found.group(1)

    def forgive(self) -> None:
        """Let log-ins be tried at once again."""
        with self.owner.begin() as connection:
            connection.execute(text("TRUNCATE hangtag_data.login_attempts"))

    def state(self) -> tuple[Any, ...]:
        with self.owner.connect() as connection:
            return tuple(connection.execute(text(STATE)).one())

    def ask(
        self,
        browser: Browser,
        method: str,
        target: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        keep: bool = True,
    ) -> Answer:
        """Send a request and return its answer; cookies are kept as a browser does."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            given = {name.lower() for name in headers or {}}
            if browser.cookies and "cookie" not in given:
                pairs = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
                connection.putheader("Cookie", pairs)
            for name, value in (headers or {}).items():
                connection.putheader(name, value.encode("latin-1"))
            if body and not given & {"content-length", "transfer-encoding"}:
                connection.putheader("Content-Length", str(len(body)))
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was read
                connection.endheaders(body or None)
            response = connection.getresponse()
            content = b""
            with suppress(ConnectionResetError):  # it closed on a body that it does not want
                content = response.read()
            headers_of = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, headers_of, content)
            if keep:
                keep_cookies(browser, response.msg.get_all("Set-Cookie") or [])
            return answer
        finally:
            connection.close()

    def try_one(self, sent: Sent) -> None:
        """Send a bad request and judge its answer."""
        browser = self.browser(sent.who)
        headers = dict(sent.headers)
        target, body = sent.target, sent.body
        if sent.has_token:
            headers["X-CSRF-Token"] = browser.token
            body = body.replace(b"CSRF", urllib.parse.quote(browser.token).encode())
        before = None if sent.has_token else self.state()
        answer = self.ask(browser, sent.method, target, body, headers, keep=False)
        self.statuses[answer.status] += 1
        if answer.headers.get("location") == "/login":  # it may have ended the session
            del self.browsers[sent.who]
        assert answer.status < 500, (answer.status, answer.text[:200])
        assert "Traceback" not in answer.text
        assert 'File "' not in answer.text
        # What is not HTTP at all, the server refuses before the console sees it.
        if answer.status != 400 or "console" in answer.text.lower():
            assert "default-src 'none'" in answer.headers.get("content-security-policy", "")
            assert answer.headers.get("x-content-type-options") == "nosniff"
        if before is not None:
            assert self.state() == before, "something changed without a token"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def keep_cookies(browser: Browser, lines: list[str]) -> None:
    for line in lines:
        name, _, value = line.partition(";")[0].partition("=")
        browser.cookies[name] = value


# The run ----------------------------------------------------------------------------------


@contextmanager
def console(database_url: str, owner: Engine, folder: Path) -> Iterator[Console]:
    """Serve a console with pictures to decide; its log must hold no traceback in the end."""
    insert_world(owner, ["ada", "bo", "lea"])
    with transaction(owner) as session:
        update_operator(session, "lea", role="lead")
    for number in range(6):
        insert_waiting(owner, external_id=f"post-{number}")
    log = folder / "console.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "review"],
            cwd=ROOT,
            env={**console_environment(database_url), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("console: "), log.read_text()
        try:
            yield Console(line.removeprefix("console: ").strip(), owner)
            assert process.poll() is None, "the console ended"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(15)
    assert "Traceback" not in log.read_text(), log.read_text()[-2000:]


def run(target: Console, count: int, derandomize: bool) -> int:
    """Try `count` bad requests; the smallest one that goes wrong is raised with its answer."""
    tried = 0

    @settings(
        max_examples=count,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(requests(), nearly_right()))
    def attempt(sent: Sent) -> None:
        nonlocal tried
        tried += 1
        target.try_one(sent)

    attempt()
    return tried


def main() -> None:
    """Run against a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    count = parser.parse_args().requests
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hangtag-bad-requests-") as folder:
        server = EmbeddedPostgres(Path(folder), settings=["fsync=off"])
        server.start()
        owner = make_engine(server.url(), pool_size=2)
        try:
            migrate(server.url())
            with console(server.url(), owner, Path(folder)) as target:
                tried = run(target, count, derandomize=False)
        finally:
            owner.dispose()
            server.stop()
    statuses = {str(status): number for status, number in sorted(target.statuses.items())}
    seconds = round(time.monotonic() - begun)
    print(json.dumps({"requests": tried, "faults": 0, "statuses": statuses, "seconds": seconds}))


if __name__ == "__main__":
    main()
