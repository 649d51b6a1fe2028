"""The addresses that leads alone have: audit trail, claims, reopening."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from db.queries.audit import ACTIONS
from db.queries.reviews import ReviewConflict
from errors import UsageError
from review.fields import Fields, ItemId
from review.leadership import Leadership
from review.pages import describe_entry, describe_held, render
from review.sessions import Lead, csrf_token

router = APIRouter()


def get_leadership(request: Request) -> Leadership:
    """Return what leads can do, on the console's database."""
    service = request.app.state.service
    return Leadership(service.engine, service.lease_seconds)


Leads = Annotated[Leadership, Depends(get_leadership)]
Before = Annotated[int | None, Query(ge=1, lt=2**63)]


@router.get("/audit")
def show_audit(
    request: Request,
    lead: Lead,
    leads: Leads,
    before: Before = None,
    who: str = "",
    what: str = "",
) -> Response:
    """Show the audit trail, the newest first, a page at a time."""
    names = leads.list_names()
    # What is none of the choices finds nothing; it need not reach the database.
    unknown = (who and who not in names) or (what and what not in ACTIONS)
    entries, more = (
        ([], False) if unknown else leads.list_entries(before, who or None, what or None)
    )
    return render(
        request,
        "audit.html",
        operator=lead.name,
        csrf=csrf_token(request),
        entries=[describe_entry(entry) for entry in entries],
        names=names,
        actions=ACTIONS,
        who=who if who in names else "",
        what=what if what in ACTIONS else "",
        older=entries[-1].id if more else None,
        first=before is None,
        notice=request.session.pop("notice", None),
    )


@router.get("/claims")
def show_claims(request: Request, lead: Lead, leads: Leads) -> Response:
    """Show which pictures operators hold."""
    return render(
        request,
        "claims.html",
        operator=lead.name,
        csrf=csrf_token(request),
        held=[describe_held(one) for one in leads.list_held()],
        notice=request.session.pop("notice", None),
    )


@router.post("/items/{item_id}/release")
def release(
    request: Request, item_id: ItemId, lead: Lead, fields: Fields, leads: Leads
) -> Response:
    """Take a picture from the operator who holds it, so that others may have it."""
    try:
        leads.release(item_id, fields.get("holder", ""), lead.name)
        request.session["notice"] = "Released."
    except ReviewConflict:
        request.session["notice"] = "Nothing to release: that picture is not held so any more."
    return RedirectResponse("/claims", 303)


@router.post("/items/{item_id}/reopen")
def reopen(request: Request, item_id: ItemId, lead: Lead, fields: Fields, leads: Leads) -> Response:
    """Put a decided picture before the lead once more."""
    try:
        leads.reopen(item_id, lead.name)
    except UsageError as error:
        request.session["notice"] = f"Not reopened: {error}."
        return RedirectResponse("/audit", 303)
    request.session["notice"] = "Reopened; decide once more"
    return RedirectResponse("/", 303)
