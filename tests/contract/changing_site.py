"""A site whose pages a test edits between two crawls, with a server that knows validators or lies about them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

TAGS = "tags"
DATES = "dates"
NONE = "none"
LIES = "lies"
CLOCK = "Tue, 01 Dec 2026 10:00:00 GMT"


class Asked(NamedTuple):
    """A request: its path, and its conditional headers ("" where it had none)."""

    path: str
    if_none_match: str
    if_modified_since: str

    @property
    def conditional(self) -> bool:
        """Whether it had a validator."""
        return bool(self.if_none_match or self.if_modified_since)


class ChangingSite(ThreadingHTTPServer):
    """Serves `pages`: bodies, statuses without a body, or functions that make a body for each request.

    `validators`: TAGS (an ETag of the content, and the Last-Modified of the page), DATES, NONE, or LIES (an ETag that
    never changes). `moved` has redirects by path. While it is `down` connections are closed without an answer. A 200
    has the headers `with_200` too, a 304 those `with_304`. An answer takes `pace` seconds. `sent` counts the bytes of
    bodies.
    """

    daemon_threads = True

    def __init__(self, pages: dict[str, bytes | int | Callable[[], bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = pages
        self.moved: dict[str, str] = {}
        self.dates: dict[str, str] = {}
        self.validators = TAGS
        self.with_200: dict[str, str] = {}
        self.with_304: dict[str, str] = {}
        self.down = False
        self.pace = 0.0
        self.sent = 0
        self.asked: list[Asked] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        """The first page."""
        return f"http://127.0.0.1:{self.server_port}/"

    def at(self, path: str) -> str:
        """The URL of a path."""
        return f"{self.url}{path.removeprefix('/')}"

    def take_asked(self) -> dict[str, Asked]:
        """The requests for pages since the last call, by path; each page may have been asked for once."""
        asked, self.asked = [one for one in self.asked if one.path != "/robots.txt"], []
        assert max(Counter(one.path for one in asked).values(), default=0) <= 1, asked
        self.sent = 0
        return {one.path: one for one in asked}


class _Handler(BaseHTTPRequestHandler):
    server: ChangingSite
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site = self.server
        tag, since = self.headers.get("If-None-Match", ""), self.headers.get("If-Modified-Since", "")
        site.asked.append(Asked(self.path, tag, since))
        time.sleep(site.pace)
        if site.down:
            self.close_connection = True
            return
        if self.path in site.moved:
            self._answer(301, b"", {"Location": site.moved[self.path]})
            return
        page = site.pages.get(self.path, 404)
        if isinstance(page, int):
            self._answer(page, b"")
            return
        body = page if isinstance(page, bytes) else page()
        mine = self._validators(body)
        known = (tag and tag == mine.get("ETag")) or (since and not tag and since == mine.get("Last-Modified"))
        if known:
            self._answer(304, b"", mine | site.with_304)
        else:
            self._answer(200, body, {"Content-Type": "text/html; charset=utf-8"} | mine | site.with_200)

    def _validators(self, body: bytes) -> dict[str, str]:
        site = self.server
        changed = site.dates.get(self.path, CLOCK)
        digest = hashlib.sha256(body).hexdigest()[:16]
        every = {
            TAGS: {"ETag": f'"{digest}"', "Last-Modified": changed},
            DATES: {"Last-Modified": changed},
            LIES: {"ETag": '"always"'},
        }
        return every.get(site.validators, {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.sent += len(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def page(text: str, *links: str) -> bytes:
    """A page with some text and links."""
    anchors = "".join(f"<a href='{link}'>{link}</a> " for link in links)
    return f"<!doctype html><title>{text}</title><p>{text}. {anchors}".encode()


@contextmanager
def changing_site(pages: dict[str, bytes | int | Callable[[], bytes]]) -> Iterator[ChangingSite]:
    """The site, served until the block ends."""
    with ChangingSite(pages) as site:
        yield site
        site.shutdown()
