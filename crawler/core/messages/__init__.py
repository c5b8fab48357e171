"""Every message between the Crawl and the code that does its I/O.

Rules:
- Values are frozen, printable and free of sockets, files, locks and bodies: they may cross a queue or a pipe.
- Times are seconds on the clock of the process that runs the Crawl; deadlines end in `_at` or `_until`, durations do
  not.
- Why a URL, a fetch or a run ended is a value of `crawler/core/reasons.py`.
"""

from crawler.core.messages.actions import Actions, Fetch, HostScan, RefillRequest, Settled, ShardOutput
from crawler.core.messages.events import (
    Acknowledged,
    CarriedOver,
    DedupResult,
    Discovered,
    DomainQuotaGranted,
    Event,
    Failed,
    Fetched,
    FetchResult,
    HostNoteShared,
    HostScanResult,
    Lateness,
    LinksReceived,
    LiveLimits,
    QuotaGranted,
    Refill,
    Resumed,
    SeedsSettled,
    SetCookie,
    ShardEvent,
    ShardRestarted,
    Stop,
)
from crawler.core.messages.message import Message
from crawler.core.messages.sitemaps import SitemapKind, SitemapNaming
from crawler.core.messages.stored import Budget, Cookie, CookieNote, HostNote, HostPlacement, Link, OutboxLink

__all__ = [
    "Acknowledged",
    "Actions",
    "Budget",
    "CarriedOver",
    "Cookie",
    "CookieNote",
    "DedupResult",
    "Discovered",
    "DomainQuotaGranted",
    "Event",
    "Failed",
    "Fetch",
    "FetchResult",
    "Fetched",
    "HostNote",
    "HostNoteShared",
    "HostPlacement",
    "HostScan",
    "HostScanResult",
    "Lateness",
    "Link",
    "LinksReceived",
    "LiveLimits",
    "Message",
    "OutboxLink",
    "QuotaGranted",
    "Refill",
    "RefillRequest",
    "Resumed",
    "SeedsSettled",
    "SetCookie",
    "Settled",
    "ShardEvent",
    "ShardOutput",
    "ShardRestarted",
    "SitemapKind",
    "SitemapNaming",
    "Stop",
]
