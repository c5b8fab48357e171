"""The parameters of a profile: every number of the webs `lab`, `real` and `hostile`, each with its source.

`real` has the numbers of published measurements. Where the source says "choice" there is no measurement, and the value
is chosen so that a crawler meets the case. `lab` removes all variation, for experiments with models. `hostile` makes
the tails three times as heavy, lets one answer in ten fail and adds traps.

- Shares are between 0 and 1; sizes in bytes, before coding; times in seconds.
- The status 304 of the sources' mix is left out: this crawler sends no conditional requests.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta, structs

_COMMON_CRAWL = "Common Crawl 2026-21, fetcher counters"


def _from(source: str, low: int = 0, high: int | None = None) -> Meta:
    return Meta(description=source, ge=low, le=high)


def _share(source: str) -> Meta:
    return _from(source, 0, 1)


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web `real`."""

    hosts: Annotated[int, _from("scale: 2,000 pages / 200 hosts, 20,000 / 2,000 or 200,000 / 20,000", 1, 64_000)] = 200
    pages: Annotated[int, _from("scale; about 10 a host follow from the power law", 1)] = 2_000
    latency_scale: Annotated[float, _from("scale of every time below, for hurried tests")] = 1.0
    size_scale: Annotated[float, _from("scale of every page size below, for hurried tests")] = 1.0

    size_exponent: Annotated[float, _from("Huberman & Adamic 1999: p(n) ~ n^-b, b 1.7 to 1.9; 0: all alike")] = 1.8
    largest_host: Annotated[int, _from("cut of the power law, as 2,000 of 20,000 pages", 1)] = 2_000

    links: Annotated[int, _from("HTTP Archive 2024: median 41 internal + 6 external; median of hosts", 1, 1000)] = 47
    links_sigma: Annotated[float, _from("BUbiNG: lognormal between hosts, sigma 0.5, capped at 3 x")] = 0.5
    links_shape: Annotated[int, _from("choice: negative binomial between pages of a host; 0: all alike")] = 4
    external: Annotated[float, _share("HTTP Archive 2024: 6 of 47; BUbiNG 1 in 10")] = 0.12
    to_home: Annotated[float, _share("choice: external links that mean a root; hosts by Zipf s = 1")] = 0.6
    navigation: Annotated[int, _from("choice: links that all pages of a host share")] = 20
    odd_spellings: Annotated[float, _share("choice: hrefs that are not canonical")] = 0.03

    size: Annotated[int, _from("Web Almanac 2024: wire median 32 kB, x 2.7 decoded; Common Crawl mean 185 kB")] = 86_400
    size_sigma: Annotated[float, _from("Web Almanac 2024, fit to p10 to p90")] = 1.25
    least_size: Annotated[int, _from("0.5 kB on the wire, x 2.7")] = 1_350
    most_size: Annotated[int, _from("2 MB on the wire, x 2.7")] = 5_400_000
    gzip: Annotated[float, _share("Web Almanac 2024, markup")] = 0.52
    br: Annotated[float, _share("Web Almanac 2024, markup")] = 0.37
    duplicates: Annotated[float, _share("choice; Fetterly et al. 2003: 22 % virtually identical")] = 0.10
    near_duplicates: Annotated[float, _share("Fetterly et al. 2003: 29 % near; hostile only")] = 0.0
    not_html: Annotated[float, _share("choice; Common Crawl stores > 99 % HTML")] = 0.04

    latency: Annotated[float, _from("CrUX TTFB 2025 median 0.73 s, without the last mile: assumption; of hosts")] = 0.2
    latency_sigma: Annotated[float, _from("CrUX TTFB 2025, desktop, between origins")] = 0.77
    latency_spread: Annotated[float, _from("choice: lognormal between the pages of a host")] = 0.45
    late: Annotated[float, _share("choice: answers from a Pareto tail, a = 1.5")] = 0.01
    late_from: Annotated[float, _from("choice: where that tail begins")] = 1.0
    late_most: Annotated[float, _from("choice: where it is cut")] = 10.0

    moved: Annotated[float, _share(f"{_COMMON_CRAWL}: 301 and 308")] = 0.057
    elsewhere: Annotated[float, _share(f"{_COMMON_CRAWL}: 302 and 307")] = 0.027
    missing: Annotated[float, _share(f"{_COMMON_CRAWL}: 404")] = 0.049
    gone: Annotated[float, _share(f"{_COMMON_CRAWL}: 410")] = 0.002
    forbidden: Annotated[float, _share(f"{_COMMON_CRAWL}: 403")] = 0.0005
    two_hops: Annotated[float, _share("choice: redirect chains of two")] = 0.12
    more_hops: Annotated[float, _share("choice: of three to five")] = 0.025
    loops: Annotated[float, _share("choice: that end where they began")] = 0.005

    errors: Annotated[float, _share(f"{_COMMON_CRAWL}: 2.2 % exceptions, of which 0.3 % are refusing hosts")] = 0.019
    error_500: Annotated[int, _from("choice: parts of the errors")] = 6
    error_503: Annotated[int, _from("choice: parts of the errors; with Retry-After")] = 3
    error_429: Annotated[int, _from("choice: parts of the errors; with Retry-After")] = 2
    resets: Annotated[int, _from("choice: parts of the errors; connection reset before the answer")] = 2
    truncations: Annotated[int, _from("choice: parts of the errors; half a body")] = 1
    drips: Annotated[int, _from("choice: parts of the errors; the body takes its time, but comes")] = 2
    hangs: Annotated[int, _from("choice: parts of the errors; no answer until the client gives up")] = 3
    stalls: Annotated[int, _from("choice: parts of the errors; one byte a second; hostile only")] = 0
    healed_second: Annotated[float, _share("choice: broken URLs that answer the second attempt")] = 0.6
    healed_third: Annotated[float, _share("choice: that answer the third; the rest never")] = 0.3
    drip: Annotated[float, _from("choice: how long such a body takes")] = 4.0
    retry_after: Annotated[float, _from("choice; whole seconds, rounded after scaling")] = 1.0
    sick: Annotated[float, _share("choice; Common Crawl skips 12 % of URLs after their hosts' exceptions")] = 0.02
    sick_errors: Annotated[float, _share("choice: share of a sick host's pages; about half of all errors")] = 0.6

    robots_missing: Annotated[float, _share("Web Almanac 2024: robots.txt answers 404")] = 0.141
    robots_forbidden: Annotated[float, _share("Web Almanac 2024: 403")] = 0.002
    robots_failing: Annotated[float, _share("Web Almanac 2024: 5xx")] = 0.002
    robots_silent: Annotated[float, _share("Web Almanac 2024: no answer; half hang, half refuse connections")] = 0.016
    disallowed: Annotated[float, _share("Common Crawl: 338 M of 3,562 M candidates denied by robots.txt")] = 0.095
    crawl_delays: Annotated[float, _share("recalled, not measured; among the smaller hosts")] = 0.03
    crawl_delay: Annotated[float, _from("choice")] = 5.0

    requests_per_connection: Annotated[int, _from("choice; nginx once had 100; 0: any number")] = 100
    closing: Annotated[float, _share("choice: answers with Connection: close")] = 0.10
    traps: Annotated[float, _share("choice: hosts with traps behind Disallow; hostile only")] = 0.0

    def scaled(self, **changes: Any) -> Parameters:
        """A copy with some values changed. Raises msgspec.ValidationError for an unknown or invalid one."""
        return msgspec.convert({**structs.asdict(self), **changes}, Parameters, strict=False)


SOURCES: dict[str, str] = {
    name: next(str(meta.description) for meta in get_args(hint)[1:])
    for name, hint in get_type_hints(Parameters, include_extras=True).items()
}
"""The source of each number."""

REAL = Parameters()
HOSTILE = REAL.scaled(
    size_sigma=1.6,
    latency_spread=0.9,
    late=0.03,
    late_from=3.0,
    late_most=30.0,
    odd_spellings=0.09,
    near_duplicates=0.20,
    missing=0.10,
    two_hops=0.30,
    more_hops=0.10,
    loops=0.05,
    errors=0.10,
    stalls=2,
    sick=0.06,
    robots_forbidden=0.006,
    robots_failing=0.006,
    robots_silent=0.048,
    disallowed=0.20,
    crawl_delays=0.09,
    requests_per_connection=30,
    closing=0.30,
    traps=0.01,
)
LAB = Parameters(
    size_exponent=0.0,
    links_sigma=0.0,
    links_shape=0,
    odd_spellings=0.0,
    size=32_768,
    size_sigma=0.0,
    gzip=0.0,
    br=0.0,
    duplicates=0.0,
    not_html=0.0,
    latency=0.05,
    latency_sigma=0.0,
    latency_spread=0.0,
    late=0.0,
    moved=0.0,
    elsewhere=0.0,
    missing=0.0,
    gone=0.0,
    forbidden=0.0,
    errors=0.0,
    sick=0.0,
    robots_missing=1.0,
    robots_forbidden=0.0,
    robots_failing=0.0,
    robots_silent=0.0,
    disallowed=0.0,
    crawl_delays=0.0,
    requests_per_connection=0,
    closing=0.0,
)
PROFILES = {"lab": LAB, "real": REAL, "hostile": HOSTILE}
