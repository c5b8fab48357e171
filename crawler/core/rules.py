"""The settings on which decisions depend: everything that the Crawl and the reading of a page may use.

`crawler.settings.Settings` extends `Rules` by what engines, clients and stores need, so each key exists once. Durations
are in seconds, sizes in bytes; None means "no limit". The sources of the defaults are in config/default.toml.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

YEAR = 366 * 86_400
Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0, le=YEAR)]


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scope, politeness, retries and limits. Every field is a key of the configuration."""

    # politeness
    user_agent: Annotated[str, Meta(min_length=1, max_length=500)] = "crawler/0.1 (a polite crawler; contact unset)"
    delay: Seconds = 1.0
    per_host: AtLeastOne = 1
    per_address: bool | None = None
    robots: bool = True
    crawl_delay_cap: Seconds = 300.0
    retry_after_cap: Seconds = 21_600.0
    max_hold: Seconds = 21_600.0
    obey_nofollow: bool = True
    obey_noindex: bool = False
    cookies: bool = False

    # robots.txt
    robots_ttl: Seconds = 86_400.0
    robots_backoff: Seconds = 1.0
    robots_redirects: Count = 5
    robots_size: AtLeastOne = 512_000

    # sitemaps
    sitemaps: bool = False
    sitemap: tuple[str, ...] = ()
    max_sitemaps: AtLeastOne = 1000

    # retries and resting hosts
    attempts: Annotated[int, Meta(ge=1, le=30)] = 3
    backoff: Seconds = 5.0
    backoff_cap: Seconds = 60.0
    host_patience: Seconds = 7200.0
    breaker_failures: AtLeastOne = 20
    breaker_rest: Seconds = 1.0
    lost_limit: AtLeastOne = 3
    outage_wait: Seconds = 300.0
    lookup_rest: Seconds = 10.0

    # scope and budgets
    scope: Literal["site", "host", "domain", "any"] = "site"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_depth: Count | None = None
    max_pages: AtLeastOne | None = None
    max_bytes: AtLeastOne | None = None
    max_redirects: Count = 10
    max_url_length: AtLeastOne = 2083
    max_links: AtLeastOne = 5000
    follow_rel: tuple[Literal["next", "prev", "alternate", "canonical"], ...] = ()
    follow_errors: bool = False

    # endless sites
    respell: bool = True
    max_path_segments: AtLeastOne = 20
    max_path_repeats: AtLeastOne = 2
    max_query_keys: AtLeastOne = 20
    merge_same_pages: bool = True
    pattern_pages: Annotated[int, Meta(ge=400)] = 1000  # fewer prove nothing
    max_host_pages: AtLeastOne = 100_000
    max_domain_pages: AtLeastOne = 1_000_000

    # time
    lease: Seconds = 75.0
    grace: Seconds = 6.0

    @property
    def shares_addresses(self) -> bool:
        """Whether the hosts of one address share its rest: `per_address` where it is set, else where hosts may be
        many."""
        return self.scope in ("domain", "any") if self.per_address is None else self.per_address

    @property
    def shared_by(self) -> int:
        """How many shards may ask one host at once. One, where cookies are kept: a jar is in one process."""
        return 1 if self.cookies else self.per_host
