"""What an operator sees when something went wrong: a page, or JSON for the console's script."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from errors import HangtagError, TransientError, UsageError
from review.pages import render, wants_json
from review.security import HEADERS
from review.sessions import CsrfMismatch, LeadsOnly, LoginRequired

log = logging.getLogger(__name__)

RETRY_SECONDS = "5"


def add_error_pages(app: FastAPI) -> None:
    """Give each kind of error its page."""
    app.add_exception_handler(LoginRequired, ask_to_log_in)
    app.add_exception_handler(CsrfMismatch, refuse_form)
    app.add_exception_handler(LeadsOnly, refuse_operator)
    app.add_exception_handler(UsageError, refuse_request)
    app.add_exception_handler(TransientError, database_away)
    app.add_exception_handler(RequestValidationError, not_found)
    app.add_exception_handler(HTTPException, not_found)
    app.add_exception_handler(Exception, failed)


def comes_from_elsewhere(request: Request) -> bool:
    """Tell whether a link on another site led here; its request carries no strict cookie."""
    return request.headers.get("sec-fetch-site") == "cross-site"


def enter_again(request: Request) -> Response:
    """Send a page that goes to the console by itself, this time with the session's cookie."""
    return render(request, "enter.html")


def ask_to_log_in(request: Request, error: Exception) -> Response:
    """Lead a page to the log-in form; tell the script and the picture that it takes one."""
    if wants_json(request) or request.url.path.endswith("/picture"):
        return _json(401, error)
    if comes_from_elsewhere(request):
        return enter_again(request)
    return RedirectResponse("/login", 303)


def refuse_form(request: Request, error: Exception) -> Response:
    """Answer a form that this session did not hand out."""
    return _answer(request, 403, "This page is out of date", error)


def refuse_operator(request: Request, error: Exception) -> Response:
    """Answer an operator who asks for what leads alone may."""
    return _answer(request, 403, "For leads", error)


def refuse_request(request: Request, error: Exception) -> Response:
    """Answer a request that cannot be carried out as it is written."""
    return _answer(request, 422, "That did not work", error)


def database_away(request: Request, error: Exception) -> Response:
    """Answer while the database does not; the page tries again by itself."""
    log.warning("%s", error)
    known = TransientError("the database does not answer; retrying…")
    return _answer(request, 503, "One moment", known)


def not_found(request: Request, error: Exception) -> Response:
    """Answer for an address that is none of ours, or not for this method."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = HangtagError("there is nothing at this address", "not_found")
    return _answer(request, status, "Not found", message)


def failed(request: Request, error: Exception) -> Response:
    """Answer after a fault of our own; the server logs it."""
    message = HangtagError("the console made a mistake; its log says more", "internal")
    answer = _answer(request, 500, "That did not work", message)
    answer.headers.update(HEADERS)  # this handler stands outside the middleware
    return answer


def _answer(request: Request, status: int, title: str, error: Exception) -> Response:
    if wants_json(request):
        return _json(status, error)
    text = str(error)
    retry = RETRY_SECONDS if status == 503 else None
    headers = {"Retry-After": retry} if retry else None
    message = text[:1].upper() + text[1:]
    return render(request, "error.html", status, headers, title=title, message=message, retry=retry)


def _json(status: int, error: Exception) -> Response:
    code = error.code if isinstance(error, HangtagError) else HangtagError.code
    return JSONResponse({"code": code, "message": str(error)}, status)
