"""The demonstration web with sitemaps: what its robots.txt files name, and pages that nothing else names.

- Hosts take turns: one sitemap; one as a gzip file; an index of both. Each lists some ordinary pages, a page that
  robots.txt may forbid, one of another host (which it may not list), and ORPHANS: pages to which no page links.
- The second host has a sitemap on the first one too, which no other robots.txt names: so what it lists there is found
  only where sitemaps of another host are read for the host that names them.
- The third host has a sitemap that breaks off after its first URL, an orphan.
- Hosts without a robots.txt of their own name none. Everything else is as in `Web`: a crawl that ignores sitemaps must
  find the same in both.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from html import escape

from msgspec.structs import replace

from crawler.testweb.document import Anchor, AnyWeb, Document
from crawler.testweb.draw import SeededRandom
from crawler.testweb.hosts import Part
from crawler.testweb.markup import followed, html, title_of
from crawler.testweb.prose import paragraphs
from crawler.testweb.web import Web

ORPHANS = 3
LISTED = 8
_WITHOUT = (Part.CLOSED, Part.BARE, Part.GARBAGE)
_XML, _GZIP = "application/xml", "application/gzip"
_SPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
_BROKEN = f'<urlset xmlns="{_SPACE}"><url><loc>http://%s</loc></url><url></urlset>'


class SitemapWeb(Web):
    """A `Web` with sitemaps: `sitemaps` are the URLs of those that robots.txt files name."""

    def __init__(self, seed: int = 1, hosts: int = 40, pages: int = 2000) -> None:
        super().__init__(seed, hosts, pages)
        self._planted: dict[tuple[str, str], Document] = {}
        self._named: dict[str, list[str]] = {}
        for turn, name in enumerate(self.names):
            if self.hosts[name].part not in _WITHOUT:
                self._plant(name, turn % 3)
        first, second, third = self.names[:3]
        self._list(second, f"http://{first}/of-another-host.xml", self._orphans(second, "elsewhere"), third)
        path = "/broken.xml"
        (orphan,) = self._orphans(third, "broken", 1)
        body = (_BROKEN % f"{third}{orphan}").encode()
        self._planted[third, path] = Document(content_type=_XML, body=body, links=(f"http://{third}{orphan}",))
        self._named[third].append(f"http://{third}{path}")

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """The URLs of the sitemaps that robots.txt files name, each once."""
        return tuple(dict.fromkeys(url for urls in self._named.values() for url in urls))

    def document(self, host: str, path: str, attempt: int = 1) -> Document:
        """The document of a URL. Raises KeyError for an unknown host."""
        found = super().document(host, path, attempt)
        if (planted := self._planted.get((host, path))) is not None:
            return replace(planted, delay=found.delay)
        if host in self._named and found.status == 200 and self.is_robots(host, path):
            lines = "".join(f"Sitemap: {url}\n" for url in self._named[host])
            return replace(found, body=found.body + lines.encode())
        return found

    def _plant(self, name: str, turn: int) -> None:
        """The sitemaps and the orphans of one host."""
        site, other = self.hosts[name].site, self.names[self.names.index(name) - 1]
        pages = [site.path(k) for k in range(min(site.size, LISTED))]
        orphans = self._orphans(name, "orphan")
        root = f"http://{name}/sitemap"
        if turn == 0:
            self._list(name, f"{root}.xml", [*pages, *orphans, "/private/listed.html", pages[0]], other)
        elif turn == 1:
            self._list(name, f"{root}.xml.gz", [*pages, *orphans], other)
        else:
            parts = f"{root}-pages.xml", f"{root}-orphans.xml.gz"
            self._list(name, parts[0], pages, other)
            self._list(name, parts[1], orphans, other)
            self._planted[name, "/sitemap.xml"] = _sitemap(parts, parts, index=True)
            self._named[name] = [f"{root}.xml"]

    def _list(self, name: str, url: str, paths: Iterable[str], other: str) -> None:
        """Plant a sitemap at `url` that the robots.txt of a host names, with paths of that host and the root of
        another."""
        links = [f"http://{name}{path}" for path in paths]
        host, _, path = url.removeprefix("http://").partition("/")
        self._planted[host, f"/{path}"] = _sitemap([*links, f"http://{other}/"], links, packed=url.endswith(".gz"))
        self._named.setdefault(name, []).append(url)

    def _orphans(self, name: str, word: str, count: int = ORPHANS) -> list[str]:
        """Plant pages to which no page links; returns their paths."""
        paths = [f"/{word}-{number}.html" for number in range(count)]
        for path in paths:
            start = SeededRandom(self.seed, name, path).below(1000)
            anchors = [Anchor("/", f"http://{name}/")]
            body = html(title_of(name, path), anchors, paragraphs("en", 3_000, start)).encode()
            self._planted[name, path] = Document(body=body, links=followed(anchors))
        return paths


def sitemaps_of(web: AnyWeb) -> tuple[str, ...]:
    """The sitemaps that the robots.txt files of a web name; only a SitemapWeb has any."""
    return web.sitemaps if isinstance(web, SitemapWeb) else ()


def _sitemap(urls: Iterable[str], links: Iterable[str], *, index: bool = False, packed: bool = False) -> Document:
    """A sitemap that has these URLs; `links` are those that a crawl follows."""
    root, entry = ("sitemapindex", "sitemap") if index else ("urlset", "url")
    lines = "".join(f"<{entry}><loc>{escape(url)}</loc><lastmod>2026-11-30</lastmod></{entry}>\n" for url in urls)
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{_SPACE}">\n{lines}</{root}>\n'.encode()
    return Document(
        content_type=_GZIP if packed else _XML,
        body=gzip.compress(body, mtime=0) if packed else body,
        coding="" if packed else "gzip",
        links=tuple(dict.fromkeys(links)),
    )
