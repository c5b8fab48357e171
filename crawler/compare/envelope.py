"""A lower bound on the seconds that any crawler needs for a graph, computed from the web alone.

Rules, and why:
- With C slots no crawl ends before all answers have been waited for, C at a time (Brent 1974), nor before the longest
  chain of discoveries: a page cannot be requested before some page that links to it has been read (Graham 1966). The
  chain is found by Dijkstra's algorithm on answer times: each page is reached from its earliest parent.
- Waits that the web imposes are in the chain: robots.txt of a host before its first page, Retry-After before the next
  attempt. A host with a Crawl-delay gets one request at a time, whatever C is, so it is a bound by itself.
- The crawler's own back-off is left out, because it may be close to zero. So this is a lower bound, and the share of it
  that a crawl reaches (bound / seconds) is its efficiency. An upper bound (Brent and Graham's sum of both terms) would
  hold only for a crawl without any of these waits, so none is given.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import NamedTuple

from crawler.testweb.document import AnyWeb
from crawler.testweb.oracle import Expected, least_seconds, split


class EnvelopeStop(NamedTuple):
    """One URL of a chain: seconds of answers over all its attempts, seconds of waits between them, its links."""

    busy: float
    waits: float
    links: tuple[str, ...]


def least(web: AnyWeb, ends: Mapping[str, Expected], slots: int, delay: float = 0.0) -> float:
    """Minimum seconds of a crawl of `ends` with `slots` requests in flight, `delay` seconds between two of a host."""
    stops = {url: stop(web, url, end.attempts) for url, end in ends.items()}
    rests = {host for host in web.names if delay or web.crawl_delay(host)}
    alone = [seconds for host, seconds in least_seconds(web, ends, delay).items() if host in rests] if rests else []
    return max(sum(one.busy for one in stops.values()) / slots, longest_chain(web, stops), *alone)


def stop(web: AnyWeb, url: str, attempts: int) -> EnvelopeStop:
    """The cost of a URL that is fetched `attempts` times."""
    host, path = split(url)
    answers = [web.document(host, path, attempt) for attempt in range(1, attempts + 1)]
    busy, waits = sum(answer.delay for answer in answers), sum(answer.retry_after or 0 for answer in answers[:-1])
    links = tuple(filter(None, (*answers[-1].links, answers[-1].target))) if answers else ()
    return EnvelopeStop(busy, waits, links)


def longest_chain(web: AnyWeb, stops: Mapping[str, EnvelopeStop]) -> float:
    """Seconds until the last page is fetched with unlimited slots, limited only by discovery."""
    found_at = dict.fromkeys(web.seeds, 0.0)
    queue = [(0.0, url) for url in found_at]
    rules_at: dict[str, float] = {}
    last = 0.0
    while queue:
        at, url = heapq.heappop(queue)
        if at > found_at[url]:
            continue  # reached earlier by another path
        host, _ = split(url)
        if host not in rules_at:
            rules_at[host] = at + _rules(web, host)
        one = stops[url]
        if one.busy or one.links:
            at = max(at, rules_at[host]) + one.busy + one.waits
            last = max(last, at)
        for link in one.links:
            if link in stops and at < found_at.get(link, float("inf")):
                found_at[link] = at
                heapq.heappush(queue, (at, link))
    return last


def _rules(web: AnyWeb, host: str) -> float:
    """Seconds until a host's robots.txt is known, redirects included; one request where it is never available."""
    page = web.document(host, "/robots.txt")
    seconds = page.delay
    while page.target:
        page = web.document(*split(page.target))
        seconds += page.delay
    return seconds
