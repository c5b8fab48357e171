"""Why a URL, a fetch, a run, or the reading of a page ended: closed enumerations, whose values are contracts.

Every URL of a crawl ends with exactly one `Reason`. The values stand in JSON, in frontiers and in the configuration.
"""

from __future__ import annotations

from enum import StrEnum


class FetchErrorKind(StrEnum):
    """Why a fetch brought no response. `DNS_PENDING`: the DNS lookup is slow, and nothing has been requested yet."""

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
    """Why a page was stored and its links not read: parsing takes too much time (`CPU_LIMIT`) or memory (`MEMORY`), or
    killed the process that reads it, twice (`LOST`).

    The others are about sitemaps. It is not well-formed (`MALFORMED`) or larger than the protocol allows (`TOO_LARGE`):
    what comes before that is read. It has a DTD (`DTD`); it is an index that an index lists (`NESTED`); its host has
    more than `max_sitemaps` (`TOO_MANY`).
    """

    CPU_LIMIT = "effort"
    MEMORY = "memory"
    LOST = "lost"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    DTD = "dtd"
    NESTED = "nested"
    TOO_MANY = "too_many"


class NotFollowed(StrEnum):
    """Why links that a page has are no URLs of the crawl. A closed list: summaries and scripts rely on it.

    rel=nofollow, or the whole page is (`NOFOLLOW`); another host (`OUT_OF_SCOPE`), one that differs from a host of ours
    in nothing but its scheme or "www." (`OUT_OF_SCOPE_BY_SCHEME`); a path that `include` and `exclude` leave out; a
    scheme that is not http (mailto, javascript, data); no URL; beyond `max_url_length` or `max_links`; of a relation
    that `follow_rel` does not name. Two kinds count pages, because their links are not read: `ERROR_PAGE`, HTML with
    another status than 2xx; `NOT_HTML`, a body that begins like HTML under another Content-Type.
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
    SITEMAP_FOREIGN = "sitemap_foreign"
    NO_SITEMAP = "no_sitemap"


PARTLY_READ = frozenset({ParseSkipped.MALFORMED, ParseSkipped.TOO_LARGE})
"""The links that come before what ends the reading are taken."""


class Reason(StrEnum):
    """How a URL was settled. A closed list: reports, exports and scripts rely on it."""

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
    """Why a run is over, and how a crawl ended. A run ends as `COMPLETE` (nothing is owed), `LIMIT` or `STOPPED`;
    crawler/core/endings.py decides how a crawl ended that owes nothing."""

    COMPLETE = "complete"
    LIMIT = "limit"
    STOPPED = "stopped"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class Pause(StrEnum):
    """Why a crawl held back unasked although there was something to fetch.

    The network was away (`OUTAGE`); this process had no descriptor or the like left for a fetch, so fewer go out at
    once (`STARVED`); the disk was full, or nearly (`DISK`); another process had locked the frontier's file (`LOCKED`);
    memory was short, so fewer fetches were in flight (`MEMORY`); a user paused it (`USER`); the database or the
    object store did not answer (`SERVER`).
    """

    OUTAGE = "outage"
    STARVED = "starved"
    DISK = "disk"
    LOCKED = "locked"
    MEMORY = "memory"
    USER = "user"
    SERVER = "server"


NO_MEMORY = "out of memory"
"""How the detail of a `Failed` begins whose kind is RESOURCE_EXHAUSTED because memory ran out."""
