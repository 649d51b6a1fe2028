"""What a request brings along: the fields of a form or of JSON, and its CSRF token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Path, Request

from errors import UsageError
from review.sessions import check_csrf

ItemId = Annotated[int, Path(ge=1, lt=2**63)]


async def read_fields(request: Request) -> dict[str, str]:
    """Return a request's fields, sent as a form or as JSON; the CSRF token is checked.

    Raises CsrfMismatch, and UsageError where the body cannot be read.
    """
    if request.headers.get("content-type", "").startswith("application/json"):
        fields = _text_fields(await request.body())
    else:
        async with request.form(max_files=0) as form:
            fields = _texts(form)
    check_csrf(request, request.headers.get("x-csrf-token") or fields.get("csrf", ""))
    return fields


def _text_fields(body: bytes) -> dict[str, str]:
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError) as error:  # not JSON, or a thousand lists in each other
        raise UsageError("the request is not JSON") from error
    if not isinstance(decoded, dict):
        raise UsageError("the request is not a JSON object")
    return _texts(decoded)


def _texts(fields: Mapping[str, object]) -> dict[str, str]:
    """Return what is text; what neither UTF-8 nor PostgreSQL can hold becomes a question mark."""
    return {
        name: value.encode("utf-8", "replace").decode().replace("\0", "?")
        for name, value in fields.items()
        if isinstance(value, str)
    }


Fields = Annotated[dict[str, str], Depends(read_fields)]
