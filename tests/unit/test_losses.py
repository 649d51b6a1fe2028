"""The losses: several right labels, unknown labels, prefixes of the embedding."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from models.network import EMBEDDING_DIM, TagNetwork
from models.training.losses import (
    PREFIXES,
    Learner,
    Proxies,
    known_cross_entropy,
    set_loss,
    taught_loss,
)

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


def test_a_teacher_s_beliefs_are_met_by_equal_probabilities() -> None:
    """The loss is least, the beliefs' own entropy, where the network believes the same."""
    taught = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.0, 0.0]])
    same = torch.stack([taught[0].log(), torch.tensor([5.0, 0.0, 0.0])])
    entropy = -(taught[0] * taught[0].log()).sum()
    assert taught_loss(same, taught).item() == pytest.approx(entropy.item(), abs=1e-6)
    assert taught_loss(torch.zeros(2, 3), taught).item() == pytest.approx(math.log(3), abs=1e-6)


def test_a_batch_of_which_no_teacher_was_asked_costs_nothing() -> None:
    assert taught_loss(torch.randn(2, 3), torch.zeros(2, 3)).item() == 0


def test_labels_and_teacher_share_a_head_s_term() -> None:
    sizes = {"article_type": 3, "domain": 3}
    network = TagNetwork(sizes, frozen=3)
    images = torch.zeros(1, 3, 32, 32)
    targets = {"domain": torch.tensor([0]), "right": one_hot(1)}
    taught = {**targets, "taught_article_type": torch.tensor([[0.2, 0.5, 0.3]])}

    def term(distill: float, targets: dict[str, torch.Tensor]) -> float:
        return Learner(network, sizes, distill).eval()(images, targets)["article_type"].item()

    assert term(0.0, taught) == pytest.approx(term(0.0, targets))
    halves = (term(0.0, taught) + term(1.0, taught)) / 2
    assert term(0.5, taught) == pytest.approx(halves)
    assert term(1.0, taught) != pytest.approx(term(0.0, taught))


def test_a_photograph_keeps_the_weight_of_its_label_beside_a_teacher() -> None:
    """The teacher was asked about the first picture alone."""
    sizes = {"article_type": 3, "domain": 3}
    network = TagNetwork(sizes, frozen=3)
    torch.nn.init.constant_(network.heads["article_type"].weight, 0)
    network.heads["article_type"].bias.data = torch.tensor([1.0, 0.0, -1.0])
    targets = {
        "domain": torch.tensor([0, 1]),
        "right": torch.tensor([[True, False, False], [False, True, True]]),
        "taught_article_type": torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
    }
    p = torch.tensor([1.0, 0.0, -1.0]).softmax(0)
    by_label, by_teacher, photograph = -p[0].log(), -p[2].log(), -(p[1] + p[2]).log()
    for distill in (0.0, 0.5, 1.0):
        found = Learner(network, sizes, distill).eval()(torch.zeros(2, 3, 32, 32), targets)
        expected = ((1 - distill) * by_label + distill * by_teacher + photograph) / 2
        assert found["article_type"].item() == pytest.approx(expected.item(), abs=1e-5)


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
    sizes = {"article_type": 3, "base_colour": 4, "gender": 2, "domain": 3}
    return Learner(TagNetwork(sizes, frozen=3), sizes).eval()


def test_a_photograph_with_a_coarse_label_teaches_types_and_domain_alone(
    learner: Learner,
) -> None:
    targets = {
        "base_colour": torch.tensor([-1, -1]),
        "gender": torch.tensor([-1, -1]),
        "domain": torch.tensor([1, 1]),
        "right": torch.tensor([[True, True, False], [False, True, True]]),
    }
    terms = learner(torch.zeros(2, 3, 32, 32), targets)
    cost = {name for name, term in terms.items() if float(term.detach()) > 0}
    assert cost == {"article_type", "proxy_article_type", "domain"}
    assert set(terms) == {*cost, "base_colour", "gender", "proxy_base_colour"}


def test_data_without_colours_have_no_loss_of_colours() -> None:
    sizes = {"article_type": 3, "domain": 3}
    alone = Learner(TagNetwork(sizes, frozen=3), sizes).eval()
    targets = {"domain": torch.tensor([0]), "right": one_hot(1)}
    terms = alone(torch.zeros(1, 3, 32, 32), targets)
    assert set(terms) == {"article_type", "proxy_article_type", "domain"}
