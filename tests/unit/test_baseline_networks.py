"""Baselines: networks as they are specified, and their training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.baselines.networks import (
    Classifier,
    Fitting,
    fit,
    linear_probe,
    pixel_mlp,
    run,
    three_layer_cnn,
    two_layer_cnn,
    vote,
)
from models.data import Pictures, load_products
from models.labels import LabelSet
from tests.unit.baseline_data import HEIGHT, KINDS, WIDTH, parameters, rows, write


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return load_products(write(tmp_path_factory.mktemp("drawings"), rows()), HEIGHT, WIDTH)


# Networks


def shapes(network: Classifier, *size: int) -> list[tuple[int, ...]]:
    """Return what each layer but the activations hands on, for one picture."""
    seen: list[tuple[int, ...]] = []
    kinds = (nn.Conv2d, nn.MaxPool2d, nn.Linear)
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    network(torch.zeros(1, *size, 3, dtype=torch.uint8))
    return seen


def test_the_two_layer_cnn_is_as_specified() -> None:
    """32 and 64 filters of 3×3, each with 2×2 maxima, then one linear layer, on 80×60."""
    network = two_layer_cnn(141, 80, 60)
    assert shapes(network, 80, 60) == [
        (32, 80, 60),
        (32, 40, 30),
        (64, 40, 30),
        (64, 20, 15),
        (141,),
    ]
    assert parameters(network) == (27 * 32 + 32) + (288 * 64 + 64) + (19_200 * 141 + 141)


def test_the_three_layer_cnn_is_as_specified() -> None:
    """32, 32 and 64 filters, 64 features, dropout of one half before the classes."""
    network = three_layer_cnn(141, 80, 60)
    assert shapes(network, 80, 60) == [
        (32, 80, 60),
        (32, 40, 30),
        (32, 40, 30),
        (32, 20, 15),
        (64, 20, 15),
        (64, 10, 7),
        (64,),
        (141,),
    ]
    convolutions = (27 * 32 + 32) + (288 * 32 + 32) + (288 * 64 + 64)
    assert parameters(network) == convolutions + (4480 * 64 + 64) + (64 * 141 + 141)
    assert network.dropout.p == 0.5
    network.train()
    pixels = torch.randint(255, (1, 80, 60, 3), dtype=torch.uint8)
    assert not torch.equal(network(pixels), network(pixels))


def test_the_mlp_sees_every_pixel() -> None:
    network = pixel_mlp(7, 10, 8)
    assert shapes(network, 10, 8) == [(256,), (7,)]
    assert parameters(network) == (240 * 256 + 256) + (256 * 7 + 7)


def test_the_probe_learns_from_vectors_of_any_scale_alike() -> None:
    random = np.random.default_rng(0)
    small = random.normal(size=(200, 6)).astype(np.float32)
    small[:, 5] = 3  # says nothing, and has no variance
    targets = (small[:, 0] > 0).astype(np.int64)
    answers = []
    for vectors in (small, small * 1000 + 500):
        torch.manual_seed(0)
        probe = linear_probe(vectors, 2)
        fit(probe, vectors, np.arange(200), targets, Fitting(epochs=60, batch_size=20))
        answers.append(run(probe, vectors, np.arange(200)))
    assert (answers[0].argmax(axis=1) == targets).mean() > 0.9
    assert np.allclose(answers[0], answers[1], atol=0.01)
    assert parameters(probe) == 6 * 2 + 2


# Training


@pytest.mark.parametrize(
    ("build", "epochs"), [(pixel_mlp, 12), (two_layer_cnn, 12), (three_layer_cnn, 40)]
)
def test_training_reduces_the_loss_and_learns_what_can_be_told_apart(
    build: Any, epochs: int, pictures: Pictures
) -> None:
    label_set = LabelSet.from_rows(pictures.labels)
    types = pictures.targets(label_set)["article_type"]
    train, test = pictures.indices("train"), pictures.indices("test")
    torch.manual_seed(0)
    network = build(len(KINDS), HEIGHT, WIDTH)
    told: list[tuple[int, int, float]] = []
    fit(
        network,
        pictures.pixels,
        train,
        types,
        Fitting(epochs=epochs, batch_size=16),
        lambda *event: told.append(event),
    )
    steps = epochs * (len(train) // 16)
    assert [step for step, _, _ in told] == sorted({*range(50, steps, 50), steps})
    assert told[-1][2] < 0.5 * np.log(len(KINDS))
    right = run(network, pictures.pixels, test).argmax(axis=1) == types[test]
    assert right.mean() > 0.85


def test_training_is_the_same_each_time_and_hangs_on_the_seed(pictures: Pictures) -> None:
    label_set = LabelSet.from_rows(pictures.labels)
    types = pictures.targets(label_set)["article_type"]
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        network = pixel_mlp(len(KINDS), HEIGHT, WIDTH, hidden=4)
        settings = Fitting(epochs=1, batch_size=16, seed=seed)
        fit(network, pictures.pixels, pictures.indices("train"), types, settings)
        weights.append(network.head.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_sees_no_other_rows_than_those_it_is_given() -> None:
    inputs = np.zeros((12, 3), dtype=np.float32)
    inputs[6:] = np.nan
    network = Classifier(nn.Identity(), 3, 2)
    targets = np.full(12, 99)  # no class has this number
    targets[:6] = [0, 1, 0, 1, 0, 1]
    fit(network, inputs, np.arange(6), targets, Fitting(epochs=2, batch_size=4))
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_most_neighbours_win_and_of_equals_the_nearer() -> None:
    labels = np.array([[2, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [3, 2, 1, 0]])
    assert vote(labels, 4).tolist() == [1, 0, 1, 3]
    far = np.array([[1] * 5 + [0] * 5, [1] * 4 + [0] * 6])
    assert vote(far, 2).tolist() == [1, 0]
