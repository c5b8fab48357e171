"""The same bytes have the same outcome in every mode and client: around every limit, truncated anywhere, and at port 0.

Each case has its own host. Compared are reason, status, what was truncated, length and digest of the body,
and whether the links could be read.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import crawler
import variants
from crawler.core.page.parse_cost import HEAVY
from crawler.storage.directory import CrawlDirectory
from tests import hostile_pages
from tests.contract.hostile import GOOD, REFUSED, head
from tests.contract.raw_server import RawServer, Step, chunked, response
from tests.live.test_hostile import ENGINES

End = tuple[object, ...]
MAX_BODY = 2 << 20
MAX_HEAD = 65_536
ROUNDS = 3


def sized(size: int) -> Iterator[tuple[str, bytes]]:
    """A page of so many bytes, its end marked in every way."""
    body = (b'<a href="/x">x</a>' + b" " * size)[:size]
    kind = "Content-Type: text/html"
    yield "length", head(kind, f"Content-Length: {size}") + body
    yield (
        "chunks",
        head(kind, "Transfer-Encoding: chunked")
        + chunked(body[: size // 2], body[size // 2 :]).partition(b"\r\n\r\n")[2],
    )
    yield "open", head(kind, "Connection: close") + body
    coded = gzip.compress(body, 1, mtime=0)
    yield "gzip", head(kind, "Content-Encoding: gzip", f"Content-Length: {len(coded)}") + coded


def headed(size: int) -> bytes:
    """A reply whose head has so many bytes."""
    short = len(head("Content-Length: 2", *["A: " + "a" * 1_000] * 64, "B: "))
    return head("Content-Length: 2", *["A: " + "a" * 1_000] * 64, "B: " + "b" * (size - short)) + b"hi"


def cases() -> dict[str, list[Step]]:
    """The answer of each path."""
    found: dict[str, list[Step]] = {}
    for size in (0, 1, HEAVY - 1, HEAVY, HEAVY + 1, MAX_BODY - 1, MAX_BODY, MAX_BODY + 1):
        for how, reply in sized(size):
            found[f"body of {size} bytes, {how}"] = [reply, "close"]
    for size in (MAX_HEAD - 1, MAX_HEAD, MAX_HEAD + 1):
        found[f"head of {size} bytes"] = [headed(size), "close"]
    for length in (2_082, 2_083, 2_084, 20_000):
        location = "http://elsewhere.test/"
        location += "x" * (length - len(location))
        found[f"location of {length} bytes"] = [head(f"Location: {location}", status="HTTP/1.1 301 Moved"), "close"]
    dice = random.Random(4)
    for name, raw in {**REFUSED, **GOOD}.items():
        lines = [at + 1 for at, byte in enumerate(raw) if byte == 10 and at + 1 < len(raw)]
        for at in {*dice.sample(lines, min(2, len(lines))), dice.randint(1, len(raw))}:
            found[f"{name}, {at} bytes"] = [raw[:at], "close"]
            found[f"{name}, {at} bytes, reset"] = [raw[:at], 0.01, "reset"]
    for size in (0, 1, 5_000, 60_000):
        body = b"x" * size
        for how, framing in (("length", b"Content-Length: 99999"), ("chunks", b"Transfer-Encoding: chunked")):
            sent = body if how == "length" else b"%x\r\n%b\r\n" % (size, body) if size else b""
            start = b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing
            for end in ("reset", "close"):
                for number in range(ROUNDS):
                    found[f"{how} cut after {size}, {end} {number}"] = [start + sent, end]
                    found[f"{how} cut after {size}, {end} later {number}"] = [start, 0.01, sent, 0.01, end]
    for number in range(5):
        found[f"nothing, reset {number}"] = ["reset"]
        found[f"nothing, close {number}"] = ["close"]
    return found


CASES = cases()
NAMES = list(CASES)


def reply(path: str) -> list[Step]:
    """The answer of the server."""
    return (
        CASES[NAMES[int(path[1:])]] if path[1:].isdigit() else [head("Content-Length: 0", "Connection: close"), "close"]
    )


def crawl(server: RawServer, mode: str, client: str, out: Path) -> dict[str, End]:
    """The outcomes of all cases, by name."""
    seeds = [f"http://c{number}.test/{number}" for number in range(len(NAMES))]
    seeds += ["http://zero.test:0/", "http://127.0.0.1:0/", "http://zero.test:00/x"]
    resolve = {f"c{number}.test": f"127.0.0.1:{server.port}" for number in range(len(NAMES))}
    crawler.crawl(
        *seeds,
        mode=mode,
        client=client,
        out=out,
        resolve=resolve | dict.fromkeys(("zero.test", "elsewhere.test"), f"127.0.0.1:{server.port}"),
        max_body=MAX_BODY,
        max_depth=0,
        concurrency=4,
        delay=0.0,
        robots=False,
        attempts=1,
        outage_wait=0.0,
        timeout=30.0,
        report=False,
        processes=2,
    )
    with closing(CrawlDirectory.open_readonly(out).open_frontiers()) as frontier:
        found: dict[str, End] = {}
        for row in frontier.settled():
            number = row.url.partition("://c")[2].partition(".")[0]
            name = NAMES[int(number)] if number.isdigit() else row.url
            read = row.detail.startswith("links not read")
            found[name] = (row.reason.value, row.status, row.truncated, row.size, row.digest.hex(), read and row.detail)
        return found


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, End]]:
    folder = tmp_path_factory.mktemp("crawls")
    with RawServer(reply) as server:
        return {(mode, client): crawl(server, mode, client, folder / f"{mode}-{client}") for mode, client in ENGINES}


def test_every_mode_and_client_has_the_same_outcomes(ends: dict[tuple[str, str], dict[str, End]]) -> None:
    first = ends[ENGINES[0]]
    assert len(first) >= len(NAMES) + 2
    differing = {}
    for name in first:
        outcomes = {engine: ends[engine].get(name) for engine in ENGINES}
        if len(set(outcomes.values())) > 1:
            differing[name] = outcomes
    assert not differing


def test_the_limits_are_as_documented(ends: dict[tuple[str, str], dict[str, End]]) -> None:
    found = ends[ENGINES[0]]
    for how in ("length", "chunks", "open", "gzip"):
        marks = [found[f"body of {size} bytes, {how}"][2] for size in (MAX_BODY - 1, MAX_BODY, MAX_BODY + 1)]
        assert marks == ["", "", "length"], how
    assert [found[f"head of {MAX_HEAD + more} bytes"][0] for more in (-1, 0, 1)] == ["ok", "ok", "protocol"]
    reasons = [found[f"location of {length} bytes"][0] for length in (2_083, 2_084)]
    assert reasons == ["redirect", "redirect_invalid"]
    assert {found[url][0] for url in found if ":0" in url} == {"blocked"}


@pytest.mark.parametrize("order", [1, -1])
def test_whether_a_heavy_page_is_parsed_does_not_depend_on_the_mode(order: int, tmp_path: Path) -> None:
    """The parser wants 48 bytes for each byte of these pages, and a page may have 64 MiB of what the crawl has."""
    pages = [hostile_pages.page("<", kilobytes << 10) for kilobytes in range(800, 2_000, 150)][::order]
    unread: dict[str, list[tuple[int, bool]]] = {}
    with RawServer(lambda path: [response(pages[int(path[1:])], "Content-Type: text/html"), "close"]) as server:
        for mode in variants.names():
            seeds = [f"{server.url}/{number}" for number in range(len(pages))]
            keys: dict[str, Any] = {"max_memory": "442M", "max_depth": 0, "delay": 0.0, "robots": False}
            crawler.crawl(*seeds, mode=mode, out=tmp_path / mode, processes=2, **keys)
            with closing(CrawlDirectory.open_readonly(tmp_path / mode).open_frontiers()) as frontier:
                unread[mode] = sorted((row.size, row.detail == "links not read: memory") for row in frontier.settled())
    first = unread["async"]
    assert [read for _, read in first] == sorted(read for _, read in first), "pages above some size are unread"
    assert {read for _, read in first} == {False, True}
    assert all(found == first for found in unread.values()), unread
