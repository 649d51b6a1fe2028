"""The routing rule: which tags are published, and whether a person looks at the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.card import NEVER
from models.labels import DERIVED_ATTRIBUTES
from models.predictor import Prediction

ACCEPT = "accept"
REVIEW = "review"

#: Why an item goes to review.
BELOW_THRESHOLD = "below_threshold"
NOT_FASHION = "not_fashion"


@dataclass(frozen=True)
class Route:
    """What is done with a prediction; `reason` is None where it was accepted."""

    decision: str
    reason: str | None
    published: tuple[str, ...]


def route(
    prediction: Prediction, thresholds: Mapping[str, float], fashion_threshold: float
) -> Route:
    """Accept or review, by calibrated numbers alone.

    `thresholds` are those of the picture's domain (`Card.thresholds_for`); an attribute without
    one is not published.

    A picture that does not look like fashion goes to review and nothing of it is published.
    Otherwise an attribute is published at or above its threshold, and the article type decides
    whether a person is asked. With the type, the categories above it are published too.
    """
    if prediction.fashion_score < fashion_threshold:
        return Route(REVIEW, NOT_FASHION, ())
    sure = {a for a, (_, c) in prediction.tags.items() if c >= thresholds.get(a, NEVER)}
    accepted = "article_type" in sure
    if accepted:
        sure.update(DERIVED_ATTRIBUTES)
    published = tuple(a for a in prediction.tags if a in sure)
    return Route(ACCEPT if accepted else REVIEW, None if accepted else BELOW_THRESHOLD, published)
