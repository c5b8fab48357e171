"""One host whose root links N pages, all with the same latency: a web to measure an engine, not a crawl.

Nothing depends on order, host or size, so two runs differ only in the engine (Little's law: throughput is at most pages
in flight / latency). A share of the pages may fail at the first attempt; the path alone decides which.
"""

from __future__ import annotations

import re

from crawler.testweb.document import ACCEPT, Answer, Document, answer_for
from crawler.testweb.draw import SeededRandom
from crawler.testweb.prose import paragraphs

NAME = "flat.demo.test"
SIZE = 2_000
_DRAWN = 10_000
_PAGE = re.compile(r"/page-(0|[1-9]\d{0,8})\.html")


class FlatWeb:
    """`pages` pages of at least `size` bytes below one root; every answer takes `latency` seconds.

    `errors` is the share of pages that answer 503 at the first attempt and 200 at the second.
    """

    def __init__(
        self, pages: int, latency: float = 0.0, size: int = SIZE, errors: float = 0.0, scheme: str = "http"
    ) -> None:
        self.pages, self.scheme = pages, scheme
        self.names = (NAME,)
        self.seeds = (f"{scheme}://{NAME}/",)
        self._latency = latency
        self._errors = round(errors * _DRAWN)
        self._text = paragraphs("en", size, 0).encode()
        paths = [f"/page-{n}.html" for n in range(pages)]
        listing = "".join(f'<a href="{path}">{path}</a>\n' for path in paths)
        self._root = self._html("Flat", listing.encode(), tuple(f"{scheme}://{NAME}{path}" for path in paths))

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
            if attempt == 1 and self._errors and SeededRandom("error", path).below(_DRAWN) < self._errors:
                return Document(status=503, content_type="text/plain", body=b"not now\n", delay=self._latency)
            return self._html(f"Page {found[1]}", self._text)
        return Document(status=404, content_type="text/plain", body=b"not found\n", delay=self._latency)

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

    def _html(self, title: str, inner: bytes, links: tuple[str, ...] = ()) -> Document:
        head = f"<!doctype html>\n<html>\n<head><title>{title}</title></head>\n<body>\n".encode()
        return Document(body=head + inner + b"</body>\n</html>\n", delay=self._latency, links=links)
