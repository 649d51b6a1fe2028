"""What the pages show: plain words and numbers made from rows."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from db.queries.audit import Entry
from db.queries.reviews import Held, ReviewItem
from review.service import Turn

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"

#: Why an item is here, by the code that routing gave it.
REASONS = {
    "below_threshold": "The model is not sure enough of the article type.",
    "not_fashion": "The model thinks that this is not a fashion item.",
    "reopened": "You reopened the decision on this picture.",
}

#: What the audit trail says, by action.
ACTION_WORDS = {
    "login": "logged in",
    "login_failed": "failed to log in",
    "logout": "logged out",
    "decide": "decided",
    "skip": "skipped",
    "release": "released a claim",
    "reopen": "reopened a decision",
    "operator_added": "account added",
    "operator_password": "password changed",
    "operator_promoted": "made a lead",
    "operator_demoted": "no lead any more",
    "operator_disabled": "account disabled",
    "operator_enabled": "account enabled",
    "operator_removed": "account removed",
    "operator_unlocked": "waits lifted",
}

templates = Jinja2Templates(HERE / "templates")


def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


# The address changes with the file, so browsers may keep what they have.
templates.env.globals["action_words"] = ACTION_WORDS
templates.env.globals["assets"] = {
    path.name: f"/static/{path.name}?v={_digest(path.name)}" for path in sorted(STATIC.iterdir())
}


def render(
    request: Request,
    template: str,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """Return a page made from a template."""
    return templates.TemplateResponse(
        request, template, values, status_code=status, headers=headers
    )


def wants_json(request: Request) -> bool:
    """Tell whether the console's script asks, rather than the browser for a page."""
    return "application/json" in request.headers.get("accept", "")


def describe_turn(turn: Turn, lease_seconds: float) -> dict[str, Any]:
    """Return what page and script need of a turn, as JSON can hold it."""
    item = turn.item
    return {
        "waiting": turn.waiting,
        "item": describe_item(item) if item else None,
        "lease_seconds": lease_seconds,
        "rest": describe_rest(turn.waiting, turn.undrawn),
    }


def describe_rest(waiting: int, undrawn: int = 0) -> str:
    """Say why there is nothing to do for an operator: the queue is empty, undrawn, or others'."""
    if waiting == 0:
        return "No picture is waiting. New ones appear here by themselves."
    if undrawn:
        if undrawn == 1:
            return "1 picture is being made ready and will appear here by itself."
        return f"{undrawn} pictures are being made ready and will appear here by themselves."
    pictures = "picture" if waiting == 1 else f"{waiting} pictures"
    return f"Other operators have the last {pictures}. New ones appear here by themselves."


def describe_item(item: ReviewItem) -> dict[str, Any]:
    """Return an item in words: where it came from, why it is here, what the model suggests."""
    return {
        "id": item.id,
        "picture": f"/items/{item.id}/picture",
        "reason": item.reason,
        "why": REASONS.get(item.reason, item.reason.replace("_", " ").capitalize() + "."),
        "suggested": [
            {"label": str(label), "share": round(float(share), 4), "percent": percent(float(share))}
            for label, share in item.suggested[:5]
        ],
        "source": item.source,
        "external_id": item.external_id or str(item.upload_id),
        "waited": f"waiting for {duration(dt.datetime.now(dt.UTC) - item.created_at)}",
    }


def describe_entry(entry: Entry) -> dict[str, Any]:
    """Return a line of the audit trail in words; who acted without an account is the login."""
    about = entry.subject or ""
    if entry.action == "decide":
        about += f" (model: {entry.detail.get('suggested', '')})"
    elif entry.action == "login_failed":
        about = entry.subject or "a name that nobody has"
    return {
        "at": entry.at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "who": entry.actor or ("" if entry.action == "login_failed" else f"{entry.login} (SQL)"),
        "what": ACTION_WORDS.get(entry.action, entry.action),
        "about": about,
        "item": entry.review_item_id,
        "address": entry.address or "",
        "reopenable": entry.reopenable,
    }


def describe_held(held: Held) -> dict[str, Any]:
    """Return a claim in words."""
    left = held.lease_until - dt.datetime.now(dt.UTC)
    return {
        "id": held.id,
        "operator": held.operator,
        "source": held.source,
        "external_id": held.external_id or str(held.upload_id),
        "left": f"{duration(left)} left" if left > dt.timedelta() else "ran out",
    }


def percent(share: float) -> str:
    """Write a share of 1 as a whole percentage; never 0 % or 100 %, which would claim too much."""
    if share < 0.01:
        return "< 1 %"
    return "> 99 %" if share >= 0.995 else f"{share:.0%}".replace("%", " %")


def duration(span: dt.timedelta) -> str:
    """Write a span of time in its largest unit, rounded down."""
    seconds = max(span.total_seconds(), 0)
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // size)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"
