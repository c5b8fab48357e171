"""Every value that crosses the seam between the Crawl and the hands that work for it.

Rules:
- Values are frozen, printable and free of sockets, files, locks and bodies: they may cross a queue or a pipe.
- Network trouble is a value (`Failed`); exceptions are for our own mistakes.
- Times are seconds on the clock of the process that runs the Crawl; deadlines end in `_at` or `_until`, durations do
  not.
- `Fetch.id` names one lease, not one URL: the answer to a lease that has expired is thereby recognised and ignored.
- `Reason` is closed: every URL of a crawl ends in exactly one of these words.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class FetchErrorKind(StrEnum):
    """Why a fetch brought no response. `LOOKUP`: its name is slow to be looked up, nothing has been asked for yet."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    DISCONNECT = "disconnect"
    PROTOCOL = "protocol"
    ENCODING = "encoding"
    BLOCKED = "blocked"
    LEASE_EXPIRED = "lost"
    RESOURCE_EXHAUSTED = "starved"
    DNS_PENDING = "lookup"
    INTERNAL = "internal"


class ParseSkipped(StrEnum):
    """Why a page was stored and its links not read: it takes too much time (`CPU_LIMIT`) or memory, or whoever reads it
    died, twice (`LOST`)."""

    CPU_LIMIT = "effort"
    MEMORY = "memory"
    LOST = "lost"


class NotFollowed(StrEnum):
    """Why links that a page has are no URLs of the crawl. The closed list that summaries and scripts rely on.

    Asked not to (`NOFOLLOW`: rel=nofollow, or the whole page); another host (`OUT_OF_SCOPE`), one that differs from a
    host of ours in nothing but its scheme or "www." (`OUT_OF_SCOPE_BY_SCHEME`); a path that `include` and `exclude`
    leave out; a scheme that is not http (mailto, javascript, data); no URL; beyond `max_url_length` or `max_links`; of
    a relation that `follow_rel` does not name. Of these, pages are counted, for nobody has counted their links:
    `ERROR_PAGE`, HTML with another status than 2xx; `NOT_HTML`, what begins like HTML and says that it is something
    else.
    """

    NOFOLLOW = "nofollow"
    OUT_OF_SCOPE = "out_of_scope"
    OUT_OF_SCOPE_BY_SCHEME = "out_of_scope_by_scheme"
    EXCLUDED = "excluded"
    SCHEME = "scheme"
    INVALID = "invalid"
    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    LINK_NEXT = "link_next"
    LINK_PREV = "link_prev"
    LINK_ALTERNATE = "link_alternate"
    LINK_CANONICAL = "link_canonical"
    ERROR_PAGE = "error_page"
    NOT_HTML = "not_html"


class Reason(StrEnum):
    """How a URL was settled: the closed list that reports, exports and scripts rely on."""

    OK = "ok"
    REDIRECT = "redirect"
    REDIRECT_LOOP = "redirect_loop"
    REDIRECT_LIMIT = "redirect_limit"
    REDIRECT_INVALID = "redirect_invalid"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    OTHER_STATUS = "other_status"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    DISCONNECT = "disconnect"
    PROTOCOL = "protocol"
    ENCODING = "encoding"
    BLOCKED = "blocked"
    STARVED = "starved"
    INTERNAL = "internal"
    POISON = "poison"
    ROBOTS = "robots"
    ROBOTS_UNAVAILABLE = "robots_unavailable"
    HOST_DOWN = "host_down"
    HELD = "held"
    DEEP_PATH = "deep_path"
    REPEATED_PATH = "repeated_path"
    MANY_KEYS = "many_keys"
    REPEATED_PAGES = "repeated_pages"
    SAME_PAGES = "same_pages"
    ENDLESS = "endless"
    HOST_LIMIT = "host_limit"
    RATE_LIMITED = "rate_limited"
    DOMAIN_LIMIT = "domain_limit"


class Ending(StrEnum):
    """Why a run of a crawl is over, and what a crawl ends with. A run knows `COMPLETE` (nothing is owed), `LIMIT` and
    `STOPPED`; what a crawl of which nothing is owed has come to is decided in crawler/core/endings.py."""

    COMPLETE = "complete"
    LIMIT = "limit"
    STOPPED = "stopped"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class Pause(StrEnum):
    """Why a crawl held back although there was something to ask for, and nobody had told it to.

    The network was away; this process had no descriptor or the like left for a fetch, so that fewer go out at once; the
    disk was full, or nearly; the frontier's file was locked by somebody else; memory was short, so that fewer fetches
    were in flight.
    """

    OUTAGE = "outage"
    STARVED = "starved"
    DISK = "disk"
    LOCKED = "locked"
    MEMORY = "memory"


NO_MEMORY = "out of memory"
"""How the detail of a `Failed` begins whose trouble is STARVED for want of memory."""


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Base of all messages: a frozen record that msgpack can carry and tell apart. Those that a frontier keeps as JSON
    have a pinned tag, so that a class may be renamed."""


class Link(Message, frozen=True, tag="Link"):
    """A URL that the crawl has admitted and still owes an end.

    `attempts` counts the fetches that were spent on it, `status` is what the last of them answered (0: no response).
    Before the first one a negative `status` says that only repeated pages named it, see `doubt`.
    `lost` the leases in a row whose worker fell silent, `via` the redirects that led here, oldest first.
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
        It is kept in `status`, so it survives wherever links are kept."""
        return max(0, -self.status)


class OutboxLink(Message, frozen=True, tag="Foreign"):
    """A link on its way to shard `to`; `seq` numbers what its sender has sent. `admitted`: the sender had admitted it,
    so it is only passed on; otherwise the receiver decides whether it is new. `beyond`: nobody has admitted it, because
    of the depth limit, and the receiver remembers it if it is new."""

    seq: int
    to: int
    link: Link
    admitted: bool = False
    beyond: bool = False


class HostPlacement(IntEnum):
    """Who asks for the URLs of a host in a crawl of several shards: its owner; every shard for its own share of them
    (`SPREAD`); the owner again, while the shards still tell new URLs from known ones (`RECLAIMED`)."""

    OWNER = 0
    SHARED = 1
    RECLAIMED = 2


class HostNote(Message, frozen=True):
    """What must be remembered of a host so that politeness survives a kill.

    `robots` is the text of its robots.txt (None: as noted before), good until `robots_until`; `delay` the Crawl-delay
    it asks for (0: none); `rest_until` ends a hold; `joined` says that a seed's redirect brought the host into scope;
    `reach` is for crawls of several shards; `heard` says that it has ever answered, `down_for` how many seconds it has
    been away (0: it is not).
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
    """A cookie as it is kept, until a time on the clock of whoever has it (None: as long as the crawl lasts)."""

    path: str
    name: str
    value: str
    until: float | None = None


class CookieNote(Message, frozen=True):
    """All the cookies of one home, oldest first; none where all are gone. See crawler/core/hosts/cookies.py."""

    home: str
    cookies: tuple[Cookie, ...]


class SetCookie(Message, frozen=True):
    """A cookie that an answer sets, for so many seconds (None: as long as the crawl lasts; 0 or less: take it back)."""

    home: str
    path: str
    name: str
    value: str
    lasts: float | None = None


class Budget(Message, frozen=True, tag="Budget"):
    """What must be remembered of one pattern of the URLs of a host, or of the whole host, so that a kill does not renew
    its budget: how many `pages` were asked for, and why it was `stopped`, if it was. `evidence` holds the counts behind
    that (see crawler/core/traps/detector.py); `rule` says which part of URLs makes no difference, `texts` are then the
    keys of what was fetched (see crawler/core/traps/sameness.py). Elsewhere `texts` and `words` are fingerprints that
    were seen before. `seen` is of earlier versions."""

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
    """Canonical URLs that entered from outside: the seeds."""

    urls: tuple[str, ...]


class Resumed(Message, frozen=True):
    """What an earlier run of this crawl left.

    `marks` of every URL admitted, 8 bytes each (None: too many); how many links are `owed`, how many of them are seeds
    or what one was redirected to; the first id that is free; how many URLs were asked for at least once, and `size`
    bytes came; the hosts that `joined` the scope; those that owe links `retried`, another attempt; the `outbox`: links
    sent to other shards and not acknowledged; the `cookies`; the hosts of URLs `beyond` the depth limit; the `budgets`
    of domains.
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
    term of this URL in the digest of the crawl; `truncated` is "", "length", "time", "disconnect" or "range" (a 206
    that nobody asked for); `cut` counts links beyond the limit of a page; `seconds` lasts from lease to last byte,
    `first_byte` to the first; `unread` says why nobody could look for links; `fingerprint` are the two marks of its
    text, where they were asked for; `not_followed` counts what else the page has, distinct, by why it is no link;
    `address` is that of the server ("" where nobody knows).
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
    may be `more`. The answer to a `RefillRequest`: where that asked from the beginning, with the `note` and the
    `budgets` of the host, and first of all the links that wait for another attempt."""

    host: str
    links: tuple[Link, ...]
    upto: int
    more: bool
    note: HostNote | None = None
    budgets: tuple[Budget, ...] = ()


class DedupResult(Message, frozen=True):
    """What became of doubtful links: these were `new` and are admitted, so many others were `known`."""

    new: tuple[Link, ...]
    known: int
    known_seeds: int


class HostScanResult(Message, frozen=True):
    """Hosts that owe links, in the order of the frontier; `end`: no others follow. The answer to a `HostScan`."""

    hosts: tuple[str, ...]
    end: bool


class Stop(Message, frozen=True):
    """Somebody asked the crawl to drain: start nothing new, wait for what is in flight."""


class LinksReceived(Message, frozen=True):
    """Links that shard `sender` has found, or passes on."""

    sender: int
    links: tuple[OutboxLink, ...]


class Acknowledged(Message, frozen=True):
    """Links with these numbers are safe in the frontier of another shard."""

    seqs: tuple[int, ...]


class QuotaGranted(Message, frozen=True):
    """So many pages more may be asked for, out of the budget of all shards."""

    pages: int


class HostNoteShared(Message, frozen=True):
    """Another shard has learnt something of a host: that it joins the scope, is spread or gathered."""

    note: HostNote


class ShardRestarted(Message, frozen=True):
    """Shard `shard` has begun anew from its frontier: what it has not acknowledged must be sent again."""

    shard: int


class SeedsSettled(Message, frozen=True):
    """No shard owes a seed any more."""


ShardEvent = LinksReceived | Acknowledged | QuotaGranted | HostNoteShared | ShardRestarted | SeedsSettled
Event = Discovered | Resumed | Fetched | Failed | Refill | DedupResult | HostScanResult | Stop | ShardEvent
FetchResult = Fetched | Failed


class Lateness(Message, frozen=True):
    """How late the beats of one worker came: (bucket, count) as in crawler.metrics.histogram, and the longest, in
    seconds."""

    counts: tuple[tuple[int, int], ...]
    longest: float


# ---- actions: what to do ---------------------------------------------------------------------------------------------


class Fetch(Message, frozen=True):
    """An order to fetch one URL once. `extract_links` says whether its links matter, `robots` that it is a robots.txt,
    `without_credentials` that nothing which is meant for its host alone may go with it, `cookie` what goes with it as
    Cookie; a `wait_for_dns` one waits for a slow name, where others come back with `FetchErrorKind.DNS_PENDING`.
    `want_fingerprint`: the text of a page with links must be told from others."""

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
    """The end of a URL, told exactly once. `attempts` = 0 means that it was never asked for; `seed`, that it is a seed
    or what one was redirected to."""

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
    """A host has place for so many of its links after this id; asked for the `first` time also for what is noted of it
    and for its links that are owed another attempt."""

    host: str
    after: int
    count: int
    first: bool = False


class HostScan(Message, frozen=True):
    """There is place for so many hosts, those that follow `after` first ("": from the beginning)."""

    after: str
    count: int


class ShardOutput(msgspec.Struct):
    """What one of several shards has for the others, beside its Actions.

    Kept in the same transaction: `foreign` links, first in our outbox; the ids of links `transferred`, no longer ours;
    URLs beyond the depth limit that another remembers from now on (`handed`); the numbers that were
    `acknowledged`, out of our outbox. Told once that is safe: what is `received`, (sender, number) each; `notes` for
    all. `wants` pages to ask for, gives them `returned`; `quiet` until something arrives; `seeds_settled`: owes no
    seed; `size` of what is stored, in bytes.
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
        """Is there anything to keep, or to tell once that is safe?"""
        return bool(self.foreign or self.transferred or self.acknowledged or self.received or self.notes)


class Actions(msgspec.Struct):
    """What the hands must do after a step, and until when nothing else will change (`wake_at`, None: an event must
    come).

    `queued` were admitted, `undetermined` are if the frontier does not know them, `settled` ended, `retries` spent an
    attempt and wait for another, `notes` and `budgets` changed. `refill_requests` and `search` ask for what lies in the
    frontier. `beyond` are links in scope that the depth limit turned away. `pauses` began in this step; while the
    network is `away` nothing but a probe goes out now and then. `cookies` changed, so many others were
    `cookies_dropped` over a cap. `ending` is set when the run is over. `mail` is what one of several shards has for the
    others. `not_followed` counts links that were seen and left, less those that are taken after all.
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
        """Count what a page has."""
        for kind, count in counts:
            self.leave(kind, count)
