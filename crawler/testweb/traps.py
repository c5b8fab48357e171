"""Crawler traps below /trap/, which robots.txt forbids. A crawler that ignores robots.txt must survive them.

A crawl that obeys robots.txt settles the entrances as `robots` and fetches nothing behind them, so traps are no part of
its digest. A crawl that ignores robots.txt walks them completely: every trap is finite, but large.
"""

from __future__ import annotations

import re

from crawler.testweb.document import Anchor, Document
from crawler.testweb.markup import followed, html
from crawler.testweb.prose import paragraphs

FORBIDDEN = "/trap/"
MONTHS, SESSIONS, CROWD = 240, 200, 10_000
LARGE, BOMB = 20_000_000, 64_000_000
ENTRANCES = tuple(
    f"{FORBIDDEN}{name}" for name in ("month-0", "session-0", "crowd", "large", "bomb", "drip", "charset", "headers")
)
_NUMBERED = re.compile(r"/trap/(month|session|member)-(0|[1-9]\d{0,4})")


def trap(scheme: str, name: str, path: str, delay: float) -> Document | None:
    """The document at a path of host `name`, None where there is none."""
    if found := _NUMBERED.fullmatch(path):
        return _numbered(f"{scheme}://{name}", found[1], int(found[2]), delay)
    match path.removeprefix(FORBIDDEN):
        case "crowd":
            return _page(f"{scheme}://{name}", "Crowd", [f"member-{n}" for n in range(CROWD)], delay)
        case "large":
            return Document(body=(b"<p>" + b"large " * 20 + b"\n") * (LARGE // 124), delay=delay)
        case "bomb":
            return Document(body=b"\0" * BOMB, coding="gzip", delay=delay)
        case "drip":
            return Document(body=b"<p>" * 100_000, fault="stall", delay=delay)
        case "charset":
            return Document(content_type="text/html; charset=klingon", body=bytes(range(1, 256)) * 40, delay=delay)
        case "headers":
            return Document(body=b"<p>too late", fault="flood", delay=delay)
    return None


def _numbered(origin: str, kind: str, n: int, delay: float) -> Document | None:
    if kind == "month" and n < MONTHS:
        near = [f"month-{month}" for month in (n - 1, n + 1) if 0 <= month < MONTHS]
        return _page(origin, f"Month {n}", near, delay)
    if kind == "session" and n < SESSIONS:
        fresh = [f"session-{(n * 7 + new) % SESSIONS}" for new in (1, 2, 3)]
        return _page(origin, "Welcome", fresh, delay)  # the same page for every session id
    if kind == "member" and n < CROWD:
        return _page(origin, f"Member {n}", [], delay)
    return None


def _page(origin: str, title: str, names: list[str], delay: float) -> Document:
    anchors = [Anchor(f"{FORBIDDEN}{name}", f"{origin}{FORBIDDEN}{name}") for name in names]
    body = html(title, anchors, paragraphs("en", 500, len(title))).encode()
    return Document(body=body, delay=delay, links=followed(anchors))
