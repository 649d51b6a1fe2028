"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import UsageError
from models.pictures import MAX_BYTES, MAX_PIXELS, Limits
from worker.settings import WorkerSettings, load_settings


def test_without_an_environment_nothing_outside_is_named() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert settings.broker_url is None
    assert settings.store is None
    assert settings.file_roots == []
    assert settings.weights is None


def test_the_default_limits_are_those_of_the_decoder() -> None:
    assert load_settings().limits == Limits() == Limits(MAX_BYTES, MAX_PIXELS)


def test_a_lease_outlives_the_wait_for_a_second_attempt_by_default() -> None:
    settings = load_settings()
    assert settings.lease_seconds > settings.retry_seconds > 0
    assert settings.max_attempts > 1


def test_values_are_read_and_turned_into_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HANGTAG_DATABASE_URL": "postgresql://hangtag@db/hangtag",
        "HANGTAG_BROKER_URL": "redis://broker:6379/0",
        "HANGTAG_STORE": "/srv/pictures",
        "HANGTAG_BATCH_SIZE": "8",
        "HANGTAG_LEASE_SECONDS": "2.5",
        "HANGTAG_MAX_PIXELS": "1000",
        "HANGTAG_MAX_BYTES": "2000",
        "HANGTAG_WEIGHTS": "/srv/weights",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.require_url() == "postgresql://hangtag@db/hangtag"
    assert settings.require_broker() == "redis://broker:6379/0"
    assert settings.require_store() == Path("/srv/pictures")
    assert settings.batch_size == 8
    assert settings.lease_seconds == 2.5
    assert settings.limits == Limits(2000, 1000)
    assert settings.weights == Path("/srv/weights")


@pytest.mark.parametrize(
    ("value", "roots"),
    [
        ("", []),
        ("/srv/a", ["/srv/a"]),
        ("/srv/a:/srv/b c:/srv/ä", ["/srv/a", "/srv/b c", "/srv/ä"]),
        (":/srv/a::", ["/srv/a"]),
        ('["/srv/a"]', ['["/srv/a"]']),  # not JSON
    ],
)
def test_file_roots_are_separated_by_colons(
    monkeypatch: pytest.MonkeyPatch, value: str, roots: list[str]
) -> None:
    monkeypatch.setenv("HANGTAG_FILE_ROOTS", value)
    assert load_settings().file_roots == [Path(root) for root in roots]


def test_other_variables_of_hangtag_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANGTAG_CONSOLE_PORT", "8080")
    assert load_settings() == WorkerSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_SIZE", "many"),
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "513"),
        ("DECODE_THREADS", "0"),
        ("INFERENCE_THREADS", "-1"),
        ("LEASE_SECONDS", "0"),
        ("MAX_ATTEMPTS", "1.5"),
        ("RETRY_SECONDS", "-1"),
        ("REAP_SECONDS", "0"),
        ("MAX_BYTES", "32MB"),
        ("MAX_PIXELS", "0"),
        ("PREVIEW_SIDE", "63"),
    ],
)
def test_a_value_that_does_not_fit_is_reported_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"HANGTAG_{name}", value)
    with pytest.raises(UsageError, match=f"^HANGTAG_{name}: ") as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("require_url", "HANGTAG_DATABASE_URL"),
        ("require_broker", "HANGTAG_BROKER_URL"),
        ("require_store", "HANGTAG_STORE"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(method: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} is not set") as caught:
        getattr(load_settings(), method)()
    assert "hangtag env --data-dir DIR" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["require_url", "require_broker"])
def test_an_empty_url_is_as_good_as_none(method: str) -> None:
    settings = WorkerSettings(database_url="", broker_url="")
    with pytest.raises(UsageError, match="is not set"):
        getattr(settings, method)()


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty HANGTAG_STORE must not mean the folder one happens to be in."""
    for name in ("DATABASE_URL", "BROKER_URL", "STORE", "WEIGHTS", "BATCH_SIZE", "FILE_ROOTS"):
        monkeypatch.setenv(f"HANGTAG_{name}", "")
    assert load_settings() == WorkerSettings()
    assert load_settings().store is None
    assert load_settings().weights is None
