"""Serve the operator console: `python -m review`, settings from the environment."""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys

import uvicorn
from pydantic import ValidationError

from errors import HangtagError, UsageError
from review.app import create_app
from review.settings import ReviewSettings

STOP_SECONDS = 5
BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises UsageError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"the console cannot listen on {host} port {port}: {error.strerror}; "
            "set HANGTAG_CONSOLE_HOST or HANGTAG_CONSOLE_PORT"
        ) from error


def read_settings() -> ReviewSettings:
    """Read the settings. Raises UsageError, naming the variable, where one makes no sense."""
    try:
        return ReviewSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise UsageError(f"HANGTAG_{name}: {first['msg']}") from error


def serve() -> None:
    """Serve until a signal ends it; requests under way get a few seconds."""
    settings = read_settings()
    app = create_app(settings)
    listener = listen(settings.console_host, settings.console_port)
    host = f"[{settings.console_host}]" if ":" in settings.console_host else settings.console_host
    print(f"console: http://{host}:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Log-ins are counted by address, so nobody else may say what theirs is.
        proxy_headers=bool(settings.console_proxies),
        forwarded_allow_ips=settings.console_proxies,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def main() -> int:
    """Run the console; one line on stderr and exit code 1 where it cannot."""
    argparse.ArgumentParser(prog="python -m review", description=__doc__).parse_args()
    try:
        serve()
    except HangtagError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
