"""docker-compose.yml and Dockerfile agree with the settings and the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from importlib import resources, util
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
import yaml

from db.settings import DatabaseSettings
from review.settings import ReviewSettings
from worker.cli import app
from worker.health import CHECKS
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

OURS = sorted(name for name, one in SERVICES.items() if one["image"].startswith("hangtag:"))
COMMANDS = sorted(set(OURS) - {"console"})
LASTING = ["broker", "console", "db", "reaper", "worker"]
ONE_OFF = ["admin", "cli", "logins", "migrate"]

#: `${NAME:?message}`: Compose refuses to start where NAME is not set.
REQUIRED = re.compile(r"\$\{([A-Z_]+):\?[^}]+\}")
OPTIONAL = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|AUTH|TOKEN")


def interpolate(value: str) -> str:
    """Fill in variables the way Compose does, each required one with 48 hex digits."""
    filled = REQUIRED.sub("0123456789abcdef" * 3, value)
    return OPTIONAL.sub(lambda found: found[2], filled)


def environment(service: str) -> dict[str, str]:
    """Return a service's variables that have a value."""
    given = SERVICES[service].get("environment", {})
    return {name: interpolate(str(value)) for name, value in given.items() if value is not None}


def settings_of(service: str) -> type[DatabaseSettings]:
    return ReviewSettings if service == "console" else WorkerSettings


def load(service: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in [name for name in os.environ if name.startswith("HANGTAG_")]:
        monkeypatch.delenv(name)
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    return settings_of(service)()


def mounts(service: str) -> dict[str, str]:
    """Return volume (or host path) by the path it is mounted at; read-only ends with `:ro`."""
    found = {}
    for entry in SERVICES[service].get("volumes", []):
        origin, target, *mode = entry.split(":")
        found[target] = ":".join([origin, *mode])
    return found


#: The command line reads it before there are settings; a test of the command line is in test_cli.
LOG_LEVEL = "HANGTAG_LOG_LEVEL"


def test_services_are_those_that_the_tests_below_speak_of() -> None:
    assert sorted(SERVICES) == sorted([*LASTING, *ONE_OFF])
    assert OURS == ["admin", "cli", "console", "migrate", "reaper", "worker"]


@pytest.mark.parametrize("service", OURS)
def test_each_variable_is_a_setting_of_the_process_that_gets_it(service: str) -> None:
    fields = {f"HANGTAG_{name.upper()}" for name in settings_of(service).model_fields}
    assert set(SERVICES[service]["environment"]) <= fields | {LOG_LEVEL}


def test_each_hangtag_variable_anywhere_in_the_file_is_a_setting() -> None:
    fields = {*WorkerSettings.model_fields, *ReviewSettings.model_fields}
    used = set(re.findall(r"HANGTAG_([A-Z_]+)", TEXT))
    assert used
    assert {name.lower() for name in used} <= fields | {"log_level"}


@pytest.mark.parametrize("service", OURS)
def test_settings_accept_the_values_and_name_the_services(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(service, monkeypatch)
    database = urlsplit(settings.require_url())
    assert (database.hostname, database.path) == ("db", "/hangtag")
    if broker := getattr(settings, "broker_url", None):
        assert urlsplit(broker).hostname == "broker"


def test_each_process_connects_with_the_rights_that_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only migration and administration are superuser; docker/logins.sql makes the others."""
    users = {one: urlsplit(load(one, monkeypatch).require_url()).username for one in OURS}
    superuser = SERVICES["db"]["environment"]["POSTGRES_USER"]
    assert users == {
        **dict.fromkeys(["admin", "migrate"], superuser),
        **dict.fromkeys(["cli", "reaper", "worker"], "worker"),
        "console": "console",
    }
    logins = (ROOT / "docker/logins.sql").read_text()
    assert "GRANT hangtag_worker TO worker;" in logins
    assert "GRANT hangtag_operator TO console;" in logins
    assert set(re.findall(r"\\getenv \w+ (\w+)", logins)) <= set(environment("logins"))


@pytest.mark.parametrize("service", ["worker", "cli"])
def test_the_picture_store_is_the_shared_volume(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = load(service, monkeypatch).require_store()
    mode = ":ro" if service == "worker" else ""  # the worker only reads
    assert mounts(service)[str(store)] == f"pictures{mode}"
    assert f"-g 10001 {store}" in DOCKERFILE  # an empty volume takes on this folder's owner


def test_volumes_are_where_the_images_keep_their_files() -> None:
    assert mounts("db") == {"/var/lib/postgresql": "database"}  # since version 18
    assert mounts("broker") == {"/data": "queue"}
    assert set(COMPOSE["volumes"]) == {"database", "queue", "pictures"}


@pytest.mark.parametrize("service", COMMANDS)
def test_each_command_exists(service: str) -> None:
    """The words name a command of `hangtag`, and its parser takes the options that follow."""
    words = [interpolate(word) for word in SERVICES[service]["command"]]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words[0] in command.commands
        command = command.commands[words.pop(0)]
    command.make_context(service, words)
    assert "entrypoint" not in SERVICES[service]
    assert 'ENTRYPOINT ["hangtag"]' in DOCKERFILE


def test_the_console_is_the_review_package() -> None:
    assert SERVICES["console"]["entrypoint"] == ["python", "-m", "review"]
    assert SERVICES["console"]["command"] == []
    assert util.find_spec("review.__main__") is not None


def test_every_secret_is_required_from_outside() -> None:
    seen = 0
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name):
                assert REQUIRED.fullmatch(value), name
                seen += 1
            elif name.endswith("_URL"):
                password = value.partition("@")[0].rpartition("//")[2].partition(":")[2]
                assert REQUIRED.fullmatch(password), name
                seen += 1
    assert seen > 8


def test_the_example_names_each_required_variable_and_no_value() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assignments = [line for line in lines if line and not line.startswith("#")]
    assert all(line.endswith("=") for line in assignments)
    assert {line[:-1] for line in assignments} == {found[1] for found in REQUIRED.finditer(TEXT)}
    optional = {found[1] for line in lines if (found := re.match(r"# ([A-Z_]+)=.", line))}
    assert {name for name in optional if not re.search(rf"\b{name}\b", TEXT)} == set()


def test_the_example_shows_numbers_as_they_are_where_nothing_is_set() -> None:
    """Who takes the mark away to see what happens changes nothing."""
    shown = re.findall(r"^# HANGTAG_([A-Z_]+)=(\d+)$", (ROOT / ".env.example").read_text(), re.M)
    assert len(shown) > 8
    fields = WorkerSettings.model_fields
    defaults = {name: fields[name.lower()].default for name, _ in shown}
    assert {n: float(v) for n, v in shown if defaults[n] is not None} == {
        name: value for name, value in defaults.items() if value is not None
    }


@pytest.mark.parametrize("service", [*OURS, "broker", "logins"])
def test_services_cannot_write_to_their_root_or_gain_rights(service: str) -> None:
    one = SERVICES[service]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in one
    assert "cap_add" not in one
    assert not re.fullmatch(r"(0|root)(:.*)?", one["user"])


@pytest.mark.parametrize("service", OURS)
def test_a_process_can_write_to_memory_alone(service: str) -> None:
    """HOME is there, too; whatever else is mounted for writing is the store of `cli`."""
    assert SERVICES[service]["tmpfs"] == ["/tmp:size=64m"]  # noqa: S108 (in the container)
    assert "HOME=/tmp" in DOCKERFILE
    assert "PYTHONDONTWRITEBYTECODE=1" in DOCKERFILE
    writable = {one for one in mounts(service).values() if not one.endswith(":ro")}
    assert writable == ({"pictures"} if service == "cli" else set())


def test_the_image_installs_nothing_without_its_hash() -> None:
    installs = re.findall(r"^RUN .*pip install (.+)$", DOCKERFILE, re.MULTILINE)
    assert installs == [
        "--require-hashes -r requirements/image.txt",
        "--no-deps --no-build-isolation .",
    ]


def test_only_a_proxy_that_is_named_says_where_a_log_in_comes_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "HANGTAG_CONSOLE_PROXIES" in SERVICES["console"]["environment"]
    assert load("console", monkeypatch).console_proxies == ""


def test_the_image_runs_as_the_user_that_compose_names() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["10001:10001"]
    assert {SERVICES[name]["user"] for name in OURS} == set(users)


@pytest.mark.parametrize("service", LASTING)
def test_lasting_services_have_a_health_check_and_come_back(service: str) -> None:
    one = SERVICES[service]
    assert one["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert one["restart"] == "unless-stopped"
    assert one["deploy"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize("service", ONE_OFF)
def test_one_off_services_are_not_started_again(service: str) -> None:
    assert SERVICES[service]["restart"] == "no"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_logs_do_not_fill_the_disk(service: str) -> None:
    assert {"max-size", "max-file"} <= set(SERVICES[service]["logging"]["options"])


def test_health_checks_of_our_services_call_what_is_there() -> None:
    for service in ("worker", "reaper"):
        *command, part = SERVICES[service]["healthcheck"]["test"]
        assert command == ["CMD", "hangtag", "health"]
        assert part in CHECKS
    progress = SERVICES["worker"]["environment"]["HANGTAG_PROGRESS_FILE"]
    assert any(progress.startswith(folder.split(":")[0]) for folder in SERVICES["worker"]["tmpfs"])
    port = SERVICES["console"]["environment"]["HANGTAG_CONSOLE_PORT"]
    assert f"http://127.0.0.1:{port}/healthz" in SERVICES["console"]["healthcheck"]["test"][-1]


def test_services_start_after_what_they_need() -> None:
    def waits(service: str) -> dict[str, str]:
        return {name: one["condition"] for name, one in SERVICES[service]["depends_on"].items()}

    done, healthy = "service_completed_successfully", "service_healthy"
    assert waits("migrate") == {"db": healthy}
    assert waits("logins") == {"migrate": done}
    assert waits("worker") == waits("reaper") == {"logins": done, "broker": healthy}
    assert waits("console") == {"logins": done}


def test_the_queue_survives_a_restart_and_drops_nothing() -> None:
    shell, flag, script = SERVICES["broker"]["command"]
    assert (shell, flag) == ("sh", "-c")
    lines = script.splitlines()
    assert {"appendonly yes", "maxmemory-policy noeviction", "dir /data"} <= set(lines)
    assert "requirepass $$VALKEY_PASSWORD" in lines  # `$$`: the container's shell fills it in
    assert "VALKEY_PASSWORD" not in lines[0]  # arguments show in process lists


def test_images_are_pinned() -> None:
    images = [one["image"] for one in SERVICES.values() if not one["image"].startswith("hangtag:")]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) == 5
    for image in images:
        name, _, tag = image.partition(":")
        assert name
        assert re.match(r"\d", tag), image
    default = OPTIONAL.search(SERVICES["worker"]["image"])
    assert default is not None
    assert default[2] == PROJECT["project"]["version"]


def test_pgvector_is_new_enough() -> None:
    found = re.fullmatch(
        r"pgvector/pgvector:(\d+)\.(\d+)\.(\d+)-pg(\d+)\S*", SERVICES["db"]["image"]
    )
    assert found is not None
    assert tuple(map(int, found.groups()[:3])) >= (0, 8, 4)
    assert int(found[4]) >= 16
    assert SERVICES["logins"]["image"] == SERVICES["db"]["image"]


def test_only_the_console_has_a_port_and_only_on_this_machine() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert published == {"console": ["127.0.0.1:${CONSOLE_PORT:-8080}:8080"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    outside = {name for name, one in SERVICES.items() if one["networks"] != ["inside"]}
    assert outside == {"console"}


def test_the_image_is_built_from_every_package_and_nothing_private() -> None:
    packages = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert packages <= sources
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    assert "**/.env*" in rules
    assert {one for one in sources if not (ROOT / one).exists()} == set()


def test_the_file_fits_the_compose_specification() -> None:
    """Checked where the package check-jsonschema is installed, which brings the schema."""
    pytest.importorskip("check_jsonschema")
    jsonschema = pytest.importorskip("jsonschema")
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []


def compose_is_there() -> bool:
    try:
        # docker by its name: where it lies differs from machine to machine
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    except OSError:
        return False
    return asked.returncode == 0


@pytest.mark.skipif(not compose_is_there(), reason="no `docker compose` here")
def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    names = {found[1] for found in REQUIRED.finditer(TEXT)}
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"{name}={'0' * 48}\n" for name in sorted(names)))
    command = ["docker", "compose", "--env-file", str(env_file), "--profile", "tools"]
    checked = subprocess.run(
        [*command, "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
