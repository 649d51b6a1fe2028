"""The routing rule: which tags are published, and whether a person looks at the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from db.queries.results import Result
from db.queries.uploads import Claim
from models.card import NEVER, Card
from models.labels import DERIVED_ATTRIBUTES
from models.predictor import Prediction
from worker.vectors import vector_text

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


def to_result(claim: Claim, prediction: Prediction, card: Card) -> Result:
    """Return what is written for an upload. Raises TransientError where numbers are none."""
    prediction.require_finite()
    way = route(prediction, card.thresholds_for(prediction.domain), card.fashion["threshold"])
    tags = {
        attribute: {"label": label, "confidence": round(confidence, 4)}
        for attribute, (label, confidence) in prediction.tags.items()
    }
    label, confidence = prediction.tags["article_type"]
    return Result(
        upload_id=claim.id,
        item=0,
        article_type=label,
        confidence=confidence,
        decision=way.decision,
        reason=way.reason,
        top5=[[name, round(value, 4)] for name, value in prediction.top5],
        tags=tags,
        published={a: tags[a] for a in way.published},
        fashion_score=prediction.fashion_score,
        embedding=vector_text(prediction.embedding),
    )
