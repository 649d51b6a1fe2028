"""The similarity contract: plain SQL on the view, through the index, with LIMIT rows back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg2
import pytest

from db.embedded import EmbeddedPostgres
from tests.conftest import TEMPLATE, run_sql

#: At these numbers an exact scan is dearer than a search as wide as the database sets it.
ROWS = 12_000
RARE = 7
#: Lets vectors into the index, as the janitor does; they would be fresh without it.
FOLDING = "SELECT set_config('hangtag.folding', %s, false)"


def vector(values: np.ndarray[Any, Any]) -> str:
    return "[" + ",".join(f"{v:.5f}" for v in values / np.linalg.norm(values)) + "]"


def drawn(generator: np.random.Generator) -> str:
    """One vector near one of fifty others, as pictures of products are."""
    centres = np.random.default_rng(7).normal(size=(50, 256))
    return vector(centres[generator.integers(50)] + 0.7 * generator.normal(size=256))


@pytest.fixture(scope="module", params=["indexed", "a third fresh"])
def gallery(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with 12,000 vectors: half of them Tshirts, seven Ties."""
    name = f"gallery_{uuid.uuid4().hex[:12]}"
    run_sql(postgres.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    database_url = postgres.url(name)
    run_sql(database_url, "SELECT hangtag_data.set_database()")
    fresh = ROWS // 3 if request.param == "a third fresh" else 0
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
        vectors = [drawn(generator) for _ in ids]
        # Every third is fresh, so that each type has some.
        for folding in ("on", "off"):
            part = [n for n in range(ROWS) if (n % 3 == 0 and fresh > 0) == (folding == "off")]
            cursor.execute(FOLDING, (folding,))
            cursor.execute(
                "INSERT INTO hangtag_data.embeddings "
                "(generation, upload_id, item, embedding, article_type) "
                "SELECT (SELECT generation FROM hangtag_data.model_versions WHERE active), "
                "id::uuid, 0, v::halfvec, t FROM unnest(%s::text[], %s::text[], %s::text[]) "
                "AS r (id, v, t)",
                ([ids[n] for n in part], [vectors[n] for n in part], [types[n] for n in part]),
            )
        cursor.execute("SELECT count(*) FROM hangtag_data.embeddings WHERE generation < 0")
        assert cursor.fetchall() == [(fresh,)]
    connection.close()
    run_sql(database_url, "ANALYZE")
    yield database_url
    run_sql(postgres.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


QUERY = drawn(np.random.default_rng(1))
SUBMIT = "SELECT hangtag.submit_upload('file:///x', 'test')"
NEAREST = (
    "SELECT image_id FROM hangtag.image_embeddings {where} "
    f"ORDER BY (embedding <=> '{QUERY}') LIMIT 10"
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
    # No index gives this order, whatever the planner would like.
    exact = set(run_sql(gallery, NEAREST.format(where="").replace(" LIMIT", " + 0.0 LIMIT")))
    assert len(exact) == 10
    assert len(found & exact) >= 8


def test_a_vector_is_found_as_soon_as_it_is_written(gallery: str) -> None:
    """Fresh or in the index: what is nearest comes first."""
    [(one,)] = run_sql(gallery, SUBMIT)
    run_sql(
        gallery,
        "INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding) "
        "SELECT generation, "
        f"'{one}', 0, '{QUERY}' FROM hangtag_data.model_versions WHERE active",
    )
    assert run_sql(gallery, NEAREST.format(where=""))[0] == (one,)


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
