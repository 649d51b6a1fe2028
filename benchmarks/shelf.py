"""A database with a gallery's vectors, and nothing else of an installation."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg2
from sqlalchemy.orm import Session

from benchmarks.gallery import Gallery
from benchmarks.installation import BATCH_SIZE, Connection, run_sql
from benchmarks.neighbours import Graph, K, Point, measure
from benchmarks.stock import Vectors, stock_result
from db.embedded import EmbeddedPostgres
from db.queries.models import get_active_model
from db.queries.parts import fold_vectors
from db.queries.results import Result, write_results
from db.queries.uploads import claim_uploads, insert_uploads, mark_finished
from db.session import make_engine, transaction
from errors import HangtagError
from worker.indexing import index_generation, make_indexing_engine
from worker.janitor import STEP_ROWS
from worker.setup import migrate
from worker.vectors import vector_text

#: As a server with 8 GB would be set up; the index is built in memory.
SETTINGS = ("shared_buffers=2GB", "maintenance_work_mem=2GB", "max_wal_size=8GB")
ROWS_A_COPY = 20_000
#: Of so many results one is accepted; the others go to a person, as of the sample pictures.
ACCEPTED = 4

#: A row of COPY's binary form: number of columns, then length and bytes of each.
_ROW = np.dtype(
    [
        ("columns", ">i2"),
        ("id_length", ">i4"),
        ("id", "V16"),
        ("vector_length", ">i4"),
        ("dimensions", ">i2"),
        ("unused", ">i2"),
        ("numbers", ">f2", (256,)),
    ]
)
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"


class Shelf:
    """The embedded PostgreSQL with Hangtag's schema; ids are the places in the gallery."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder, SETTINGS)
        self._server.start()
        migrate(self._server.url())
        self._engine = make_engine(self._server.url())
        self._mover = make_indexing_engine(self._server.url())
        with transaction(self._engine) as session:
            active = get_active_model(session)
        if active is None:
            raise HangtagError("no model version is active")
        self._active = active
        self._partition = f"hangtag_data.embeddings_g{active.generation}"
        self._connection = self.connect()

    def close(self) -> None:
        """End the server."""
        self._connection.close()
        self._engine.dispose()
        self._mover.dispose()
        self._server.stop()

    def connect(self) -> Connection:
        """Connect, each statement a transaction of its own."""
        connection = psycopg2.connect(self._server.url())
        connection.autocommit = True
        return connection

    def fill(self, gallery: Gallery) -> dict[str, object]:
        """Put the gallery in, and build the index in bulk; return seconds and sizes."""
        generation = self._active.generation
        index = f"{self._partition}_hnsw_idx"
        run_sql(self._connection, f"DROP INDEX {index}")
        # Past the fresh part: nothing of this is measured.
        run_sql(self._connection, "SET hangtag.folding = 'on'")
        with self._connection.cursor() as cursor:
            for start in range(0, len(gallery), ROWS_A_COPY):
                self._copy(cursor, gallery, start)
        began = time.perf_counter()
        index_generation(self._mover, generation, keep=False)
        seconds = time.perf_counter() - began
        run_sql(self._connection, "VACUUM ANALYZE hangtag_data.embeddings")
        [(size, whole)] = run_sql(
            self._connection,
            "SELECT pg_relation_size(%s::regclass), pg_total_relation_size(%s::regclass)",
            [index, self._partition],
        )
        return {
            "build_seconds": round(seconds, 1),
            "index_mb": round(int(str(size)) / 1e6),
            "table_mb": round(int(str(whole)) / 1e6),
        }

    def graph(self) -> Graph:
        """Return what the index was built with."""
        [(options,)] = run_sql(
            self._connection,
            "SELECT reloptions FROM pg_class WHERE oid = %s::regclass",
            [f"{self._partition}_hnsw_idx"],
        )
        given = dict(one.split("=") for one in options) if isinstance(options, list) else {}
        return Graph(int(given["m"]), int(given["ef_construction"]))

    def default_ef(self) -> int:
        """Return the `hnsw.ef_search` of a session that sets nothing."""
        connection = self.connect()
        try:
            [(value,)] = run_sql(connection, "SHOW hnsw.ef_search")
        finally:
            connection.close()
        return int(str(value))

    def _copy(self, cursor: psycopg2.extensions.cursor, gallery: Gallery, start: int) -> None:
        end = min(start + ROWS_A_COPY, len(gallery))
        rows = np.zeros(end - start, _ROW)
        rows["columns"], rows["id_length"], rows["vector_length"] = 2, 16, 4 + 2 * 256
        rows["dimensions"], rows["numbers"] = 256, gallery.vectors[start:end]
        ids = b"".join(uuid.UUID(int=place).bytes for place in range(start, end))
        rows["id"] = np.frombuffer(ids, "V16")
        cursor.execute("CREATE TEMP TABLE part (id uuid, embedding halfvec(256))")
        cursor.copy_expert(
            "COPY part FROM STDIN (FORMAT binary)",
            io.BytesIO(_HEADER + rows.tobytes() + _TRAILER),
        )
        cursor.execute(
            "INSERT INTO hangtag_data.uploads (id, source, uri, status, finished_at) "
            "SELECT id, 'bench', 'file:///bench', 'tagged', now() FROM part"
        )
        cursor.execute(
            "INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding, "
            "article_type) SELECT %s, p.id, 0, p.embedding, t.name FROM part AS p "
            "JOIN unnest(CAST(%s AS uuid[]), CAST(%s AS text[])) AS t (id, name) USING (id)",
            [
                self._active.generation,
                [str(uuid.UUID(int=place)) for place in range(start, end)],
                gallery.types[start:end].tolist(),
            ],
        )
        cursor.execute("DROP TABLE part")

    def curve(
        self,
        way: str,
        queries: Vectors,
        truth: np.ndarray[tuple[int, int], np.dtype[np.int64]],
        efs: Sequence[int],
        wanted: str | None = None,
    ) -> list[Point]:
        """Sweep `hnsw.ef_search` with the contract's own query, of one type if asked."""
        statements = list(_statements(queries, wanted))
        points = []
        with self._connection.cursor() as cursor:

            def search(number: int) -> list[int]:
                cursor.execute(statements[number])
                return [uuid.UUID(found).int for (found,) in cursor.fetchall()]

            for ef in efs:
                cursor.execute(f"SET hnsw.ef_search = {ef}")
                points.append(measure(way, ef, search, truth))
            cursor.execute("RESET hnsw.ef_search")
        return points

    def queries_per_second(self, queries: Vectors, ef: int, clients: int, seconds: float) -> float:
        """Ask from several connections at once for a while."""
        statements = list(_statements(queries, None))
        done = [0] * clients
        end = time.monotonic() + seconds

        def ask(number: int) -> None:
            connection = self.connect()
            with connection.cursor() as cursor:
                cursor.execute(f"SET hnsw.ef_search = {ef}")
                while time.monotonic() < end:
                    cursor.execute(statements[(number + done[number]) % len(statements)])
                    cursor.fetchall()
                    done[number] += 1
            connection.close()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / seconds

    def plan_of(self, query: Vectors, wanted: str) -> str:
        """Say how the planner finds a type's neighbours: by `hnsw`, or exactly."""
        [statement] = _statements(query, wanted)
        plan = " ".join(str(line) for (line,) in run_sql(self._connection, f"EXPLAIN {statement}"))
        return "hnsw" if "_hnsw_idx" in plan else "exact"

    def insert_rate(self, vectors: Vectors) -> float:
        """Write further results in batches, as a worker does; return rows a second."""
        results = _results(vectors)
        run_sql(
            self._connection,
            "INSERT INTO hangtag_data.uploads (id, source, uri, status, finished_at) SELECT id, "
            "'bench', 'file:///bench', 'tagged', now() FROM unnest(CAST(%s AS uuid[])) AS s (id)",
            [[result.upload_text for result in results]],
        )
        began = time.perf_counter()
        for start in range(0, len(results), BATCH_SIZE):
            with transaction(self._engine) as session:
                self._write(session, results[start : start + BATCH_SIZE])
        return len(results) / (time.perf_counter() - began)

    def _write(self, session: Session, results: Sequence[Result]) -> None:
        """Write results of first attempts."""
        first = {result.upload_id for result in results}
        write_results(session, results, self._active.version, self._active.generation, first)

    def fold_rate(self) -> float:
        """Move what is fresh to the index, as the janitor does; return rows a second."""
        moved, began = 0, time.perf_counter()
        while True:
            with self._mover.begin() as connection:
                step = fold_vectors(connection, self._active.generation, STEP_ROWS)
            if not step:
                return moved / (time.perf_counter() - began)
            moved += step

    def wal_a_row(self, vectors: Vectors) -> dict[str, object]:
        """Take uploads the whole way and return the bytes of WAL each.

        From submission to the written result, and to the index, as a long time after a checkpoint,
        without previews;
        `wal_bytes_full_pages` is both right after one, when each page that is touched for the first
        time is written whole.
        """
        half = len(vectors) // 2
        self._set_full_pages("off")
        written, moved = self._take_through(vectors[:half])
        self._set_full_pages("on")
        run_sql(self._connection, "CHECKPOINT")
        whole = sum(self._take_through(vectors[half:]))
        return {
            "wal_bytes": round(written),
            "wal_bytes_index": round(moved),
            "wal_bytes_full_pages": round(whole),
        }

    def _take_through(self, vectors: Vectors) -> tuple[float, float]:
        """Submit, claim, finish, index; return bytes of WAL a row, those of the index apart."""
        began, count = self._wal_bytes(), len(vectors)
        with transaction(self._engine) as session:
            names = [str(uuid.uuid4()) for _ in vectors]
            insert_uploads(session, ["file:///bench"] * count, "wal", names)
        for start in range(0, count, BATCH_SIZE):
            with transaction(self._engine) as session:
                claims = claim_uploads(session, "bench", BATCH_SIZE, 120.0, backfill=False)
            stock = zip(claims, _results(vectors[start : start + BATCH_SIZE]), strict=True)
            batch = [(claim, replace(one, upload_id=claim.id)) for claim, one in stock]
            with transaction(self._engine) as session:
                mark_finished(session, [(c, "review" if r.reason else "tagged") for c, r in batch])
                self._write(session, [result for _, result in batch])
        written = self._wal_bytes()
        self.fold_rate()
        return (written - began) / count, (self._wal_bytes() - written) / count

    def _set_full_pages(self, value: str) -> None:
        run_sql(self._connection, f"ALTER SYSTEM SET full_page_writes = {value}")
        run_sql(self._connection, "SELECT pg_reload_conf()")
        deadline = time.monotonic() + 10
        while run_sql(self._connection, "SHOW full_page_writes") != [(value,)]:
            if time.monotonic() > deadline:
                raise HangtagError("the server did not take full_page_writes")
            time.sleep(0.05)

    def _wal_bytes(self) -> int:
        [(position,)] = run_sql(
            self._connection, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
        )
        return int(str(position))

    def bytes_a_row(self) -> dict[str, object]:
        """Return what an upload takes on disk: its vector with all indexes, and all other rows.

        But its preview, if it needs one.
        """
        [(vector, upload, results)] = run_sql(self._connection, _BYTES)
        return {
            "vector_bytes": round(float(str(vector))),
            "row_bytes": round(float(str(upload)) + float(str(results))),
        }


_BYTES = """
    SELECT
        (SELECT sum(pg_total_relation_size(relid))
            FROM pg_partition_tree('hangtag_data.embeddings'))
            / (SELECT count(*) FROM hangtag_data.embeddings),
        pg_total_relation_size('hangtag_data.uploads')::float
            / (SELECT count(*) FROM hangtag_data.uploads),
        (pg_total_relation_size('hangtag_data.predictions')::float
            + pg_total_relation_size('hangtag_data.tags')
            + pg_total_relation_size('hangtag_data.review_items'))
            / (SELECT count(*) FROM hangtag_data.predictions)
"""


def _results(vectors: Vectors) -> list[Result]:
    return [stock_result(v, to_review=n % ACCEPTED > 0) for n, v in enumerate(vectors)]


def _statements(queries: Vectors, wanted: str | None) -> Iterator[str]:
    where = (
        "" if wanted is None else f"WHERE article_type = '{wanted.replace(chr(39), chr(39) * 2)}' "
    )
    for query in queries:
        yield (
            f"SELECT image_id FROM hangtag.image_embeddings {where}"  # noqa: S608 (measured as is)
            f"ORDER BY embedding <=> '{vector_text(query)}' LIMIT {K}"
        )
