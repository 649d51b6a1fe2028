"""The routing rule."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluate import published_tags
from models.labels import ATTRIBUTES
from models.predictor import Prediction, Predictor, choose_labels, fashion_scores
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


def test_evaluation_publishes_what_the_worker_would(
    predictor: Predictor, sample_pixels: dict[str, Pixels]
) -> None:
    """The card's figures are those of the rule that is served."""
    pixels = np.stack(list(sample_pixels.values()))
    outputs = predictor._backend.infer(pixels)
    chosen = choose_labels(predictor.probabilities(outputs), predictor.labels)
    published = published_tags(chosen, fashion_scores(outputs, predictor.card), predictor.card)
    thresholds, fashion = predictor.card.thresholds, predictor.card.fashion["threshold"]
    for row, prediction in enumerate(predictor.predict(list(pixels))):
        by_rule = route(prediction, thresholds, fashion).published
        assert set(by_rule) == {a for a in ATTRIBUTES if published[a][row]}
