"""The label report: its figures, its page, and the command."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from errors import UsageError
from models.datasets.duplicates import Fingerprint, group_duplicates
from models.datasets.importers import read_dataset
from models.datasets.report import Report, examine, text_table, write_page
from models.datasets.rows import Rows
from tests.conftest import ROOT, SAMPLES

CLASSES = {
    "Dresses": ["dress_red_aline.jpg", "dress_cream_flowered.jpg", "dress_black_dotted.jpg"],
    "Tshirts": ["tshirt_red_striped.jpg", "tshirt_yellow_vneck.jpg"],
    "Watches": ["watch_black_gold.jpg"],
}


def line(report: Report, name: str) -> str:
    """Return what the table says of something."""
    (found,) = re.findall(rf"^{name} +(.+)$", text_table(report), re.MULTILINE)
    return str(found)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Six products; a file that is there three times, once as another class; one saved anew."""
    root = tmp_path / "shop"
    for kind, names in CLASSES.items():
        (root / kind).mkdir(parents=True)
        for name in names:
            shutil.copy(SAMPLES / name, root / kind / name)
    shutil.copy(SAMPLES / "watch_black_gold.jpg", root / "Watches" / "again.jpg")
    shutil.copy(SAMPLES / "watch_black_gold.jpg", root / "Tshirts" / "watch.jpg")
    with Image.open(SAMPLES / "dress_red_aline.jpg") as picture:
        picture.convert("RGB").resize((90, 120)).save(root / "Dresses" / "small.webp")
    shutil.copy(SAMPLES / "damaged.jpg", root / "Dresses" / "damaged.jpg")
    (root / "Dresses" / "notes.txt").write_text("")
    return root


@pytest.fixture
def report(shop: Path) -> Report:
    return examine(read_dataset(shop))


def test_the_table_counts_what_is_used_and_what_is_not(report: Report) -> None:
    assert line(report, "pictures") == "9 used; dropped other_file 1, undecodable 1"
    assert line(report, "labels") == "article_type 3"
    assert line(report, "types") == (
        "Dresses has 4 pictures, the rarest 2; 3 with fewer than 10, 3 with fewer than 40"
    )


def test_the_bounds_are_exclusive() -> None:
    data = (SAMPLES / "watch_black_gold.jpg").read_bytes()
    labels = ["A"] * 40 + ["B"] * 39 + ["C"] * 10 + ["D"] * 9
    found = examine(Rows([f"{i}" for i in range(98)], [data] * 98, {"article_type": labels}))
    assert "1 with fewer than 10, 3 with fewer than 40" in line(found, "types")


def test_the_table_counts_copies_and_near_duplicates(report: Report) -> None:
    assert line(report, "exact copies") == "2 files are there again; 1 bear several types"
    assert line(report, "near-duplicates") == "2 groups of 5 pictures, the largest of 3"
    sizes = [len(members) for members in report.groups().values()]
    assert sizes == [3, 2]
    assert {report.rows.ids[row] for row in list(report.groups().values())[1]} == {
        "Dresses/dress_red_aline.jpg",
        "Dresses/small.webp",
    }


def test_the_table_has_the_sizes_of_the_files_and_not_of_what_was_decoded(report: Report) -> None:
    assert {(one.width, one.height) for one in report.looks} == {(360, 480), (90, 120)}
    assert line(report, "sizes") == (
        "360×480 in 8; shorter side 90 to 360, longer side 120 to 480 pixels"
    )


def test_brightness_is_the_mean_luma() -> None:
    files = []
    for grey in (0, 100, 255):
        data = io.BytesIO()
        Image.new("L", (50, 40), grey).save(data, "PNG")
        files.append(data.getvalue())
    found = examine(Rows(["a", "b", "c"], files, {"article_type": ["A", "A", "B"]}))
    assert [one.brightness for one in found.looks] == [0, 100, 255]
    assert line(found, "brightness") == "median 100 of 255; nine in ten from 10 to 240"


def test_the_table_has_each_split_that_the_data_allow(report: Report) -> None:
    assert list(report.splits) == ["random", "grouped"]
    for kind, split in report.splits.items():
        text = line(report, f"split {kind}")
        for name in ("train", "select", "certify", "test"):
            assert f"{name} {(split == name).sum()}" in text


def test_the_table_says_how_many_test_pictures_training_has_seen() -> None:
    """By year, a group goes to one side; a random split of the same pictures cuts some."""
    names = sorted(path.name for path in SAMPLES.glob("*.jpg") if path.name != "damaged.jpg")
    files = []
    for name in names[::2]:
        for quality in (90, 60):
            data = io.BytesIO()
            with Image.open(SAMPLES / name) as picture:
                picture.convert("RGB").resize((90, 120)).save(data, "JPEG", quality=quality)
            files.append(data.getvalue())
    ids = [f"{i}" for i in range(len(files))]
    years = [2010 + i // 2 % 10 for i in range(len(files))]
    rows = Rows(ids, files, {"article_type": ["A"] * len(ids)}, years)
    found = examine(rows)
    split, group = found.splits["random"], found.group
    seen = sum(key in group[split == "train"].tolist() for key in group[split == "test"].tolist())
    assert f"; {seen} of test have a near-duplicate in train" in line(found, "split random")
    assert seen > 0
    assert "; 0 of test have" in line(found, "split grouped")
    assert re.search(r"\(from 2019\); 0 of test have", line(found, "split by_year"))


def test_a_given_test_split_leaves_its_copies_out(shop: Path) -> None:
    rows = read_dataset(shop)
    test = [name == "Watches/again.jpg" for name in rows.ids]
    found = examine(Rows(rows.ids, rows.files, rows.labels, test=test))
    assert ", test 1, in none 2; 0 of test" in line(found, "split random")


def test_embeddings_decide_for_the_report_and_not_for_the_splits(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_dataset(shop)
    alone = examine(rows)
    vectors = np.ones((9, 1), dtype=np.float32)

    def together(prints: list[Fingerprint], embeddings: object = None) -> NDArray[np.str_]:
        if embeddings is None:
            return group_duplicates(prints)
        assert embeddings is vectors
        return np.full(len(prints), "all")

    monkeypatch.setattr("models.datasets.report.group_duplicates", together)
    found = examine(rows, lambda used: vectors)
    assert [len(members) for members in found.groups().values()] == [9]
    assert all((found.splits[kind] == split).all() for kind, split in alone.splits.items())


def test_data_without_a_picture_are_reported(tmp_path: Path) -> None:
    rows = Rows(["a"], [tmp_path / "no.jpg"], {"article_type": ["A"]})
    with pytest.raises(UsageError, match=r"no picture can be used \(not_found 1\)"):
        examine(rows)


# The page


def test_the_page_shows_the_figures_and_its_plots(report: Report, tmp_path: Path) -> None:
    page = write_page(report, tmp_path / "deep" / "report")
    text = page.read_text(encoding="utf-8")
    assert text_table(report) in text
    assert "- 3: `Tshirts/watch.jpg`, `Watches/again.jpg`, `Watches/watch_black_gold.jpg`" in text
    plots = re.findall(r"!\[.+\]\((.+)\)", text)
    assert plots == ["types.png", "sizes.png", "brightness.png"]
    for name in plots:
        with Image.open(page.with_name(name)) as plot:
            shades = np.asarray(plot.convert("L"))
        assert shades.shape[1] == 800
        assert (shades < 200).mean() > 0.005, f"{name} is blank"


def test_the_plot_of_types_grows_with_them_but_not_without_end(tmp_path: Path) -> None:
    data = (SAMPLES / "watch_black_gold.jpg").read_bytes()
    heights = []
    for count in (5, 500):
        labels = [f"type {i}" for i in range(count)]
        found = examine(Rows(labels, [data] * count, {"article_type": labels}))
        write_page(found, tmp_path / str(count))
        with Image.open(tmp_path / str(count) / "types.png") as plot:
            heights.append(plot.height)
    assert heights[0] < heights[1] < 4000


@pytest.mark.parametrize("name", ["$x^$", "衬衫", "B\udcff", "<b>`_*"])
def test_odd_names_of_types_break_nothing(name: str, tmp_path: Path, recwarn: object) -> None:
    data = (SAMPLES / "watch_black_gold.jpg").read_bytes()
    found = examine(Rows(["a", name], [data] * 2, {"article_type": ["A", name]}))
    page = write_page(found, tmp_path)
    assert "article_type 2" in page.read_text(encoding="utf-8")
    text_table(found).encode()
    assert list(recwarn) == []  # type: ignore[call-overload]


# The command


def hangtag(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HANGTAG_")}
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT)},
        timeout=240,
        check=False,
    )


def test_the_command_prints_the_table_and_writes_the_page(shop: Path, tmp_path: Path) -> None:
    done = hangtag("data", "report", "--data", str(shop), "--out", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "here" / "report.md").read_text()
    assert done.stdout.strip() in page
    assert done.stdout.startswith("pictures ")
    assert done.stderr.splitlines()[-1] == "the page is here/report.md"


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    done = hangtag("data", "report", "--data", str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stdout == ""
    (only,) = done.stderr.splitlines()
    assert only.startswith(f"hangtag: {tmp_path}/none: no such file or folder; --data wants")
