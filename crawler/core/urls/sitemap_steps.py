"""Where the URL of a sitemap comes from, as steps of `Link.via`.

Rules:
- robots.txt may name sitemaps on any host (https://www.sitemaps.org/protocol.html, "Cross Submits"). A link that it
  names has the URL of that robots.txt in its `via`, with the mark NAMED.
- A link that a sitemap index lists has what named the index in its `via`, then the URL of the index, with the mark
  LISTED.
- A mark is a fragment. No canonical URL has one, so these steps are told from redirects, which `via` holds too.
- So the origin of a sitemap is stored with its link, and goes with it through redirects, to other shards and through a
  kill.
- A URL is admitted once, so the first that names a sitemap counts. Where several hosts name one, which of them may have
  their URLs in it depends on the order of fetches; its own host always may.
- What is named in this way is admitted whatever its host; where it redirects to must be in scope, as for any redirect.
  Only the robots.txt of hosts in scope name sitemaps, and not more than ELSEWHERE on other hosts: it is strangers that
  would be asked. There is no include, exclude or filter for a sitemap: these are
  for pages.
"""

from __future__ import annotations

from collections.abc import Iterable

from crawler.core.messages import Link, SitemapKind, SitemapNaming
from crawler.core.reasons import NotFollowed
from crawler.core.rules import Rules
from crawler.core.urls.canonical import host_of, resolve
from crawler.core.urls.normalization import normalizer
from crawler.core.urls.scope import bare_host

NAMED = "#sitemap"
LISTED = "#index"
ELSEWHERE = 20
DEPTH = 1
"""The depth of a sitemap that robots.txt names, and the least one of what any sitemap lists."""


def address(step: str) -> str:
    """The canonical URL of a step."""
    return step.partition("#")[0]


def is_sitemap(via: tuple[str, ...]) -> bool:
    """Whether a link with this `via` was named as a sitemap, or what that redirects to."""
    return any("#" in step for step in via)


def is_named(via: tuple[str, ...]) -> bool:
    """Whether a link with this `via` was named as a sitemap itself, and is not what one redirects to."""
    return bool(via) and "#" in via[-1]


def redirects_in(via: tuple[str, ...]) -> int:
    """How many steps are redirects."""
    return sum("#" not in step for step in via)


def named_by(host: str, values: Iterable[str], rules: Rules) -> tuple[list[str], dict[NotFollowed, int]]:
    """The URLs of the sitemaps that the robots.txt of a host names by these `values`, and the others, counted by why
    they are not asked for."""
    spell, ours, elsewhere = normalizer(rules), bare_host(host), 0
    found: dict[str, None] = {}
    left: dict[NotFollowed, int] = {}
    for value in values:
        url = spell(resolve(f"{host}/robots.txt", value) or "")
        other = url != "" and bare_host(host_of(url)) != ours
        if not url:
            why = NotFollowed.INVALID
        elif len(url) > rules.max_url_length:
            why = NotFollowed.TOO_LONG
        elif url not in found and (len(found) >= rules.max_sitemaps or (other and elsewhere >= ELSEWHERE)):
            why = NotFollowed.TOO_MANY
        else:
            elsewhere += other and url not in found
            found[url] = None
            continue
        left[why] = left.get(why, 0) + 1
    return list(found), left


def via_robots(host: str) -> tuple[str, ...]:
    """The `via` of a sitemap that the robots.txt of a host names."""
    return (f"{host}/robots.txt{NAMED}",)


def via_sitemap(link: Link, kind: SitemapKind) -> tuple[str, ...]:
    """The `via` of what a sitemap lists: nothing for pages, which are links like any other."""
    if kind is SitemapKind.PAGES:
        return ()
    return (*(step for step in link.via if "#" in step), link.url + LISTED)


class SitemapNamer:
    """Tells what named a link as a sitemap, by the `rules`."""

    def __init__(self, rules: Rules) -> None:
        self._trusted = frozenset(rules.sitemap)

    def naming(self, link: Link) -> SitemapNaming | None:
        """What named a link as a sitemap, None where nothing did."""
        if not link.via and link.url not in self._trusted:
            return None
        hosts = tuple(host_of(step) for step in link.via if step.endswith(NAMED))
        trusted = any(address(step) in self._trusted for step in (link.url, *link.via))
        by_index = any(step.endswith(LISTED) for step in link.via)
        return SitemapNaming(hosts, trusted, by_index) if hosts or trusted or by_index else None
