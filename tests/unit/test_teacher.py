"""Teachers: what earlier versions believe of the training pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from errors import UsageError
from models.backends import OpenVinoBackend
from models.card import Card
from models.data import Pictures
from models.labels import LabelSet
from models.network import TagNetwork, head_sizes, load_network
from models.predictor import Predictor
from models.train import load_version_into
from models.training.batches import Batches
from models.training.material import Material
from models.training.teacher import BATCH, ask_teachers
from tests.unit.tiny import HEIGHT, WIDTH


def test_a_teacher_s_beliefs_are_its_calibrated_probabilities_of_both_views(
    exported: Path, pictures: Pictures, label_set: LabelSet
) -> None:
    beliefs = ask_teachers([exported], pictures, label_set)
    rows = pictures.indices("train", "catalogue")[:BATCH]
    predictor = Predictor(Card.load(exported), OpenVinoBackend(exported, 2, "bf16"))
    views = [pictures.pixels[rows], np.ascontiguousarray(pictures.pixels[rows][:, :, ::-1])]
    found = [predictor.probabilities(predictor._backend.infer(view)) for view in views]
    assert set(beliefs) == set(label_set.heads)
    for attribute in label_set.heads:
        mean = (found[0][attribute] + found[1][attribute]) / 2
        assert beliefs[attribute][rows] == pytest.approx(mean, abs=2e-3)  # half precision


def test_nothing_but_the_catalogue_s_training_pictures_is_asked_about(
    exported: Path, pictures: Pictures, label_set: LabelSet
) -> None:
    steps: list[tuple[int, int]] = []
    beliefs = ask_teachers([exported], pictures, label_set, lambda *step: steps.append(step))
    rows = pictures.indices("train", "catalogue")
    for taught in beliefs.values():
        assert taught[rows].sum(axis=1) == pytest.approx(1, abs=0.01)
        assert not np.delete(taught, rows, axis=0).any()
    assert steps[-1] == (len(rows), len(rows))


def test_two_teachers_are_averaged(
    exported: Path, pictures: Pictures, label_set: LabelSet, tmp_path: Path
) -> None:
    """The second is the first at a temperature that leaves it no opinion."""
    second = tmp_path / "vague"
    shutil.copytree(exported, second)
    card = json.loads((second / "card.json").read_text())
    card["temperatures"] = dict.fromkeys(card["temperatures"], 1e6)
    (second / "card.json").write_text(json.dumps(card))
    one, vague, both = (
        ask_teachers(folders, pictures, label_set)["article_type"].astype(np.float32)
        for folders in ([exported], [second], [exported, second])
    )
    assert both == pytest.approx((one + vague) / 2, abs=2e-3)


def test_a_teacher_of_other_labels_is_refused(
    exported: Path, pictures: Pictures, label_set: LabelSet
) -> None:
    names = {**label_set.names, "season": (*label_set.names["season"], "Monsoon")}
    other = LabelSet(names, label_set.parents)
    with pytest.raises(UsageError, match="other labels"):
        ask_teachers([exported], pictures, other)


def test_batches_carry_beliefs_beside_the_labels(
    exported: Path, pictures: Pictures, label_set: LabelSet
) -> None:
    beliefs = ask_teachers([exported], pictures, label_set)
    batches = Batches(Material(pictures, label_set, beliefs=beliefs), 8, 0.25, 0)
    places, photos = batches._rows_of(3)
    _, targets = batches.batch(3, HEIGHT, WIDTH)
    taught = targets["taught_article_type"]
    assert taught.dtype == torch.float32
    expected = beliefs["article_type"][[*batches.rows[places], *photos]]
    assert np.array_equal(taught.numpy(), expected.astype(np.float32))
    assert len(photos)
    assert not taught[-len(photos) :].any()


def test_a_version_is_started_from_and_heads_that_it_lacks_start_anew(
    exported: Path, label_set: LabelSet, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(exported, older)
    network = TagNetwork(head_sizes(label_set), frozen=3)
    fresh = network.state_dict()["heads.domain.weight"].clone()
    card = json.loads((older / "card.json").read_text())
    card["network"]["heads"]["look"] = card["network"]["heads"].pop("domain")
    (older / "card.json").write_text(json.dumps(card))
    _rename(older, "network.heads.domain.", "network.heads.look.")
    load_version_into(network, older, label_set)
    known = load_network(exported).network.state_dict()
    own = network.state_dict()
    assert torch.equal(own["heads.domain.weight"], fresh)
    for name in known:
        if not name.startswith("heads.domain."):
            assert torch.equal(own[name], known[name]), name


def _rename(folder: Path, before: str, after: str) -> None:
    from safetensors.torch import save_file

    path = folder / "network.safetensors"
    save_file({n.replace(before, after): v for n, v in load_file(path).items()}, path)
