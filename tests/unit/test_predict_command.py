"""`hangtag predict`: the contract of its lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import worker.cli.predict
from models.card import NEVER, Card
from models.labels import ATTRIBUTES
from models.predictor import Prediction, Predictor
from tests.conftest import ROOT, SAMPLES
from worker.cli.predict import _short, predict_files
from worker.settings import WorkerSettings

KEYS = [
    "path",
    "model_version",
    "article_type",
    "confidence",
    "decision",
    "reason",
    "top5",
    "tags",
    "fashion_score",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good pictures, a damaged one, a text file, and a text that calls itself a picture."""
    folder = tmp_path / "upload folder"
    (folder / "b").mkdir(parents=True)
    shutil.copy(SAMPLES / "backpack_blue.jpg", folder / "b" / "backpack_blue.jpg")
    shutil.copy(SAMPLES / "damaged.jpg", folder / "damaged.jpg")
    shutil.copy(SAMPLES / "watch_black_gold.jpg", folder / "watch.jpg")
    (folder / "notes.txt").write_text("not a picture\n")
    (folder / "text.png").write_text("not a picture either\n")
    return folder


def rows_of(
    predictor: Predictor, paths: list[Path], embedding: bool = False, **settings: Any
) -> list[dict[str, Any]]:
    return list(predict_files(predictor, paths, WorkerSettings(**settings), embedding))


def test_a_good_picture_gives_just_the_keys_of_the_contract(
    predictor: Predictor, folder: Path, card: Card
) -> None:
    (row,) = rows_of(predictor, [folder / "watch.jpg"])
    assert list(row) == KEYS
    assert row["path"] == str(folder / "watch.jpg")
    assert row["model_version"] == card.version
    assert list(row["tags"]) == list(ATTRIBUTES)
    assert all(list(tag) == ["label", "confidence"] for tag in row["tags"].values())
    assert row["article_type"] == row["tags"]["article_type"]["label"] == row["top5"][0][0]
    assert row["confidence"] == row["tags"]["article_type"]["confidence"] == row["top5"][0][1]
    assert len(row["top5"]) == 5
    assert 0 <= row["fashion_score"] <= 1


def test_a_line_says_what_the_predictor_says(
    predictor: Predictor, predictions: dict[str, Prediction]
) -> None:
    (row,) = rows_of(predictor, [SAMPLES / "watch_black_gold.jpg"])
    expected = predictions["watch_black_gold.jpg"]
    for attribute, (label, confidence) in expected.tags.items():
        assert row["tags"][attribute]["label"] == label
        assert row["tags"][attribute]["confidence"] == pytest.approx(confidence, abs=1e-4)


def test_the_vector_comes_only_when_it_is_asked_for(predictor: Predictor, folder: Path) -> None:
    (row,) = rows_of(predictor, [folder / "watch.jpg"], embedding=True)
    assert list(row) == [*KEYS, "embedding"]
    assert len(row["embedding"]) == 256
    assert sum(v * v for v in row["embedding"]) == pytest.approx(1, abs=1e-4)


def test_the_decision_follows_the_card_s_thresholds_for_what_the_picture_looks_like(
    predictor: Predictor, card: Card, predictions: dict[str, Prediction]
) -> None:
    rows = rows_of(predictor, [SAMPLES / name for name in predictions])
    for row, prediction in zip(rows, predictions.values(), strict=True):
        least = card.thresholds_for(prediction.domain).get("article_type", NEVER)
        sure = row["confidence"] >= least
        fashion = row["fashion_score"] >= card.fashion["threshold"]
        reason = None if sure and fashion else "below_threshold" if fashion else "not_fashion"
        assert row["decision"] == ("review" if reason else "accept")
        assert row["reason"] == reason
    assert {row["decision"] for row in rows} == {"accept", "review"}


def test_lines_come_in_the_order_of_the_paths_with_errors_in_their_place(
    predictor: Predictor, folder: Path
) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = rows_of(predictor, [*paths, folder / "zz-missing.jpg", folder / "b"], batch_size=2)
    assert [row["path"] for row in rows] == [
        *map(str, paths),
        str(folder / "zz-missing.jpg"),
        str(folder / "b"),
    ]
    failed = {Path(row["path"]).name for row in rows if "error" in row}
    assert failed == {"damaged.jpg", "notes.txt", "text.png", "zz-missing.jpg", "b"}


def test_a_file_that_cannot_be_decoded_gives_path_and_error_and_no_tags(
    predictor: Predictor, folder: Path
) -> None:
    (row,) = rows_of(predictor, [folder / "damaged.jpg"])
    assert row["path"] == str(folder / "damaged.jpg")
    assert row["error"].startswith("damaged image")
    assert row["code"] == "undecodable"
    assert not set(row) & set(KEYS[1:])


def test_a_file_over_the_limit_gives_an_error_and_the_run_goes_on(
    predictor: Predictor, folder: Path
) -> None:
    limit = (folder / "watch.jpg").stat().st_size
    large = folder / "a.jpg"
    large.write_bytes((folder / "watch.jpg").read_bytes() + b"!")
    rows = rows_of(predictor, [large, folder / "watch.jpg"], max_bytes=limit)
    assert rows[0]["code"] == "too_large"
    assert "article_type" in rows[1]


def test_the_short_line_names_type_and_colour(predictor: Predictor, folder: Path) -> None:
    (row,) = rows_of(predictor, [folder / "watch.jpg"])
    colour = row["tags"]["base_colour"]["label"]
    start = f"{folder / 'watch.jpg'}: {row['article_type']} {row['confidence']:.0%}, {colour} ("
    assert _short(row).startswith(start)


def test_the_short_line_of_a_model_without_colours_names_none(
    predictor: Predictor, folder: Path
) -> None:
    (row,) = rows_of(predictor, [folder / "watch.jpg"])
    del row["tags"]["base_colour"]
    assert f"{row['article_type']} {row['confidence']:.0%} ({row['decision']}" in _short(row)


@pytest.mark.timeout(30)
def test_a_fifo_is_not_waited_for(predictor: Predictor, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (row,) = rows_of(predictor, [tmp_path / "pipe.jpg"])
    assert row["error"] == "not a regular file"


def test_the_command_needs_no_settings_and_prints_a_json_line_a_picture(folder: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HANGTAG_")}
    result = subprocess.run(
        [sys.executable, "-m", "worker", "predict", str(folder), "--jsonl"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1, result.stderr  # two of them have no answer
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(row["path"]).relative_to(folder).as_posix() for row in rows] == [
        "b/backpack_blue.jpg",
        "damaged.jpg",
        "text.png",
        "watch.jpg",
    ]
    assert [list(row) == KEYS for row in rows] == [True, False, False, True]
    assert rows[1].keys() >= {"path", "error"}
    assert result.stderr.splitlines() == [f"{folder}: left out, without a picture's suffix: 1"]


def test_predicting_tells_nobody(tmp_path: Path) -> None:
    """OpenVINO's telemetry would leave an identifier in the home folder and call a server."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", "predict", str(SAMPLES / "polo_green.jpg"), "--jsonl"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_numbers_that_are_none_are_an_error_and_no_json_that_nobody_reads(
    predictor: Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = predictor.predict

    def ill(pixels: list[Any]) -> list[Prediction]:
        first, *others = real(pixels)
        return [replace(first, fashion_score=float("nan")), *others]

    monkeypatch.setattr(predictor, "predict", ill)
    rows = rows_of(predictor, [folder / "watch.jpg", folder / "b" / "backpack_blue.jpg"])
    assert rows[0]["code"] == "transient"
    assert "article_type" in rows[1]


def test_a_picture_without_room_does_not_end_the_run(
    predictor: Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(data: bytes, *rest: Any) -> Any:
        if data == (folder / "watch.jpg").read_bytes():
            raise MemoryError
        return real(data, *rest)

    real = worker.cli.predict.decode
    monkeypatch.setattr(worker.cli.predict, "decode", decode)
    rows = rows_of(predictor, [folder / "watch.jpg", folder / "b" / "backpack_blue.jpg"])
    assert rows[0]["code"] == "failed"
    assert "MemoryError" in rows[0]["error"]
    assert "article_type" in rows[1]
