"""Contact sheets: the right pictures in the right places, kept out of git."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.proof.evidence import Evidence
from models.proof.sheets import Tile, draw_sheet, mistake_tiles, similarity_tiles, write_sheets
from tests.unit.made_evidence import make_evidence


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return make_evidence(tmp_path_factory.mktemp("weights") / "made")


def test_mistakes_are_the_most_confident_wrong_answers(evidence: Evidence) -> None:
    answers = evidence.products
    right, _ = answers.right["article_type"]
    confidence = answers.chosen["article_type"][1]
    tiles = mistake_tiles(evidence, answers)
    assert len(tiles) == 40
    shown = [float(tile.caption[2]) for tile in tiles]
    assert shown == pytest.approx(np.sort(confidence[~right])[::-1][:40], abs=5e-4)
    worst = np.flatnonzero(~right)[np.argmax(confidence[~right])]
    assert np.array_equal(tiles[0].pixels, evidence.pictures.pixels[answers.rows[worst]])
    true = evidence.pictures.labels["article_type"][answers.rows[worst]]
    assert tiles[0].caption[0] == f"is {true}"


def test_queries_stand_before_their_ten_nearest(evidence: Evidence) -> None:
    tiles = similarity_tiles(evidence)
    shown = set(evidence.pictures.labels["article_type"][evidence.products.rows])
    queries = tiles[::11]
    assert len(tiles) == 11 * len(queries)
    assert {tile.caption[2] for tile in queries} == {"query"}
    kinds = [tile.caption[0] for tile in queries]
    assert len(set(kinds)) == len(kinds) == len(shown)
    for place, tile in enumerate(tiles):
        if place % 11:
            same = tile.caption[0] == queries[place // 11].caption[0]
            assert tile.frame == ("#0072b2" if same else "#d55e00")


def test_sheets_are_written_where_asked_and_kept_out_of_git(
    evidence: Evidence, tmp_path: Path
) -> None:
    written = write_sheets(evidence, tmp_path / "sheets")
    assert sorted(path.name for path in written) == [
        "mistakes-phone.jpg",
        "mistakes-street.jpg",
        "mistakes.jpg",
        "similarity.jpg",
    ]
    assert (tmp_path / "sheets" / ".gitignore").read_text() == "*\n"
    (tmp_path / "there").mkdir()
    write_sheets(evidence, tmp_path / "there")
    assert not (tmp_path / "there" / ".gitignore").exists()


def test_a_sheet_shows_each_picture_in_its_place() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    tiles = [
        Tile(np.full((40, 30, 3), c, dtype=np.uint8), ("a caption far too long",)) for c in colours
    ]
    sheet = draw_sheet(tiles, across=2)
    step = (sheet.width // 2, sheet.height // 2)
    centres = [(21, 26), (21 + step[0], 26), (21, 26 + step[1])]
    assert [sheet.getpixel(at) for at in centres] == colours
