"""The losses: several right labels, unknown labels, prefixes of the embedding."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from models.losses import PREFIXES, Learner, Proxies, known_cross_entropy, set_loss
from models.network import EMBEDDING_DIM, TagNetwork

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [0.3, 0.2, 0.1]])


def one_hot(*labels: int) -> torch.Tensor:
    return functional.one_hot(torch.tensor(labels), 3).bool()


def test_with_one_right_label_it_is_the_cross_entropy() -> None:
    found = set_loss(LOGITS, one_hot(0, 2, 1))
    expected = functional.cross_entropy(LOGITS, torch.tensor([0, 2, 1]))
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_with_several_right_labels_it_is_minus_the_log_of_their_summed_probability() -> None:
    right = torch.tensor([[True, True, False], [False, True, True], [True, True, True]])
    chances = LOGITS.softmax(dim=1)
    sums = [float(chances[0, :2].sum()), float(chances[1, 1:].sum()), 1.0]
    expected = -sum(math.log(total) for total in sums) / 3
    assert float(set_loss(LOGITS, right)) == pytest.approx(expected, rel=1e-5)


def test_rows_without_a_right_label_change_nothing() -> None:
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    whole = set_loss(LOGITS, torch.cat([one_hot(0, 2), nothing]))
    assert float(whole) == pytest.approx(float(set_loss(LOGITS[:2], one_hot(0, 2))), rel=1e-6)


def test_rows_without_a_known_label_change_nothing() -> None:
    whole = known_cross_entropy(LOGITS, torch.tensor([0, -1, 1]))
    part = functional.cross_entropy(LOGITS[[0, 2]], torch.tensor([0, 1]))
    assert float(whole) == pytest.approx(float(part), rel=1e-6)


def test_a_batch_of_which_nothing_is_known_costs_nothing_and_moves_nothing() -> None:
    logits = LOGITS.clone().requires_grad_()
    sets = set_loss(logits, torch.zeros(3, 3, dtype=torch.bool))
    labels = known_cross_entropy(logits, torch.full((3,), -1))
    assert (sets.item(), labels.item()) == (0.0, 0.0)
    (sets + labels).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


def test_impossible_labels_give_no_infinite_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    set_loss(logits, torch.tensor([[True, True, False]] * 3)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 2] > 0).all()  # what is wrong is pushed down


def test_proxies_measure_the_cosine_of_a_prefix_whatever_its_length() -> None:
    proxies = Proxies(2)
    vectors = torch.randn(3, EMBEDDING_DIM)
    for dimensions in PREFIXES:
        found = proxies(vectors, dimensions)
        expected = functional.cosine_similarity(
            vectors[:, None, :dimensions], proxies.vectors[None, :, :dimensions], dim=2
        )
        assert torch.allclose(found * proxies.temperature, expected, atol=1e-6)
        assert torch.allclose(proxies(5 * vectors, dimensions), found, atol=1e-4)


@pytest.fixture(scope="module")
def learner() -> Learner:
    sizes = {"article_type": 3, "base_colour": 4, "gender": 2, "source": 2}
    return Learner(TagNetwork(sizes, frozen=3), sizes).eval()


def test_a_photograph_with_a_coarse_label_teaches_types_and_source_alone(
    learner: Learner,
) -> None:
    targets = {
        "base_colour": torch.tensor([-1, -1]),
        "gender": torch.tensor([-1, -1]),
        "source": torch.tensor([1, 1]),
        "right": torch.tensor([[True, True, False], [False, True, True]]),
    }
    terms = learner(torch.zeros(2, 3, 32, 32), targets)
    cost = {name for name, term in terms.items() if float(term.detach()) > 0}
    assert cost == {"article_type", "proxy_article_type", "source"}
    assert set(terms) == {*cost, "base_colour", "gender", "proxy_base_colour"}


def test_data_without_colours_have_no_loss_of_colours() -> None:
    sizes = {"article_type": 3, "source": 2}
    alone = Learner(TagNetwork(sizes, frozen=3), sizes).eval()
    targets = {"source": torch.tensor([0]), "right": one_hot(1)}
    terms = alone(torch.zeros(1, 3, 32, 32), targets)
    assert set(terms) == {"article_type", "proxy_article_type", "source"}
