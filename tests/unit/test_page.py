"""The model card page: plain words first, every figure the one that was computed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.calibrate import upper_error
from models.data import UNKNOWN
from models.evaluate import measure_all
from models.proof.chapters import verdict
from models.proof.evidence import Evidence
from models.proof.page import KEPT, write_page
from models.proof.prove import prove
from tests.unit.made_evidence import make_evidence, make_world

COMMAND = "hangtag evaluate --data DIR --model made"


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return make_evidence(tmp_path_factory.mktemp("weights") / "made")


@pytest.fixture(scope="module")
def figures(evidence: Evidence) -> dict[str, Any]:
    return measure_all(evidence)


@pytest.fixture(scope="module")
def proof(evidence: Evidence, figures: dict[str, Any]) -> dict[str, Any]:
    return prove(evidence, figures)


@pytest.fixture(scope="module")
def page(
    evidence: Evidence,
    figures: dict[str, Any],
    proof: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    path = tmp_path_factory.mktemp("docs") / "model.md"
    write_page(path, evidence.card, figures, proof, COMMAND)
    return path.read_text()


def chapter_of(page: str, title: str) -> str:
    found = re.search(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |^<!-- )", page, re.MULTILINE | re.DOTALL
    )
    assert found, title
    return found.group(1)


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of all table rows, without the rule below a header."""
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_page_opens_with_what_becomes_of_1000_uploads(page: str, evidence: Evidence) -> None:
    answers = evidence.products
    accepted = answers.published["article_type"]
    wrong = int((accepted & ~answers.right["article_type"][0]).sum())
    alone = round(1000 * accepted.mean())
    bound = int(np.ceil(1000 * accepted.mean() * upper_error(wrong, int(accepted.sum()))))
    opening = page.partition("## What it was trained on")[0]
    assert f"Of 1,000 product pictures (catalogue), **{alone} are tagged alone**" in opening
    expected = round(1000 * wrong / len(accepted))
    assert f"about **{expected} of them get a wrong article type** (at most {bound}," in opening
    assert f"**{1000 - alone} go to a person.** At 5 seconds" in opening
    hours = 1000 * accepted.mean() * 5 / 3600
    assert f"saves {hours:.1f} hours for each 1,000 uploads and {50 * hours:.0f} hours" in opening
    first = rows_of(opening)[1]
    assert first[0] == f"product pictures (catalogue) ({len(accepted)} measured)"
    assert first[1] == f"{alone}"
    assert [row[0].split(" (")[0] for row in rows_of(opening)[2:]] == [
        "phone photographs",
        "garments in street photographs",
    ]
    assert "which of the types that a label admits it is was not labelled" in opening


def test_the_numbers_of_the_tables_are_those_of_the_figures(
    page: str, figures: dict[str, Any], proof: dict[str, Any]
) -> None:
    rows = {row[0]: row for row in rows_of(chapter_of(page, "Figures"))[:8]}
    for attribute in ("article_type", "base_colour", "usage"):
        found, row = figures[attribute], rows[attribute]
        assert row[1].startswith(f"{100 * found['top1']:.1f} % (")
        assert row[2].startswith(f"{100 * found['accepted']:.1f} % (")
        assert row[4].startswith(f"{found['ece']:.3f} (")
    types = rows_of(chapter_of(page, "Each article type"))[1:]
    assert len(types) == len(proof["types"])
    for row, one in zip(types, proof["types"], strict=True):
        assert row == [one["type"], str(one["n_test"]), f"{one['precision']:.3f}",
                       f"{one['recall']:.3f}", f"{one['f1']:.3f}"]  # fmt: skip
    similar = rows_of(chapter_of(page, "Similar pictures"))
    by_prefix = {row[0]: row for row in similar}
    first, whole = (figures["similarity"][d]["p10_type"] for d in ("64", "256"))
    assert by_prefix["first 64"][1:4:2] == [f"{first:.3f}", f"{100 * (first - whole):+.1f} points"]
    assert by_prefix["jaccard"][1] == f"{proof['distances']['jaccard']['p10_type']:.3f}"
    review = {
        row[0]: row
        for row in rows_of(
            chapter_of(page, "Back-off: unsure of the type, sure of the sub-category")
        )
    }
    assert review["phone"][1] == str(proof["backoff"]["phone"]["n_review"])
    other = rows_of(chapter_of(page, "What is no fashion"))
    assert ["other things that are sent to a person as no fashion", "100.0 %"] in other


def test_every_chapter_with_figures_names_the_command_and_keys_that_exist(
    page: str, figures: dict[str, Any], proof: dict[str, Any]
) -> None:
    printed = json.loads(json.dumps({**figures, "proof": proof}))
    titles = re.findall(r"^## (.+)$", page, re.MULTILINE)
    without = {"What it was trained on", "Not for", "Where it is weak", "See for yourself"}
    assert len(set(titles) - without) == 11
    for title in set(titles) - without:
        found = re.search(rf"`{COMMAND} --json`\*, under\* (.+)\*\.\*", chapter_of(page, title))
        assert found, title
        for path in re.findall(r"`(.+?)`", found.group(1)):
            value = printed
            for key in path.split("."):
                value = value[key]
    assert f"{COMMAND} --sheets FOLDER" in chapter_of(page, "See for yourself")


def test_the_page_names_licences_data_and_weak_types(page: str, proof: dict[str, Any]) -> None:
    trained = chapter_of(page, "What it was trained on")
    for part in ("(MIT)", "(CC0)", "(Apache-2.0)", "d" * 64, "a made-up one"):
        assert part in trained
    weakest = min(proof["types"], key=lambda row: row["f1"])
    assert f"{weakest['type']} ({weakest['f1']:.2f})" in chapter_of(page, "Where it is weak")


def test_names_from_the_data_cannot_break_a_table(page: str) -> None:
    assert "Rare \\| \\*thing\\*" in page
    assert "Rare | *thing*" not in page
    for line in page.splitlines():
        if line.startswith("|"):
            assert len(re.split(r"(?<!\\)\|", line)) > 2


def test_what_people_wrote_below_the_line_is_kept(
    evidence: Evidence, figures: dict[str, Any], proof: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "own.md"
    written = write_page(path, evidence.card, figures, proof, COMMAND)
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "own.md",
        "own/confusion.png",
        "own/reliability.png",
        "own/risk_coverage.png",
    ]
    assert "(own/confusion.png)" in path.read_text()
    path.write_text(path.read_text() + "\n## Three seeds\n\n89.1, 89.4, 89.2\n")
    write_page(path, evidence.card, figures, proof, COMMAND)
    write_page(path, evidence.card, figures, proof, COMMAND)
    text = path.read_text()
    assert text.count(KEPT) == text.count("## Three seeds") == 1
    assert text.endswith("\n## Three seeds\n\n89.1, 89.4, 89.2\n")


@pytest.mark.parametrize(
    ("accepted", "wrong", "words"),
    [
        (1000, 5, "kept, sure at 95 %"),
        (100, 1, "too few pictures to be sure"),
        (1000, 21, "**not kept here**"),
        (0, 0, "publishing nothing"),
    ],
)
def test_the_page_says_whether_the_promise_was_kept(accepted: int, wrong: int, words: str) -> None:
    found = {
        "n_accepted": accepted,
        "n_wrong": wrong,
        "wrong_upper_95": upper_error(wrong, accepted),
    }
    assert words in verdict(0.98, found)
    assert verdict(0.98, found).startswith("≤ 2 % wrong")


def test_article_types_alone_and_no_photographs_give_a_page_without_the_rest(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path / "own", count=600, photos=False, types_alone=True)
    evidence = world.evidence()
    figures = measure_all(evidence)
    assert set(figures) == {"n_test", "article_type", "similarity"}
    assert figures["similarity"]["256"]["p10_type_and_colour"] is None
    proof = prove(evidence, figures)
    write_page(tmp_path / "own.md", evidence.card, figures, proof, COMMAND)
    text = (tmp_path / "own.md").read_text()
    opening = text.partition("## What it")[0]
    assert "Of 1,000 pictures like these data's" in opening
    for word in (
        "colour |",
        "gender",
        "season",
        "phone",
        "street",
        "Back-off",
        "no fashion",
        "nan",
    ):
        assert word not in text.replace("same type and colour |", ""), word
    assert len(rows_of(opening)) == 2


def test_a_version_that_knows_more_than_the_data_is_measured_on_what_they_have(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path / "made", count=800)
    labels = dict(world.pictures.labels)
    labels["gender"] = np.full(len(labels["gender"]), UNKNOWN)
    changed = replace(world, pictures=replace(world.pictures, labels=labels))
    evidence = changed.evidence()
    figures = measure_all(evidence)
    assert "gender" not in figures
    assert "season" in figures
    assert "gender" not in prove(evidence, figures)["reliability"]


def test_a_version_that_publishes_nothing_says_so(tmp_path: Path) -> None:
    never = dict.fromkeys(["article_type", "sub_category", "master_category"], 1.01)
    world = make_world(tmp_path / "shy", count=600, photos=False, thresholds=never)
    evidence = world.evidence()
    figures = measure_all(evidence)
    proof = prove(evidence, figures)
    write_page(tmp_path / "shy.md", evidence.card, figures, proof, COMMAND)
    text = (tmp_path / "shy.md").read_text()
    assert "**none is tagged alone**" in text
    assert "kept by publishing nothing" in text
    assert proof["risk_coverage"]["catalogue"]["chosen"] == {"coverage": 0.0, "risk": None}


def test_other_data_than_those_of_training_are_said_to_be_other(
    evidence: Evidence, figures: dict[str, Any], page: str, tmp_path: Path
) -> None:
    words = "These are not the data that the version was trained on"
    other = replace(evidence, pictures=replace(evidence.pictures, digest="e" * 64))
    proof = prove(other, figures)
    write_page(tmp_path / "other.md", other.card, figures, proof, COMMAND)
    assert words in (tmp_path / "other.md").read_text()
    assert words not in page
