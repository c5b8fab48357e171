"""One host whose root links N pages: a web to measure an engine, not a crawl.

Rules, and why:
- Nothing depends on order, host or size, so two runs differ only in the engine (Little's law: throughput is at most
  pages in flight / mean latency).
- Each page takes its own time, drawn from its path: lognormal around `latency` with a sigma of `spread`. Where all take
  the same time, answers arrive in waves, and an engine is measured by how it bears waves.
- No two pages are alike, and each links pages that the root links too: an engine that does not parse or store them all
  cannot end with the same digest. Each has one to three links that leave the host, which no crawl of it follows, but
  which one that parses every page has counted: `left_out`.
- A share of the pages may fail at the first attempt; the path alone decides which.
"""

from __future__ import annotations

import re
from math import exp

from crawler.testweb.document import ACCEPT, Answer, Document, answer_for
from crawler.testweb.draw import SeededRandom
from crawler.testweb.prose import paragraphs
from crawler.testweb.tables import STEPS, lognormal

NAME = "flat.demo.test"
SIZE = 2_000
LINKS = 20
MOST_LEAVING = 3
_DRAWN = 10_000
_PAGE = re.compile(r"/page-(0|[1-9]\d{0,8})\.html")


class FlatWeb:
    """`pages` pages of at least `size` bytes below one root; an answer takes `latency` seconds on average.

    `errors` is the share of pages that answer 503 at the first attempt and 200 at the second.
    """

    def __init__(
        self,
        pages: int,
        latency: float = 0.0,
        size: int = SIZE,
        errors: float = 0.0,
        scheme: str = "http",
        spread: float = 0.0,
    ) -> None:
        self.pages, self.scheme = pages, scheme
        self.names = (NAME,)
        self.seeds = (f"{scheme}://{NAME}/",)
        self._latency = latency
        self._times = lognormal(latency * 1e6 / exp(spread**2 / 2), spread)  # with this median the mean is `latency`
        self._errors = round(errors * _DRAWN)
        self._text = paragraphs("en", size, 0).encode()
        paths = [f"/page-{n}.html" for n in range(pages)]
        self._anchors = [f'<a href="{path}">{path}</a>\n' for path in paths]
        self._urls = tuple(f"{scheme}://{NAME}{path}" for path in paths)
        self._root = self._html("Flat", "".join(self._anchors).encode(), self._urls, latency)

    @property
    def left_out(self) -> int:
        """How many links leave the host, over all pages."""
        return sum(1 + n % MOST_LEAVING for n in range(self.pages))

    def answer(self, host: str, path: str, attempt: int = 1, accept: str = ACCEPT) -> Answer:
        """The answer as bytes. Raises KeyError for another host."""
        return answer_for(self.document(host, path, attempt), accept)

    def document(self, host: str, path: str, attempt: int = 1) -> Document:
        """The document of a URL. Raises KeyError for another host."""
        if host != NAME:
            raise KeyError(host)
        if path == "/":
            return self._root
        if (found := _PAGE.fullmatch(path)) and int(found[1]) < self.pages:
            dice = SeededRandom("page", path)
            delay = self._times[dice.below(STEPS)] / 1e6
            if attempt == 1 and self._errors and SeededRandom("error", path).below(_DRAWN) < self._errors:
                return Document(status=503, content_type="text/plain", body=b"not now\n", delay=delay)
            return self._page(int(found[1]), dice, delay)
        return Document(status=404, content_type="text/plain", body=b"not found\n", delay=self._latency)

    def _page(self, n: int, dice: SeededRandom, delay: float) -> Document:
        first = dice.below(max(1, self.pages - LINKS))
        away = "".join(f'<a href="http://elsewhere.test/{n}/{k}">away</a>\n' for k in range(1 + n % MOST_LEAVING))
        own = f"<p>Page {n}, {dice.below(1 << 62):x}.</p>\n{''.join(self._anchors[first : first + LINKS])}{away}"
        return self._html(f"Page {n}", own.encode() + self._text, self._urls[first : first + LINKS], delay)

    def allowed(self, host: str, path: str) -> bool:
        """There is no robots.txt (404), so everything is allowed."""
        return True

    def is_robots(self, host: str, path: str) -> bool:
        """Whether this is the path of robots.txt."""
        return path == "/robots.txt"

    def crawl_delay(self, host: str) -> float:
        """0: there is no Crawl-delay."""
        return 0.0

    def closed(self, host: str) -> bool:
        """False: the host may be crawled."""
        return False

    def _html(self, title: str, inner: bytes, links: tuple[str, ...], delay: float) -> Document:
        head = f"<!doctype html>\n<html>\n<head><title>{title}</title></head>\n<body>\n".encode()
        return Document(body=head + inner + b"</body>\n</html>\n", delay=delay, links=links)
