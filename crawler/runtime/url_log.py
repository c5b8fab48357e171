"""Writes a line to stderr for each URL that has ended, for a user who wants to watch a crawl.

Rules:
- It is written where it is decided, by the process that owns the URL: in `prefork` each shard writes its own. A line is
  one write, so lines of several processes do not mix.
- On a terminal it takes the place of what stands on the line of the cursor, the progress. The process that shows that
  does so again below, at once or within half a second.
- A line for which stderr has no room is lost and counted: the crawl never waits for a reader of it.
"""

from __future__ import annotations

import os
from typing import Literal

from crawler.core.messages import Actions, Settled
from crawler.core.reasons import Reason
from crawler.system.logs import open_log
from crawler.system.stderr import DESCRIPTOR, ERASE, write_nonblocking
from crawler.system.text import escape_unprintable, format_bytes

UrlLogFormat = Literal["", "text", "json"]
"""How a URL is logged; "": not at all."""


class UrlLog:
    """Writes the URLs that have ended, as text for people or as JSON."""

    def __init__(self, form: UrlLogFormat) -> None:
        self._log = open_log() if form == "json" else None
        self._start = ERASE if os.isatty(DESCRIPTOR) else ""

    def see(self, actions: Actions) -> None:
        """Write what settled in one step."""
        for end in actions.settled:
            if self._log is None:
                write_nonblocking(self._start + in_words(end))
            else:
                self._log.info(
                    "url",
                    url=end.url,
                    status=end.status,
                    reason=end.reason.value,
                    attempts=end.attempts,
                    size=end.size,
                    seconds=round(end.seconds, 6),
                    detail=end.detail,
                )


def in_words(end: Settled) -> str:
    """One line: status, reason, size, time, URL, and what else there is to say."""
    size = format_bytes(end.size) if end.part else ""
    took = _time(end.seconds) if end.attempts else ""
    tries = f" after {end.attempts} attempts" if end.attempts > 1 else ""
    more = f" -> {end.detail}" if end.reason is Reason.REDIRECT else f": {end.detail}" if end.detail else ""
    return escape_unprintable(f"{end.status or '':>3} {end.reason:<14} {size:>8} {took:>7}  {end.url}{tries}{more}")


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
