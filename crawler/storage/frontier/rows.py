"""The row of a settled URL in a frontier."""

from __future__ import annotations

import msgspec

from crawler.core.reasons import Reason
from crawler.core.settling import was_carried, was_not_modified
from crawler.core.urls.redirects import REDIRECTS


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

    @property
    def not_modified(self) -> bool:
        """Whether a 304 confirmed the page that an earlier generation has stored."""
        return was_not_modified(self.part, self.detail)

    @property
    def carried(self) -> bool:
        """Whether the page that an earlier generation has stored counts, without a request."""
        return was_carried(self.part, self.detail)

    @property
    def redirect_target(self) -> str:
        """The URL that a redirect leads to, "" where there is none; see crawler/core/settling.py."""
        return self.detail if self.status in REDIRECTS and self.detail.startswith(("http://", "https://")) else ""
