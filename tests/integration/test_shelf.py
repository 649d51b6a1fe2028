"""What `./run bench similarity` measures with: a gallery in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.gallery import Gallery, make_gallery, make_queries
from benchmarks.neighbours import K, exact
from benchmarks.shelf import Shelf
from tests.conftest import SAMPLES


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return make_gallery(1_500, None, SAMPLES)


@pytest.fixture(scope="module")
def shelf(gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    built = shelf.fill(gallery)
    assert float(str(built["index_mb"])) > 0
    yield shelf
    shelf.close()


def test_what_sql_finds_is_what_is_near(shelf: Shelf, gallery: Gallery) -> None:
    queries = make_queries(gallery, 40).vectors
    truth = gallery.nearest(queries, K)
    assert exact(gallery.vectors, queries, truth).recall == 1
    low, high = shelf.curve("Hangtag", queries, truth, (10, 200))
    assert high.recall >= max(0.99, low.recall)


def test_one_type_alone_is_found_exactly(shelf: Shelf, gallery: Gallery) -> None:
    queries = make_queries(gallery, 20).vectors
    rare = min(set(gallery.types), key=lambda name: abs((gallery.types == name).sum() - 2 * K))
    truth = gallery.nearest(queries, K, rare)
    [point] = shelf.curve("rare", queries, truth, (40,), rare)
    assert point.recall == 1
    assert shelf.plan_of(queries[:1], rare) == "exact"


def test_wal_is_counted_apart_from_whole_pages(shelf: Shelf, gallery: Gallery) -> None:
    """Rows, vector and index entry are in it; right after a checkpoint it is more."""
    shelf.fold_rate()
    found = {
        name: int(str(value)) for name, value in shelf.wal_a_row(gallery.vectors[:128]).items()
    }
    assert found["wal_bytes"] > 2 * 512
    assert found["wal_bytes_index"] > 2 * 512
    assert found["wal_bytes_full_pages"] > found["wal_bytes"] + found["wal_bytes_index"]


def test_inserts_and_bytes_are_measured(shelf: Shelf, gallery: Gallery) -> None:
    assert shelf.insert_rate(gallery.vectors[:64]) > 0
    assert shelf.fold_rate() > 0
    assert shelf.fold_rate() == 0  # all are in the index
    found = shelf.bytes_a_row()
    # 256 numbers of two bytes, once in the table and once in the index, and their overhead.
    assert 2 * 512 < float(str(found["vector_bytes"])) < 8 * 512
