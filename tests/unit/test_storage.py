"""The picture store: copying in, and reading by URI within what is allowed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from errors import PermanentError
from tests.conftest import SAMPLES
from worker.storage import PictureStore, list_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> PictureStore:
    return PictureStore(folder)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "shirt.jpg"
    path.write_bytes((SAMPLES / "backpack_blue.jpg").read_bytes())
    return path


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def code_of(store: PictureStore, uri: str) -> str:
    """Return the code of the error that reading a URI gives."""
    with pytest.raises(PermanentError) as caught:
        store.read(uri)
    return caught.value.code


# Putting


def test_put_copies_a_file_and_names_it_by_its_hash(
    store: PictureStore, folder: Path, picture: Path
) -> None:
    stored = store.put(picture)
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    assert stored.sha256 == digest
    assert files_in(folder) == [folder / digest[:2] / f"{digest}.jpg"]
    assert stored.uri == (folder / digest[:2] / f"{digest}.jpg").as_uri()
    assert picture.exists()


def test_what_was_put_is_read_back(store: PictureStore, picture: Path) -> None:
    assert store.read(store.put(picture).uri) == picture.read_bytes()


def test_the_same_picture_twice_is_one_file(
    store: PictureStore, folder: Path, picture: Path
) -> None:
    again = picture.with_name("another name.jpg")
    again.write_bytes(picture.read_bytes())
    assert store.put(picture) == store.put(again)
    assert len(files_in(folder)) == 1


def test_another_picture_is_another_file(store: PictureStore, folder: Path, picture: Path) -> None:
    first = store.put(picture)
    picture.write_bytes(picture.read_bytes() + b"!")
    second = store.put(picture)
    assert first.uri != second.uri
    assert len(files_in(folder)) == 2
    assert store.read(first.uri) + b"!" == store.read(second.uri)


def test_a_copy_stays_when_the_original_changes(store: PictureStore, picture: Path) -> None:
    before = picture.read_bytes()
    stored = store.put(picture)
    picture.write_bytes(b"something else")
    assert store.read(stored.uri) == before


def test_other_users_may_read_what_was_put(
    store: PictureStore, folder: Path, picture: Path
) -> None:
    """Producer and worker are often two users."""
    store.put(picture)
    assert files_in(folder)[0].stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("A.JPG", ".jpg"), ("a", ""), ("a.j%70g", ""), ("a.verylongsuffix", ""), ("a.b c", "")],
)
def test_only_a_plain_suffix_is_taken_over(
    store: PictureStore, folder: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    (tmp_path / name).write_bytes(b"data")
    store.put(tmp_path / name)
    assert [path.suffix for path in files_in(folder)] == [suffix]


def test_a_missing_file_is_not_found_and_named(store: PictureStore, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"gone\.jpg: there is no such file") as caught:
        store.put(tmp_path / "gone.jpg")
    assert caught.value.code == "not_found"


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_no_regular_file_is_unreadable_and_not_waited_for(
    store: PictureStore, folder: Path, tmp_path: Path, kind: str
) -> None:
    odd = tmp_path / "odd.jpg"
    if kind == "folder":
        odd.mkdir()
    else:
        os.mkfifo(odd)
    with pytest.raises(PermanentError, match=r"odd\.jpg: not a regular file") as caught:
        store.put(odd)
    assert caught.value.code == "unreadable"
    assert not folder.exists() or files_in(folder) == []


def test_a_file_over_the_limit_is_cut_and_refused_when_it_is_read(
    folder: Path, tmp_path: Path
) -> None:
    store = PictureStore(folder, max_bytes=1000)
    large = tmp_path / "large.jpg"
    large.write_bytes(b"x" * 5000)
    stored = store.put(large)
    assert files_in(folder)[0].stat().st_size == 1001
    assert code_of(store, stored.uri) == "too_large"


def test_a_file_of_just_the_limit_passes_whole(folder: Path, tmp_path: Path) -> None:
    store = PictureStore(folder, max_bytes=1000)
    exact = tmp_path / "exact.jpg"
    exact.write_bytes(b"x" * 1000)
    assert len(store.read(store.put(exact).uri)) == 1000


def test_a_file_larger_than_one_read_is_copied_whole(folder: Path, tmp_path: Path) -> None:
    data = os.urandom(3 * (1 << 20) + 17)
    (tmp_path / "large.png").write_bytes(data)
    store = PictureStore(folder)
    assert store.read(store.put(tmp_path / "large.png").uri) == data


def test_an_empty_file_is_kept_as_it_is(store: PictureStore, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert store.read(store.put(tmp_path / "empty.jpg").uri) == b""


@pytest.mark.parametrize(
    "name",
    [
        b"two words.jpg",
        b"50% off.jpg",
        b"literal%2e%2e.jpg",
        b"a#b?c&d=e.jpg",
        "Größe – 青.jpg".encode(),
        b"latin-1 \xe4\xff.jpg",
        b"back\\slash.jpg",
        b"semi;colon:.jpg",
        b"new\nline\ttab.jpg",
        b" leading and trailing ",
    ],
)
def test_odd_names_go_through_put_and_through_a_uri(
    folder: Path, tmp_path: Path, name: bytes
) -> None:
    root = tmp_path / "odd root %41"
    root.mkdir()
    path = root / os.fsdecode(name)
    path.write_bytes(name)
    store = PictureStore(folder, roots=[root])
    assert store.read(store.put(path).uri) == name
    assert store.read(path.as_uri()) == name


# Reading


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"secret")
    return path


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.org/a.jpg",
        "https://example.org/a.jpg",
        "ftp://example.org/a.jpg",
        "s3://bucket/a.jpg",
        "data:image/png;base64,AAAA",
        "/etc/passwd",
        "etc/passwd",
        "",
        "FILE",
        "file",
    ],
)
def test_every_scheme_but_file_is_forbidden(store: PictureStore, uri: str) -> None:
    assert code_of(store, uri) == "forbidden_uri"


@pytest.mark.parametrize("change", ["host", "query", "fragment", "empty_port"])
def test_host_query_and_fragment_are_forbidden(
    store: PictureStore, picture: Path, change: str
) -> None:
    uri = store.put(picture).uri
    changed = {
        "host": uri.replace("file://", "file://example.org"),
        "query": uri + "?a=b",
        "fragment": uri + "#a",
        "empty_port": uri.replace("file://", "file://localhost:"),
    }[change]
    assert store.read(uri)
    assert code_of(store, changed) == "forbidden_uri"


def test_localhost_is_this_machine(store: PictureStore, picture: Path) -> None:
    uri = store.put(picture).uri
    assert store.read(uri.replace("file://", "file://localhost")) == picture.read_bytes()


@pytest.mark.parametrize(
    "way",
    [
        "{store}/../secret.jpg",
        "{store}/%2e%2e/secret.jpg",
        "{store}/%2E%2E%2Fsecret.jpg",
        "{store}/ab/../../secret.jpg",
        "{store}//../secret.jpg",
        "{store}/./.%2e/secret.jpg",
        "{store}/.\t./secret.jpg",
        "{store}/.\n./secret.jpg",
        "{store}/../store2/secret.jpg",
        "{parent}/secret.jpg",
    ],
)
def test_no_way_leads_out_of_the_store(
    store: PictureStore, folder: Path, outside: Path, way: str
) -> None:
    (folder / "ab").mkdir(parents=True)
    beside = folder.with_name("store2")  # its name begins as the store's does
    beside.mkdir()
    (beside / "secret.jpg").write_bytes(b"secret")
    uri = "file://" + way.format(store=folder, parent=folder.parent)
    assert code_of(store, uri) == "forbidden_uri"


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/dev/zero", "/", ""])
def test_files_of_the_machine_are_forbidden(store: PictureStore, path: str) -> None:
    assert code_of(store, f"file://{path}") == "forbidden_uri"


def test_a_nul_byte_is_forbidden(store: PictureStore, picture: Path) -> None:
    assert code_of(store, store.put(picture).uri + "%00.jpg") == "forbidden_uri"


@pytest.mark.parametrize("uri", ["file://[/a.jpg", "file://[::1/a.jpg", "file:///a\ud800.jpg"])
def test_what_is_no_uri_is_forbidden(store: PictureStore, uri: str) -> None:
    assert code_of(store, uri) == "forbidden_uri"


def test_a_link_that_points_outside_is_forbidden(
    store: PictureStore, folder: Path, outside: Path
) -> None:
    folder.mkdir()
    (folder / "link.jpg").symlink_to(outside)
    (folder / "up").symlink_to(folder.parent)
    assert code_of(store, (folder / "link.jpg").as_uri()) == "forbidden_uri"
    assert code_of(store, (folder / "up" / "secret.jpg").as_uri()) == "forbidden_uri"


def test_a_link_within_the_store_is_followed(store: PictureStore, folder: Path) -> None:
    folder.mkdir()
    (folder / "real.jpg").write_bytes(b"data")
    (folder / "link.jpg").symlink_to(folder / "real.jpg")
    assert store.read((folder / "link.jpg").as_uri()) == b"data"


def test_a_store_behind_a_link_works(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "disk")
    store = PictureStore(tmp_path / "linked")
    assert store.read(store.put(picture).uri) == picture.read_bytes()


def test_a_root_that_is_named_by_dots_behind_a_link_is_the_one_that_the_system_means(
    tmp_path: Path,
) -> None:
    for place in ("there/below", "there/pictures", "pictures"):
        (tmp_path / place).mkdir(parents=True)
    for folder in ("there/pictures", "pictures"):
        (tmp_path / folder / "a.jpg").write_bytes(folder.encode())
    (tmp_path / "link").symlink_to(tmp_path / "there" / "below")
    store = PictureStore(tmp_path / "store", roots=[tmp_path / "link" / ".." / "pictures"])
    assert store.read((tmp_path / "there" / "pictures" / "a.jpg").as_uri()) == b"there/pictures"
    assert code_of(store, (tmp_path / "pictures" / "a.jpg").as_uri()) == "forbidden_uri"


def test_a_further_root_is_read_only_where_it_was_allowed(folder: Path, outside: Path) -> None:
    assert code_of(PictureStore(folder), outside.as_uri()) == "forbidden_uri"
    assert PictureStore(folder, roots=[outside.parent]).read(outside.as_uri()) == b"secret"


def test_a_file_that_is_not_there_is_not_found(store: PictureStore, folder: Path) -> None:
    folder.mkdir()
    (folder / "file.jpg").touch()
    assert code_of(store, (folder / "gone.jpg").as_uri()) == "not_found"
    assert code_of(store, (folder / "file.jpg" / "below.jpg").as_uri()) == "not_found"
    assert code_of(store, (folder / ("long" * 100)).as_uri()) == "not_found"


def test_a_circle_of_links_is_refused(store: PictureStore, folder: Path) -> None:
    folder.mkdir()
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    assert code_of(store, (folder / "a").as_uri()) == "not_found"


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_a_folder_or_fifo_in_the_store_is_unreadable_and_not_waited_for(
    store: PictureStore, folder: Path, kind: str
) -> None:
    folder.mkdir()
    odd = folder / "odd.jpg"
    if kind == "folder":
        odd.mkdir()
    else:
        os.mkfifo(odd)
    assert code_of(store, odd.as_uri()) == "unreadable"


# Listing


def test_pictures_are_listed_in_sorted_order_at_any_depth(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.JPG", "a.jpeg", "c/d/e.webp", "b.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, left_out = list_pictures(tmp_path)
    assert found == sorted(found)
    assert {str(p.relative_to(tmp_path)) for p in found} == {
        "a.jpeg",
        "b.gif",
        "b/1.JPG",
        "b/2.png",
        "c/d/e.webp",
    }
    assert left_out == 0


def test_other_files_are_counted_and_hidden_ones_are_not_looked_at(tmp_path: Path) -> None:
    for name in ("a.jpg", "notes.txt", "b/table.csv", ".hidden.jpg", ".cache/c.jpg", "noending"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_pictures(tmp_path) == ([tmp_path / "a.jpg"], 3)


@pytest.mark.timeout(10)
def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jpg").touch()
    (tmp_path / "inside" / "b.jpg").touch()
    (tmp_path / "inside" / "circle").symlink_to(tmp_path / "inside")
    (tmp_path / "inside" / "other").symlink_to(tmp_path / "elsewhere")
    assert list_pictures(tmp_path / "inside")[0] == [tmp_path / "inside" / "b.jpg"]


def test_an_empty_folder_has_no_pictures(tmp_path: Path) -> None:
    assert list_pictures(tmp_path) == ([], 0)
