"""The console's addresses: thin routes over the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from db.queries.logins import TooManyAttempts
from db.queries.reviews import ReviewConflict
from errors import UsageError
from review.failures import comes_from_elsewhere, enter_again
from review.fields import Fields, ItemId
from review.logins import Devices, in_words
from review.pages import describe_turn, render, wants_json
from review.service import Turn
from review.sessions import LoggedIn, Service, begin_session, csrf_token, end_session

router = APIRouter()

NOT_FASHION = "not_fashion"
MOST_NAME_LENGTH = 200


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
    """Start a session where name and password fit; say no more than that they do not.

    After too many attempts the answer is the same for a name that nobody has.
    """
    name = fields.get("name", "").strip()[:MOST_NAME_LENGTH]
    devices: Devices = request.app.state.devices
    try:
        found = service.log_in(name, fields.get("password", ""), devices.visitor(request, name))
    except TooManyAttempts as error:
        return _refuse_log_in(
            request,
            429,
            name,
            f"Too many attempts. Try again in {in_words(error.wait_seconds)}.",
            {"Retry-After": f"{error.wait_seconds:.0f}"},
        )
    if found is None:
        return _refuse_log_in(
            request, 401, name, "Name and password do not fit together. Please try again."
        )
    end_session(request, service)  # of whoever was logged in here
    begin_session(request, found)
    response = RedirectResponse("/", 303)
    devices.remember(request, response, found.operator.name)
    return response


def _refuse_log_in(
    request: Request, status: int, name: str, fault: str, headers: dict[str, str] | None = None
) -> Response:
    csrf = csrf_token(request)
    return render(request, "login.html", status, headers, csrf=csrf, name=name, fault=fault)


@router.post("/logout")
def log_out(request: Request, fields: Fields, service: Service) -> Response:
    """End the session, here and in the database."""
    end_session(request, service)
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
        leads=operator.leads,
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
