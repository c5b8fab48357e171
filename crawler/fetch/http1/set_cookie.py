"""Parses Set-Cookie headers (RFC 6265, section 5.2 and 5.3) into values for the cookie jar of the Crawl.

Rules:
- A cookie is only for the host that set it, unless it names a domain that this host belongs to and that is not a public
  suffix. A cookie with any other domain is ignored.
- `Secure` counts where the scheme is https; under http such a cookie is ignored, as are names that begin with __Secure-
  or __Host- without the required attributes (RFC 6265bis 4.1.3). HttpOnly and SameSite have no effect in a crawler.
- Names and values that could not be sent back (no printable ASCII, over 4 KiB) are ignored, unknown attributes too.
- Max-Age goes before Expires, and nothing lasts longer than 400 days (RFC 6265bis 5.5). A date becomes seconds here:
  the Crawl has no wall clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from crawler.core.messages import SetCookie
from crawler.core.urls.canonical import canonical, host_of, path_of
from crawler.core.urls.domains import is_public_suffix

LONGEST = 4_096  # name and value together, in octets
LONGEST_ATTRIBUTE = 1_024
LONGEST_LIFE = 400 * 86_400.0
MOST = 200
"""The most cookies of one response that are parsed: more than one origin can hold."""
SENDABLE = re.compile(r"[\t\x20-\x7e]*")
DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9].*)?")
DAY = re.compile(r"([0-9]{1,2})(?:[^0-9].*)?")
YEAR = re.compile(r"([0-9]{2,4})(?:[^0-9].*)?")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def read_all(values: Iterable[str], url: str, now: float) -> tuple[SetCookie, ...]:
    """The cookies that the response to a canonical URL sets; `now` is Unix time."""
    found = (read(value, url, now) for value, _ in zip(values, range(MOST), strict=False))
    return tuple(one for one in found if one is not None)


def read(value: str, url: str, now: float) -> SetCookie | None:
    """The cookie of one Set-Cookie header; None where it is ignored."""
    if not SENDABLE.fullmatch(value):
        return None
    pair, *rest = value.split(";")
    before, equals, after = pair.partition("=")
    name, content = (before.strip(), after.strip()) if equals else ("", before.strip())
    if not (name or content) or len(name) + len(content) > LONGEST:
        return None
    attributes = _attributes(rest)
    host = host_of(url)
    secure = host.startswith("https:")
    if ("secure" in attributes and not secure) or not _keeps_promise(name, attributes, secure):
        return None
    home = _home(attributes.get("domain", ""), host)
    if home is None:
        return None
    path = attributes.get("path", "")
    if not path.startswith("/"):
        path = path_of(url).rpartition("/")[0] or "/"
    return SetCookie(home, path, name, content, _lasts(attributes, now))


def _attributes(parts: list[str]) -> dict[str, str]:
    """The attributes by name in lower case; the last of each name counts."""
    attributes = {}
    for part in parts:
        name, _, value = part.partition("=")
        if len(value.strip()) <= LONGEST_ATTRIBUTE:
            attributes[name.strip().lower()] = value.strip()
    return attributes


def _keeps_promise(name: str, attributes: dict[str, str], secure: bool) -> bool:
    lower = name.lower()
    if lower.startswith("__host-"):
        return secure and "secure" in attributes and not attributes.get("domain") and attributes.get("path") == "/"
    return not lower.startswith("__secure-") or (secure and "secure" in attributes)


def _home(domain: str, host: str) -> str | None:
    """The scope of the cookie: "scheme://name[:port]" for one host, "scheme://.name" for a domain and its subdomains;
    None where it is ignored."""
    domain = domain.removeprefix(".")
    if not domain:
        return host
    scheme, _, name = host.partition("://")
    name = re.sub(r":[0-9]+$", "", name)
    meant = canonical(f"http://{domain}/")
    if meant is None:
        return None
    domain = host_of(meant).partition("://")[2]
    if domain == name and (is_public_suffix(domain) or domain[-1] in "0123456789]"):
        return host
    if (domain != name and not name.endswith(f".{domain}")) or is_public_suffix(domain):
        return None
    return f"{scheme}://.{domain}"


def _lasts(attributes: dict[str, str], now: float) -> float | None:
    """Seconds until a cookie expires; None where it lasts as long as the crawl."""
    age = attributes.get("max-age", "")
    if re.fullmatch(r"-?[0-9]+", age):
        return 0.0 if age.startswith("-") else float(min(int(age[:18]), LONGEST_LIFE))
    at = _date(attributes.get("expires", ""))
    return None if at is None else min(at - now, LONGEST_LIFE)


def _date(text: str) -> float | None:
    """RFC 6265 5.1.1: the Unix time of a cookie date, None where it is invalid."""
    clock: re.Match[str] | None = None
    day = month = year = None
    for token in DELIMITERS.split(text):
        if clock is None and (match := TIME.fullmatch(token)):
            clock = match
        elif day is None and (match := DAY.fullmatch(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in MONTHS:
            month = MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := YEAR.fullmatch(token)):
            year = int(match[1])
            year += 1900 if 70 <= year <= 99 else 2000 if year <= 69 else 0
    if clock is None or day is None or month is None or year is None or year < 1601:
        return None
    try:
        return datetime(year, month, day, int(clock[1]), int(clock[2]), int(clock[3]), tzinfo=UTC).timestamp()
    except ValueError:
        return None
