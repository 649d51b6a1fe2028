"""Drawing the previews that review items owe: in the order in which operators get them."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image
from sqlalchemy import Engine

from db.queries.previews import (
    FRONT,
    PreviewClaim,
    claim_previews,
    count_front_due,
    give_up_preview,
    put_off_preview,
    return_previews,
    write_previews,
)
from db.queries.uploads import is_fresh_due
from db.session import transaction
from errors import TransientError
from models.pictures import Limits, decode
from worker.failures import describe, kept
from worker.outcomes import Failed, Unbegun, with_claims
from worker.patience import PatientThreads
from worker.settings import WorkerSettings
from worker.stages import PREVIEW, StageTimes
from worker.storage import PictureStore

log = logging.getLogger(__name__)

#: So long pictures are begun; an upload that comes meanwhile waits.
SLICE_SECONDS = 1.0
#: What is left of it at least when a claim took long: one that draws nothing would go on for ever.
LEAST_SECONDS = 0.25
#: Share of a lease that one picture may take. Celery ends a task with the lease, and a batch of
#: uploads may follow in the same task.
_PICTURE_SHARE = 1 / 8
#: Pictures that are drawn before it is looked for fresh uploads.
_AT_ONCE = 4


@dataclass(frozen=True)
class Drawn:
    """A preview, ready to be written."""

    claim: PreviewClaim
    jpeg: bytes


class Drawer:
    """One worker process's way from owed previews to written ones, a slice at a time."""

    def __init__(
        self,
        engine: Engine,
        settings: WorkerSettings,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._is_stopping = is_stopping
        self._end = 0.0
        #: Of the slice under way, or the last one.
        self.times = StageTimes()
        self._store = PictureStore(
            settings.require_store(), settings.file_roots, settings.max_bytes
        )
        self._threads = PatientThreads(
            settings.decode_threads,
            min(settings.picture_seconds, _PICTURE_SHARE * settings.lease_seconds),
        )

    @property
    def stuck(self) -> int:
        """How many pictures this process could not get rid of; it should end soon."""
        return self._threads.stuck

    def draw_front(self) -> int:
        """Draw until none is owed that an operator would soon get, for SLICE_SECONDS at most.

        Returns how many were claimed. Raises TransientError as `draw`.
        """
        self._begin()
        claimed, end = 0, self._end
        while time.monotonic() < end and not self.stuck:
            if not (more := self._draw(only_front=True)):
                break
            claimed += more
        return claimed

    def draw(self) -> int:
        """Draw a slice of what is owed: a batch at most, none begun after SLICE_SECONDS.

        None is begun either while a fresh upload waits.
        Returns how many were claimed. Raises TransientError where the database is away; what was
        claimed is due again when its lease runs out.
        """
        self._begin()
        return self._draw(only_front=False)

    def _begin(self) -> None:
        self.times = StageTimes()
        self._end = time.monotonic() + SLICE_SECONDS

    def _draw(self, only_front: bool) -> int:
        if self._is_stopping():
            return 0
        own, started = self._settings, time.monotonic()
        with transaction(self._engine) as session:
            size = own.batch_size
            if only_front:  # the others would keep uploads waiting, and nobody sees them soon
                size = min(size, count_front_due(session, FRONT))
            if not size:
                return 0
            claims = claim_previews(session, size, own.lease_seconds, own.max_attempts)
        if not claims:
            return 0
        self._end = max(self._end, time.monotonic() + LEAST_SECONDS)
        outcomes: list[Drawn | Failed[PreviewClaim] | Unbegun[PreviewClaim]] = []
        for first in range(0, len(claims), _AT_ONCE):
            if first and not only_front and self._end and self._is_fresh_due():
                self._end = 0.0  # the rest goes back, and nobody is asked again
            some = claims[first : first + _AT_ONCE]
            outcomes += with_claims(some, self._threads.map(self._draw_one, some))
        self._write(outcomes, started)
        return len(claims)

    def _is_fresh_due(self) -> bool:
        try:
            return is_fresh_due(self._engine)
        except TransientError as error:  # what is drawn by now wants to be written, if it can be
            log.error("previews: %s", error)
            return True

    def _draw_one(
        self, claim: PreviewClaim
    ) -> Drawn | Failed[PreviewClaim] | Unbegun[PreviewClaim]:
        if self._is_stopping() or time.monotonic() > self._end:
            return Unbegun(claim)
        try:
            with self.times.measure(PREVIEW):
                data = self._store.read(claim.uri)
                jpeg = draw_preview(data, self._settings.preview_side, self._settings.limits)
            return Drawn(claim, jpeg)
        except Exception as error:  # one picture's trouble must not touch its neighbours
            return Failed(claim, kept(error))

    def _write(
        self, outcomes: list[Drawn | Failed[PreviewClaim] | Unbegun[PreviewClaim]], started: float
    ) -> None:
        """Write all outcomes in one transaction; only claims that still hold are written."""
        drawn = [one for one in outcomes if isinstance(one, Drawn)]
        failed = [one for one in outcomes if isinstance(one, Failed)]
        unbegun = [one.claim for one in outcomes if isinstance(one, Unbegun)]
        with transaction(self._engine) as session:
            written = write_previews(session, [(one.claim, one.jpeg) for one in drawn])
            if unbegun:
                return_previews(session, unbegun)
            for one in failed:
                code, error = describe(one.error)
                tries = one.claim.tries
                if code is None and tries < self._settings.max_attempts:
                    delay = self._settings.retry_seconds * 2 ** (tries - 1)
                    log.warning("the preview of %s is tried again: %s", one.claim.upload_id, error)
                    put_off_preview(session, one.claim, delay)
                else:
                    reason = f"its preview: {error}"
                    give_up_preview(session, one.claim, code or "attempts_exhausted", reason)
        log.info(
            "previews: %d claimed, %d drawn, %d failed, %d superseded, %d handed back, %.0f ms",
            len(outcomes),
            written,
            len(failed),
            len(drawn) - written,
            len(unbegun),
            1000 * (time.monotonic() - started),
        )


def draw_preview(data: bytes, side: int, limits: Limits) -> bytes:
    """Draw the picture anew for the console: a JPEG whose longer side has at most `side` pixels.

    Drawn anew, so that nothing of the sender's file (metadata, odd bytes) reaches a browser.
    """
    picture = decode(data, min_side=side, limits=limits, longer=True)
    # Shrinks by less than two, where a wider kernel costs much and shows little.
    picture.thumbnail((side, side), Image.Resampling.HAMMING, reducing_gap=1.0)
    picture.info = {}  # Pillow would write a comment or a profile of the sender's
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
