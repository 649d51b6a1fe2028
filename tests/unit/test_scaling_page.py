"""`./run bench scaling`: what it reckons from made results, and the page it writes."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import report, scaling
from benchmarks.__main__ import make_parser
from benchmarks.needs import (
    MADE_UP,
    QUICK,
    Assumed,
    Measured,
    database_needs,
    limits_of_one,
    other_needs,
    vector_needs,
    worker_needs,
)
from errors import UsageError
from tests.conftest import ROOT

ASSUMED = Assumed()
MEASURED = Measured.read(quick=True)
PAGE = ROOT / "docs" / "scaling.md"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Made results of the other parts, and a short simulation."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(report, "RESULTS", folder)
    monkeypatch.setattr(scaling, "SIMULATED", 4_000)
    for part, figures in QUICK.items():
        made = {"figures": figures, "machine": MADE_UP}
        (folder / f"{part}.json").write_text(json.dumps(made))
    return folder


def options(*arguments: str) -> Namespace:
    return make_parser().parse_args(["scaling", *arguments])


def test_workers_are_as_many_as_the_busiest_hour_needs() -> None:
    assumed = replace(ASSUMED, peak=2.0, busy=0.5)
    needs = worker_needs(86_400_000, 100.0, 21, (0.1, 1.5), MEASURED, assumed)
    assert needs["uploads a second, busiest hour"] == 2000
    assert needs["processes at most 50 % busy: take these"] == 40
    assert needs["how busy they are, %"] == pytest.approx(100 * 20 / 21)
    # Of seven milliseconds of work two are the network's; three for previews come on top.
    assert needs["of their work, the network's part in processes"] == pytest.approx(
        40 * 2 / 7, rel=1e-3
    )
    assert needs["processes that previews keep busy, day's mean"] == 3


def test_the_database_is_given_what_rows_and_vectors_cost() -> None:
    assumed = replace(ASSUMED, peak=2.0, keep_days=10.0)
    needs = database_needs(86_400_000, 40, MEASURED, assumed)
    assert needs["cores that write results, busiest hour"] == 2
    assert needs["cores that move vectors to the index, day's mean"] == 1
    assert needs["WAL without previews, MB a second, busiest hour"] == 20
    # Four of ten need a preview of 70 kB.
    assert needs["WAL of previews, GB a day"] == pytest.approx(86.4e6 * 0.4 * 70e3 / 1e9)
    assert needs["vectors kept, millions"] == 864
    assert needs["both, TB kept"] == pytest.approx(864e6 * 3500 / 1e12)
    # 153.6 GB hold 102.4 million vectors of 1,500 bytes.
    assert needs["servers for their memory alone"] == 9


def test_there_is_never_one_process_alone() -> None:
    needs = worker_needs(1000, 100.0, 1, (0.1, 0.2), MEASURED, ASSUMED)
    assert needs["processes at most 70 % busy: take these"] == 2


def test_vectors_grow_with_their_number() -> None:
    needs = vector_needs(100_000_000, MEASURED, ASSUMED)
    assert needs["HNSW index, GB"] == 80
    assert needs["table with all its indexes, GB"] == 150
    assert needs["servers for their memory"] == 1


def test_operators_and_bandwidth() -> None:
    assumed = replace(ASSUMED, peak=1.0, picture_kb=100.0, decisions_an_hour=500.0)
    needs = other_needs(86_400_000, MEASURED, assumed)
    assert needs["pictures read, Gbit a second, busiest hour"] == 0.8
    assert needs["operators at eight hours a day"] == 86_400_000 * 0.4 / 4000


def test_what_ends_first_comes_first() -> None:
    ends = limits_of_one(MEASURED, ASSUMED)
    assert [value for _, value in ends] == sorted(value for _, value in ends)
    assert dict(ends)["one janitor, day's mean"] == 1000 * 86_400
    mean = dict(ends)["WAL with previews, day's mean"]
    assert mean == pytest.approx(200e6 / (10_000 + 28_000) * 86_400)
    few = dict(limits_of_one(MEASURED, replace(ASSUMED, keep_days=730.0)))
    memory = "memory for the vectors of 730 days"
    assert few[memory] == dict(ends)["memory for the vectors of 365 days"] / 2


def test_a_process_of_the_simulation_is_as_fast_as_one_was_measured() -> None:
    """At the batch size that was measured; full batches are a little cheaper."""
    rates = scaling.rates_of(MEASURED, ASSUMED)
    assert 31 / rates.seconds(31) == pytest.approx(MEASURED.uploads_per_second_single / 2)


def test_what_did_not_run_is_named(results: Path) -> None:
    (results / "pipeline.json").unlink()
    with pytest.raises(UsageError, match="bench pipeline first"):
        Measured.read()


def test_a_figure_that_an_older_run_did_not_leave_is_named(results: Path) -> None:
    older = {name: value for name, value in QUICK["similarity"].items() if name != "wal_bytes"}
    text = json.dumps({"figures": older, "machine": MADE_UP})
    (results / "similarity.json").write_text(text)
    with pytest.raises(UsageError, match="wal_bytes"):
        Measured.read()


def test_figures_of_two_machines_are_not_mixed(results: Path) -> None:
    made = {"figures": QUICK["similarity"], "machine": MADE_UP | {"cores": 64}}
    (results / "similarity.json").write_text(json.dumps(made))
    with pytest.raises(UsageError, match="different machines"):
        Measured.read()


def test_made_up_figures_come_on_no_page(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="made-up"):
        scaling.run(options("--quick", "--page", str(tmp_path / "page.md")))


@pytest.mark.usefixtures("results")
def test_the_page_gets_its_tables_and_keeps_what_people_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice gives the same page: what is between the comments is replaced."""
    monkeypatch.setattr(scaling, "PER_DAY", (1_000_000, 2_000_000))
    page = tmp_path / "scaling.md"
    page.write_text(PAGE.read_text())
    scaling.run(options("--page", str(page)))
    first = page.read_text()
    assert "| uploads a day | 1,000,000 | 2,000,000 |" in first
    assert "| `--keep-days` | 365 |" in first
    assert "| `index_mb` | 800 |" in first
    scaling.run(options("--page", str(page), "--keep-days", "30"))
    assert "| `--keep-days` | 30 |" in page.read_text()
    scaling.run(options("--page", str(page)))
    assert page.read_text() == first
    assert by_people(first) == by_people(PAGE.read_text())


@pytest.mark.usefixtures("results")
def test_the_simulation_stands_beside_what_latency_measured(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = scaling.rates_of(MEASURED, ASSUMED)
    assert "has not run" in scaling.check_block(rates).text
    figures = {f"p95_ms_at_{load}": 10.0 * load for load in (10, 50, 90)}
    (results / "latency.json").write_text(json.dumps({"figures": figures}))
    with pytest.raises(UsageError, match="bench latency first"):
        scaling.check_block(rates)
    figures |= {"uploads_per_second_single": 200.0, "seconds_a_load": 15.0}
    (results / "latency.json").write_text(json.dumps({"figures": figures}))
    rows = scaling.check_block(rates).rows
    assert [row["measured"] for row in rows] == [100, 500, 900]
    assert "100 uploads a second" in str(rows[1]["what"])
    assert all(float(str(row["simulated"])) >= 1000 * rates.seconds(1) for row in rows)


@pytest.mark.usefixtures("results")
def test_a_page_without_a_place_for_a_table_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "PER_DAY", (1_000_000,))
    page = tmp_path / "other.md"
    page.write_text("<!-- measured -->\n<!-- /measured -->\n")
    with pytest.raises(UsageError, match="there is no place <!-- assumed -->"):
        scaling.run(options("--page", str(page)))
    assert page.read_text() == "<!-- measured -->\n<!-- /measured -->\n"


def by_people(page: str) -> str:
    """Return what is not between two comments."""
    return re.sub(r"<!-- ([a-z ]+) -->.*?<!-- /\1 -->", "", page, flags=re.DOTALL)


def test_people_wrote_no_figure_into_the_page() -> None:
    """All come from the command, so that a new measurement renews all of them."""
    no_prose = r"```.*?```|`[^`]*`|\]\([^)]*\)|^\d\. "
    text = re.sub(no_prose, "", by_people(PAGE.read_text()), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\d+(?:[.,]\d+)*", text) == []
