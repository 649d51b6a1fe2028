"""Simpler models on the model card page: the chapter, where it stands, and what stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from errors import UsageError
from models import recipe
from models.baselines import compare as compare_module
from models.baselines.compare import Row, compare_chapter
from models.evaluate import measure_all
from models.proof import evidence as evidence_module
from models.proof.beside import END, START
from models.proof.page import KEPT, write_comparison, write_page
from models.proof.prove import prove
from tests.unit.made_evidence import World, make_plain
from worker.cli import app

ROW = Row(
    name="majority",
    title="majority class",
    article_type=0.16,
    macro_f1_10=0.003,
    largest_nine=0.43,
    master_category=0.48,
    p10_type=None,
    p10_type_and_colour=None,
    seconds=0.0,
    parameters=0,
    train_pictures=31820,
    test_pictures=3044,
    note="",
    data="c" * 64,
    made_of={"split": "random"},
)
CNN = replace(ROW, name="cnn2", title="CNN, two convolutions", article_type=0.8167, seconds=675.0)
SHIPPED = replace(ROW, name="shipped", title="shipped version", note="version made", seconds=None)
ROWS = [ROW, CNN, SHIPPED]
CHAPTER = compare_chapter(ROWS, "hangtag evaluate --compare")
PAGE = f"""# Model card: made

## Figures

88 %

## What is published, and the promise

None.

{KEPT}

## By hand

Three seeds.
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "model.md"
    path.write_text(PAGE)
    return path


@pytest.fixture
def made(tmp_path: Path) -> World:
    return make_plain(tmp_path / "weights" / "made", count=1200)


def write_all(path: Path, world: World) -> str:
    """Write the whole page, as `hangtag evaluate --page` does."""
    evidence = world.evidence()
    figures = measure_all(evidence)
    write_page(path, evidence.card, figures, prove(evidence, figures), "hangtag evaluate")
    return path.read_text()


def without_block(text: str) -> str:
    """Return a page without the chapter and the empty line below it."""
    found = re.sub(r"<!-- simpler models: .*?<!-- /simpler models -->\n\n?", "", text, flags=re.S)
    assert found != text
    return found


# The chapter


def test_the_chapter_has_table_notes_and_command() -> None:
    lines = CHAPTER.splitlines()
    assert lines[0] == "## Beside simpler models"
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == [row.title for row in ROWS]
    assert rows[3][1] == "81.67 %"
    assert rows[3][7] == "11.2 min"
    assert rows[4][7] == "–"
    for note in ("Trained on 31,820 pictures, measured on 3,044 others.",
                 "shipped version: version made.", f"labels: `{'c' * 64}`."):  # fmt: skip
        assert any(line.startswith("- ") and line.endswith(note) for line in lines)
    assert "`hangtag evaluate --compare`" in lines[-1]


# Its place


def test_it_comes_before_the_promise_and_changes_nothing_else(page: Path) -> None:
    write_comparison(page, "made", CHAPTER)
    text = page.read_text()
    titles = re.findall("^## (.+)$", text, re.MULTILINE)
    assert titles[:3] == ["Figures", "Beside simpler models", "What is published, and the promise"]
    assert without_block(text) == PAGE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"# Own\n\n{KEPT}\n\nBy hand.\n", "# Own\n\n{block}\n\n" + f"{KEPT}\n\nBy hand.\n"),
        ("# Own\n\nText.\n", "# Own\n\nText.\n\n{block}\n"),
        ("# Own\n\nText.", "# Own\n\nText.\n\n{block}\n"),
        ("", "{block}\n"),
    ],
    ids=["above what people write", "at the end", "no end of line", "empty"],
)
def test_a_page_without_that_chapter_gets_it_at_its_end(
    before: str, after: str, page: Path
) -> None:
    page.write_text(before)
    write_comparison(page, "made", CHAPTER)
    block = f"{START.format('made')}\n{CHAPTER}\n{END}"
    assert page.read_text() == after.replace("{block}", block)


def test_it_is_replaced_where_people_put_it(page: Path) -> None:
    moved = f"{PAGE}\n{START.format('made')}\nold\n{END}\n\nBelow it.\r\nWindows wrote this.\n"
    page.write_bytes(moved.encode())
    write_comparison(page, "made", CHAPTER)
    write_comparison(page, "made", CHAPTER)
    assert page.read_bytes().decode() == moved.replace("\nold\n", f"\n{CHAPTER}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{START.format('made')}\n", "must stand there once each"),
        (f"text {END}\n", "must stand there once each"),
        (f"{END}\n{START.format('made')}\n", "in this order"),
        (f"{START.format('made')}\n{END}\n" * 2, "once each"),
        ("# Model card: other\n", "is about other, .* about made: add --model other, or write"),
    ],
)
def test_a_page_that_cannot_take_it_is_left_as_it_is(text: str, message: str, page: Path) -> None:
    page.write_text(text)
    with pytest.raises(UsageError, match=f"--page {page}.*{message}"):
        write_comparison(page, "made", CHAPTER)
    assert page.read_text() == text


def test_pages_that_are_none_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such page; write it first, without --compare"):
        write_comparison(tmp_path / "none.md", "made", CHAPTER)
    with pytest.raises(UsageError, match="name a Markdown file"):
        write_comparison(tmp_path / "page.txt", "made", CHAPTER)
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    with pytest.raises(UsageError, match="cannot be read as text in UTF-8"):
        write_comparison(tmp_path / "latin.md", "made", CHAPTER)


# A page written anew


def test_a_page_written_anew_keeps_it(tmp_path: Path, made: World) -> None:
    path = tmp_path / "docs.md"
    plain = write_all(path, made)
    write_comparison(path, "made", CHAPTER)
    text = path.read_text()
    assert without_block(text) == plain
    assert write_all(path, made) == text


def test_below_the_line_it_stays_where_it_is(tmp_path: Path, made: World) -> None:
    path = tmp_path / "docs.md"
    write_all(path, made)
    write_comparison(path, "made", CHAPTER)
    block = f"{START.format('made')}\n{CHAPTER}\n{END}"
    moved = f"{without_block(path.read_text())}\nOwn.\n\n{block}\n"
    path.write_text(moved)
    assert write_all(path, made) == moved


@pytest.mark.parametrize("below", [False, True])
def test_another_version_s_is_left_out(below: bool, tmp_path: Path, made: World) -> None:
    path = tmp_path / "docs.md"
    plain = write_all(path, made)
    block = f"{START.format('older')}\n{CHAPTER}\n{END}"
    kept = f"{block}\n\nOwn.\n" if below else "Own.\n"
    path.write_text(f"# Model card: older\n\n{'' if below else block}\n\n{KEPT}\n\n{kept}")
    assert write_all(path, made) == f"{plain}\nOwn.\n"


# The command


@pytest.fixture
def command(tmp_path: Path, made: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `hangtag evaluate …` on a made-up version; a comparison has made-up rows."""
    (tmp_path / "weights" / "default").write_text("made\n")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(recipe, "load_all", lambda *_: (made.pictures, made.card.labels()))
    monkeypatch.setattr(evidence_module.OpenVinoBackend, "of", lambda *_, **__: made)

    def compare(_: Path, __: Path, names: Sequence[str] | None, *___: Any, **____: Any) -> Any:
        return [row for row in ROWS if names is None or row.name in names]

    monkeypatch.setattr(compare_module, "compare", compare)

    def run(*arguments: str) -> Any:
        places = ["--data", str(tmp_path / "data"), "--weights", str(tmp_path / "weights")]
        return CliRunner().invoke(app, ["evaluate", *places, *arguments])

    return run


def test_the_command_writes_the_chapter_and_keeps_it(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    path = str(tmp_path / "model.md")
    assert command("--page", path).exit_code == 0
    plain = Path(path).read_text()
    done = command("--compare", "--only", "majority,cnn2", "--page", path)
    assert done.exit_code == 0, done.output
    assert f"wrote {path}" in done.stderr
    text = Path(path).read_text()
    assert without_block(text) == plain
    words = "--compare --model made --weights DIR --only majority,cnn2"
    assert f"`hangtag evaluate --data DIR {words}`" in text
    assert done.stdout.partition("\n\n")[0] in text
    again = command("--page", path)
    assert again.exit_code == 0, again.output
    assert "left out" not in again.stderr
    assert Path(path).read_text() == text


def test_the_command_says_what_it_leaves_out(command: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "model.md"
    path.write_text(f"# Model card: older\n\n{START.format('older')}\nold\n{END}\n")
    done = command("--page", str(path))
    assert done.exit_code == 0, done.output
    message = "the chapter on simpler models was about older and is left out; to write it for made"
    assert message in " ".join(done.stderr.split())
    assert "simpler models" not in path.read_text()


def test_rows_of_several_backbones_are_not_named(
    command: Callable[..., Any], page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [replace(ROW, name=name) for name in ("frozen_linear", "frozen_linear@timm-x")]
    monkeypatch.setattr(compare_module, "compare", lambda *_, **__: rows)
    done = command("--compare", "--run", str(page.parent / "rows"), "--page", str(page))
    assert done.exit_code == 0, done.output
    assert "--compare --model made --weights DIR --run DIR`" in page.read_text()


@pytest.mark.parametrize("content", [None, "# Model card: other\n", END])
def test_nothing_is_trained_for_a_page_that_cannot_take_it(
    content: str | None,
    command: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compare_module, "compare", lambda *_, **__: pytest.fail("trained"))
    if content:
        (tmp_path / "model.md").write_text(content)
    done = command("--compare", "--page", str(tmp_path / "model.md"))
    assert isinstance(done.exception, UsageError)


@pytest.mark.parametrize(
    "option", [("--promise", "0.9"), ("--write",), ("--seconds", "8"), ("--sheets", "x")]
)
def test_options_that_a_comparison_would_not_heed_are_refused(
    option: tuple[str, ...], command: Callable[..., Any]
) -> None:
    done = command("--compare", *option)
    assert isinstance(done.exception, UsageError)
    assert option[0] in str(done.exception)
