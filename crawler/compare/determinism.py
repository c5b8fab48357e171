"""Finds settings and events that make the result of a crawl depend on the order of pages. Then two correct engines may
differ, and a comparison of them is meaningless.

A limit on URLs or bytes keeps what came first, and so do the budgets of a host and of its patterns. A limit on depth
rejects a page that was first found by a longer path. The links of a page that takes too much time or memory to read are
lost. Depth 0 is no such limit: only the seeds are fetched, in any order.
"""

from __future__ import annotations

from crawler.core.reasons import Reason
from crawler.metrics.summary import Summary
from crawler.settings import Settings

BUDGETS = (Reason.SAME_PAGES, Reason.REPEATED_PAGES, Reason.ENDLESS, Reason.HOST_LIMIT, Reason.DOMAIN_LIMIT)
LIMITS = ("max_pages", "max_bytes", "max_depth")


def limits(settings: Settings) -> list[str]:
    """The keys that make the result depend on order, with their values."""
    found = {key: getattr(settings, key) for key in LIMITS}
    if found["max_depth"] == 0:
        del found["max_depth"]
    return [f"{key} = {value}" for key, value in found.items() if value is not None]


def reached(settings: Settings, summary: Summary) -> list[str]:
    """The limits that a crawl reached, with counts."""
    found = [] if summary.over else [f"it ended as {summary.ending}, {summary.owed} URLs still owed"]
    if summary.links_cut:
        found.append(f"{summary.links_cut} links beyond max_links or max_url_length were cut")
    if summary.unread:
        found.append(f"{summary.unread} pages were too much to read")
    found += [f"{summary.reasons[word]} URLs ended as {word}" for word in BUDGETS if word in summary.reasons]
    if summary.too_deep and settings.max_depth != 0:
        found.append(f"{summary.too_deep} links were too deep")
    return found
