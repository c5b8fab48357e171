"""What two generations of a crawl say of one URL: new, gone, moved, to be compared, uncertain. Pure.

Rules:
- A page is gone where the server says so (404, 410), where robots.txt forbids it now, or where nothing linked to it any
  more: then it was asked for once more before it was dropped. Trouble is no answer, so it makes nothing gone.
- A generation that missed something (`saw_every_link`) does not tell that a page is no longer linked.
- An error page is never compared. The older side of a comparison is the last generation that knew the page; the caller
  looks for it where the state before is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from crawler.core.endings import TROUBLES, TRUNCATED, UNREAD
from crawler.core.reasons import Ending, Reason

GONE_STATUSES = (404, 410)
UNLINKED = "unlinked"
NOT_REACHED = "not reached"


class UrlState(StrEnum):
    """What a generation knows of a URL: it has a page; it redirects; it is gone; nothing certain."""

    PAGE = "page"
    MOVED = "moved"
    GONE = "gone"
    UNKNOWN = "unknown"


class UrlChange(StrEnum):
    """What became of a URL. COMPARED: both generations have a page; RETURNED: a redirect became a page."""

    NEW = "new"
    GONE = "gone"
    MOVED = "moved"
    COMPARED = "compared"
    RETURNED = "returned"
    UNCERTAIN = "uncertain"


def state_of(reason: Reason, status: int, redirect_target: str) -> UrlState:
    """The state of a settled URL."""
    if reason is Reason.OK:
        return UrlState.PAGE
    if redirect_target:
        return UrlState.MOVED
    if status in GONE_STATUSES or reason is Reason.ROBOTS:
        return UrlState.GONE
    return UrlState.UNKNOWN


def change_of(before: UrlState | None, after: UrlState | None, *, whole: bool, retargeted: bool) -> UrlChange | None:
    """What became of a URL, None where that is nothing to report. A state is None where the generation does not have
    the URL; `whole`: the later one saw every link; `retargeted`: both redirect, to different targets."""
    known = before in (UrlState.PAGE, UrlState.MOVED)
    match after:
        case UrlState.PAGE if known:
            return UrlChange.COMPARED if before is UrlState.PAGE else UrlChange.RETURNED
        case UrlState.PAGE:
            return UrlChange.NEW
        case UrlState.MOVED:
            return UrlChange.MOVED if before is UrlState.PAGE or retargeted else None
        case UrlState.GONE:
            return UrlChange.GONE if known else None
        case UrlState.UNKNOWN:
            return UrlChange.UNCERTAIN if known or before is None else None
    if before is not UrlState.PAGE:
        return None
    return UrlChange.GONE if whole else UrlChange.UNCERTAIN


def why_gone(reason: Reason, status: int) -> str:
    """Why a URL of state GONE is: "404", "410" or "robots"."""
    return Reason.ROBOTS.value if reason is Reason.ROBOTS else str(status)


def saw_every_link(ending: Ending, because: Mapping[str, int]) -> bool:
    """Whether a generation that ended so (`because`: what it missed) has read every page that links to others, so that
    a URL it did not meet is no longer linked. Limits of ours cut the same links every time, so they do not count."""
    if ending not in (Ending.COMPLETE, Ending.INCOMPLETE):
        return False
    return not any(name in TROUBLES or name in (TRUNCATED, UNREAD) for name in because)
