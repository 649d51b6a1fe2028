"""Baselines: a comparison's rows and figures, going on after a stop, its table and command."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from errors import UsageError
from models.baselines.bench import Bench, CompareSettings
from models.baselines.compare import Row, compare, compare_table
from models.baselines.contestants import CONTESTANTS, Clock, fine_tuning
from models.baselines.networks import two_layer_cnn
from models.data import Pictures, load_products
from models.evaluate import evaluate
from models.network import BACKBONE, TagNetwork
from models.train import Stage, TrainSettings
from models.training.backbones import build_backbone
from tests.unit.baseline_data import HEIGHT, KINDS, WIDTH, parameters, rows, write

SETTINGS = CompareSettings(
    height=HEIGHT,
    width=WIDTH,
    fine_height=32,
    fine_width=24,
    epochs={"mlp": 12, "cnn2": 12, "cnn3": 40, "frozen_linear": 15, "finetuned": 1},
    batch_size=16,
)
SHORT = [one.name for one in CONTESTANTS if not one.long]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("drawings"), rows())


@pytest.fixture(scope="module")
def pictures(data: Path) -> Pictures:
    return load_products(data, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def finished(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Row], list[dict[str, Any]]]:
    """Compare all but the long rows once."""
    folder = tmp_path_factory.mktemp("finished")
    events: list[dict[str, Any]] = []
    return folder, compare(data, folder, None, events.append, settings=SETTINGS), events


@pytest.fixture(scope="module")
def found(finished: tuple[Path, list[Row], list[dict[str, Any]]]) -> dict[str, Row]:
    return {row.name: row for row in finished[1]}


# Rows


def test_all_rows_but_the_long_ones_are_made_in_order(
    finished: tuple[Path, list[Row], list[dict[str, Any]]],
) -> None:
    folder, made, _ = finished
    assert [row.name for row in made] == SHORT
    assert {path.stem for path in folder.glob("*.json")} == set(SHORT)
    assert {"finetuned", "finetuned_embedding"} == {o.name for o in CONTESTANTS} - set(SHORT)


def test_the_majority_row_answers_the_largest_type_alone(
    found: dict[str, Row], pictures: Pictures
) -> None:
    test = pictures.labels["article_type"][pictures.indices("test")]
    counts = Counter(test.tolist())
    row = found["majority"]
    assert row.article_type == pytest.approx(counts["Tshirts"] / len(test))
    share = counts["Tshirts"] / len(test)
    assert row.macro_f1_10 == pytest.approx(2 * share / (1 + share) / len(KINDS))
    apparel = np.isin(test, ["Tshirts", "Jeans"]).mean()
    assert row.master_category == pytest.approx(apparel)
    nine = np.isin(test, ["Tshirts", "Jeans", "Watches"]).sum()  # scarves are none of the nine
    assert row.largest_nine == pytest.approx(counts["Tshirts"] / nine)
    assert (row.parameters, row.p10_type, row.seconds) == (0, None, 0.0)


@pytest.mark.parametrize("name", ["mlp", "cnn2", "cnn3", "frozen_linear", "frozen_neighbours"])
def test_every_baseline_beats_the_majority_where_types_can_be_told_apart(
    name: str, found: dict[str, Row]
) -> None:
    assert (found["majority"].article_type or 0) < 0.6 < (found[name].article_type or 0)
    assert (found[name].macro_f1_10 or 0) > 0.6


def test_rows_have_neighbours_where_they_have_features(found: dict[str, Row]) -> None:
    without = {name for name, row in found.items() if row.p10_type is None}
    assert without == {"majority", "cnn2"}
    for name in set(found) - without:
        kind, colour = found[name].p10_type or 0, found[name].p10_type_and_colour or 0
        assert 0 < colour < kind <= 1
    assert (found["cnn3"].p10_type or 0) > 0.7


def test_rows_count_pictures_parameters_and_seconds(
    found: dict[str, Row], pictures: Pictures
) -> None:
    for row in found.values():
        assert row.train_pictures == len(pictures.indices("train"))
        assert row.test_pictures == len(pictures.indices("test"))
        assert row.data == pictures.digest
    assert found["cnn2"].parameters == parameters(two_layer_cnn(len(KINDS), HEIGHT, WIDTH))
    backbone = parameters(build_backbone(BACKBONE)[0])
    assert found["frozen_neighbours"].parameters == backbone
    assert found["frozen_linear"].parameters == backbone + 1280 * len(KINDS) + len(KINDS)
    assert all((found[n].seconds or 0) > 0 for n in ("mlp", "cnn3", "frozen_linear"))


def test_the_shipped_version_is_measured_as_evaluate_measures_it(
    found: dict[str, Row], card: Any, data: Path
) -> None:
    figures = evaluate(card, load_products(data, card.height, card.width), data)
    row = found["shipped"]
    assert row.article_type == figures["article_type"]["top1"]
    assert row.macro_f1_10 == figures["article_type"]["macro_f1_10"]
    assert row.master_category == figures["master_category"]["top1"]
    assert row.largest_nine == figures["sub_category"]["largest_nine"]
    assert row.p10_type == pytest.approx(figures["similarity"]["256"]["p10_type"])
    assert row.seconds is None
    assert card.version in row.note
    assert row.parameters >= parameters(TagNetwork(card.raw["network"]["heads"]))


def test_progress_names_the_row_and_the_steps(
    finished: tuple[Path, list[Row], list[dict[str, Any]]],
) -> None:
    events = finished[2]
    assert [*dict.fromkeys(e["row"] for e in events if e["row"] != "pictures")] == SHORT
    for name in ("cnn2", "frozen_linear"):
        last = [e for e in events if e["row"] == name][-1]
        assert last["step"] == last["steps"] > 1
        assert np.isfinite(last["loss"])


# Going on


class Stop(Exception):
    """Stands for a kill."""


def test_an_interrupted_comparison_does_not_make_finished_rows_again(
    data: Path, tmp_path: Path
) -> None:
    names = ["majority", "mlp", "cnn2"]

    def interrupt(event: dict[str, Any]) -> None:
        if event["row"] == "cnn2" and event["step"]:
            raise Stop

    with pytest.raises(Stop):
        compare(data, tmp_path, names, interrupt, settings=SETTINGS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["majority.json", "mlp.json"]
    before = (tmp_path / "mlp.json").read_text()
    events: list[dict[str, Any]] = []
    found = compare(data, tmp_path, names, events.append, settings=SETTINGS)
    assert {event["row"] for event in events} == {"pictures", "cnn2"}
    assert (tmp_path / "mlp.json").read_text() == before
    assert [row.name for row in found] == names


def test_without_names_other_rows_that_are_kept_are_shown_too(
    data: Path, finished: tuple[Path, list[Row], list[dict[str, Any]]]
) -> None:
    folder, made, _ = finished
    long = replace(made[-1], name="finetuned", title="fine-tuned")
    path = folder / "finetuned.json"
    path.write_text(json.dumps(vars(long)))
    events: list[dict[str, Any]] = []
    found = compare(data, folder, None, events.append, settings=SETTINGS)
    path.unlink()
    assert [row.name for row in found] == [*SHORT[:-1], "finetuned", "shipped"]
    assert {event["row"] for event in events} == {"pictures"}


def test_other_settings_make_a_row_anew_and_leave_the_others(data: Path, tmp_path: Path) -> None:
    names = ["majority", "mlp", "cnn2"]
    one = replace(SETTINGS, epochs={**SETTINGS.epochs, "mlp": 1, "cnn2": 1})
    compare(data, tmp_path, names, settings=one)
    events: list[dict[str, Any]] = []
    two = replace(one, epochs={**one.epochs, "mlp": 2})
    compare(data, tmp_path, names, events.append, settings=two)
    assert {event["row"] for event in events} == {"pictures", "mlp"}


@pytest.mark.parametrize("content", ["", "{", '{"name": "mlp"}', "[1]"])
def test_a_damaged_row_is_made_again(content: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "majority.json").write_text(content)
    found = compare(data, tmp_path, ["majority"], settings=SETTINGS)
    assert json.loads((tmp_path / "majority.json").read_text()) == vars(found[0])


def test_rows_of_other_data_are_not_mixed_in(data: Path, tmp_path: Path) -> None:
    compare(data, tmp_path / "run", ["majority"], settings=SETTINGS)
    other = write(tmp_path / "other", rows(seed=1))
    with pytest.raises(UsageError, match="rows of other data; name another folder with --run"):
        compare(other, tmp_path / "run", ["majority"], settings=SETTINGS)


@pytest.mark.parametrize(
    ("name", "hint"), [("cnn4", "did you mean cnn"), ("gpt", "there are majority, mlp")]
)
def test_a_row_that_is_none_is_reported(name: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--only {name}: there is no such row.*{hint}"):
        compare(tmp_path, tmp_path / "run", [name])


def test_too_few_pictures_to_split_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too few to split"):
        compare(write(tmp_path / "few", rows(3)), tmp_path / "run", ["majority"])


def test_another_backbone_makes_rows_beside_those_of_the_first(data: Path, tmp_path: Path) -> None:
    names = ["frozen_neighbours"]
    compare(data, tmp_path, names, settings=SETTINGS)
    torch.manual_seed(0)
    other = build_backbone("test_resnet")
    found = compare(data, tmp_path, names, settings=SETTINGS, backbone=other)
    assert [row.name for row in found] == ["frozen_neighbours@timm-test_resnet"]
    assert found[0].parameters == parameters(other[0])
    assert "timm/test_resnet" in found[0].title
    assert {path.stem for path in tmp_path.glob("*.json")} == {*names, found[0].name}


# Fine-tuning


@pytest.mark.parametrize("embedding", [False, True])
def test_without_the_embedding_nothing_but_the_proxies_weighs_less(
    embedding: bool, data: Path, tmp_path: Path, card: Any
) -> None:
    settings = fine_tuning(Bench(data, tmp_path, SETTINGS, card), embedding)
    weights, usual = settings.term_weights(), TrainSettings().term_weights()
    changed = {name for name, weight in weights.items() if weight != usual[name]}
    assert changed == (set() if embedding else {"proxy_article_type", "proxy_base_colour"})
    assert all(weights[name] == 0 for name in changed)
    assert settings.stages == (Stage(1, 32, 24),)


def test_fine_tuned_rows_go_on_from_their_checkpoint(data: Path, tmp_path: Path) -> None:
    """A row whose network is trained, but which was never written, is only measured."""
    names, settings = ["finetuned", "finetuned_embedding"], replace(SETTINGS, batch_size=64)
    found = compare(data, tmp_path, names, settings=settings)
    assert [row.name for row in found] == names
    assert found[0].parameters == found[1].parameters
    assert found[0].p10_type != found[1].p10_type
    (tmp_path / "finetuned.json").unlink()
    events: list[dict[str, Any]] = []
    again = compare(data, tmp_path, names, events.append, settings=settings)[0]
    assert [e["step"] for e in events if e["row"] == "finetuned"] == [0]
    assert replace(again, seconds=None) == replace(found[0], seconds=None)
    assert (again.seconds or 0) > (found[0].seconds or 0)


def test_the_seconds_of_a_run_add_up_over_its_interruptions(tmp_path: Path) -> None:
    path = tmp_path / "run" / "seconds.json"
    Clock(path).save()
    path.write_text("1000.5")
    assert 1000.5 < Clock(path).save() < 1010
    assert json.loads(path.read_text()) > 1000.5


# The table


def test_the_table_lines_up_and_is_markdown(
    finished: tuple[Path, list[Row], list[dict[str, Any]]], found: dict[str, Row]
) -> None:
    text = compare_table(finished[1])
    lines = text.split("\n\n")[0].splitlines()
    assert len(lines) == len(SHORT) + 2
    assert len({len(line) for line in lines}) == 1
    assert {line.count("|") for line in lines} == {10}
    assert set(lines[1]) <= set("| -:")
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    row = found["majority"]
    assert cells[0] == "majority class"
    assert cells[1] == f"{100 * (row.article_type or 0):.2f} %"
    assert cells[5:] == ["–", "–", "0.0 min", "0"]
    assert f"Trained on {row.train_pictures} pictures, measured on {row.test_pictures}" in text
    assert found["shipped"].note in text


# The command


def test_the_command_prints_the_table_or_a_json_line_a_row(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from worker.cli.compare import print_comparison

    print_comparison(data, tmp_path, "majority")
    out, err = capsys.readouterr()
    assert out.splitlines()[2].startswith("| majority class")
    assert str(tmp_path) in err
    print_comparison(data, tmp_path, " majority ", as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["majority"]


def test_the_command_says_what_weights_a_backbone_has(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from worker.cli.compare import print_comparison

    print_comparison(data, tmp_path, "majority", backbone="test_resnet")
    notes = capsys.readouterr().err.splitlines()
    assert notes[0].startswith("timm/test_resnet: no weights, so it starts from scratch")
