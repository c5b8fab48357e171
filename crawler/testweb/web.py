"""The demonstration web: a pure function of (seed, URL, attempt).

- Nothing is stored: every answer is computed from the seed on request. So the web may have any size, two processes
  agree on every byte, and what a crawl must find can be computed without a network.
- Nothing depends on the time of day except what the server adds: the date in a Retry-After header.
- `pages` counts the HTML pages found by a crawl that obeys robots.txt and nofollow and starts at the seeds, the roots
  of all hosts. Documents that are not HTML, private pages and the pages of the closed host are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crawler.testweb.document import ACCEPT, Anchor, Answer, Document, answer_for
from crawler.testweb.draw import SeededRandom
from crawler.testweb.edge_cases import MOVED_ROBOTS, Scripts, Turn, scripts_of
from crawler.testweb.hosts import PARTS, SMALL, Part, WebHost, make_host, part_of, plain_sizes, robots_text
from crawler.testweb.markup import followed, html, title_of
from crawler.testweb.oracle import split
from crawler.testweb.prose import paragraphs
from crawler.testweb.site import relative

_CODINGS = ("", "", "", "", "", "", "gzip", "br", "zstd", "deflate")
_PLAIN_TEXT = "text/plain; charset=utf-8"


class Web:
    """`hosts` hosts with `pages` pages in all. Raises ValueError where these are too few for the edge cases."""

    def __init__(self, seed: int = 1, hosts: int = 40, pages: int = 2000) -> None:
        self.scheme = "http"
        plain = hosts - len(PARTS)
        if plain < 1:
            raise ValueError(f"hosts must be at least {len(PARTS) + 1}, not {hosts}")
        self.seed, self.pages = seed, pages
        # the plain hosts get the remaining pages; edge cases do not depend on sizes, so they are counted first
        small = [make_host(seed, index, part_of(index, hosts), SMALL) for index in range(plain, hosts)]
        big = make_host(seed, 0, Part.PLAIN, SMALL)
        planted = sum(script.pages for host in small for script in scripts_of(host, big).values())
        sizes = plain_sizes(pages - planted - SMALL * (len(small) - 1), plain)
        plains = [make_host(seed, index, Part.PLAIN, size) for index, size in enumerate(sizes)]
        self.hosts: Mapping[str, WebHost] = {host.name: host for host in (*plains, *small)}
        self.names = tuple(self.hosts)
        self.seeds = tuple(f"http://{name}/" for name in self.names)
        self._scripts: dict[str, Scripts] = {name: scripts_of(host, plains[0]) for name, host in self.hosts.items()}

    def answer(self, host: str, path: str, attempt: int = 1, accept: str = ACCEPT) -> Answer:
        """The answer as bytes for a GET of `path` (with its query). Raises KeyError for an unknown host."""
        return answer_for(self.document(host, path, attempt), accept)

    def document(self, host: str, path: str, attempt: int = 1) -> Document:
        """The document of a URL. Raises KeyError for an unknown host."""
        at = self.hosts[host]
        dice = SeededRandom(self.seed, host, path, attempt)
        delay = at.latency * (0.6 + dice.below(800) / 1000)
        if self.is_robots(host, path):
            return _robots(at, path, delay)
        if script := self._scripts[host].get(path):
            return self._played(at, path, script.turns[min(attempt, len(script.turns)) - 1], delay)
        page = at.site.number(path)
        if page is None:
            return self._played(at, path, Turn(status=404), delay)
        return self._ordinary(at, page, delay)

    def allowed(self, host: str, path: str) -> bool:
        """Whether robots.txt allows this path. For the host whose robots.txt always fails see `closed`."""
        return not (self.hosts[host].private and path.startswith("/private/"))

    def is_robots(self, host: str, path: str) -> bool:
        """Whether a crawler reads the host's robots.txt at this path, redirects included."""
        return path == "/robots.txt" or (path == MOVED_ROBOTS and self.hosts[host].part is Part.MOVED)

    def crawl_delay(self, host: str) -> float:
        """Crawl-delay of the host's robots.txt, in seconds."""
        return self.hosts[host].crawl_delay

    def closed(self, host: str) -> bool:
        """Whether robots.txt always answers 503."""
        return self.hosts[host].part is Part.CLOSED

    def left_out(self, urls: Iterable[str]) -> int:
        """How many links of these pages have a scheme that no crawl follows: one on each page of the tree of a host."""
        return sum(self._is_ordinary(*split(url)) for url in urls)

    def _is_ordinary(self, name: str, path: str) -> bool:
        may = self.allowed(name, path) and not self.closed(name) and path not in self._scripts[name]
        return may and self.hosts[name].site.number(path) is not None

    def _ordinary(self, host: WebHost, k: int, delay: float) -> Document:
        """Page k of the tree of a host."""
        path, dice = host.site.path(k), SeededRandom(self.seed, host.name, k)
        pages = [host.site.path(n) for n in host.site.neighbours(k, dice)]
        if k == 0:
            pages += [path for path, script in self._scripts[host.name].items() if script.linked]
        if k % 40 == 7:
            pages.append(f"/lost-{k}.html")
        anchors = [_inside(host.name, path, page, dice.below(10)) for page in pages]
        anchors += [self._outside(dice) for _ in range(1 + dice.below(4))]
        anchors += [Anchor("#top", f"http://{host.name}{path}"), Anchor("mailto:web@demo.test", "")]
        coding, size, start = _CODINGS[dice.below(len(_CODINGS))], 1_500 + dice.below(165) ** 2, dice.below(1000)
        body = html(title_of(host.name, path), anchors, paragraphs("en", size, start)).encode()
        return Document(body=body, coding=coding, delay=delay, links=followed(anchors))

    def _outside(self, dice: SeededRandom) -> Anchor:
        """A link to some host, big ones more often, mostly to its root."""
        host = self.hosts[self.names[min(dice.below(len(self.names)), dice.below(len(self.names)))]]
        path = host.site.path(dice.below(host.site.size) if dice.below(10) < 4 else 0)
        start = ("http://", "//", "HTTP://", "http://")[dice.below(4)]
        return Anchor(f"{start}{host.name}{path}", f"http://{host.name}{path}")

    def _played(self, host: WebHost, path: str, turn: Turn, delay: float) -> Document:
        """One turn of an edge case."""
        body, links = turn.raw, ()  # type: bytes | None, tuple[str, ...]
        if body is None:
            # 20 paragraphs for an HTML page, one for the body of an error or a redirect
            size, start = (8_000 if turn.status == 200 else 300), SeededRandom(self.seed, host.name, path).below(1000)
            anchors = [Anchor("/", f"http://{host.name}/"), *turn.anchors]
            text = paragraphs(turn.language, size, start)
            body = html(title_of(host.name, path), anchors, text, turn.head).encode(turn.charset, "xmlcharrefreplace")
            links = followed(anchors) if turn.follow and turn.status == 200 else ()
        return Document(
            status=turn.status,
            content_type=turn.content_type,
            body=body,
            location=turn.location,
            target=turn.target,
            retry_after=turn.retry_after,
            retry_date=turn.retry_date,
            fault=turn.fault,
            delay=delay,
            links=links,
        )


def _robots(host: WebHost, path: str, delay: float) -> Document:
    """The answer to robots.txt, by the part of the host."""
    if host.part is Part.CLOSED:
        return Document(status=503, content_type=_PLAIN_TEXT, body=b"closed\n", delay=delay)
    if host.part is Part.BARE:
        return Document(status=404, content_type=_PLAIN_TEXT, body=b"not found\n", delay=delay)
    if host.part is Part.MOVED and path != MOVED_ROBOTS:
        target = f"http://{host.name}{MOVED_ROBOTS}"
        return Document(status=301, location=MOVED_ROBOTS, target=target, delay=delay)
    if host.part is Part.GARBAGE:
        return Document(body=html("Welcome", [], paragraphs("en", 2_000, host.index)).encode(), delay=delay)
    return Document(content_type=_PLAIN_TEXT, body=robots_text(host).encode(), delay=delay)


def _inside(name: str, source: str, target: str, style: int) -> Anchor:
    """A link within a host, written in one of several common forms."""
    url = f"http://{name}{target}"
    written = {
        0: target,
        1: url,
        2: f"{relative(source, target)}#part-2",
        3: f" {target}\n",
        4: f"HTTP://{name.upper()}:80{target}",
        5: f"/./nowhere/..{target}",
    }
    return Anchor(written.get(style) or relative(source, target), url)
