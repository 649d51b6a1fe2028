"""Requests that nobody's browser would send, as Hypothesis draws them."""

from __future__ import annotations

import json
import re
import urllib.parse
from dataclasses import dataclass

from fastapi.routing import APIRoute
from hypothesis import strategies as st

from review.lead_routes import router as lead_router
from review.routes import router
from tests.integration.rows import PASSWORD

METHODS = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
ROUTES = tuple(
    sorted({one.path for one in [*router.routes, *lead_router.routes] if isinstance(one, APIRoute)})
)
WHO = {None: "logged out", "ada": "operator", "lea": "lead"}


@dataclass(frozen=True)
class Sent:
    """One request, ready to be sent."""

    who: str | None
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    has_token: bool


ITEMS = st.sampled_from(
    ["1", "2", "3", "4", "5", "6", "0", "-1", "9" * 30, str(2**63), str(2**63 - 1), "1.5", "x",
     "%00", "..", "%2e%2e%2f", "１", "1%0d%0aX: y", "a" * 3000, " 1", "+1", "1_0", "0x1", "NaN"]
)  # fmt: skip
AWKWARD = st.sampled_from(
    ["", "\0", "a\0b", "\ud800", "\udfff x", "%00", "'; DROP TABLE x; --", "<script>", "{{7*7}}",
     "../../etc/passwd", "Tops", "Tshirts", "ada", "lea", PASSWORD, "not_fashion", "x" * 9000,
     "\u202e", "𝕋", "null", "true", "\r\n", "1e999", "\\u0000", "é"]
)  # fmt: skip
TEXT = st.one_of(AWKWARD, st.text(max_size=40))
NAMES = st.one_of(
    st.sampled_from(["label", "action", "name", "password", "csrf", "holder", "who", "what"]),
    TEXT,
)
CONTENT_TYPES = st.sampled_from(
    ["application/x-www-form-urlencoded", "application/json", "application/json; charset=utf-16",
     "multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary=",
     "application/x-www-form-urlencoded; charset=utf-7", "text/plain", "", "application/jsonx",
     "image/jpeg", "application/x-www-form-urlencoded; charset=nonsense", "\xff"]
)  # fmt: skip
FIELDS = st.dictionaries(NAMES, TEXT, max_size=5)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Accept", "X-CSRF-Token", "Sec-Fetch-Site", "X-Forwarded-For", "X-HTTP-Method-Override",
         "Range", "If-None-Match", "Host", "Origin", "Expect", "Accept-Encoding", "Upgrade"]
    ),
    st.one_of(
        st.sampled_from(["application/json", "text/html", "*/*", "cross-site", "none", "1.2.3.4",
                         "DELETE", "bytes=0-", "bytes=9-1", "*", "evil.example", "websocket",
                         "gzip", "x" * 3000, ""]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
    ),
    max_size=3,
)  # fmt: skip


def quoted(fields: dict[str, str]) -> bytes:
    return urllib.parse.urlencode(
        {
            name.encode("utf-8", "surrogatepass"): value.encode("utf-8", "surrogatepass")
            for name, value in fields.items()
        }
    ).encode()


def multipart(fields: dict[str, str]) -> bytes:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="'
        + name.encode("utf-8", "surrogatepass")
        + b'"; filename="x"' * (len(value) % 3 == 0)
        + b"\r\n\r\n"
        + value.encode("utf-8", "surrogatepass")
        + b"\r\n"
        for name, value in fields.items()
    ]
    return b"".join(parts) + b"--b--\r\n"


FORM, JSON_TYPE = "application/x-www-form-urlencoded", "application/json"
#: Bodies with the content type that fits them.
FORMS = st.one_of(
    FIELDS.map(quoted),
    FIELDS.map(lambda fields: quoted(fields) + b"&csrf=CSRF"),
    st.builds(lambda name, value: quoted({name: value}), NAMES, AWKWARD),
    st.sampled_from([b"a=1&" * 2000, b"=" * 300, b"%", b"label=%ff%fe", b"label=%ED%A0%80"]),
)
JSONS = st.one_of(
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.builds(lambda name, value: json.dumps({name: value}).encode(), NAMES, AWKWARD),
    FIELDS.map(lambda fields: json.dumps(fields).encode()),
    st.sampled_from([b"[" * 16_000, b'{"a":' * 3000, b"9" * 16_000, b"\xff\xfe{\x00", b"{",
                     b'{"csrf": "\\ud800"}', b'{"label": "\\ud800"}',
                     b'{"name": "\\ud800", "password": "\\udfff"}']),
)  # fmt: skip
BODIES = st.one_of(
    st.tuples(st.just(FORM), FORMS),
    st.tuples(st.just(JSON_TYPE), JSONS),
    st.tuples(st.just("multipart/form-data; boundary=b"), FIELDS.map(multipart)),
    st.tuples(CONTENT_TYPES, st.one_of(FORMS, JSONS, st.binary(max_size=200))),
    st.tuples(CONTENT_TYPES, st.sampled_from([b"", b"x" * 20_000, b"--b\r\n\r\n"])),
)


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """One bad request; many look nearly right."""
    route = draw(st.sampled_from([*ROUTES, *ROUTES, "/static/{path}", "/{path}"]))
    target = route.replace("{item_id}", draw(ITEMS) if "{item_id}" in route else "")
    if "{path}" in route:
        target = route.replace("{path}", urllib.parse.quote(draw(TEXT).encode("utf-8", "replace")))
    if draw(st.integers(0, 3)) == 0:
        query = {**draw(FIELDS), "before": draw(ITEMS)}
        target += "?" + quoted(query).decode()
    target = re.sub(r"[\x00-\x20\x7f]", "", target).encode("utf-8").decode("latin-1")
    target = "".join(c if ord(c) < 127 else f"%{ord(c):02X}" for c in target)
    method = draw(st.sampled_from([*METHODS, *["POST"] * 8, "GET", "GET"]))
    headers = {
        name: value.translate(dict.fromkeys(range(32))) for name, value in draw(HEADERS).items()
    }
    kind, body = draw(BODIES) if method not in ("GET", "HEAD", "TRACE") else ("", b"")
    if kind:
        headers["Content-Type"] = kind
    if draw(st.integers(0, 30)) == 0:
        headers["Content-Length"] = draw(st.sampled_from(["0", "99999999", "9" * 25]))
    if draw(st.integers(0, 15)) == 0:
        headers["Cookie"] = draw(
            st.sampled_from(["hangtag_session=null", "hangtag_session=e30=.x.y", "a=b; ; =",
                             "hangtag_device=W10.x.y", "hangtag_session=\xff", "=" * 500])
        )  # fmt: skip
    has_token = draw(st.booleans()) and "Cookie" not in headers
    if not has_token and "X-CSRF-Token" in headers:
        headers["X-CSRF-Token"] = f"not {headers['X-CSRF-Token']}"
    who = draw(st.sampled_from(list(WHO)))
    return Sent(who, method, target, tuple(headers.items()), body, has_token)


POSTS = {
    "/login": ("name", "password", "csrf"),
    "/logout": ("csrf",),
    "/items/{item_id}/decide": ("label", "action", "csrf"),
    "/items/{item_id}/skip": ("csrf",),
    "/items/{item_id}/release": ("holder", "csrf"),
    "/items/{item_id}/reopen": ("csrf",),
}


@st.composite
def nearly_right(draw: st.DrawFn) -> Sent:
    """A request that the page itself could have sent, but for one field."""
    route = draw(st.sampled_from(sorted(POSTS)))
    fields = {draw(st.sampled_from(POSTS[route])): draw(TEXT), "name": draw(TEXT)}
    form = draw(st.booleans())
    headers = {"Content-Type": FORM if form else JSON_TYPE}
    if draw(st.booleans()):
        headers["Accept"] = JSON_TYPE
    return Sent(
        draw(st.sampled_from(list(WHO))),
        "POST",
        route.replace("{item_id}", str(draw(st.integers(1, 7)))),
        tuple(headers.items()),
        quoted(fields) if form else json.dumps(fields).encode(),
        "csrf" not in fields,
    )
