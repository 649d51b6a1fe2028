"""`python -m tests.check_advisories`: known vulnerabilities of what requirements/test.txt locks.

A known one is an error, and so is an audit that fails. Where the advisories cannot be reached (no
network, or a registry that serves packages alone) one line says so, and the check passes: it is
about the packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "test.txt"
SECONDS = 300
TIMEOUT = f"no answer within {SECONDS} s"
#: What pip-audit says where the service does not answer.
UNREACHABLE = (TIMEOUT, "your network may be blocking this service")


def ask() -> tuple[str, str]:
    """Return pip-audit's JSON (empty where it has none) and what it said on stderr."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off",
               "--require-hashes", "--disable-pip", "-r", str(LOCK)]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "", TIMEOUT
    return done.stdout, done.stderr


def judge(report: str, said: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines to print for pip-audit's report."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        last = said.strip().splitlines()[-1] if said.strip() else "pip-audit said nothing"
        if any(mark in said for mark in UNREACHABLE):
            return 0, [f"advisories: not reachable, nothing was audited ({last})"]
        return 1, [f"advisories: the audit failed ({last})"]
    seen = [one for one in packages if "skip_reason" not in one]
    if not seen:
        return 0, [f"advisories: not served here, none of {len(packages)} packages was audited"]
    found = [
        f"{one['name']} {one['version']}: {vulnerability['id']}"
        f" (fixed in {', '.join(vulnerability['fix_versions']) or 'no version yet'})"
        for one in seen
        for vulnerability in one["vulns"]
    ]
    summary = f"advisories: {len(seen)} of {len(packages)} packages audited, {len(found)} known"
    return (1 if found else 0), [*found, summary]


def main() -> int:
    """Print the outcome."""
    code, lines = judge(*ask())
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
