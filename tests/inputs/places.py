"""What lies in a folder and is no plain file, and URIs that lead elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.inputs.case import GOOD

LARGE = 1 << 30


@dataclass(frozen=True)
class Place:
    """A thing in the folder: its outcome by URI, and for a command that is given its path."""

    path: Path
    by_uri: str
    by_path: str


def place(folder: Path, outside: Path, picture: bytes) -> Iterator[Place]:
    """Make links, pipes and sockets in `folder`; some lead `outside`, which is not allowed."""
    (folder / "whole.jpg").write_bytes(picture)
    yield Place(folder / "whole.jpg", GOOD, GOOD)
    (outside / "secret.jpg").write_bytes(picture)
    (folder / "deep").mkdir()
    links = {
        "link-inside.jpg": ("whole.jpg", GOOD, GOOD),
        "link-to-link.jpg": ("link-inside.jpg", GOOD, GOOD),
        "link-outside.jpg": (outside / "secret.jpg", "forbidden_uri", GOOD),
        "link-up.jpg": (f"../{outside.name}/secret.jpg", "forbidden_uri", GOOD),
        "link-dangling.jpg": ("gone.jpg", "not_found", "not_found"),
        "link-to-itself.jpg": ("link-to-itself.jpg", "not_found", "not_found"),
        "circle-a.jpg": ("circle-b.jpg", "not_found", "not_found"),
        "circle-b.jpg": ("circle-a.jpg", "not_found", "not_found"),
        "link-zero.jpg": ("/dev/zero", "forbidden_uri", "unreadable"),
        "link-full.jpg": ("/dev/full", "forbidden_uri", "unreadable"),
        "link-stdin.jpg": ("/proc/self/fd/0", "forbidden_uri", None),
        "link-memory.jpg": ("/proc/self/mem", "forbidden_uri", "unreadable"),
        "link-passwords.jpg": ("/etc/passwd", "forbidden_uri", "undecodable"),
        "deep/link-out.jpg": ("../whole.jpg", GOOD, GOOD),
    }
    for name, (target, by_uri, by_path) in links.items():
        (folder / name).symlink_to(target)
        if by_path is not None:
            yield Place(folder / name, by_uri, by_path)
    os.mkfifo(folder / "pipe.jpg")
    yield Place(folder / "pipe.jpg", "unreadable", "unreadable")
    os.mknod(folder / "socket.jpg", stat.S_IFSOCK | 0o600)
    yield Place(folder / "socket.jpg", "unreadable", "unreadable")
    (folder / "closed.jpg").write_bytes(picture)
    (folder / "closed.jpg").chmod(0)
    readable = os.access(folder / "closed.jpg", os.R_OK)  # for root it is
    yield Place(folder / "closed.jpg", *([GOOD] * 2 if readable else ["unreadable"] * 2))
    (folder / "sparse.jpg").touch()
    os.truncate(folder / "sparse.jpg", LARGE)
    yield Place(folder / "sparse.jpg", "too_large", "too_large")


def uris(folder: Path, outside: Path) -> dict[str, str]:
    """Return URIs with their outcome; http(s) is not fetched at all, so none of it leaves."""
    inside = folder.as_uri()
    secret = f"{outside.name}/secret.jpg"
    foreign = [
        *(f"http://{host}/a.jpg" for host in _PRIVATE),
        "https://example.org/a.jpg",
        "HTTP://EXAMPLE.ORG/a.jpg",
        "ftp://example.org/a.jpg",
        "s3://bucket/a.jpg",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=",
        "javascript:alert(1)",
        "jar:file:///a.zip!/a.jpg",
        "file",
        "file:",
        "//host/a.jpg",
        "/etc/passwd",
        "C:\\pictures\\a.jpg",
        "' OR 1=1 --",
    ]
    led_astray = [
        f"{inside}/../{secret}",
        f"{inside}/%2e%2e/{secret}",
        f"{inside}/%2E%2E%2F{secret}",
        f"{inside}/deep/../../{secret}",
        f"{inside}//../{secret}",
        f"{inside}/.\t./{secret}",
        f"{inside}/whole.jpg%00.png",
        f"{inside}/whole.jpg?size=1",
        f"{inside}/whole.jpg#top",
        inside.replace("file://", "file://example.org") + "/whole.jpg",
        inside.replace("file://", "file://127.0.0.1") + "/whole.jpg",
        inside.replace("file://", "file://user@localhost") + "/whole.jpg",
        inside.replace("file://", "file://[::1") + "/whole.jpg",
        f"{outside.as_uri()}/secret.jpg",
        "file:///etc/passwd",
        "file:///proc/self/environ",
        "file:///dev/zero",
        "file:///",
    ]
    found = dict.fromkeys([*foreign, *led_astray], "forbidden_uri")
    # Once unpacked, twice not: this names a file with percent signs.
    found[f"{inside}/%252e%252e/{secret}"] = "not_found"
    found[f"{inside}/gone.jpg"] = "not_found"
    found[f"{inside}/whole.jpg/below.jpg"] = "not_found"
    found[f"{inside}/{'long' * 200}.jpg"] = "not_found"
    found[f"{inside}/deep"] = "unreadable"
    found[inside] = "unreadable"
    found[inside.replace("file://", "file://localhost") + "/whole.jpg"] = GOOD
    found[f"{inside}/deep/../whole.jpg"] = GOOD
    found[f"{inside}/%77hole.jpg"] = GOOD
    return found


_PRIVATE = [
    "127.0.0.1",
    "localhost:5432",
    "10.0.0.1",
    "192.168.0.1",
    "169.254.169.254/latest/meta-data",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0x7f000001",
    "2130706433",
    "127.1",
    "metadata.google.internal",
]
