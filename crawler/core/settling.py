"""The end of a URL as a message, from what is known of it when it settles; what went wrong in words."""

from __future__ import annotations

from crawler.core.messages import Fetched, Landing, Link, Reason, Settled


def end_of(link: Link, reason: Reason, event: Landing | None, detail: str) -> Settled:
    """What becomes of a link: `event` is the answer that decided, `detail` says why where there was none."""
    if isinstance(event, Fetched):
        return Settled(
            link.id,
            link.url,
            reason,
            link.status,
            link.attempts,
            event.size,
            event.digest,
            event.part,
            event.position,
            event.truncated,
            event.cut,
            event.content_type,
            event.seconds,
            f"links not read: {event.unread}" if event.unread else "",
            event.unread,
        )
    seconds, detail = (event.seconds, event.detail) if event else (0.0, detail)
    return Settled(link.id, link.url, reason, max(0, link.status), link.attempts, seconds=seconds, detail=detail)


def in_short(event: Landing) -> str:
    """What went wrong, for people."""
    if isinstance(event, Fetched):
        return f"status {event.status}" + (f", cut short ({event.truncated})" if event.truncated else "")
    return f"{event.trouble}: {event.detail}" if event.detail else str(event.trouble)
