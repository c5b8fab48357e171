"""A site as browsers read it: types, encodings, frames and refreshes, the same in every mode with every client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import crawler
from crawler.storage.directory import CrawlDirectory
from tests.live.answers import Answers

ENGINES = [
    ("async", "aiohttp"),
    ("prefork", "aiohttp"),
    ("threads", "native"),
    ("processes", "native"),
    ("threads", "urllib3"),
    ("processes", "urllib3"),
]
HTML = ("Content-Type", "text/html; charset=utf-8")
LATIN = ("Content-Type", "text/html; charset=iso-8859-1")


class Page(NamedTuple):
    """The answer of a path; `whole`: only the headers given, no default Content-Type."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = (HTML,)
    status: int = 200


def linking(*names: str) -> bytes:
    return b"<!doctype html>" + b"".join(f"<a href=/{name}>".encode() for name in names)


# fmt: off
START = [
    "space", "comma", "twice", "later", "broken", "none", "quoted", "nosniff", "plain", "latin", "koi",
    "utf16", "frames", "refresh", "header", "linked", "error", "gone", "nowhere", "ftp", "partial", "xhtml",
    "xml", "big",
]
# fmt: on
PAGES: dict[str, Page] = {
    "/": Page(linking(*START)),
    "/space": Page(linking("of-space"), (("Content-Type", "text/html charset=utf-8"),)),
    "/comma": Page(linking("of-comma"), (("Content-Type", "text/html, text/html"),)),
    "/twice": Page(linking("of-twice"), (("Content-Type", "text/html"), ("Content-Type", "text/html"))),
    "/later": Page(linking("of-later"), (("Content-Type", "text/plain"), ("X-Y", "z"), ("content-type", "text/html"))),
    "/broken": Page(linking("of-broken"), (("Content-Type", "html"),)),
    "/none": Page(linking("of-none"), ()),
    "/quoted": Page(b"<a href='?q=\xe9'>", (("Content-Type", 'text/html; a=";"; charset="latin1"'),)),
    "/nosniff": Page(linking("not-of-nosniff"), (("X-Content-Type-Options", "nosniff"),)),
    "/plain": Page(linking("not-of-plain"), (("Content-Type", "text/html"), ("Content-Type", "text/plain"))),
    "/latin": Page(b"<a href='/\xe9?q=\xe9'><a href='?q=&#9731;'>", (LATIN,)),
    "/koi": Page(b"<meta charset=koi8-r><iframe src='/f?q=\xc1'>", (("Content-Type", "text/html"),)),
    "/utf16": Page("\ufeff<a href='/u?q=é'>".encode("utf-16-le"), (("Content-Type", "text/html"),)),
    "/frames": Page(b"<frameset><frame src=/frame-1><frame src=/frame-2></frameset>"),
    "/refresh": Page(b"<meta http-equiv=refresh content='3; URL=/of-refresh'>"),
    "/header": Page(b"<p>", (HTML, ("Refresh", "0;url=/of-header"))),
    "/linked": Page(b"<link rel=next href=/next><a href=mailto:a@b>", (HTML, ("Link", "</prev>; rel=prev"))),
    "/error": Page(linking("not-of-error"), status=500),
    "/gone": Page(linking("not-of-gone"), status=404),
    "/nowhere": Page(linking("of-nowhere"), status=302),
    "/ftp": Page(linking("of-ftp"), (HTML, ("Location", "ftp://h/")), status=301),
    "/partial": Page(linking("of-partial"), (HTML, ("Content-Range", "bytes 0-40/99")), status=206),
    "/xhtml": Page(linking("of-xhtml"), (("Content-Type", "application/xhtml+xml"),)),
    "/xml": Page(
        b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><a href='/of-xml'/></html>",
        (("Content-Type", "text/xml"),),
    ),
    # parsed in a separate process
    "/big": Page(b"<a href='/\xe9?q=\xe9'><iframe src=/of-big>" + b"<!-- -->" * 80_000, (LATIN,)),
}
# fmt: off
FOUND = {
    "of-space", "of-comma", "of-twice", "of-later", "of-broken", "of-none", "quoted?q=%E9", "%C3%A9?q=%E9",
    "f?q=%C1", "u?q=%C3%A9", "latin?q=%26%239731%3B", "frame-1", "frame-2", "of-refresh", "of-header",
    "of-nowhere", "of-ftp", "of-partial", "of-xhtml", "of-xml", "of-big",
}
# fmt: on
LEFT = {"not_html": 2, "error_page": 2, "link_next": 1, "link_prev": 1, "scheme": 1}


class _Site(Answers):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        page = PAGES.get(self.path, Page(b"", (("Content-Type", "text/plain"),)))
        self.send_response(page.status)
        for name, value in page.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def crawled(site: str, mode: str, client: str, out: Path, **keys: Any) -> crawler.Summary:
    fast: dict[str, Any] = {
        "delay": 0.0,
        "robots": False,
        "attempts": 1,
        "backoff": 0.0,
        "host_patience": 0.1,
        "report": False,
        "per_host": 4,
    }
    return crawler.crawl(f"{site}/", mode=mode, client=client, out=out, concurrency=4, processes=2, **(fast | keys))


@pytest.mark.parametrize(("mode", "client"), ENGINES)
def test_a_site_is_read_as_browsers_read_it(mode: str, client: str, site: str, tmp_path: Path) -> None:
    summary = crawled(site, mode, client, tmp_path / "c")
    directory = CrawlDirectory.open_readonly(tmp_path / "c")
    store = directory.store()
    with closing(directory.open_frontiers()) as frontier:
        rows = {row.url.removeprefix(f"{site}/"): row for row in frontier.settled()}
    assert set(rows) == {"", *START, *FOUND}
    assert summary.not_followed == LEFT
    assert (rows["partial"].truncated, summary.truncated) == ("range", 1)
    for name in ("nowhere", "ftp"):
        row = rows[name]
        assert (row.reason, row.size) == ("redirect_invalid", len(PAGES[f"/{name}"].body))
        assert store.read(row.part, row.position).body == PAGES[f"/{name}"].body
    assert store.read(rows["twice"].part, rows["twice"].position).content_type == "text/html, text/html"


def test_link_relations_and_error_pages_are_followed_by_option(site: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"follow_rel": ("next", "prev"), "follow_errors": True}
    summary = crawled(site, "async", "aiohttp", tmp_path / "c", **keys)
    directory = CrawlDirectory.open_readonly(tmp_path / "c")
    with closing(directory.open_frontiers()) as frontier:
        rows = {row.url.removeprefix(f"{site}/"): row for row in frontier.settled()}
    assert set(rows) == {"", *START, *FOUND, "next", "prev", "not-of-error", "not-of-gone"}
    assert summary.not_followed == {"not_html": 2, "scheme": 1}
    assert not rows["error"].part and not rows["gone"].part
