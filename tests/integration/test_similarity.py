"""The similarity contract: plain SQL on the view, through the index, with LIMIT rows back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import psycopg2
import pytest

from tests.conftest import run_sql

ROWS = 3000
RARE = 7


def vector(values: np.ndarray[Any, Any]) -> str:
    return "[" + ",".join(f"{v:.5f}" for v in values / np.linalg.norm(values)) + "]"


@pytest.fixture
def gallery(database_url: str) -> str:
    """A database with 3,000 vectors: half of them Tshirts, seven Ties."""
    generator = np.random.default_rng(0)
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO hangtag_data.uploads (source, external_id, uri) "
            "SELECT 'test', n, 'file:///' || n FROM generate_series(1, %s) AS n RETURNING id",
            (ROWS,),
        )
        ids = [row[0] for row in cursor.fetchall()]
        types = ["Ties"] * RARE + ["Tshirts"] * (ROWS // 2) + ["Shirts"] * ROWS
        cursor.execute(
            "INSERT INTO hangtag_data.embeddings "
            "(generation, upload_id, item, embedding, article_type) "
            "SELECT (SELECT generation FROM hangtag_data.model_versions WHERE active), "
            "id::uuid, 0, v::halfvec, t FROM unnest(%s, %s, %s) AS r (id, v, t)",
            (ids, [vector(generator.normal(size=256)) for _ in ids], types[:ROWS]),
        )
    connection.close()
    run_sql(database_url, "ANALYZE")
    return database_url


QUERY = vector(np.random.default_rng(1).normal(size=256))
NEAREST = (
    "SELECT image_id FROM hangtag.image_embeddings {where} "
    f"ORDER BY embedding <=> '{QUERY}' LIMIT 10"
)


def plan(url: str, where: str) -> str:
    rows = run_sql(url, "EXPLAIN (FORMAT JSON) " + NEAREST.format(where=where))
    return json.dumps(rows[0][0])


@pytest.mark.parametrize("where", ["", "WHERE article_type = 'Tshirts'"])
def test_the_query_uses_the_hnsw_index(gallery: str, where: str) -> None:
    assert "_hnsw_idx" in plan(gallery, where)


@pytest.mark.parametrize(
    ("where", "expected"),
    [("", 10), ("WHERE article_type = 'Tshirts'", 10), ("WHERE article_type = 'Ties'", RARE)],
)
def test_limit_rows_come_back_where_there_are_as_many(
    gallery: str, where: str, expected: int
) -> None:
    assert len(run_sql(gallery, NEAREST.format(where=where))) == expected


def test_a_filtered_query_through_the_index_returns_enough_rows(gallery: str) -> None:
    """Without iterative scans the index alone would return none of a rare type."""
    rows = run_sql(
        gallery + "&options=-c%20enable_sort%3Doff%20-c%20enable_bitmapscan%3Doff",
        NEAREST.format(where="WHERE article_type = 'Ties'"),
    )
    assert len(rows) == RARE


def test_the_index_finds_what_an_exact_scan_finds(gallery: str) -> None:
    found = set(run_sql(gallery, NEAREST.format(where="")))
    exact = set(
        run_sql(
            gallery + "&options=-c%20enable_indexscan%3Doff",
            NEAREST.format(where=""),
        )
    )
    assert len(found & exact) >= 8  # random vectors are the hardest case for a graph


def test_similar_images_leaves_the_picture_itself_out(gallery: str) -> None:
    [(one,)] = run_sql(gallery, "SELECT image_id FROM hangtag.image_embeddings LIMIT 1")
    rows = run_sql(gallery, f"SELECT image_id, distance FROM hangtag.similar_images('{one}', 10)")
    distances = [row[1] for row in rows]
    assert len(rows) == 10
    assert one not in {row[0] for row in rows}
    assert distances == sorted(distances)  # type: ignore[type-var]


def test_similar_images_keeps_to_a_type(gallery: str) -> None:
    [(one,)] = run_sql(
        gallery, "SELECT image_id FROM hangtag.image_embeddings WHERE article_type = 'Ties' LIMIT 1"
    )
    rows = run_sql(gallery, f"SELECT article_type FROM hangtag.similar_images('{one}', 10, 'Ties')")
    assert rows == [("Ties",)] * (RARE - 1)
