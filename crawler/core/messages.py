"""Every message between the Crawl and the code that does its I/O.

Rules:
- Values are frozen, printable and free of sockets, files, locks and bodies: they may cross a queue or a pipe.
- Network trouble is a value (`Failed`); exceptions are for our own bugs.
- Times are seconds on the clock of the process that runs the Crawl; deadlines end in `_at` or `_until`, durations do
  not.
- `Fetch.id` names one lease, not one URL: so the answer to a lease that has expired is recognised and ignored.
- Why a URL, a fetch or a run ended is a value of `crawler/core/reasons.py`.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from crawler.core.reasons import Ending, FetchErrorKind, NotFollowed, ParseSkipped, Pause, Reason


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Base of all messages: a frozen record that msgpack can carry and tell apart. Those that a frontier stores as JSON
    have a pinned tag, so that a class may be renamed."""


class Link(Message, frozen=True, tag="Link"):
    """A URL that the crawl has admitted and not settled yet.

    `attempts` counts the fetches that were spent on it, `status` is what the last of them answered (0: no response).
    Before the first one a negative `status` means that only repeated pages named it, see `doubt`. `lost` counts the
    leases in a row that expired without an answer, `via` holds the redirects that led here, oldest first.
    """

    id: int
    url: str
    depth: int
    via: tuple[str, ...] = ()
    attempts: int = 0
    status: int = 0
    lost: int = 0

    @property
    def doubt(self) -> int:
        """How much the pages that named it repeated others: 0 not at all, 1 but for what is made up, 2 to the letter.
        It is stored in `status`, so it survives wherever links are stored."""
        return max(0, -self.status)


class OutboxLink(Message, frozen=True, tag="Foreign"):
    """A link on its way to shard `to`; `seq` numbers what its sender has sent. `admitted`: the sender had admitted it,
    so it is only passed on; otherwise the receiver decides whether it is new. `beyond`: it is beyond the depth limit,
    so it was not admitted, and the receiver remembers it if it is new."""

    seq: int
    to: int
    link: Link
    admitted: bool = False
    beyond: bool = False


class HostPlacement(IntEnum):
    """Which shards ask for the URLs of a host: its owner (`OWNER`); every shard for its own share of them (`SHARED`);
    the owner again, while all shards still tell new URLs from known ones (`RECLAIMED`)."""

    OWNER = 0
    SHARED = 1
    RECLAIMED = 2


class HostNote(Message, frozen=True):
    """What is stored of a host so that politeness survives a kill.

    `robots` is the text of its robots.txt (None: as noted before), good until `robots_until`; `delay` the Crawl-delay
    it asks for (0: none); `rest_until` ends a hold; `joined`: a seed's redirect brought the host into scope; `reach` is
    for crawls of several shards; `heard`: it has answered at least once; `down_for` is how many seconds it has been
    away (0: it is not).
    """

    host: str
    robots: str | None = None
    robots_until: float = 0.0
    delay: float = 0.0
    rest_until: float = 0.0
    joined: bool = False
    reach: HostPlacement = HostPlacement.OWNER
    heard: bool = False
    down_for: float = 0.0


class Cookie(Message, frozen=True, tag="Cookie"):
    """A cookie as it is stored, until a time on the clock of the process that has it (None: as long as the crawl
    lasts)."""

    path: str
    name: str
    value: str
    until: float | None = None


class CookieNote(Message, frozen=True):
    """All the cookies of one home, oldest first; none where all were deleted. See crawler/core/hosts/cookies.py."""

    home: str
    cookies: tuple[Cookie, ...]


class SetCookie(Message, frozen=True):
    """A cookie that an answer sets; it `lasts` so many seconds (None: as long as the crawl lasts; 0 or less: delete
    it)."""

    home: str
    path: str
    name: str
    value: str
    lasts: float | None = None


class Budget(Message, frozen=True, tag="Budget"):
    """What is stored of one pattern of the URLs of a host, or of the whole host, so that a kill does not renew its
    budget: how many `pages` were asked for, and why it was `stopped`, if it was. `evidence` holds the counts behind
    that (see crawler/core/traps/detector.py). `rule` names the part of URLs that makes no difference; then `texts`
    holds the keys of what was fetched (see crawler/core/traps/sameness.py). Elsewhere `texts` and `words` are
    fingerprints that were seen before. `seen` was written by earlier versions."""

    host: str
    pattern: int
    pages: int
    seen: int | None = None
    texts: bytes = b""
    words: bytes = b""
    stopped: str = ""
    evidence: tuple[int, ...] = ()
    rule: tuple[str, ...] = ()


# ---- events: what happened -------------------------------------------------------------------------------------------


class Discovered(Message, frozen=True):
    """Canonical URLs given from outside: the seeds."""

    urls: tuple[str, ...]


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
    followed; `address` is that of the server ("" where it is unknown).
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


class HostNoteShared(Message, frozen=True):
    """Another shard has noted something of a host: that it joins the scope, is spread or gathered."""

    note: HostNote


class ShardRestarted(Message, frozen=True):
    """Shard `shard` has restarted from its frontier: what it has not acknowledged must be sent again."""

    shard: int


class SeedsSettled(Message, frozen=True):
    """No shard owes a seed any more."""


ShardEvent = LinksReceived | Acknowledged | QuotaGranted | HostNoteShared | ShardRestarted | SeedsSettled
Event = Discovered | Resumed | Fetched | Failed | Refill | DedupResult | HostScanResult | Stop | ShardEvent
FetchResult = Fetched | Failed


class Lateness(Message, frozen=True):
    """How late the heartbeats of one worker came: (bucket, count) as in crawler.metrics.histogram, and the longest
    delay, in seconds."""

    counts: tuple[tuple[int, int], ...]
    longest: float


# ---- actions: what to do ---------------------------------------------------------------------------------------------


class Fetch(Message, frozen=True):
    """An order to fetch one URL once. `extract_links`: its links are wanted; `robots`: it is a robots.txt;
    `without_credentials`: nothing that is meant for its host alone may go with it; `cookie` is the Cookie header.
    `wait_for_dns`: wait for a slow lookup instead of failing with `FetchErrorKind.DNS_PENDING`. `want_fingerprint`:
    compute the fingerprint of a page that has links."""

    id: int
    url: str
    attempt: int = 1
    extract_links: bool = True
    robots: bool = False
    without_credentials: bool = False
    cookie: str = ""
    wait_for_dns: bool = False
    want_fingerprint: bool = False


class Settled(Message, frozen=True):
    """The end of a URL, reported exactly once. `attempts` = 0 means that it was never asked for; `seed`, that it is a
    seed or what one was redirected to."""

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
    for all. `wants`: it needs pages to ask for; `returned` is how many it gives back; `quiet` until something arrives;
    `seeds_settled`: owes no seed; `size` of what is stored, in bytes.
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

    def __bool__(self) -> bool:
        """Whether there is anything to store, or to send once that is committed."""
        return bool(self.foreign or self.transferred or self.acknowledged or self.received or self.notes)


class Actions(msgspec.Struct):
    """What the caller must do after a step, and until when nothing else will change (`wake_at`, None: an event must
    come).

    `queued` were admitted, `undetermined` are if the frontier does not know them, `settled` ended, `retries` spent an
    attempt and wait for another, `notes` and `budgets` changed. `refill_requests` and `search` ask for what is in the
    frontier. `beyond` are links in scope that the depth limit turned away. `pauses` began in this step; while the
    network is `away` only an occasional probe goes out. `cookies` changed, `cookies_dropped` counts those beyond a cap.
    `ending` is set when the run is over. `mail` is what one of several shards sends to the others. `not_followed`
    counts links that were seen and left, less those that are taken after all.
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
    cookies: list[CookieNote] = msgspec.field(default_factory=list)
    cookies_dropped: int = 0
    wake_at: float | None = None
    ending: Ending | None = None
    mail: ShardOutput | None = None
    not_followed: dict[NotFollowed, int] = msgspec.field(default_factory=dict)

    def leave(self, kind: NotFollowed, count: int = 1) -> None:
        """Count links that are not followed."""
        self.not_followed[kind] = self.not_followed.get(kind, 0) + count

    def leave_all(self, counts: tuple[tuple[NotFollowed, int], ...]) -> None:
        """Count links that are not followed, by kind."""
        for kind, count in counts:
            self.leave(kind, count)
