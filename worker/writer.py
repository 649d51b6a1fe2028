"""What became of a batch, written in as few transactions as can be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from db.queries.results import Result, write_results
from db.queries.uploads import Claim, mark_dead, mark_finished, mark_pending, return_claims
from db.session import transaction
from errors import TransientError, UsageError
from worker.failures import describe
from worker.outcomes import BatchReport, Failed, Model
from worker.routing import REVIEW
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)
Written = TypeVar("Written")


class Writer:
    """Writes outcomes, hands back what was not begun. Raises TransientError without a database."""

    def __init__(self, engine: Engine, settings: WorkerSettings) -> None:
        self._engine = engine
        self._settings = settings

    def hand_back(self, claims: Sequence[Claim]) -> int:
        """Return how many went back; where the database is away they wait for their lease."""
        if not claims:
            return 0

        def hand_back() -> int:
            with transaction(self._engine) as session:
                return return_claims(session, claims)

        try:
            return _once_more(hand_back)
        except TransientError as error:  # their neighbours' work is done and wants to be written
            log.error("%d uploads wait for their lease to run out: %s", len(claims), error)
            return 0

    def write(
        self,
        model: Model,
        done: Sequence[tuple[Claim, Result]],
        failed: Sequence[Failed[Claim]],
    ) -> BatchReport:
        """Write all outcomes; one that cannot be written costs the others nothing."""
        try:
            return _once_more(lambda: self._write_together(model, done, failed))
        except (UsageError, DBAPIError, MemoryError) as error:
            if not done:
                raise
            log.exception("%d results cannot be written together", len(done))
            refused = (
                error
                if isinstance(error, MemoryError)
                else TransientError(f"the database refused the result: {error}")
            )
        if len(done) == 1:
            return self._write_together(model, [], [*failed, Failed(done[0][0], refused)])
        reports = [self.write(model, [one], []) for one in done]
        reports.append(self._write_together(model, [], failed))
        return BatchReport(*(sum(values) for values in zip(*map(astuple, reports), strict=True)))

    def _write_together(
        self,
        model: Model,
        done: Sequence[tuple[Claim, Result]],
        failed: Sequence[Failed[Claim]],
    ) -> BatchReport:
        """Write all outcomes in one transaction; only claims that still hold are written."""
        outcomes = [
            (claim, "review" if result.decision == REVIEW else "tagged") for claim, result in done
        ]
        with transaction(self._engine) as session:
            held = mark_finished(session, outcomes)
            write_results(
                session,
                [result for _, result in done if result.upload_id in held],
                model.predictor.card.version,
                model.generation,
                first={claim.id for claim, _ in done if claim.attempt == 1},
            )
            for failure in failed:
                code, error = describe(failure.error)
                claim = failure.claim
                if code is not None:
                    mark_dead(session, claim, code, error)
                elif claim.tries >= self._settings.max_attempts:
                    mark_dead(session, claim, "attempts_exhausted", error)
                else:
                    delay = self._settings.retry_seconds * 2 ** (claim.tries - 1)
                    mark_pending(session, [claim], error, delay)
        return BatchReport(
            claimed=len(done) + len(failed),
            written=len(held),
            failed=len(failed),
            superseded=len(outcomes) - len(held),
        )


def _once_more(write: Callable[[], Written]) -> Written:
    """Write, and again where the connection was lost since the claim: the work is done by now.

    Nothing is written twice: the fence holds for one of them.
    """
    try:
        return write()
    except TransientError as error:
        if error.code != "database_unavailable":
            raise
        log.warning("%s; once more, on a new connection", error)
        return write()
