"""Events: what happened, as the Crawl hears it.

Rules:
- Network trouble is a value (`Failed`); exceptions are for our own bugs.
- An answer to a lease that has expired names an id that the Crawl does not know any more, and is ignored.
"""

from __future__ import annotations

from crawler.core.messages.message import Message
from crawler.core.messages.sitemaps import SitemapKind
from crawler.core.messages.stored import Budget, CookieNote, HostNote, Link, OutboxLink
from crawler.core.reasons import FetchErrorKind, NotFollowed, ParseSkipped


class SetCookie(Message, frozen=True):
    """A cookie that an answer sets; it `lasts` so many seconds (None: as long as the crawl lasts; 0 or less: delete
    it)."""

    home: str
    path: str
    name: str
    value: str
    lasts: float | None = None


class Discovered(Message, frozen=True):
    """Canonical URLs given from outside: the seeds; at a larger `depth` URLs that an earlier crawl knew."""

    urls: tuple[str, ...]
    depth: int = 0


class CarriedOver(Message, frozen=True):
    """The known pages that this generation does not ask for: the sorted `marks` of their URLs, 8 bytes each."""

    marks: bytes


class Resumed(Message, frozen=True):
    """The state that an earlier run of this crawl left.

    `marks` of every URL admitted, 8 bytes each (None: too many); how many links are `owed`, how many of them are seeds
    or what one was redirected to; the first id that is free; how many URLs were `fetched`, that is asked for at least
    once, and the `size` of what came, in bytes; the hosts that `joined` the scope; those with links that wait for
    another attempt (`retried`); the `outbox`: links sent to other shards and not acknowledged; the `cookies`; the hosts
    of URLs `beyond` the depth limit; the `budgets` of domains.
    """

    marks: bytes | None
    owed: int
    seeds_owed: int
    next_id: int
    fetched: int
    size: int
    joined: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()
    outbox: tuple[OutboxLink, ...] = ()
    cookies: tuple[CookieNote, ...] = ()
    beyond: tuple[str, ...] = ()
    budgets: tuple[Budget, ...] = ()


class Fetched(Message, frozen=True):
    """A response: the facts the Crawl decides on.

    `location` is the canonical redirect target ("" where it is missing or no URL); `retry_after` is in seconds; `size`
    in decoded bytes; (`part`, `position`) name the stored record ("" where nothing was stored); `digest` is the 16-byte
    term of this URL in the digest of the crawl; `truncated` is "", "length", "time", "disconnect" or "range" (an
    unrequested 206); `cut` counts links beyond the limit of a page; `seconds` lasts from lease to last byte,
    `first_byte` to the first; `unread` is why the links were not read; `fingerprint` holds the two marks of its text,
    where they were asked for; `not_followed` counts the other links of the page, distinct, by why they are not
    followed; `address` is that of the server ("" where it is unknown); `sitemap` is set where the page is one;
    `not_modified`: a 304 confirmed the stored page, whose facts these are; `carried`: so they are, but without
    a request.
    """

    id: int
    status: int
    links: tuple[str, ...] = ()
    location: str = ""
    retry_after: float | None = None
    size: int = 0
    digest: bytes = b""
    part: str = ""
    position: int = 0
    truncated: str = ""
    cut: int = 0
    content_type: str = ""
    robots_text: str | None = None
    seconds: float = 0.0
    first_byte: float = 0.0
    unread: ParseSkipped | None = None
    cookies: tuple[SetCookie, ...] = ()
    fingerprint: tuple[int, int] | None = None
    not_followed: tuple[tuple[NotFollowed, int], ...] = ()
    address: str = ""
    sitemap: SitemapKind | None = None
    not_modified: bool = False
    carried: bool = False


class Failed(Message, frozen=True):
    """No response came, or none that can be read."""

    id: int
    kind: FetchErrorKind
    detail: str = ""
    seconds: float = 0.0


class Refill(Message, frozen=True):
    """The next links of a host that the frontier owes, oldest first. They are all up to the id `upto`; after it there
    may be `more`. The answer to a `RefillRequest`. If that was the `first` of its host, this has the `note` and the
    `budgets` of the host, too, and begins with the links that wait for another attempt."""

    host: str
    links: tuple[Link, ...]
    upto: int
    more: bool
    note: HostNote | None = None
    budgets: tuple[Budget, ...] = ()


class DedupResult(Message, frozen=True):
    """What the frontier decided on `undetermined` links: `new` ones are admitted, so many others were `known`."""

    new: tuple[Link, ...]
    known: int
    known_seeds: int


class HostScanResult(Message, frozen=True):
    """Hosts that owe links, in the order of the frontier; `end`: no others follow. The answer to a `HostScan`."""

    hosts: tuple[str, ...]
    end: bool


class Stop(Message, frozen=True):
    """A request to drain: start nothing new, wait for what is in flight."""


class LinksReceived(Message, frozen=True):
    """Links that shard `sender` has found, or passes on."""

    sender: int
    links: tuple[OutboxLink, ...]


class Acknowledged(Message, frozen=True):
    """Links with these numbers are safe in the frontier of another shard."""

    seqs: tuple[int, ...]


class QuotaGranted(Message, frozen=True):
    """So many more pages may be asked for, out of the budget of all shards."""

    pages: int


class DomainQuotaGranted(Message, frozen=True):
    """So many more pages of a domain may be asked for (0: no more ever); `total` were granted to all shards so far."""

    domain: str
    pages: int
    total: int


class HostNoteShared(Message, frozen=True):
    """Another shard has noted something of a host: that it joins the scope, is spread or gathered."""

    note: HostNote


class ShardRestarted(Message, frozen=True):
    """Shard `shard` has restarted from its frontier: what it has not acknowledged must be sent again."""

    shard: int


class SeedsSettled(Message, frozen=True):
    """No shard owes a seed any more."""


class LiveLimits(Message, frozen=True):
    """Limits that are set while the crawl runs; they replace those set before and only ever tighten what settings and
    robots.txt demand.

    A host rests at least `delay` seconds after a fetch; at most `concurrency` fetches are in flight in all (None: as
    many as the settings allow), `per_host` to one host. `paused`: no fetch starts. `reclaim`: in a crawl of several
    shards each host is asked by its owner alone from now on, see crawler/core/shards/coordinator.py.
    """

    delay: float = 0.0
    concurrency: int | None = None
    per_host: int | None = None
    paused: bool = False
    reclaim: bool = False


ShardEvent = (
    LinksReceived | Acknowledged | QuotaGranted | DomainQuotaGranted | HostNoteShared | ShardRestarted | SeedsSettled
)
FetchResult = Fetched | Failed
FromFrontier = Resumed | Refill | DedupResult | HostScanResult
Event = Discovered | CarriedOver | FromFrontier | FetchResult | Stop | LiveLimits | ShardEvent


class Lateness(Message, frozen=True):
    """How late the heartbeats of one worker came: (bucket, count) as in crawler.metrics.histogram, and the longest
    delay, in seconds."""

    counts: tuple[tuple[int, int], ...]
    longest: float
