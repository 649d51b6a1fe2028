"""What becomes of claims, between the claim and the write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from db.queries.results import Result
from db.queries.uploads import Claim
from models.predictor import Predictor
from models.transforms import Pixels
from worker.failures import too_slow

#: An upload's claim, or a preview's.
AnyClaim = TypeVar("AnyClaim")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Model:
    """A loaded version, and the generation that its vectors belong to."""

    predictor: Predictor
    generation: int


@dataclass(frozen=True)
class Loaded:
    """A fetched and decoded upload."""

    claim: Claim
    pixels: Pixels


@dataclass(frozen=True)
class Failed(Generic[AnyClaim]):
    """A claim whose work went wrong."""

    claim: AnyClaim
    error: Exception


@dataclass(frozen=True)
class Unbegun(Generic[AnyClaim]):
    """A claim that there is no time left for."""

    claim: AnyClaim


@dataclass
class Outcomes:
    """What became of a batch's claims before any of it is written."""

    done: list[tuple[Claim, Result]] = field(default_factory=list)
    failed: list[Failed[Claim]] = field(default_factory=list)
    unbegun: list[Claim] = field(default_factory=list)


@dataclass(frozen=True)
class BatchReport:
    """What became of one batch; `superseded` counts results that came too late."""

    claimed: int = 0
    written: int = 0
    failed: int = 0
    superseded: int = 0
    handed_back: int = 0


def with_claims(
    claims: Sequence[AnyClaim], outcomes: Sequence[Outcome | TimeoutError]
) -> list[Outcome | Failed[AnyClaim]]:
    """Make a failure of each piece of work that was given up for its time."""
    return [
        Failed(claim, too_slow(one)) if isinstance(one, TimeoutError) else one
        for claim, one in zip(claims, outcomes, strict=True)
    ]
