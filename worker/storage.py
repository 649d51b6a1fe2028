"""The picture store, and reading pictures by URI within what is allowed."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from errors import PermanentError, TransientError
from models.pictures import open_regular, read_open

#: What a folder is searched for; a file named by itself may be called anything.
PICTURE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"]
)
_CHUNK = 1 << 20
#: A URI that is its path and nothing else, as most are.
_PLAIN = re.compile(r"file://(/[\w./~+,=@-]*)", re.ASCII)


@dataclass(frozen=True)
class Stored:
    """A picture in the store: where, and the SHA-256 of what was stored."""

    uri: str
    sha256: str


class PictureStore:
    """A folder of pictures named by their hash: the same picture twice is one file."""

    def __init__(self, folder: Path, roots: Sequence[Path] = (), max_bytes: int = 1 << 25) -> None:
        self.folder = folder.absolute()
        named = [os.path.abspath(root) for root in (folder, *roots)]  # noqa: PTH100 (as `startswith` needs it)
        #: Where files may lie, and how the ways there may be named; each ends with a slash.
        self._roots = tuple(os.path.join(os.path.realpath(r), "") for r in (folder, *roots))  # noqa: PTH118
        self._names = (*self._roots, *(os.path.join(root, "") for root in named))  # noqa: PTH118
        self._max_bytes = max_bytes

    def put(self, path: Path) -> Stored:
        """Copy a file into the store; it is on disk when this returns.

        Of a file over the size limit only as much is kept as shows that it is: it is refused
        when it is read.
        Raises PermanentError (`not_found`, `unreadable`) for the file, TransientError for the
        store.
        """
        try:
            descriptor = open_regular(path)
        except PermanentError as error:
            raise PermanentError(f"{path}: {error}", error.code) from error
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            new, name = self._copy(descriptor)
            target = self.folder / name[:2] / f"{name}{_safe_suffix(path)}"
            target.parent.mkdir(exist_ok=True)
            new.replace(target)
        except OSError as error:
            raise TransientError(f"the picture store {self.folder}: {error.strerror}") from error
        return Stored(target.as_uri(), name)

    def _copy(self, descriptor: int) -> tuple[Path, str]:
        """Copy an open file to a new one in the store; return it and its SHA-256."""
        digest = hashlib.sha256()
        with (
            os.fdopen(descriptor, "rb") as source,
            tempfile.NamedTemporaryFile(dir=self.folder, prefix=".new-", delete=False) as new,
        ):
            path = Path(new.name)
            try:
                left = self._max_bytes + 1
                while left > 0 and (chunk := source.read(min(_CHUNK, left))):
                    digest.update(chunk)
                    new.write(chunk)
                    left -= len(chunk)
                new.flush()
                os.fsync(new.fileno())
                path.chmod(0o644)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return path, digest.hexdigest()

    def read(self, uri: str) -> bytes:
        """Return the bytes behind a URI.

        Raises PermanentError (`forbidden_uri`, `not_found`, `unreadable`, `too_large`) and
        TransientError where the store does not answer.
        """
        path = _path_of(uri)
        try:
            descriptor = self._open_inside(path)
            if descriptor is None:
                descriptor = open_regular(self._allowed(path))
            data = read_open(descriptor, self._max_bytes + 1)
        except OSError as error:
            raise TransientError(f"reading {uri}: {error.strerror}") from error
        if len(data) > self._max_bytes:
            raise PermanentError(
                f"the file is larger than the {self._max_bytes:,} bytes that are allowed",
                "too_large",
            )
        return data

    def _open_inside(self, path: str) -> int | None:
        """Open a file that needs no further look: it lies where its path says, inside a root.

        The kernel tells where the open file lies. To resolve the path's links beforehand takes a
        call for each folder, and each lets other threads of this process go first. Returns None
        for all else.
        """
        if not path.startswith(self._names) or os.path.normpath(path) != path:
            return None
        try:
            descriptor = open_regular(path, os.O_NOFOLLOW)
        except (PermanentError, OSError):  # why not, if it is one of ours at all, is said later
            return None
        try:
            opened = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 (half the time)
            if opened.startswith(self._roots):
                return descriptor
        except OSError:  # no /proc here
            pass
        os.close(descriptor)
        return None

    def _allowed(self, path: str) -> Path:
        """Return the real path of one that lies inside a root, after resolving links."""
        real = os.path.realpath(path)
        if not f"{real}/".startswith(self._roots):  # a root itself is no file, but not forbidden
            raise PermanentError(
                "the file lies outside the picture store and HANGTAG_FILE_ROOTS", "forbidden_uri"
            )
        return Path(real)


def _path_of(uri: str) -> str:
    """Return the path that a file URI names. Raises PermanentError (`forbidden_uri`)."""
    if plain := _PLAIN.fullmatch(uri):
        return plain[1]
    try:
        parts = urlsplit(uri)
        raw = unquote_to_bytes(parts.path)
    except ValueError as error:  # a host in broken brackets, a lone surrogate
        raise PermanentError(f"not a URI: {error}", "forbidden_uri") from error
    if parts.scheme != "file":
        raise PermanentError(
            f"{parts.scheme or 'no'} scheme: only file:// URIs inside the store or "
            "HANGTAG_FILE_ROOTS are read",
            "forbidden_uri",
        )
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise PermanentError(
            "a file URI names no host, query or fragment; write %3F and %23 for ? and #",
            "forbidden_uri",
        )
    if b"\0" in raw:
        raise PermanentError("the path holds a NUL byte", "forbidden_uri")
    return os.fsdecode(raw)


def _safe_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ""


def is_folder(path: Path) -> bool:
    """Tell whether this is a folder; a name that none can have, or a closed way, is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def list_pictures(folder: Path) -> tuple[list[Path], int]:
    """List the pictures below a folder in sorted order, and count the files left out.

    Hidden files and folders are not looked at; links to folders are not followed.
    """
    found, left_out = [], 0
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in PICTURE_SUFFIXES:
                found.append(Path(parent, name))
            else:
                left_out += 1
    return sorted(found), left_out
