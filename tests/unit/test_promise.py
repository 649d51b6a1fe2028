"""Another promise for a version, and the command that asks for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from errors import UsageError
from models import recipe
from models.card import Card
from models.data import UNKNOWN
from models.evaluate import measure_all
from models.proof import evidence as evidence_module
from models.proof.prove import prove
from models.training import promise as promise_module
from models.training.promise import changes, store_promise, with_promise
from tests.unit.made_evidence import World, make_plain, make_world
from worker.cli import app


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_plain(tmp_path_factory.mktemp("plain") / "made")


def test_a_stricter_promise_publishes_less_and_keeps_it(plain: World) -> None:
    loose = with_promise(plain.card, plain.pictures, 0.9, plain)
    strict = with_promise(plain.card, plain.pictures, 0.99, plain)
    shares = []
    for card, promise in ((loose, 0.9), (strict, 0.99)):
        found = measure_all(replace(plain, card=card).evidence())["article_type"]
        shares.append(found["accepted"])
        assert found["accepted_precision"] >= promise
        assert card.raw["acceptance"]["catalogue"]["article_type"]["promise"] == promise
    assert shares[0] > shares[1] > 0


def test_choosing_a_promise_changes_no_file(plain: World) -> None:
    before = (plain.card.folder / "card.json").read_bytes()
    with_promise(plain.card, plain.pictures, 0.9, plain)
    assert (plain.card.folder / "card.json").read_bytes() == before


def test_a_stored_promise_is_the_version_s_own_from_then_on(tmp_path: Path) -> None:
    plain = make_plain(tmp_path / "v1")
    card = with_promise(plain.card, plain.pictures, 0.95, plain)
    figures = measure_all(replace(plain, card=card).evidence())
    store_promise(card, plain.pictures, figures)
    stored = Card.load(tmp_path / "v1")
    assert stored.thresholds == card.thresholds != plain.card.thresholds
    assert stored.raw["test"]["article_type"] == figures["article_type"]
    assert stored.raw["certified_on"]["sha256"] == "d" * 64
    assert changes(stored, with_promise(stored, plain.pictures, 0.95, plain)) == []
    assert sorted(p.name for p in (tmp_path / "v1").iterdir()) == ["card.json", "labels.json"]


def test_changes_name_each_threshold_that_differs(plain: World) -> None:
    card = with_promise(plain.card, plain.pictures, 0.95, plain)
    lines = changes(plain.card, card)
    rule = card.raw["acceptance"]["catalogue"]["article_type"]
    certified = rule["certify"]["catalogue"]
    assert (
        f"catalogue article_type: from 0.900 for 98 % right → from {rule['threshold']:.3f} for "
        f"95 % right; certify: {certified['wrong']} wrong of {certified['accepted']} published"
    ) in lines


def test_figures_of_other_data_do_not_replace_those_of_the_card(tmp_path: Path) -> None:
    plain = make_plain(tmp_path / "v1", count=300)
    other = replace(plain.pictures, digest="e" * 64)
    store_promise(with_promise(plain.card, other, 0.9, plain), other, {"n_test": 1})
    stored = Card.load(tmp_path / "v1").raw
    assert "test" not in stored
    assert stored["certified_on"]["sha256"] == "e" * 64


def test_rules_for_what_the_data_lack_stay(tmp_path: Path) -> None:
    world = make_world(tmp_path / "v1", count=400)
    labels = dict(world.pictures.labels)
    labels["gender"] = np.full(400, UNKNOWN)
    products = replace(world.pictures, labels=labels, dataset=np.full(400, "catalogue"))
    card = with_promise(world.card, products, 0.9, world)
    old, new = world.card.raw["acceptance"], card.raw["acceptance"]
    assert new["catalogue"]["gender"] == old["catalogue"]["gender"]
    assert new["phone"] == old["phone"]
    assert new["catalogue"]["season"] != old["catalogue"]["season"]
    assert new["catalogue"]["article_type"]["promise"] == 0.9


@pytest.mark.parametrize("promise", [99, 1, 0.2, -1])
def test_a_promise_that_is_no_share_is_refused(plain: World, promise: float) -> None:
    with pytest.raises(UsageError, match=r"write a share .* e\.g\. 0\.99"):
        with_promise(plain.card, plain.pictures, promise, plain)


# The command


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `hangtag evaluate …` on a made-up version."""
    own = make_plain(tmp_path / "weights" / "made", count=1200)
    (tmp_path / "weights" / "default").write_text("made\n")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(recipe, "load_all", lambda *_: (own.pictures, own.card.labels()))
    for module in (evidence_module, promise_module):
        monkeypatch.setattr(module.OpenVinoBackend, "of", lambda *_, **__: own)

    def run(*arguments: str) -> Any:
        places = ["--data", str(tmp_path / "data"), "--weights", str(tmp_path / "weights")]
        return CliRunner().invoke(app, ["evaluate", *places, *arguments])

    return run


def test_the_command_prints_all_figures_as_json(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    done = command("--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    evidence = make_plain(tmp_path / "again" / "made", count=1200).evidence()
    figures = measure_all(evidence)
    expected = {"version": "made", **figures, "proof": prove(evidence, figures)}
    assert found == json.loads(json.dumps(expected))


def test_the_command_writes_a_page_that_names_itself(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    done = command("--page", str(tmp_path / "docs" / "model.md"), "--seconds", "7.5")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "docs" / "model.md").read_text()
    assert "At 7.5 seconds a decision" in text
    assert "`hangtag evaluate --data DIR --model made --weights DIR --seconds 7.5 --json`" in text
    assert done.stdout.splitlines()[2].startswith("article_type ")
    for name in ("confusion", "reliability", "risk_coverage"):
        with Image.open(tmp_path / "docs" / "model" / f"{name}.png") as plot:
            assert plot.format == "PNG"


def test_another_promise_is_printed_and_not_stored(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    before = (tmp_path / "weights" / "made" / "card.json").read_bytes()
    done = command("--promise", "0.95", "--page", str(tmp_path / "strict.md"))
    assert "catalogue article_type: from 0.900 for 98 % right → from" in done.stdout
    assert (tmp_path / "weights" / "made" / "card.json").read_bytes() == before
    text = (tmp_path / "strict.md").read_text()
    assert "a promise of 95 %, which is not the version's own" in text
    assert "--promise 0.95 --json`" in text


def test_a_promise_is_stored_when_asked(command: Callable[..., Any], tmp_path: Path) -> None:
    done = command("--promise", "0.95", "--write", "--json")
    found = json.loads(done.stdout)
    assert re.search(r"card\.json: \d+ threshold\(s\) changed; workers that run", done.stderr)
    assert "→" in done.stderr
    stored = Card.load(tmp_path / "weights" / "made")
    assert stored.raw["acceptance"] == found["acceptance"]
    assert found["promise"] == 0.95
    again = json.loads(command("--json").stdout)
    assert again["article_type"] == found["article_type"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--write"], "name one, e.g. --promise 0.99"),
        (["--promise", "99"], "write a share"),
        (["--page", "docs/model.html"], "name a Markdown file"),
        (["--only", "majority"], "are for --compare"),
        (["--compare", "--promise", "0.99"], "prints baselines alone"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_the_work(
    command: Callable[..., Any], arguments: list[str], message: str
) -> None:
    done = command(*arguments)
    assert done.exit_code != 0
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
