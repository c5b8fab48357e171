"""Actions: what is to be done, as the Crawl answers a step.

Rules:
- `Fetch.id` names one lease, not one URL: so the answer to a lease that has expired is recognised and ignored.
- What changes links, hosts and budgets is for the frontier: the recorder stores it in one transaction.
"""

from __future__ import annotations

import msgspec

from crawler.core.messages.message import Message
from crawler.core.messages.sitemaps import SitemapNaming
from crawler.core.messages.stored import Budget, CookieNote, HostNote, Link, OutboxLink
from crawler.core.reasons import Ending, NotFollowed, ParseSkipped, Pause, Reason


class Fetch(Message, frozen=True):
    """An order to fetch one URL once. `extract_links`: its links are wanted; `robots`: it is a robots.txt;
    `without_credentials`: nothing that is meant for its host alone may go with it; `cookie` is the Cookie header.
    `wait_for_dns`: wait for a slow lookup instead of failing with `FetchErrorKind.DNS_PENDING`. `want_fingerprint`:
    compute the fingerprint of a page that has links. `naming`: what named it as a sitemap, None: nothing did.
    `carried`: read the page that an earlier generation stored, without a request."""

    id: int
    url: str
    attempt: int = 1
    extract_links: bool = True
    robots: bool = False
    without_credentials: bool = False
    cookie: str = ""
    wait_for_dns: bool = False
    want_fingerprint: bool = False
    naming: SitemapNaming | None = None
    carried: bool = False


class Settled(Message, frozen=True):
    """The end of a URL, reported exactly once. `attempts` = 0 means that it was never asked for; `seed`, that it is a
    seed or what one was redirected to; `depth` counts the links from a seed; `not_modified`: a 304 confirmed its stored
    page; `carried`: its stored page counts, and its host was not asked."""

    id: int
    url: str
    reason: Reason
    status: int = 0
    attempts: int = 0
    size: int = 0
    digest: bytes = b""
    part: str = ""
    position: int = 0
    truncated: str = ""
    cut: int = 0
    content_type: str = ""
    seconds: float = 0.0
    detail: str = ""
    unread: ParseSkipped | None = None
    seed: bool = False
    depth: int = 0
    not_modified: bool = False
    carried: bool = False


class RefillRequest(Message, frozen=True):
    """A host has room for `count` of its links after the id `after`. The `first` request of a host also asks for its
    note and for its links that wait for another attempt."""

    host: str
    after: int
    count: int
    first: bool = False


class HostScan(Message, frozen=True):
    """There is room for `count` hosts, those that follow `after` first ("": from the beginning)."""

    after: str
    count: int


class ShardOutput(msgspec.Struct):
    """What one of several shards sends to the others, beside its Actions.

    Stored in the same transaction: `foreign` links, first in our outbox; the ids of links `transferred`, no longer
    ours; URLs beyond the depth limit that another shard remembers from now on (`handed`); the numbers that were
    `acknowledged`, out of our outbox. Sent once that is committed: what is `received`, (sender, number) each; `notes`
    for all. Sent at once: `domains` of which it needs more pages to ask for. `wants`: it needs pages to ask for;
    `returned` is how many it gives back; `quiet` until something arrives; `seeds_settled`: owes no seed; `size` of what
    is stored, in bytes.
    """

    foreign: list[OutboxLink] = msgspec.field(default_factory=list)
    transferred: list[int] = msgspec.field(default_factory=list)
    acknowledged: list[int] = msgspec.field(default_factory=list)
    received: list[tuple[int, int]] = msgspec.field(default_factory=list)
    notes: list[HostNote] = msgspec.field(default_factory=list)
    wants: bool = False
    returned: int = 0
    quiet: bool = False
    seeds_settled: bool = False
    size: int = 0
    handed: list[str] = msgspec.field(default_factory=list)
    domains: list[str] = msgspec.field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to store, or to send once that is committed."""
        return bool(self.foreign or self.transferred or self.acknowledged or self.received or self.notes)


class Actions(msgspec.Struct):
    """What the caller must do after a step, and until when nothing else will change (`wake_at`, None: an event must
    come).

    `queued` were admitted, `undetermined` are if the frontier does not know them, `settled` ended, `retries` spent an
    attempt and wait for another, `notes` and `budgets` changed. `refill_requests` and `search` ask for what is in the
    frontier. `beyond` are links in scope that the depth limit turned away. `pauses` began in this step; while the
    network is `away` only an occasional probe goes out, while the crawl is `paused` by its user nothing does. `cookies`
    changed, `cookies_dropped` counts those beyond a cap. `ending` is set when the run is over. `output` is what one of
    several shards sends to the others. `not_followed` counts links that were seen and left, less those that are taken
    after all.
    """

    fetches: list[Fetch] = msgspec.field(default_factory=list)
    queued: list[Link] = msgspec.field(default_factory=list)
    settled: list[Settled] = msgspec.field(default_factory=list)
    retries: list[Link] = msgspec.field(default_factory=list)
    notes: list[HostNote] = msgspec.field(default_factory=list)
    budgets: list[Budget] = msgspec.field(default_factory=list)
    undetermined: list[Link] = msgspec.field(default_factory=list)
    refill_requests: list[RefillRequest] = msgspec.field(default_factory=list)
    search: HostScan | None = None
    beyond: list[Link] = msgspec.field(default_factory=list)
    pauses: list[Pause] = msgspec.field(default_factory=list)
    away: bool = False
    paused: bool = False
    cookies: list[CookieNote] = msgspec.field(default_factory=list)
    cookies_dropped: int = 0
    wake_at: float | None = None
    ending: Ending | None = None
    output: ShardOutput | None = None
    not_followed: dict[NotFollowed, int] = msgspec.field(default_factory=dict)

    def leave(self, kind: NotFollowed, count: int = 1) -> None:
        """Count links that are not followed."""
        self.not_followed[kind] = self.not_followed.get(kind, 0) + count

    def leave_all(self, counts: tuple[tuple[NotFollowed, int], ...]) -> None:
        """Count links that are not followed, by kind."""
        for kind, count in counts:
            self.leave(kind, count)
