"""Who may ask: the checks that every request passes before its route is called.

Rules:
- Host: only addresses, `localhost` and names of `allowed_hosts`. A page of a foreign name that resolves to us (DNS
  rebinding) sends that name, also with GETs, streams and static files, which carry no Origin.
- Sec-Fetch-Site, then Origin: a browser must say that the request comes from our own pages. Where neither is there it
  is no browser, and the token decides. Only a person who follows a link from elsewhere may come across, and only to a
  page.
- A token comes in `Authorization: Bearer`, or by the cookie of a session. What a cookie brings and changes something
  must also name the CSRF token of the session, in a header or in its form.
- A session is a signed statement which token began it and until when: nothing is stored, it survives a restart, and it
  ends with its token. The cookie does not hold the token. Its name has the port in it, because cookies do not keep
  ports apart.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from time import time
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from crawler.service.bodies import in_time
from crawler.service.problems import RefusedRequest

if TYPE_CHECKING:
    from crawler.service.records import TokenScope
    from crawler.service.service import Service

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OURS = frozenset({"same-origin", "none"})
AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
PORTS = {"http": "80", "https": "443"}
LONGEST_TOKEN = 200
SESSION = 7 * 86_400
"""Seconds after which one has to log in again."""
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
FORM = "application/x-www-form-urlencoded"


class Caller(NamedTuple):
    """Whose request it is: the scope and the SHA-256 of a token. `csrf` is the CSRF token of a session, "" where the
    request brought the token itself."""

    scope: TokenScope
    digest: str
    csrf: str = ""


def authority(text: str) -> tuple[str, str] | None:
    """The name and the port ("": none) of a Host header; None where it is not one."""
    match = AUTHORITY.fullmatch(text.lower())
    return None if match is None else (match[1], match[2] or "")


def is_safe_name(name: str, allowed: Collection[str]) -> bool:
    """Whether a Host of this name can only mean us: an address, localhost, or a name that was configured."""
    if name == "localhost" or name in allowed:
        return True
    try:
        IPv6Address(name[1:-1]) if name.startswith("[") else IPv4Address(name)
    except ValueError:
        return False
    return True


def check_host(request: web.Request, allowed: Collection[str]) -> None:
    """Raises RefusedRequest (403) for a Host that does not name us."""
    hosts = request.headers.getall("Host", [])
    found = authority(hosts[0]) if len(hosts) == 1 else None
    if found is None or not is_safe_name(found[0], allowed):
        raise RefusedRequest(403, "the Host is not one of this service; add it to allowed_hosts in the configuration")


def check_origin(request: web.Request, is_page: bool) -> None:
    """Raises RefusedRequest (403) for a request that a page of another site makes. `is_page`: people may come here by a
    link."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in OURS:
        follows_link = request.method in SAFE and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if not (is_page and follows_link):
            raise RefusedRequest(403, "a page of another site may not ask this service")
    for origin in request.headers.getall("Origin", []):
        if not _is_ours(origin, request.headers["Host"]):
            raise RefusedRequest(403, "a page of another origin may not ask this service")


def _is_ours(origin: str, host: str) -> bool:
    scheme, _, rest = origin.lower().partition("://")
    theirs, ours = authority(rest), authority(host)
    if theirs is None or ours is None or scheme not in PORTS:
        return False
    return (theirs[0], theirs[1] or PORTS[scheme]) == (ours[0], ours[1] or PORTS[scheme])


def digest_of(secret: str) -> str:
    """The SHA-256 of a token, in hex."""
    return sha256(secret.encode()).hexdigest()


class Sessions:
    """Signs and reads the cookies of sessions, with a key that only this service has."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, digest: str, until: int) -> str:
        """The cookie of a session."""
        return f"{until}.{digest}.{self._mac(f'session {until} {digest}')}"

    def read(self, cookie: str, now: float) -> str | None:
        """The digest of the token that began a session; None where it is over or not signed by us."""
        until, _, rest = cookie.partition(".")
        digest, _, mac = rest.partition(".")
        if not until.isascii() or not until.isdigit() or len(until) > 15 or not mac.isascii():
            return None
        signed = hmac.compare_digest(self._mac(f"session {until} {digest}"), mac)
        return digest if signed and now < int(until) else None

    def csrf(self, cookie: str) -> str:
        """The CSRF token of a session."""
        return self._mac(f"csrf {cookie}")

    def _mac(self, text: str) -> str:
        return hmac.digest(self._key, text.encode("utf-8", "surrogateescape"), "sha256").hex()


async def identify(request: web.Request, service: Service, sessions: Sessions) -> Caller | None:
    """Whose request it is; None without a valid token."""
    header = request.headers.get("Authorization")
    if header is not None:
        kind, _, secret = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        return await _with_token(secret.strip(), service)
    cookie = request.cookies.get(cookie_name(request), "")
    digest = sessions.read(cookie, time()) if cookie else None
    if digest is None:
        return None
    scope = await service.check_digest(digest)
    return None if scope is None else Caller(scope, digest, sessions.csrf(cookie))


async def _with_token(secret: str, service: Service) -> Caller | None:
    if not secret.isascii() or len(secret) > LONGEST_TOKEN:
        return None
    scope = await service.check_token(secret)
    return None if scope is None else Caller(scope, digest_of(secret))


async def check_csrf(request: web.Request, caller: Caller) -> None:
    """Raises RefusedRequest (403) where a session changes something without its CSRF token."""
    if request.method in SAFE or not caller.csrf:
        return
    told = request.headers.get(CSRF_HEADER, "")
    if not told and request.content_type == FORM:
        told = await _field(request, CSRF_FIELD)
    if not told.isascii() or not hmac.compare_digest(told, caller.csrf):
        raise RefusedRequest(403, "the CSRF token is missing or old; load the page again")


async def _field(request: web.Request, name: str) -> str:
    try:
        value = (await in_time(request.post())).get(name, "")
    except (ValueError, LookupError):  # an encoding that it does not have, or that there is not
        raise RefusedRequest(400, "the form cannot be read") from None
    return value if isinstance(value, str) else ""


def cookie_name(request: web.Request) -> str:
    """The name of our cookie."""
    found = authority(request.headers.get("Host", ""))
    return f"crawler-session-{found[1] or '0'}" if found else "crawler-session"


async def log_in(
    request: web.Request, response: web.StreamResponse, secret: str, service: Service, sessions: Sessions
) -> bool:
    """Begin a session on this response; False where the token is not valid."""
    caller = await _with_token(secret.strip(), service)
    if caller is None:
        return False
    forwarded = request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    response.set_cookie(
        cookie_name(request),
        sessions.sign(caller.digest, int(time()) + SESSION),
        max_age=SESSION,
        httponly=True,
        samesite="Strict",
        secure=request.secure or forwarded,
        path="/",
    )
    return True


def log_out(request: web.Request, response: web.StreamResponse) -> None:
    """Take the cookie of the session away."""
    response.del_cookie(cookie_name(request), path="/", httponly=True, samesite="Strict")


OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")


def is_own_path(path: str) -> bool:
    """Whether a path to go on to after a login is one of this service: no other host ("//host"), no backslash and no
    control character, which browsers read as a slash or skip."""
    return OWN_PATH.fullmatch(path) is not None
