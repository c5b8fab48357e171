"""Messages that a frontier stores: what must survive the process.

Rules:
- Those that are stored as JSON have a pinned tag, and new fields have defaults: files of earlier versions are read.
- The order of their fields is what lies on disk. It never changes.
"""

from __future__ import annotations

from enum import IntEnum

from crawler.core.messages.message import Message


class Link(Message, frozen=True, tag="Link"):
    """A URL that the crawl has admitted and not settled yet.

    `attempts` counts the fetches that were spent on it, `status` is what the last of them answered (0: no response).
    Before the first one a negative `status` means that only repeated pages named it, see `doubt`. `lost` counts the
    leases in a row that expired without an answer, `via` holds the redirects that led here, oldest first, and before
    them what named a sitemap (crawler/core/urls/sitemap_steps.py).
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
