"""The deadlines of one fetch: the state of a fetch in flight, and which deadline it has passed. Pure: `now` goes in.

Rules:
- Four deadlines bound every fetch (`Limits`): connect is the driver's, the other three are here. "first byte" ends with
  the response head, "idle" counts in its body, "total" from the start.
- A body must grow by one byte, or by `min_rate * idle` bytes, within `idle` seconds; then the idle time restarts.
  Without a rate, an occasional byte would hold a worker until `total`.
- There is no timer per fetch or per read: those cost more than all else that we add to a client. Fetches are checked
  once per tick (a tenth of the shortest deadline, 1 s at most), so a deadline is kept to within a tick.
- Where something else has blocked an event loop, its check is late and responses may lie unread in the kernel, so that
  time is excused. For `total` only the last such delay is excused: hostile replies can block the loop repeatedly and
  would otherwise double the time of a fetch.
"""

from __future__ import annotations

from crawler.fetch.base import Limits


class FetchTimer:
    """A fetch in flight: monotonic times in seconds, `head_at` 0 until the head is complete, `size` body bytes so far.

    `seen` is the size at `seen_at`, when it had last grown by enough. `ended` is the deadline that ended it, or ""
    while it runs. `excused` is the time (seconds) in which the blocked loop could not read.
    """

    __slots__ = ("ended", "excused", "head_at", "seen", "seen_at", "size", "started")

    def __init__(self, now: float) -> None:
        self.started = now
        self.head_at = 0.0
        self.size = 0
        self.seen = -1
        self.seen_at = now
        self.ended = ""
        self.excused = 0.0

    def overdue(self, limits: Limits, now: float, late: float = 0.0) -> str:
        """The deadline that has passed: "total", "first byte", "idle", or "". `late`: seconds until `now` in which the
        loop was blocked and could not read."""
        if now - late - self.started >= limits.total:
            return "total"
        self.excused += late
        now -= self.excused
        if not self.head_at:
            return "first byte" if now - self.started >= limits.first_byte else ""
        if self.seen < 0 or self.size - self.seen >= max(1.0, limits.min_rate * limits.idle):
            self.seen, self.seen_at = self.size, now
            return ""
        return "idle" if now - self.seen_at >= limits.idle else ""

    def connect_until(self, limits: Limits, now: float) -> tuple[float, str]:
        """By when a connection that is opened from `now` on must be there, and the deadline that says so."""
        return min(
            (now + limits.connect, "connect"),
            (self.started + limits.first_byte, "first byte"),
            (self.started + limits.total, "total"),
        )


def tick(limits: Limits) -> float:
    """Seconds between two checks."""
    return min(max(min(limits.first_byte, limits.idle, limits.total) / 10, 0.01), 1.0)
