"""The harness of `./run bench`: its arguments, what it prints, what it leaves behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from PIL import Image

from benchmarks import pictures, report
from benchmarks.__main__ import make_parser
from benchmarks.contestants import ratio, take_turns
from benchmarks.latency import random_moments
from benchmarks.model import name_of, network_rows, precisions
from benchmarks.neighbours import Point, at_equal_recall
from errors import UsageError
from models.backends import OpenVinoBackend
from models.card import Card, version_folder
from tests.conftest import SAMPLES


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


@pytest.mark.parametrize("part", ["pipeline", "latency", "model", "peers", "all"])
def test_every_part_takes_quick_and_the_pictures(part: str) -> None:
    options = make_parser().parse_args([part, "--quick", "--images", "photos", "--repeats", "1"])
    assert (options.part, options.quick, options.images) == (part, True, Path("photos"))


def test_a_part_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args(["speed"])
    assert "pipeline" in capsys.readouterr().err


class Timed:
    """A contestant whose pictures take a known time."""

    share = 0.5

    def __init__(self, name: str, seconds: list[float]) -> None:
        self.name = name
        self.given: list[int] = []
        self._seconds = seconds

    def run(self, files: Sequence[Path]) -> float:
        self.given.append(len(files))
        return self._seconds[len(self.given) - 1]

    def close(self) -> None:
        pass


def test_a_ratio_is_taken_within_each_round_and_the_warm_up_counts_for_nothing() -> None:
    slow = Timed("slow", [99, 10, 20, 40])
    fast = Timed("fast", [99, 5, 10, 10])
    rates = take_turns([slow, fast], [Path("a"), Path("b")], count=80, rounds=3)
    assert slow.given == fast.given == [10, 40, 40, 40]
    assert rates["slow"] == [4, 2, 1]
    assert ratio(rates, "slow", "fast") == 0.5


def test_made_pictures_have_their_size_and_differ(tmp_path: Path) -> None:
    size = pictures.Size("tiny", 60, 80, "WEBP", 80)
    one = tmp_path / "in"
    one.mkdir()
    shutil.copy(SAMPLES / "polo_green.jpg", one)
    made = pictures.make_pictures(one, tmp_path, size, 3)
    assert len({path.read_bytes() for path in made}) == 3
    for path in made:
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == ("WEBP", (60, 80))
    with pytest.raises(UsageError, match="no pictures"):
        pictures.make_pictures(tmp_path / "nothing", tmp_path, size, 3)


def test_random_moments_keep_their_rate_and_order() -> None:
    moments = random_moments(50, 20)
    assert moments == sorted(moments)
    assert len(moments) == pytest.approx(1000, rel=0.1)
    assert len(random_moments(0.001, 1)) == 1


def test_the_network_is_measured_as_it_is_served_and_says_so() -> None:
    """In its card's precision, or in fp32 where the processor has no other."""
    found = precisions()
    served = found[0]
    assert served == OpenVinoBackend.of(Card.load(version_folder(None))).precision
    assert set(found) == {served, "f32"}
    rows = network_rows(served, repeats=1)
    assert {row["precision"] for row in rows} == {served}
    assert all(float(str(row["per_second"])) > 0 for row in rows)


def test_figures_of_another_precision_are_named_after_it() -> None:
    served = {"precision": "bf16", "batch": 8}
    assert name_of(served, served) == "pictures_per_second_at_8"
    other = {"precision": "f32", "batch": 8}
    assert name_of(other, served) == "pictures_per_second_at_8_f32"


def curve(*points: tuple[float, float]) -> list[Point]:
    """Points of a recall and a p95, wider and wider."""
    return [Point("any", ef, recall, p95, p95) for ef, (recall, p95) in enumerate(points, 1)]


@pytest.mark.parametrize(
    ("beside", "found"),
    [
        ([(0.95, 0.5), (0.98, 1.0), (0.99, 2.0)], (3.0, 0.98)),  # both reach what is asked for
        ([(0.90, 0.4), (0.935, 0.5), (0.94, 2.0)], (2.0, 0.93)),  # a hundredth below its most
        ([], None),
    ],
)
def test_searches_are_compared_where_they_find_as_much(
    beside: list[tuple[float, float]], found: tuple[float, float] | None
) -> None:
    ours = curve((0.95, 1.0), (0.97, 2.0), (0.985, 3.0))
    assert at_equal_recall(ours, curve(*beside), 0.98) == found
