"""Secrets: headers and logins that are sent to one origin only.

Rules:
- A secret is bound to an origin (scheme, name, port) when the settings are made, and goes only with requests for a URL
  of exactly that origin, in every mode and with every client: `PageProcessor.request` is the one place that adds it.
  It is not restored where redirects left the origin and came back (`Fetch.without_credentials`).
- The robots.txt of that origin is fetched with the same secrets as its pages: the rules for an authenticated client may
  differ, and those apply.
- The login of a proxy goes to that proxy only, and never to a site (crawler/fetch/proxies.py).
- Nothing is read from a .netrc or the environment unless it is named: `env:NAME`, `file:PATH`, `netrc = PATH`.
- Values never reach a disk, a log, a report, an error or a command line. The manifest keeps the names of the origins,
  so that a resume without them is refused instead of settling pages as forbidden.
- Headers that frame a message, belong to a connection or a proxy, or are decided elsewhere cannot be set.

Known leaks of this kind: CVE-2018-18074, CVE-2023-32681 (requests), CVE-2018-20060, CVE-2023-43804 (urllib3),
CVE-2021-41125 (Scrapy, robots.txt too), CVE-2024-47081 (netrc), CVE-2026-34518 (aiohttp).
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from crawler.core.urls.canonical import canonical, host_of
from crawler.errors import UsageError
from crawler.fetch.base import Headers
from crawler.fetch.http1.request import invalid_header
from crawler.fetch.proxies import parse_proxy

TOKEN = re.compile(r"[\x21-\x7e]+")
NEVER = {
    **dict.fromkeys(("host", "content-length", "transfer-encoding", "trailer", "expect"), "it frames the message"),
    **dict.fromkeys(("connection", "keep-alive", "te", "upgrade"), "it belongs to the connection"),
    "accept-encoding": "what can be decoded is known",
    "range": "pages are asked for whole",
    "user-agent": "that is the key user_agent",
}
MOST_LOGIN_BYTES = 255  # RFC 1929
Named = Mapping[str, Mapping[str, str]]


class Login(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to log in at an origin: `user` and `password` (Basic, RFC 7617), a `token` (Bearer, RFC 6750), or the name of
    a `netrc` file that has user and password."""

    user: str = ""
    password: str = ""
    token: str = ""
    netrc: str = ""

    def __repr__(self) -> str:
        return "Login(...)"


def resolve_references(
    headers: Named, logins: Mapping[str, Login]
) -> tuple[dict[str, dict[str, str]], dict[str, Login]]:
    """The same with canonical origins, and with the values of `env:NAME`, `file:PATH` and `netrc`. Raises UsageError,
    whose message never has a value."""
    told_headers = {
        _origin(origin): {name: _value(text, f"{name} of {origin}") for name, text in named.items()}
        for origin, named in headers.items()
    }
    told_logins = {_origin(origin): _login(login, _origin(origin)) for origin, login in logins.items()}
    return told_headers, told_logins


def resolve_proxy_logins(logins: Mapping[str, Login]) -> dict[str, Login]:
    """The logins of proxies by `Proxy.url`, with the values of `env:NAME`, `file:PATH` and `netrc`. Raises UsageError,
    whose message never has a value."""
    resolved = {}
    for url, login in logins.items():
        proxy = parse_proxy(url, {})
        if proxy is None:
            raise UsageError(f"proxy_credentials belong to the URL of a proxy, not to {url!r}")
        found = _login(login, proxy.url)
        if found.token or not found.user:
            raise UsageError(f"proxy_credentials of {proxy.url}: give user and password, or netrc")
        if max(len(found.user.encode()), len(found.password.encode())) > MOST_LOGIN_BYTES:
            raise UsageError(f"proxy_credentials of {proxy.url}: user and password have at most 255 bytes each")
        resolved[proxy.url] = found
    return resolved


def headers_by_origin(headers: Named, logins: Mapping[str, Login]) -> dict[str, Headers]:
    """The headers of each request to an origin, from the result of `resolve_references`. Raises UsageError."""
    bound: dict[str, Headers] = {}
    for origin in {**headers, **logins}:
        pairs = [*headers.get(origin, {}).items(), *_authorization(logins.get(origin, Login()))]
        seen = set()
        for name, _ in pairs:
            lower = name.lower()
            why = "it is for proxies, never for a site" if lower.startswith("proxy-") else NEVER.get(lower)
            if why:
                raise UsageError(f"headers: {name!a} cannot be set for {origin}: {why}")
            if lower in seen:
                raise UsageError(f"headers: {name!a} is set twice for {origin}")
            seen.add(lower)
        if bad := invalid_header(tuple(pairs)):
            raise UsageError(
                f"headers: {bad!a} of {origin} cannot be sent: it needs a plain name and a value of printable ASCII"
            )
        if pairs:
            bound[origin] = tuple(pairs)
    return bound


def with_cookie(headers: Headers, cookie: str) -> Headers:
    """The headers with the cookies of the crawl appended to a configured Cookie header."""
    given = [value for name, value in headers if name.lower() == "cookie"]
    others = tuple(pair for pair in headers if pair[0].lower() != "cookie")
    return (*others, ("Cookie", "; ".join([*given, cookie])))


def is_reference(text: str) -> bool:
    """Whether a configured value names where a secret is: `env:NAME` or `file:PATH`."""
    kind, _, name = text.partition(":")
    return kind in ("env", "file") and bool(name)


def resolve_reference(text: str, what: str) -> str:
    """The secret that a reference names, "" for none; `what` tells in an error what it is. Raises UsageError."""
    return _value(text, what) if text else ""


def _origin(said: str) -> str:
    """The canonical origin of a configured one. Raises UsageError."""
    url = canonical(said)
    if url is None or "@" in said or "#" in said or url != f"{host_of(url)}/":
        shown = "a URL with a user or a path" if "@" in said else repr(said)
        raise UsageError(f'headers and credentials belong to an origin like "https://example.org", not to {shown}')
    return host_of(url)


def _value(text: str, what: str) -> str:
    """A configured value, or what its `env:NAME` or `file:PATH` refers to. Raises UsageError."""
    kind, _, name = text.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise UsageError(f"environment variable {name}, which is to hold {what}, is not set")
        return os.environ[name]
    if kind == "file":
        return _read(name, what).rstrip("\r\n")
    return text


def _read(path: str, what: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}, which is to hold {what}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}, which is to hold {what}, is no text in UTF-8") from None


def _login(login: Login, origin: str) -> Login:
    named = [key for key in ("user", "token", "netrc") if getattr(login, key)]
    if len(named) > 1 or (login.password and named != ["user"]):
        raise UsageError(f"credentials of {origin}: give user and password, or token, or netrc")
    if login.netrc:
        return _from_netrc(login.netrc, origin)
    login = replace(login, **{key: _value(getattr(login, key), f"{key} of {origin}") for key in named})
    login = replace(login, password=_value(login.password, f"password of {origin}"))
    if ":" in login.user:
        raise UsageError(f"credentials of {origin}: a user name cannot hold a colon")
    if login.token and not TOKEN.fullmatch(login.token):
        raise UsageError(f"credentials of {origin}: the token must be printable ASCII without spaces")
    return login


def _from_netrc(path: str, origin: str) -> Login:
    from netrc import NetrcParseError, netrc

    what = f"the login of {origin}"
    _read(path, what)
    name = origin.partition("://")[2]
    name = name if name.endswith("]") else re.sub(r":[0-9]+$", "", name)
    try:
        found = netrc(path).authenticators(name)
    except NetrcParseError as error:
        raise UsageError(f"{path}, which is to hold {what}, cannot be read in line {error.lineno}") from None
    if found is None:
        raise UsageError(f"{path} has no login for {name}")
    return Login(user=found[0], password=found[2] or "")


def _authorization(login: Login) -> list[tuple[str, str]]:
    if login.token:
        return [("Authorization", f"Bearer {login.token}")]
    if login.user or login.password:
        pair = f"{login.user}:{login.password}".encode()
        return [("Authorization", f"Basic {b64encode(pair).decode()}")]
    return []
