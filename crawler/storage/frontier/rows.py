"""What a frontier keeps of a URL that has ended."""

from __future__ import annotations

import msgspec

from crawler.core.messages import Reason


class SettledRow(msgspec.Struct, frozen=True):
    """One settled URL, as exports and audits read it. `settled_at` is Unix time; `cut` counts links beyond the limit of
    a page, `unread` says why its links were not read. (Both are 0 and "" for what format 3 has settled.)"""

    id: int
    url: str
    depth: int
    reason: Reason
    status: int
    attempts: int
    part: str
    position: int
    size: int
    digest: bytes
    truncated: str
    content_type: str
    settled_at: float
    seconds: float
    detail: str
    cut: int = 0
    unread: str = ""
