"""Computes what a crawl must find, without a network and without any part of the crawler that it judges.

It follows the links as the web generated them, not as a parser reads them. Its rules are those of a crawl with default
settings and every host in scope:
- 429, 500, 502, 503, 504, a broken connection, a timeout and a truncated body are retried, up to `attempts` attempts
  in all;
- a redirect ends a URL (`redirect`), its target is a new link; a target already on the redirect chain is a loop;
- sitemaps are followed where they are named to it: what they list is in the links of their documents;
- robots.txt forbids: `robots`; it is never available: `robots_unavailable`; neither is fetched;
- a page's links count only if it answered 200, or with a redirect without a usable target: then its body is a page.

In no web does a host fail so often in a row that it would be given up, because that would depend on order. No URL ends
with an incomplete body, because the length stored would depend on time. Only the traps, which robots.txt forbids, have
such bodies; they have no digest here.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

import msgspec
from xxhash import xxh3_128_digest

from crawler.core.reasons import Reason
from crawler.testweb.document import AnyWeb, Document

ROBOTS_ASKS = 3
_AGAIN = frozenset({429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SILENT = {"reset": Reason.DISCONNECT, "hang": Reason.TIMEOUT, "flood": Reason.PROTOCOL, "refused": Reason.CONNECT}
MAX_BODY = 10 * 1024 * 1024


class Expected(msgspec.Struct, frozen=True):
    """How one URL must end. `digest` is its 16-byte term in the digest of the crawl, empty without an answer."""

    reason: Reason
    status: int = 0
    attempts: int = 0
    digest: bytes = b""
    size: int = 0
    html: bool = False

    @property
    def stored(self) -> bool:
        """Whether its page is stored: a 2xx answer, or the body of a redirect without a usable target."""
        return 200 <= self.status <= 299 or self.size > 0


def split(url: str) -> tuple[str, str]:
    """Host and path (with query) of a URL of this web, which must be canonical and without a port."""
    host, _, path = url.partition("://")[2].partition("/")
    return host, "/" + path


def expected(
    web: AnyWeb, attempts: int = 3, *, robots: bool = True, sitemaps: Iterable[str] = ()
) -> dict[str, Expected]:
    """Every URL that a complete crawl settles, in breadth-first order; `sitemaps` are those that robots.txt files name,
    of a crawl that follows them.

    `robots` False: of a crawl that ignores robots.txt; only for profile webs, and for hosts that answer.
    """
    ends: dict[str, Expected] = {}
    ways: dict[str, tuple[str, ...]] = dict.fromkeys((*web.seeds, *sitemaps), ())
    queue = deque(ways)
    while queue:
        url = queue.popleft()
        ends[url], found, way = _visit(web, url, ways[url], attempts, robots)
        for link in found:
            if link not in ways:
                ways[link] = way
                queue.append(link)
    return ends


def crawl_digest(ends: Mapping[str, Expected]) -> str:
    """The digest of the whole crawl: the sum of all terms modulo 2^128, in hex."""
    return f"{sum(int.from_bytes(end.digest, 'big') for end in ends.values()) % 2**128:032x}"


def least_seconds(web: AnyWeb, ends: Mapping[str, Expected], delay: float) -> dict[str, float]:
    """Per host, the minimum seconds of a crawl that fetches one page at a time and rests `delay` seconds between two.

    It counts answers, rests and Retry-After, robots.txt included, but not the crawler's own back-off: a lower bound.
    """
    rest = {host: max(delay, web.crawl_delay(host)) for host in web.names}
    asked: dict[str, list[Document]] = defaultdict(list)
    for host in web.names:
        asked[host] += _robots(web, host)
    for url, end in ends.items():
        host, path = split(url)
        asked[host] += [web.document(host, path, k) for k in range(1, end.attempts + 1)]
    return {
        host: sum(page.delay + max(rest[host], page.retry_after or 0) for page in pages) - rest[host]
        for host, pages in asked.items()
    }


def _robots(web: AnyWeb, host: str) -> list[Document]:
    if web.closed(host):
        return [web.document(host, "/robots.txt", k + 1) for k in range(ROBOTS_ASKS)]  # a timeout counts as 0 s
    pages = [web.document(host, "/robots.txt")]
    while pages[-1].target:
        pages.append(web.document(*split(pages[-1].target)))
    return pages


def _visit(
    web: AnyWeb, url: str, way: tuple[str, ...], attempts: int, robots: bool
) -> tuple[Expected, tuple[str, ...], tuple[str, ...]]:
    """How a URL ends, the links found there, and the redirect chain that leads to them."""
    host, path = split(url)
    if robots and web.closed(host):
        return Expected(Reason.ROBOTS_UNAVAILABLE), (), ()
    if robots and not web.allowed(host, path):
        return Expected(Reason.ROBOTS), (), ()
    attempt, page = 1, web.document(host, path, 1)
    while attempt < attempts and page.fault != "flood" and (page.fault or page.status in _AGAIN):
        attempt += 1
        page = web.document(host, path, attempt)
    if page.fault in _SILENT:
        return Expected(_SILENT[page.fault], attempts=attempt), (), ()
    reason = _reason(page, (*way, url))
    if page.fault:
        return Expected(reason, page.status, attempt), (), ()
    shown = 200 <= page.status < 300 or (page.status in _REDIRECTS and not page.target)
    body = page.body[:MAX_BODY] if shown else b""
    end = Expected(
        reason=reason,
        status=page.status,
        attempts=attempt,
        digest=xxh3_128_digest(b"%b\0%d\0%b" % (url.encode(), page.status, body)),
        size=len(body),
        html=bool(body) and page.status == 200 and page.content_type.startswith("text/html"),
    )
    if reason is Reason.REDIRECT:
        return end, (page.target,), (*way, url)
    return end, page.links, ()


def _reason(page: Document, way: tuple[str, ...]) -> Reason:
    if page.status in _REDIRECTS:
        if not page.target:
            return Reason.REDIRECT_INVALID
        return Reason.REDIRECT_LOOP if page.target in way else Reason.REDIRECT
    return {2: Reason.OK, 4: Reason.CLIENT_ERROR, 5: Reason.SERVER_ERROR}[page.status // 100]
