"""What a sitemap adds to a crawl: the URLs that it lists, resolved and counted as links of a page are.

Rules:
- A sitemap may list URLs of its own host, of hosts whose robots.txt names it, and of any host where the user named it
  (https://www.sitemaps.org/protocol.html). A host that differs only by its scheme or "www." counts as its own: many
  sites list the one and serve the other. Any other URL is counted (`sitemap_foreign`). A sitemap may list URLs outside
  of its own folder: the protocol exempts what robots.txt names.
- An index lists sitemaps, not indexes: an index that is listed by one is left unread.
- The sitemaps of an index are not subject to include and exclude: these are for pages.
"""

from __future__ import annotations

from crawler.core.messages import SitemapKind, SitemapNaming
from crawler.core.page.outlinks import Found, Left
from crawler.core.page.sitemap import SitemapReader
from crawler.core.reasons import NotFollowed, ParseSkipped
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Refused, Resolver, host_of
from crawler.core.urls.normalization import normalizer
from crawler.core.urls.scope import bare_host

BY_ANYONE = SitemapNaming()


def listed_in(
    body: bytes, kind: SitemapKind, url: str, rules: Rules, resolver: Resolver, naming: SitemapNaming | None
) -> tuple[Found, ParseSkipped | None]:
    """The URLs that the sitemap of `url` (canonical) lists, and why it was not read, or not to its end. `naming` is
    what named it."""
    naming = naming or BY_ANYONE
    if kind is SitemapKind.INDEX:
        if naming.by_index:
            return Found((), 0, {}), ParseSkipped.NESTED
        resolver = Resolver(respell=normalizer(rules))
    reader = SitemapReader(body)
    refused: Refused = {}
    links = resolver.resolve_all(url, reader.urls, refused)
    short = [link for link in links if len(link) <= rules.max_url_length]
    ours = short if naming.trusted else _ours(short, (host_of(url), *naming.hosts))
    left: Left = {}
    for why in refused.values():
        left[why] = left.get(why, 0) + 1
    long, foreign = len(links) - len(short), len(short) - len(ours)
    counts = (
        (NotFollowed.TOO_LONG, long),
        (NotFollowed.TOO_MANY, reader.cut),
        (NotFollowed.SITEMAP_FOREIGN, foreign),
    )
    left |= {why: count for why, count in counts if count}
    return Found(tuple(ours), long + reader.cut, left), reader.unread


def _ours(links: list[str], hosts: tuple[str, ...]) -> list[str]:
    """Those of these URLs that a sitemap may list which is named by, or lies on, these hosts."""
    names = {bare_host(host) for host in hosts}
    may: dict[str, bool] = {}
    found = []
    for link in links:
        host = host_of(link)
        if host not in may:
            may[host] = bare_host(host) in names
        if may[host]:
            found.append(link)
    return found
