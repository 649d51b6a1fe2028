"""The harness of `./run bench`: its arguments, what it prints, what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from benchmarks import report


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_the_last_line_is_json_with_the_figures_and_the_machine(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report.finish("demo", {"ratio": 0.72}, [{"way": "bulk", "rate": 101.5}])
    lines = capsys.readouterr().out.splitlines()
    last = json.loads(lines[-1])
    assert last["part"] == "demo"
    assert last["ratio"] == 0.72
    assert last["cores"] >= 1
    assert last["processor"]
    assert any("bulk" in line and "102" in line for line in lines[:-1])


def test_json_and_plot_are_left_behind(results: Path) -> None:
    def plot(axes: Axes) -> None:
        axes.plot([1, 2])

    report.finish("demo", {"ratio": 1}, [{"way": "bulk"}], plot)
    kept = json.loads((results / "demo.json").read_text())
    assert kept["figures"] == {"ratio": 1}
    assert kept["rows"] == [{"way": "bulk"}]
    assert kept["machine"]["cores"] >= 1
    assert (results / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_has_all_columns_and_leaves_gaps() -> None:
    text = report.table([{"a": 1234, "b": 0.12345}, {"a": 5, "c": "x"}])
    assert [line.split() for line in text.splitlines()] == [
        ["a", "b", "c"],
        ["-----", "-----", "-"],
        ["1,234", "0.123"],
        ["5", "x"],
    ]


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [report.percentile(values, p) for p in (50, 95, 99)] == [50, 95, 99]
    assert report.percentile([7.0], 95) == 7
    with pytest.raises(ValueError, match="nothing was measured"):
        report.percentile([], 50)
