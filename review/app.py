"""The console as an ASGI application."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import Scope

from db.session import make_engine
from review.failures import add_error_pages
from review.lead_routes import router as lead_router
from review.logins import Devices
from review.pages import STATIC
from review.routes import router
from review.security import BodyLimit, SecurityHeaders
from review.service import ReviewService
from review.settings import ReviewSettings

#: Connections to the database; an action holds one for a few milliseconds.
POOL_SIZE = 4
#: An action that takes longer is broken off; the operator sees that it was not saved.
LIMITS = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
}


class Assets(StaticFiles):
    """Static files, kept by browsers: their addresses change with their contents."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Send a file, to be kept for a year."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def create_app(settings: ReviewSettings) -> FastAPI:
    """Return the console. Raises UsageError where settings are missing; connects when asked."""
    secret = settings.require_secret()
    engine = make_engine(settings.require_url(), pool_size=POOL_SIZE, limits=LIMITS)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        engine.dispose()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = ReviewService(
        engine, settings.console_lease_seconds, settings.session_hours
    )
    app.state.devices = Devices(secret, settings.console_secure_cookie)
    app.state.stamp_key = hashlib.sha256(b"password stamp" + secret.encode()).digest()
    app.include_router(router)
    app.include_router(lead_router)
    app.mount("/static", Assets(directory=STATIC), name="static")
    _add_middleware(app, settings, secret)
    add_error_pages(app)
    return app


def _add_middleware(app: FastAPI, settings: ReviewSettings, secret: str) -> None:
    """Wrap the application; what is added last stands outermost."""
    app.add_middleware(
        SessionMiddleware,
        secret_key=secret,
        # The prefix keeps other hosts of the domain from setting it; it takes HTTPS.
        session_cookie=f"{'__Host-' if settings.console_secure_cookie else ''}hangtag_session",
        max_age=int(settings.session_hours * 3600),
        same_site="strict",
        https_only=settings.console_secure_cookie,
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
