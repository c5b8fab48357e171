"""What the status and the headers of a response say, beyond its body.

Rules:
- A header is remote text: what cannot be used counts as absent, and nothing here raises.
- A redirect without a usable target is a page: browsers show its body.
- A 206 is the whole page only where its range says so (RFC 9110 14.4): we never send a Range.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from crawler.core.messages import Fetch
from crawler.core.urls.canonical import resolve
from crawler.core.urls.redirects import REDIRECTS
from crawler.fetch.base import Response

MAX_CONTENT_TYPE = 200  # characters
_WHOLE = re.compile(r"bytes 0-([0-9]{1,18})/([0-9]{1,18})")


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait from a Retry-After header (RFC 9110 10.2.3: seconds or a date); None if unusable."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value.lstrip("0")[:12] or 0)
    try:
        date = parsedate_to_datetime(value)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)  # all dates of HTTP are, also in the oldest form
        return max(0.0, date.timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def is_page(fetch: Fetch, response: Response) -> bool:
    """Whether a browser would show this body as a page: one of 2xx, or of a redirect without a target."""
    if 200 <= response.status <= 299:
        return True
    return response.status in REDIRECTS and response.body != b"" and not target_of(fetch, response)


def target_of(fetch: Fetch, response: Response) -> str:
    """The canonical URL that a response redirects to, "" where there is none."""
    if not 300 <= response.status <= 399:
        return ""
    location = _as_utf8(response.header("location"))
    return (resolve(fetch.url, location) or "") if location else ""


def is_whole(response: Response) -> bool:
    """Whether the range of a 206 is the whole page (RFC 9110 14.4)."""
    whole = _WHOLE.fullmatch(response.header("content-range").strip())
    return whole is not None and int(whole[1]) + 1 == int(whole[2]) == len(response.body)


def codings_of(response: Response) -> str:
    """The content codings of a body, as in one header; "" where it has none."""
    return ", ".join(value for name, value in response.headers if name.lower() == "content-encoding")


def _as_utf8(value: str) -> str:
    """A header decoded as Latin-1, decoded again as UTF-8 where it is valid: so the Fetch standard reads Location."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
