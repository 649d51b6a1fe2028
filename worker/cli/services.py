"""`hangtag up`, `env`, `demo`, and the single processes of a larger installation."""

from __future__ import annotations

import logging
import shlex
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from celery.utils.nodenames import default_nodename, host_format

from db.queries.operators import list_accounts
from db.session import make_engine, transaction
from errors import HangtagError, TransientError, UsageError
from errors.hints import env_hint, program
from worker.app import LANES, make_app
from worker.cli.output import note, print_json
from worker.health import CHECKS, Progress, ask_metrics, begin_progress, check
from worker.reaper import Reaper
from worker.settings import load_settings
from worker.setup import migrate as migrate_database
from worker.setup import missing_weights
from worker.stages import STAGES
from worker.supervisor import Supervisor, read_environment

DEFAULT_DATA_DIR = Path(".hangtag")

DataDirOption = Annotated[
    Path, typer.Option("--data-dir", help="Folder of the embedded services and the pictures.")
]
PortOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=65535,
        envvar="HANGTAG_CONSOLE_PORT",
        help="Console's port; the next free one is taken.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(up)
    app.command()(env)
    app.command()(demo)
    app.command()(migrate)
    app.command()(worker)
    app.command()(reaper)
    app.command()(health)
    app.command()(metrics)


def up(
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    port: PortOption = 8080,
) -> None:
    """Run all of Hangtag in the foreground; Ctrl-C ends every process.

    PostgreSQL and Valkey are embedded, unless HANGTAG_DATABASE_URL and HANGTAG_BROKER_URL name
    real ones.

    Example: hangtag up --data-dir /srv/hangtag --workers 2
    """
    quiet_logs()
    end_on_signals()
    supervisor = Supervisor(data_dir, load_settings(), workers, port)
    supervisor.start()
    try:
        for line in supervisor.not_ours():
            note(line)
        note(f"Hangtag runs in {supervisor.data_dir}. Console: {supervisor.console_url}")
        note(f"Logs: {supervisor.data_dir / 'logs'}")
        note(f"In other terminals: {env_hint(data_dir)}")
        if not _has_operator(supervisor):
            note(f"Nobody may log in yet. In one of those: {program()} operator add NAME")
        note("Ctrl-C ends it.")
        if warning := missing_weights(supervisor.active_model, supervisor.weights):
            note(f"hangtag: {warning}")
        supervisor.watch()
    except KeyboardInterrupt:
        note("stopping …")
    finally:
        supervisor.stop()
    note("stopped")


def _has_operator(supervisor: Supervisor) -> bool:
    """Tell whether somebody may log in; where the database does not say, that nothing is amiss."""
    engine = make_engine(supervisor.environment["HANGTAG_DATABASE_URL"])
    try:
        with transaction(engine) as session:
            return any(account.active for account in list_accounts(session))
    except TransientError:  # the supervisor waits for it; a hint is no reason to end
        return True
    finally:
        engine.dispose()


def env(data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """Print what other commands and programs need for a running `hangtag up`, as exports.

    Example: eval "$(hangtag env --data-dir /srv/hangtag)"
    """
    for name, value in read_environment(data_dir).items():
        print(f"export {name}={shlex.quote(value)}")


def demo(
    images: Annotated[
        Path | None, typer.Option(help="Your own photographs instead of the drawings.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Go on with the console, or stop.")
    ] = True,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    port: PortOption = 8080,
) -> None:
    """Start everything, tag the sample pictures, show the tags and a similarity query.

    Example: hangtag demo --images ~/photos
    """
    from worker.demo import run_demo

    quiet_logs()
    end_on_signals()
    run_demo(data_dir, images, serve, port)


def migrate() -> None:
    """Bring the database to the newest schema and register the shipped model.

    Connects as a superuser or an owner of the database; running it again changes nothing.

    Example: HANGTAG_DATABASE_URL=postgresql://owner@db/hangtag hangtag migrate
    """
    settings = load_settings()
    version = migrate_database(settings.require_url(), settings.weights)
    print_json({"schema": "head", "active_model": version})
    if warning := missing_weights(version, settings.weights):
        note(f"hangtag: {warning}")


def worker(
    lanes: Annotated[
        str, typer.Option(help="Lanes to work on, the first one first.")
    ] = "ingest,backfill",
    concurrency: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    name: Annotated[str, typer.Option(help="Name of the node; %h is the host.")] = "hangtag@%h",
) -> None:
    """Run Celery workers only; for installations with services of their own.

    Example: hangtag worker --lanes ingest --concurrency 4
    """
    settings = load_settings()
    settings.require_url()
    settings.require_store()
    unknown = set(lanes.split(",")) - set(LANES)
    if unknown:
        raise UsageError(f"--lanes {lanes}: there are {' and '.join(LANES)}")
    begin_progress(
        settings.progress_file, Progress(host_format(default_nodename(name)), lanes.split(","))
    )
    app = make_app(settings)
    app.worker_main(
        [
            "worker",
            f"--queues={lanes}",
            f"--concurrency={concurrency}",
            f"--hostname={name}",
            "--pool=prefork",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=INFO",
        ]
    )


def reaper() -> None:
    """Run the reaper: it takes back expired claims and rings for rows nobody heard of.

    A second one waits until the first is gone.

    Example: hangtag reaper
    """
    Reaper(load_settings()).run()


def health(
    part: Annotated[
        str | None,
        typer.Argument(help="database, broker, reaper, worker or vectors; all by default."),
    ] = None,
) -> None:
    """Tell whether uploads make progress: a JSON line a part, exit code 1 where one does not.

    Of a worker that lives but takes nothing it says so. It must wait HANGTAG_STALL_SECONDS for
    that while uploads do.

    Example: hangtag health worker
    """
    if part and part not in CHECKS:
        raise UsageError(f"{part}: there are {', '.join(CHECKS)}")
    settings = load_settings()
    checks = [check(one, settings) for one in ([part] if part else CHECKS)]
    for one in checks:
        print_json({"part": one.part, "healthy": one.healthy, "found": one.found})
    if sick := [f"{one.part}: {one.found}" for one in checks if not one.healthy]:
        raise HangtagError("; ".join(sick))


def metrics() -> None:
    """Tell where the workers' time goes since they began: a JSON line a worker.

    `milliseconds` are means an upload, by stage: its wait for a claim (`queue`), then the work.
    Reading, decoding and resizing run in threads beside each other. `preview` is the drawing for
    operators, after the upload was written.

    Example: hangtag metrics
    """
    answers = ask_metrics(load_settings())
    for node, totals in sorted(answers.items()):
        uploads = totals["uploads"]
        means = {s: round(1000 * totals[s] / uploads, 2) if uploads else None for s in STAGES}
        print_json(
            {
                "worker": node,
                "uploads": int(uploads),
                "batches": int(totals["batches"]),
                "milliseconds": means,
            }
        )
    if not answers:
        raise HangtagError("no worker answered; start one: hangtag worker")


def quiet_logs() -> None:
    """Leave the terminal to what a person reads; the processes log into files."""
    logging.getLogger().setLevel(logging.WARNING)


def end_on_signals() -> None:
    """Make SIGTERM and SIGHUP end a command as Ctrl-C does: in order."""

    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
