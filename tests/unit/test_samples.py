"""The sample pictures: complete, labelled, decodable, and drawn by this project's code."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from errors import PermanentError
from models.card import Card
from models.pictures import decode
from samples.catalogue import NO_GARMENTS, PICTURES
from samples.draw import DAMAGED, DAMAGED_FROM, encode, paint
from tests.conftest import ROOT, SAMPLES


def test_the_table_names_every_file_and_no_other(
    sample_labels: dict[str, tuple[str, str]],
) -> None:
    files = {path.name for path in SAMPLES.iterdir()} - {"labels.csv"}
    assert set(sample_labels) == files == {p.file for p in PICTURES} | {DAMAGED}


def test_types_and_colours_are_labels_of_the_shipped_model(
    sample_labels: dict[str, tuple[str, str]], card: Card
) -> None:
    names = card.labels().names
    for file, (kind, colour) in sample_labels.items():
        assert bool(kind) == bool(colour), file
        assert not kind or kind in names["article_type"], file
        assert not colour or colour in names["base_colour"], file


def test_only_what_shows_no_garment_or_is_damaged_has_no_label(
    sample_labels: dict[str, tuple[str, str]],
) -> None:
    unlabelled = {file for file, (kind, _) in sample_labels.items() if not kind}
    assert unlabelled == {p.file for p in NO_GARMENTS} | {DAMAGED}


def test_the_damaged_file_is_undecodable_and_all_others_decode(
    sample_labels: dict[str, tuple[str, str]],
) -> None:
    undecodable = []
    for file in sorted(sample_labels):
        try:
            picture = decode((SAMPLES / file).read_bytes(), 96)
        except PermanentError as error:
            assert error.code == "undecodable"
            undecodable.append(file)
        else:
            assert picture.height > picture.width >= 96, file
    assert undecodable == [DAMAGED]


def test_the_damaged_file_is_the_first_half_of_another() -> None:
    whole = (SAMPLES / DAMAGED_FROM).read_bytes()
    assert (SAMPLES / DAMAGED).read_bytes() == whole[: len(whole) // 2]


def test_the_samples_stay_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 3_000_000


@pytest.mark.parametrize(
    "file", ["watch_black_digital.jpg", "tshirt_grey_bands_alpha.png", "dress_turquoise_maxi.webp"]
)
def test_drawing_again_gives_the_committed_bytes(file: str) -> None:
    """With the Pillow that is locked; another one may encode otherwise."""
    lock = (ROOT / "requirements" / "test.txt").read_text()
    locked = re.search(r"^pillow==(\S+)", lock, re.MULTILINE)
    assert locked is not None
    if importlib.metadata.version("pillow") != locked[1]:
        pytest.skip(f"not Pillow {locked[1]}")
    (picture,) = [p for p in PICTURES if p.file == file]
    assert encode(paint(picture), file) == Path(SAMPLES / file).read_bytes()
