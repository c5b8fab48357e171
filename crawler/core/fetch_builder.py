"""Builds the `Fetch` of a lease.

Rules:
- Links of a page are read also at the depth limit, where they are counted. Those of a robots.txt are not.
- A fetch goes `without_credentials` where redirects led away from its host and back: logins and cookies, which are
  meant for this host alone, were dropped on the way, and another site chose the target. The same goes for a robots.txt
  that the host asked about only redirects to. Cookies never go with a robots.txt.
"""

from __future__ import annotations

from crawler.core.hosts.cookies import Jar
from crawler.core.hosts.host import Host
from crawler.core.messages import Fetch, Link
from crawler.core.rules import Rules
from crawler.core.urls.canonical import host_of
from crawler.core.urls.sitemap_steps import SitemapNamer


class FetchBuilder:
    """Builds the fetches of pages, with the cookies that are in its `jar`."""

    def __init__(self, jar: Jar, rules: Rules) -> None:
        self._jar = jar
        self._namer = SitemapNamer(rules) if rules.sitemaps or rules.sitemap else None

    def page(self, lease: int, link: Link, now: float, *, wait_for_dns: bool = False) -> Fetch:
        """The fetch of a link."""
        bare = bool(link.via) and _strayed(link.via, host_of(link.url))
        cookie = "" if bare else self._jar.header(link.url, now)
        attempt = link.attempts + 1
        return Fetch(
            lease,
            link.url,
            attempt,
            without_credentials=bare,
            cookie=cookie,
            wait_for_dns=wait_for_dns,
            want_fingerprint=True,
            naming=self._namer.naming(link) if self._namer is not None else None,
        )


def carried_order(lease: int, link: Link) -> Fetch:
    """The order to read a page that is carried over."""
    return Fetch(lease, link.url, want_fingerprint=True, carried=True)


def robots_order(lease: int, host: Host) -> Fetch:
    """The fetch of the robots.txt of a host, or of what that redirects to."""
    url = host.robots_url
    bare = url != f"{host.name}/robots.txt"
    return Fetch(
        lease, url, extract_links=False, robots=True, without_credentials=bare, wait_for_dns=host.waits_for_dns
    )


def _strayed(via: tuple[str, ...], host: str) -> bool:
    """Whether redirects have left this host; the caller knows that they came back."""
    hosts = [host_of(step) for step in via]
    return host in hosts and any(other != host for other in hosts[hosts.index(host) :])
