"""The console's addresses: thin routes over the service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from db.queries.reviews import ReviewConflict
from errors import UsageError
from review.failures import comes_from_elsewhere, enter_again
from review.pages import describe_turn, render, wants_json
from review.service import Turn
from review.sessions import LoggedIn, Service, begin_session, check_csrf, csrf_token

router = APIRouter()

ItemId = Annotated[int, Path(ge=1, lt=2**63)]
NOT_FASHION = "not_fashion"


async def read_fields(request: Request) -> dict[str, str]:
    """Return a request's fields, sent as a form or as JSON; the CSRF token is checked.

    Raises CsrfMismatch, and UsageError where the body cannot be read.
    """
    if request.headers.get("content-type", "").startswith("application/json"):
        fields = _text_fields(await request.body())
    else:
        async with request.form(max_files=0) as form:
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
    check_csrf(request, request.headers.get("x-csrf-token") or fields.get("csrf", ""))
    return fields


def _text_fields(body: bytes) -> dict[str, str]:
    try:
        decoded = json.loads(body)
    except ValueError as error:
        raise UsageError("the request is not JSON") from error
    if not isinstance(decoded, dict):
        raise UsageError("the request is not a JSON object")
    return {name: value for name, value in decoded.items() if isinstance(value, str)}


Fields = Annotated[dict[str, str], Depends(read_fields)]


@dataclass(frozen=True)
class Outcome:
    """How an action ended: what the operator is told, and whether the item was theirs."""

    turn: Turn
    message: str
    conflict: bool = False


@router.get("/login")
def show_login(request: Request) -> Response:
    """Show the form to log in."""
    if comes_from_elsewhere(request):
        return enter_again(request)
    return render(request, "login.html", csrf=csrf_token(request))


@router.post("/login")
def log_in(request: Request, fields: Fields, service: Service) -> Response:
    """Start a session where name and password fit; say no more than that they do not."""
    name = fields.get("name", "").strip()
    operator = service.log_in(name, fields.get("password", ""))
    if operator is None:
        return render(request, "login.html", 401, csrf=csrf_token(request), name=name, failed=True)
    begin_session(request, operator)
    return RedirectResponse("/", 303)


@router.post("/logout")
def log_out(request: Request, fields: Fields) -> Response:
    """End the session."""
    request.session.clear()
    return RedirectResponse("/login", 303)


@router.get("/")
def show_next(request: Request, operator: LoggedIn, service: Service) -> Response:
    """Claim the operator's next item and show it, as a page or as JSON."""
    turn = service.next_turn(operator.name)
    view = describe_turn(turn, service.lease_seconds)
    if wants_json(request):
        return JSONResponse(view)
    return render(
        request,
        "review.html",
        **view,
        operator=operator.name,
        csrf=csrf_token(request),
        article_types=service.list_article_types(),
        notice=request.session.pop("notice", None),
    )


@router.get("/items/{item_id}/picture")
def show_picture(item_id: ItemId, operator: LoggedIn, service: Service) -> Response:
    """Send the preview of an item that the operator holds."""
    jpeg = service.get_picture(item_id, operator.name)
    if jpeg is None:
        return PlainTextResponse("no such picture", 404)
    return Response(
        jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"}
    )


@router.post("/items/{item_id}/decide")
def decide(
    request: Request, item_id: ItemId, operator: LoggedIn, fields: Fields, service: Service
) -> Response:
    """Take an operator's decision, a label or `action=not_fashion`, and go on to the next item."""
    label = None if fields.get("action") == NOT_FASHION else fields.get("label", "").strip()
    if label == "" or (label and "\0" in label):
        raise UsageError("choose an article type")
    try:
        turn = service.decide(item_id, operator.name, label)
        outcome = Outcome(turn, f"{label or 'Not a fashion item'} ✓")
    except ReviewConflict as conflict:
        outcome = Outcome(service.next_turn(operator.name), _sentence(conflict), conflict=True)
    return _answer(request, outcome, service.lease_seconds)


@router.post("/items/{item_id}/skip")
def skip(
    request: Request, item_id: ItemId, operator: LoggedIn, fields: Fields, service: Service
) -> Response:
    """Put an item back for later, and go on to the next one."""
    try:
        turn = service.skip(item_id, operator.name)
        alone = turn.item is not None and turn.item.id == item_id
        outcome = Outcome(turn, "This is the only picture left" if alone else "Skipped")
    except ReviewConflict as conflict:
        outcome = Outcome(service.next_turn(operator.name), _sentence(conflict), conflict=True)
    return _answer(request, outcome, service.lease_seconds)


@router.get("/healthz")
def check_health(service: Service) -> Response:
    """Answer 200 while the database does."""
    service.check_database()
    return PlainTextResponse("ok")


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + "."


def _answer(request: Request, outcome: Outcome, lease_seconds: float) -> Response:
    if not wants_json(request):
        request.session["notice"] = outcome.message
        return RedirectResponse("/", 303)
    view: dict[str, Any] = {
        **describe_turn(outcome.turn, lease_seconds),
        "message": outcome.message,
    }
    if outcome.conflict:
        view["code"] = ReviewConflict.code
    return JSONResponse(view, 409 if outcome.conflict else 200)
