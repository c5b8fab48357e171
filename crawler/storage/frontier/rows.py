"""The row of a settled URL in a frontier."""

from __future__ import annotations

import msgspec

from crawler.core.reasons import Reason


class SettledRow(msgspec.Struct, frozen=True):
    """One settled URL, as exports and audits read it. `settled_at` is Unix time, `seconds` a duration; `cut` counts
    links beyond the limit of a page, `unread` is why its links were not read. (0 and "" for rows of format 3.)"""

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
