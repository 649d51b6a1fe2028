"""The routing rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.backends import Outputs
from models.card import Card
from models.evaluate import published_tags
from models.labels import ATTRIBUTES, DOMAINS, HEAD_ATTRIBUTES, LabelSet
from models.predictor import Prediction, Predictor, choose_labels, domains
from models.transforms import Pixels
from worker.routing import Route, route

THRESHOLDS = dict.fromkeys(ATTRIBUTES, 0.8)


def prediction(
    fashion_score: float = 0.9, default: float = 0.95, **confidence: float
) -> Prediction:
    """Make a prediction with the given confidences."""
    tags = {a: (f"some {a}", confidence.get(a, default)) for a in ATTRIBUTES}
    return Prediction(tags, [tags["article_type"]], fashion_score, np.zeros(256, np.float32))


def test_all_that_is_sure_is_accepted_and_published() -> None:
    assert route(prediction(), THRESHOLDS, 0.5) == Route("accept", None, ATTRIBUTES)


def test_an_unsure_type_goes_to_review_while_the_sure_tags_are_published() -> None:
    way = route(prediction(article_type=0.79), THRESHOLDS, 0.5)
    assert way.decision == "review"
    assert way.reason == "below_threshold"
    assert way.published == tuple(a for a in ATTRIBUTES if a != "article_type")


def test_an_unsure_colour_is_left_out_but_asks_nobody() -> None:
    way = route(prediction(base_colour=0.2), THRESHOLDS, 0.5)
    assert way.decision == "accept"
    assert way.reason is None
    assert way.published == tuple(a for a in ATTRIBUTES if a != "base_colour")


def test_nothing_sure_means_review_and_nothing_published() -> None:
    assert route(prediction(default=0.1), THRESHOLDS, 0.5) == Route("review", "below_threshold", ())


@pytest.mark.parametrize("confidence", [0.1, 0.99])
def test_what_is_not_fashion_goes_to_review_with_nothing_published(confidence: float) -> None:
    way = route(prediction(fashion_score=0.49, default=confidence), THRESHOLDS, 0.5)
    assert way == Route("review", "not_fashion", ())


def test_categories_always_come_with_an_accepted_type() -> None:
    """Even where their own threshold is higher than what they reach."""
    strict = {**THRESHOLDS, "sub_category": 0.99, "master_category": 0.999}
    way = route(prediction(default=0.9), strict, 0.5)
    assert way.decision == "accept"
    assert {"master_category", "sub_category", "article_type"} <= set(way.published)


def test_without_the_type_a_category_needs_its_own_threshold() -> None:
    way = route(prediction(default=0.1, sub_category=0.7, master_category=0.8), THRESHOLDS, 0.5)
    assert way.published == ("master_category",)


@pytest.mark.parametrize(("confidence", "decision"), [(0.8, "accept"), (0.7999999, "review")])
def test_exactly_at_the_threshold_is_accepted(confidence: float, decision: str) -> None:
    assert route(prediction(article_type=confidence), THRESHOLDS, 0.5).decision == decision


@pytest.mark.parametrize(("score", "reason"), [(0.5, None), (0.4999999, "not_fashion")])
def test_exactly_at_the_fashion_threshold_is_fashion(score: float, reason: str | None) -> None:
    assert route(prediction(fashion_score=score), THRESHOLDS, 0.5).reason == reason


def test_a_threshold_above_one_accepts_not_even_certainty() -> None:
    way = route(prediction(default=1.0), {**THRESHOLDS, "article_type": 1.01}, 0.5)
    assert way.decision == "review"
    assert "article_type" not in way.published


def test_published_attributes_come_coarse_to_fine() -> None:
    way = route(prediction(gender=0.3), THRESHOLDS, 0.5)
    assert list(way.published) == sorted(way.published, key=ATTRIBUTES.index)


def test_an_attribute_without_a_threshold_is_not_published() -> None:
    way = route(prediction(default=1.0), {"article_type": 0.8, "gender": 0.8}, 0.5)
    assert way.published == ("master_category", "sub_category", "article_type", "gender")


def test_without_any_threshold_nothing_is_accepted() -> None:
    assert route(prediction(default=1.0), {}, 0.5) == Route("review", "below_threshold", ())


def test_only_tags_that_the_model_gives_are_published() -> None:
    alone = Prediction({"article_type": ("Shirts", 0.9)}, [], 0.9, np.zeros(256, np.float32))
    assert route(alone, THRESHOLDS, 0.5) == Route("accept", None, ("article_type",))


# Evaluation and worker


def test_evaluation_publishes_what_the_worker_would(
    predictor: Predictor, sample_pixels: dict[str, Pixels]
) -> None:
    """The card's figures are those of the rule that is served."""
    assert agreed(predictor, np.stack(list(sample_pixels.values())))


class Fixed:
    """A backend that gives the outputs it was made with, whatever the pictures."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def infer(self, pixels: NDArray[np.uint8]) -> Outputs:
        return self.outputs


def agreed(predictor: Predictor, pixels: NDArray[np.uint8]) -> list[tuple[str, set[str]]]:
    """See that evaluation and worker publish the same; return domain and tags of each picture."""
    card, outputs = predictor.card, predictor._backend.infer(pixels)
    chosen = choose_labels(
        predictor.probabilities(outputs), predictor.labels, domains(outputs), predictor.coarse
    )
    published = published_tags(chosen, outputs, card)
    found = []
    for row, one in enumerate(predictor.predict(list(pixels))):
        way = route(one, card.thresholds_for(one.domain), card.fashion["threshold"])
        assert set(way.published) == {a for a in published if published[a][row]}
        found.append((one.domain, set(way.published)))
    return found


@pytest.fixture
def both_domains(tmp_path: Path) -> Predictor:
    """A model with thresholds for products and photographs, and 300 answers of all kinds."""
    rows: dict[str, list[str]] = {a: ["one", "two", "three"] for a in ATTRIBUTES}
    LabelSet.from_rows(rows).save(tmp_path / "labels.json")
    card = Card(
        version="v",
        folder=tmp_path,
        height=1,
        width=1,
        temperatures=dict.fromkeys(HEAD_ATTRIBUTES, 1.0),
        thresholds={
            "catalogue": dict.fromkeys(ATTRIBUTES, 0.5),
            "phone": {"master_category": 0.6, "sub_category": 0.7, "article_type": 0.8},
        },
        fashion={"midpoint": 0.0, "scale": 1.0, "threshold": 0.3},
        raw={},
    )
    random = np.random.default_rng(0)
    outputs = {a: random.normal(0, 2, (300, 3)).astype(np.float32) for a in HEAD_ATTRIBUTES}
    outputs["domain"] = random.normal(0, 1, (300, 3)).astype(np.float32)
    outputs["embedding"] = np.zeros((300, 256), dtype=np.float32)
    outputs["fashion_similarity"] = random.normal(0, 1, 300).astype(np.float32)
    return Predictor(card, Fixed(outputs))


def test_pictures_that_look_like_photographs_have_thresholds_of_their_own(
    both_domains: Predictor,
) -> None:
    """Evaluation and worker agree on them too."""
    found = agreed(both_domains, np.zeros((300, 1, 1, 3), dtype=np.uint8))
    outputs = both_domains._backend.infer(np.zeros((300, 1, 1, 3), dtype=np.uint8))
    sure = both_domains.probabilities(outputs)["article_type"].max(axis=1)
    fashion = outputs["fashion_similarity"] >= np.log(0.3 / 0.7)
    for domain, least in (("catalogue", 0.5), ("phone", 0.8)):
        rows = [row for row, (looks, _) in enumerate(found) if looks == domain]
        accepted = [row for row in rows if "article_type" in found[row][1]]
        assert accepted == [row for row in rows if sure[row] >= least and fashion[row]]
        assert 0 < len(accepted) < len(rows)


def test_what_was_never_measured_on_photographs_is_not_published_of_them(
    both_domains: Predictor,
) -> None:
    found = agreed(both_domains, np.zeros((300, 1, 1, 3), dtype=np.uint8))
    tags = {
        domain: set().union(*(tags for looks, tags in found if looks == domain))
        for domain in DOMAINS
    }
    assert tags["catalogue"] == set(ATTRIBUTES)
    assert tags["phone"] == {"master_category", "sub_category", "article_type"}
    assert tags["street"] == set()
