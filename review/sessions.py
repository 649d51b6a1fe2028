"""Who is asking: the signed session cookie, its CSRF token, the operator behind it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated

from fastapi import Depends, Request

from db.queries.operators import Operator
from errors import HangtagError
from review.service import LogIn, ReviewService


class LoginRequired(HangtagError):
    """There is no session, it ran out, or its operator may no longer work."""

    code = "login_required"


class LeadsOnly(HangtagError):
    """An operator asked for what only a lead may."""

    code = "leads_only"


class CsrfMismatch(HangtagError):
    """A form or request that this session did not hand out."""

    code = "csrf_mismatch"


def get_service(request: Request) -> ReviewService:
    """Return the application's service."""
    service: ReviewService = request.app.state.service
    return service


Service = Annotated[ReviewService, Depends(get_service)]


def begin_session(request: Request, found: LogIn) -> None:
    """Start an operator's session; nothing of an earlier one is kept."""
    request.session.clear()
    request.session["token"] = found.token
    request.session["stamp"] = password_stamp(request, found.operator)
    request.session["csrf"] = secrets.token_urlsafe(24)


def end_session(request: Request, service: Service) -> None:
    """End the session: its cookie goes, and copies of it are worth nothing."""
    token = request.session.get("token")
    if token:
        service.log_out(token)
    request.session.clear()


def csrf_token(request: Request) -> str:
    """Return the session's CSRF token, making one where there is none yet."""
    if "csrf" not in request.session:
        request.session["csrf"] = secrets.token_urlsafe(24)
    token: str = request.session["csrf"]
    return token


def password_stamp(request: Request, operator: Operator) -> str:
    """Digest of the operator's password hash: a new password ends the sessions of the old one."""
    key: bytes = request.app.state.stamp_key
    return hmac.new(key, operator.password_hash.encode(), hashlib.sha256).hexdigest()[:24]


def require_operator(request: Request, service: Service) -> Operator:
    """Return the operator who is logged in. Raises LoginRequired.

    Asks the database each time, so that an account that was closed is closed at once.
    """
    token = request.session.get("token")
    operator = service.get_operator(token) if token else None
    stamp = str(request.session.get("stamp", ""))
    if operator is None or not secrets.compare_digest(password_stamp(request, operator), stamp):
        raise LoginRequired("please log in")
    return operator


LoggedIn = Annotated[Operator, Depends(require_operator)]


def require_lead(operator: LoggedIn) -> Operator:
    """Return the lead who is logged in. Raises LoginRequired, and LeadsOnly for others."""
    if not operator.leads:
        raise LeadsOnly("only a lead may do that")
    return operator


Lead = Annotated[Operator, Depends(require_lead)]


def check_csrf(request: Request, token: str) -> None:
    """Raise CsrfMismatch unless `token` is the one this session was given."""
    expected = str(request.session.get("csrf", ""))
    if not expected or not secrets.compare_digest(expected.encode(), token.encode()):
        raise CsrfMismatch("this page is out of date; go back, load it again and repeat")
