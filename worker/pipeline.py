"""The way of a batch: claim, fetch and decode, predict, write. No Celery in here."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.queries.models import ModelVersion, get_active_model
from db.queries.previews import require_previews_later
from db.queries.results import Result
from db.queries.uploads import (
    Claim,
    claim_uploads,
    count_due,
    is_fresh_due,
)
from db.session import transaction
from errors import HangtagError, TransientError
from models.pictures import decode
from models.predictor import Prediction, Predictor
from models.transforms import to_pixels
from worker.arrivals import Arrivals
from worker.failures import kept
from worker.outcomes import (
    BatchReport,
    Failed,
    Loaded,
    Model,
    Outcomes,
    Unbegun,
    with_claims,
)
from worker.pace import Pace
from worker.patience import PatientThreads
from worker.routing import to_result
from worker.settings import WorkerSettings
from worker.stages import StageTimes
from worker.storage import PictureStore
from worker.writer import Writer

log = logging.getLogger(__name__)
Written = TypeVar("Written")
LoadOutcome = Loaded | Failed[Claim] | Unbegun[Claim]

#: How much of the lease may be over before no further picture is begun: what has begun needs the
#: rest.
_LOADING_SHARE = 1 / 3
#: Pictures that are loaded and predicted together: fewer would fetch the weights anew more often.
_PREDICTED = 32
#: It is looked for fresh uploads no more often than this.
_LOOK_SECONDS = 0.015
#: Halves that are longer are of a multiple: for another number the network is set up anew.
_EVEN = 16


@dataclass
class _Batch:
    """What a process is at: claims of one lane, the model for them, and where their time goes."""

    claims: Sequence[Claim]
    model: Model
    #: Monotonic seconds: when its lease began, or that of the batch in whose middle it is.
    began: float
    times: StageTimes
    #: When it was last looked for fresh uploads.
    looked: float = -math.inf


class Pipeline:
    """One worker process's way from claimed rows to published tags.

    `note` is told of each batch, how many uploads it had and where their time went. With
    `call_others` half of a short line is left to them, and they are called; without, all of it is
    claimed that a batch may hold.
    """

    def __init__(
        self,
        engine: Engine,
        settings: WorkerSettings,
        worker: str,
        load_predictor: Callable[[str], Predictor],
        is_stopping: Callable[[], bool] = lambda: False,
        note: Callable[[int, StageTimes], None] = lambda _uploads, _times: None,
        call_others: Callable[[bool], None] | None = None,
    ) -> None:
        self._engine = engine
        self._is_stopping = is_stopping
        self._note = note
        self._call_others = call_others
        self._settings = settings
        self._worker = worker
        self._load_predictor = load_predictor
        self._model: Model | None = None
        self._fresh = Arrivals()
        self._pace = Pace(settings.decode_threads)
        self._writer = Writer(engine, settings)
        self._store = PictureStore(
            settings.require_store(), settings.file_roots, settings.max_bytes
        )
        self._threads = PatientThreads(
            settings.decode_threads, min(settings.picture_seconds, settings.lease_seconds / 2)
        )

    @property
    def stuck(self) -> int:
        """How many pictures this process could not get rid of; it should end soon."""
        return self._threads.stuck

    def run_batch(self, backfill: bool) -> BatchReport:
        """Take one batch the whole way; hand back at once what it has no time to begin.

        That is what is left when the worker is told to stop, or when large pictures have taken
        their share of the lease. Fresh uploads that come while a batch of the back catalogue is
        under way are taken the whole way in between.
        Raises TransientError where the database is away; what was claimed comes back when its
        lease runs out.
        """
        return self._run(backfill, math.inf)

    def _run(self, backfill: bool, began_by: float) -> BatchReport:
        """Take one batch the whole way; its lease counts as begun by then at the latest."""
        started = time.perf_counter()
        batch = self._claim(backfill, began_by)
        if not batch.claims:
            return BatchReport()
        batch.times.add("queue", sum(claim.waited for claim in batch.claims))
        found = Outcomes()
        for first in range(0, len(batch.claims), _PREDICTED):
            self._work(batch, batch.claims[first : first + _PREDICTED], found)
        handed_back = self._writer.hand_back(found.unbegun)
        with batch.times.measure("write"):
            written = self._writer.write(batch.model, found.done, found.failed)
        report = replace(written, claimed=len(batch.claims), handed_back=handed_back)
        self._note(report.claimed, batch.times)
        log.info(
            "batch: %d claimed, %d written, %d failed, %d superseded, %d handed back, %.0f ms (%s)",
            report.claimed,
            report.written,
            report.failed,
            report.superseded,
            report.handed_back,
            1000 * (time.perf_counter() - started),
            batch.times,
        )
        return report

    def _work(self, batch: _Batch, claims: Sequence[Claim], found: Outcomes) -> None:
        """Load and predict some uploads; add what became of each."""
        outcomes: list[LoadOutcome] = []
        is_old = not claims[0].fresh  # a batch is of one lane
        while len(outcomes) < len(claims):
            first, began = len(outcomes), time.monotonic()
            left = len(claims) - first
            size = self._pace.part_size(left, self._fresh.are_expected()) if is_old else left
            part = claims[first : first + size]
            outcomes += with_claims(part, self._threads.map(partial(self._load, batch), part))
            if is_old:
                new = outcomes[first:]
                self._pace.note(
                    sum(isinstance(outcome, Loaded) for outcome in new),
                    sum(not isinstance(outcome, Unbegun) for outcome in new),
                    time.monotonic() - began,
                )
                self._let_fresh_pass(batch)
        loaded = [o for o in outcomes if isinstance(o, Loaded)]
        try:
            predicted = self._predict(batch, loaded)
        except Exception as error:  # the network itself failed: each upload is tried again, alone
            log.exception("prediction failed for %d pictures", len(loaded))
            again = TransientError(f"prediction failed: {type(error).__name__}: {error}")
            predicted = [Failed(one.claim, again) for one in loaded]
        if is_old:
            self._let_fresh_pass(batch)
        for one, result in zip(loaded, predicted, strict=True):
            if isinstance(result, Result):
                found.done.append((one.claim, result))
            else:
                found.failed.append(result)
        found.failed += [o for o in outcomes if isinstance(o, Failed)]
        found.unbegun += [o.claim for o in outcomes if isinstance(o, Unbegun)]

    def _let_fresh_pass(self, batch: _Batch) -> None:
        """Take one batch of fresh uploads the whole way, in the middle of another.

        One at most each time, and what it has no time to begin within the third of the lease that
        the batch under way has goes back: however many come, that one ends within its lease.
        """
        if time.monotonic() - batch.looked < _LOOK_SECONDS:
            return
        batch.looked = time.monotonic()
        if self.stuck or self._is_stopping() or self._is_over(batch):
            return
        try:
            if is_fresh_due(self._engine):
                self._run(False, batch.began)
        except MemoryError:  # ends the process
            raise
        except Exception as error:  # whatever it was, the batch under way loses nothing by it
            log.error("fresh uploads wait for the end of a batch, or of their lease: %s", error)

    def load_active(self) -> None:
        """Load the active model version where it is not the one that is loaded.

        Raises TransientError where no version is active or its weights are not here.
        """
        with transaction(self._engine) as session:
            active = _require_active(session)
        if self._is_loaded(active):
            return
        try:
            predictor = self._load_predictor(active.version)
        except HangtagError as error:
            raise TransientError(f"model {active.version} is active, but {error}") from error
        if predictor.card.version != active.version:
            raise TransientError(
                f"model {active.version} is active, but the card in its folder names "
                f"{predictor.card.version}; give the folder that name back"
            )
        # Both or neither: a network beside another's generation would file its vectors wrongly.
        self._model = Model(predictor, active.generation)
        log.info("model %s, generation %d", active.version, active.generation)

    def _is_loaded(self, active: ModelVersion) -> bool:
        return self._model is not None and self._model.predictor.card.version == active.version

    def _claim(self, backfill: bool, began_by: float) -> _Batch:
        """Claim a batch with the active model at hand; nothing is claimed while one is loaded."""
        times = StageTimes()
        while True:
            # The lease counts from the transaction's begin, whatever it then has to wait for.
            began = min(time.monotonic(), began_by)
            with times.measure("claim"), transaction(self._engine) as session:
                require_previews_later(session)
                is_loaded = self._is_loaded(_require_active(session))
                if is_loaded:
                    size, left = self._share(session, backfill)
                    claims = claim_uploads(
                        session, self._worker, size, self._settings.lease_seconds, backfill
                    )
            if is_loaded:
                if claims and left and self._call_others:  # what others lock, they are at
                    self._call_others(backfill)
                if claims and claims[0].fresh:
                    self._fresh.note()
                return _Batch(claims, self.loaded, began, times)
            self.load_active()

    def _share(self, session: Session, backfill: bool) -> tuple[int, bool]:
        """Return how many to claim, and whether that leaves any to others.

        Halves of halves end at about the same time, and of a few that come together none waits for
        all the others.
        """
        most = self._settings.batch_size
        if self._call_others is None:
            return most, False
        due = count_due(session, at_most=2 * most)
        waiting = due["ingest"] or (due["backfill"] if backfill else 0)
        size = max(1, min(most, (waiting + 1) // 2))
        if _EVEN < size < most:
            size -= size % _EVEN
        return size, waiting > size

    def _load(self, batch: _Batch, claim: Claim) -> LoadOutcome:
        if self._is_stopping() or self._is_over(batch):
            return Unbegun(claim)
        card, times = batch.model.predictor.card, batch.times
        try:
            with times.measure("fetch"):
                data = self._store.read(claim.uri)
            with times.measure("decode"):
                picture = decode(data, min(card.height, card.width), self._settings.limits)
            with times.measure("resize"):
                pixels = to_pixels(picture, card.height, card.width)
            return Loaded(claim, pixels)
        except Exception as error:  # one picture's trouble must not touch its neighbours
            return Failed(claim, kept(error))

    def _is_over(self, batch: _Batch) -> bool:
        """Tell whether no further picture may be begun."""
        return time.monotonic() - batch.began > _LOADING_SHARE * self._settings.lease_seconds

    @property
    def loaded(self) -> Model:
        """The model at hand; `load_active` comes first."""
        if self._model is None:
            raise TransientError("no model is loaded")
        return self._model

    def _predict(self, batch: _Batch, loaded: Sequence[Loaded]) -> list[Result | Failed[Claim]]:
        with batch.times.measure("predict"):
            predictions = batch.model.predictor.predict([one.pixels for one in loaded])
        return [self._result(batch.model, *pair) for pair in zip(loaded, predictions, strict=True)]

    def _result(self, model: Model, one: Loaded, prediction: Prediction) -> Result | Failed[Claim]:
        try:
            return to_result(one.claim, prediction, model.predictor.card)
        except Exception as error:  # numbers that are none concern this picture alone
            return Failed(one.claim, error)


def _require_active(session: Session) -> ModelVersion:
    active = get_active_model(session)
    if active is None:
        raise TransientError("no model version is active; run `hangtag migrate`")
    return active
