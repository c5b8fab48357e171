"""The end of a URL as a message, from what is known of it when it settles; what went wrong in words.

The detail of a response states whether a 304 confirmed the stored page or there was no request, and which links of it
were not taken, as text that `read_back`, `was_not_modified` and `was_carried` parse: a frontier has no columns for it,
and when a URL is asked again these counts must be subtracted. That of a redirect is its target.
"""

from __future__ import annotations

import re

from crawler.core.messages import Fetched, FetchResult, Link, Settled
from crawler.core.reasons import ParseSkipped, Reason
from crawler.core.urls.redirects import REDIRECTS

NOT_MODIFIED = "not modified"
CARRIED = "not asked"
UNREAD = "links not read: "
CUT = "links not taken: "
NOT_TAKEN = re.compile(
    f"(?:{NOT_MODIFIED}|{CARRIED})?(?:; )?"
    f"(?:{UNREAD}(?P<why>{'|'.join(ParseSkipped)}))?(?:; )?(?:{CUT}(?P<cut>[0-9]{{1,9}}))?"
)


def settled_from(link: Link, reason: Reason, event: FetchResult | None, detail: str) -> Settled:
    """The end of a link: `event` is the landing that decided, `detail` is the reason in words where there was none."""
    seed = link.depth == 0
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
            _detail_of(event),
            event.unread,
            seed,
            link.depth,
            event.not_modified,
            event.carried,
        )
    seconds, detail = (event.seconds, event.detail) if event else (0.0, detail)
    status = max(0, link.status)
    return Settled(
        link.id, link.url, reason, status, link.attempts, seconds=seconds, detail=detail, seed=seed, depth=link.depth
    )


def _detail_of(event: Fetched) -> str:
    if event.unread or event.cut or event.not_modified or event.carried:
        origin = NOT_MODIFIED * event.not_modified + CARRIED * event.carried
        return "; ".join(filter(None, (origin, not_taken(event.unread, event.cut))))
    return target_of(event)


def not_taken(unread: ParseSkipped | None, cut: int) -> str:
    """The detail of a row: why the links of its page were not read, how many were cut."""
    return "; ".join(([UNREAD + unread] if unread else []) + ([f"{CUT}{cut}"] if cut else []))


def target_of(event: Fetched) -> str:
    """The detail of a redirect: the URL that it leads to, "" where there is none."""
    return event.location if event.status in REDIRECTS else ""


def read_back(status: int, detail: str) -> tuple[ParseSkipped | None, int]:
    """What the detail of a row states: why links were not read, how many were cut. Only rows with a `status` had a
    page; any other detail means nothing was left out."""
    found = NOT_TAKEN.fullmatch(detail) if status and detail else None
    if found is None:
        return None, 0
    return ParseSkipped(found["why"]) if found["why"] else None, int(found["cut"] or 0)


def was_not_modified(part: str, detail: str) -> bool:
    """Whether the row of a URL with a page in `part` states that a 304 confirmed it."""
    return bool(part) and detail.startswith(NOT_MODIFIED)


def was_carried(part: str, detail: str) -> bool:
    """Whether the row of a URL with a page in `part` states that there was no request for it."""
    return bool(part) and detail.startswith(CARRIED)


def describe(event: FetchResult) -> str:
    """What went wrong, as text for people."""
    if isinstance(event, Fetched):
        return f"status {event.status}" + (f", cut short ({event.truncated})" if event.truncated else "")
    return f"{event.kind}: {event.detail}" if event.detail else str(event.kind)
