"""The server of the built-in web answers as documented, its log is complete, and the referee reads it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import zlib
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

import brotli
import msgspec
import pytest
from click.testing import CliRunner

from crawler.errors import CrawlerError
from crawler.testweb import commands
from crawler.testweb.flat import FlatWeb
from crawler.testweb.hosts import Part
from crawler.testweb.log import LogEntry, RequestLog, read_log
from crawler.testweb.oracle import split
from crawler.testweb.parameters import HOSTILE, LAB
from crawler.testweb.population import Kind, PopulationRules
from crawler.testweb.process import start_web
from crawler.testweb.profile_web import ProfileWeb
from crawler.testweb.referee import Verdict, judge
from crawler.testweb.server import WebServer
from crawler.testweb.web import Web

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WEB = Web(1, 15, 250)
HOST, OPEN = WEB.names[0], WEB.names[1]
FLAT = "flat.demo.test"
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": zstd.decompress,
}


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class Client:
    """One connection to one host, without any automatic behaviour."""

    def __init__(self, server: WebServer, host: str, at: str = "") -> None:
        self._host = host
        self._address, _, port = server.settings.resolve[at or host].partition(":")
        self._port = int(port)

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection(self._address, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def ask(self, path: str, attempt: int = 1, accept: str = "") -> None:
        head = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nX-Attempt: {attempt}\r\nAccept-Encoding: {accept}\r\n\r\n"
        self.writer.write(head.encode())

    async def get(self, path: str, attempt: int = 1, accept: str = "") -> Got:
        began = time.monotonic()
        self.ask(path, attempt, accept)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await self.reader.readexactly(int(headers["content-length"]))
        return Got(int(head[0].split()[1]), headers, body, time.monotonic() - began)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebServer]:
    async with WebServer(WEB, log=tmp_path / "log") as server:
        yield server


def host_with(part: Part) -> str:
    return next(name for name, host in WEB.hosts.items() if host.part is part)


async def get(server: WebServer, host: str, path: str, attempt: int = 1, accept: str = "") -> Got:
    async with Client(server, host) as client:
        return await client.get(path, attempt, accept)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - the server tells no one
        await asyncio.sleep(0.01)
    assert condition()


# ---- the server ------------------------------------------------------------------------------------------------------


async def test_bodies_arrive_in_every_coding(server: WebServer) -> None:
    site, met = WEB.hosts[OPEN].site, set()
    async with Client(server, OPEN) as client:
        for k in range(site.size):
            page = WEB.document(OPEN, site.path(k))
            if page.coding in met:
                continue
            met.add(page.coding)
            coded = await client.get(site.path(k), accept="gzip, deflate, br, zstd")
            assert coded.headers.get("content-encoding", "") == page.coding
            assert DECODE[page.coding](coded.body) == page.body
            assert (await client.get(site.path(k))).body == page.body
    assert met == set(DECODE)


async def test_an_answer_has_its_latency(tmp_path: Path) -> None:
    async with WebServer(FlatWeb(3, latency=0.05)) as server:
        got = await get(server, FLAT, "/page-2.html")
    assert got.headers["server-timing"] == "app;dur=50.000"
    assert 0.049 <= got.seconds < 1.0


async def test_a_body_is_truncated_once(server: WebServer) -> None:
    frail = host_with(Part.FRAIL)
    with pytest.raises(asyncio.IncompleteReadError) as cut:
        await get(server, frail, "/truncated.html")
    whole = await get(server, frail, "/truncated.html", attempt=2)
    assert 0 < len(cut.value.partial) < len(whole.body)
    assert whole.body.startswith(cut.value.partial)
    assert whole.body == WEB.document(frail, "/truncated.html", 2).body


async def test_a_connection_is_reset_once(server: WebServer) -> None:
    frail = host_with(Part.FRAIL)
    with pytest.raises(ConnectionResetError):
        await get(server, frail, "/reset.html")
    assert (await get(server, frail, "/reset.html", attempt=2)).status == 200


async def logged(path: Path, count: int) -> list[LogEntry]:
    """The log of a server that is running, once it has so many entries."""
    await until(lambda: len(read_log(path)) >= count)
    return read_log(path)


async def test_retry_after_in_seconds_and_as_a_date(server: WebServer, tmp_path: Path) -> None:
    busy = host_with(Part.BUSY)
    for path, status in (("/too-many.html", 429), ("/come-back.html", 503)):
        got = await get(server, busy, path)
        assert (got.status, got.headers["retry-after"]) == (status, "1")
        assert (await get(server, busy, path, attempt=2)).status == 200
    dated = await get(server, busy, "/at-a-date.html")
    ahead = parsedate_to_datetime(dated.headers["retry-after"]).timestamp() - time.time()
    assert 1.5 < ahead <= 3.0
    assert (await logged(tmp_path / "log", 5))[-1].hold == pytest.approx(ahead, abs=0.3)


async def test_a_redirect_names_its_target(server: WebServer) -> None:
    got = await get(server, host_with(Part.ARCHIVE), "/old/relative")
    assert (got.status, got.headers["location"]) == (303, "../new/relative.html")


async def test_a_host_answers_only_at_its_address(server: WebServer) -> None:
    async with Client(server, OPEN, at=HOST) as client:
        assert (await client.get("/")).status == 421
    addresses = list(server.settings.resolve.values())
    assert len({address.partition(":")[0] for address in addresses}) == len(WEB.names)
    assert all(address.startswith("127.") for address in addresses)


async def test_requests_in_flight_are_counted(tmp_path: Path) -> None:
    async with WebServer(FlatWeb(20, latency=0.1), log=tmp_path / "log") as server:
        await asyncio.gather(*(get(server, FLAT, f"/page-{n}.html") for n in range(20)))
        assert server.most_in_flight == 20
        assert server.in_flight == 0
    entries = read_log(tmp_path / "log")
    assert sorted(entry.in_flight for entry in entries) == list(range(1, 21))
    assert all(entry.end - entry.at >= 0.098 for entry in entries)


async def test_a_client_that_disconnects_is_no_longer_counted(tmp_path: Path) -> None:
    async with WebServer(FlatWeb(1, latency=5.0), log=tmp_path / "log") as server:
        async with Client(server, FLAT) as client:
            client.ask("/page-0.html")
            await until(lambda: server.in_flight == 1)
        await until(lambda: server.in_flight == 0)
    assert [entry.status for entry in read_log(tmp_path / "log")] == [0]


async def test_garbage_and_pipelining_close_the_connection(tmp_path: Path) -> None:
    async with WebServer(FlatWeb(1, latency=5.0)) as server:
        for words in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: flat.demo.test\r\n\r\n" * 2):
            async with Client(server, FLAT) as client:
                client.writer.write(words)
                async with asyncio.timeout(2):
                    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                        await client.reader.readexactly(1)
        await until(lambda: not server.connections and server.in_flight == 0)


async def test_a_client_that_asks_for_it_is_told_that_the_connection_ends() -> None:
    async with WebServer(FlatWeb(1)) as server, Client(server, FLAT) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: flat.demo.test\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(2):
            assert b"\r\nConnection: close\r\n" in await client.reader.read()


# ---- profile webs only ----------------------------------------------------------------------------------------------

HURRIED = HOSTILE.scaled(hosts=60, pages=600, latency_scale=0.001, size_scale=0.05, drip=400.0, robots_silent=0.1)


def broken(web: ProfileWeb, kind: Kind) -> tuple[str, str]:
    """Host and path of the first URL that is broken in this way."""
    for place in web.places.values():
        for n, odd in enumerate(place.odd):
            if odd.kind is kind and place.rules is PopulationRules.STATED:
                return place.name, place.site.path(place.plain + n)
    raise LookupError(kind)


async def test_a_connection_carries_the_number_of_answers_of_the_web() -> None:
    web = ProfileWeb(1, LAB.scaled(hosts=1, pages=20, latency_scale=0.0, requests_per_connection=3), "lab.test")
    host, site = web.names[0], web.places[web.names[0]].site
    async with WebServer(web) as server, Client(server, host) as client:
        headers = [(await client.get(site.path(k))).headers.get("connection") for k in range(3)]
        assert headers == [None, None, "close"]
        assert await client.reader.read() == b""


async def test_a_host_that_refuses_has_no_listener() -> None:
    web = ProfileWeb(1, HURRIED, "hostile.test")
    closed = next(place.name for place in web.places.values() if place.rules is PopulationRules.REFUSING)
    async with WebServer(web) as server:
        with pytest.raises(ConnectionRefusedError):
            await get(server, closed, "/robots.txt")


async def test_a_slow_body_takes_its_time_and_is_complete() -> None:
    web = ProfileWeb(1, HURRIED, "hostile.test")
    host, path = broken(web, Kind.DRIP)
    async with WebServer(web) as server:
        got = await get(server, host, path)
        assert got.body == web.document(host, path).body
        assert got.seconds > 0.3
        assert (await get(server, host, path, attempt=9)).body == got.body


@pytest.mark.parametrize(("kind", "least"), [(Kind.HANG, 0), (Kind.STALL, 1)])
async def test_answers_that_hang_or_stall_never_end_by_themselves(kind: Kind, least: int, tmp_path: Path) -> None:
    web = ProfileWeb(1, HURRIED, "hostile.test")
    host, path = broken(web, kind)
    async with WebServer(web, log=tmp_path / "log") as server:
        async with Client(server, host) as client:
            client.ask(path)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.reader.readexactly(100_000)
            assert server.in_flight == 1
        await until(lambda: server.in_flight == 0)
        assert (await get(server, host, path, attempt=9)).body == web.document(host, path, 9).body
    first = read_log(tmp_path / "log")[0]
    assert first.status == 0
    assert (first.sent > 0) == bool(least)


async def test_the_log_has_bytes_and_lateness(tmp_path: Path) -> None:
    async with WebServer(FlatWeb(3, latency=0.02), log=tmp_path / "log") as server:
        bodies = [len((await get(server, FLAT, f"/page-{n}.html")).body) for n in range(3)]
    entries = read_log(tmp_path / "log")
    assert [bodies[n] + 50 < entry.sent < bodies[n] + 300 for n, entry in enumerate(entries)] == [True] * 3
    assert all(entry.end - entry.at >= 0.02 + entry.late - 1e-9 for entry in entries)
    verdict = judge(tmp_path / "log", FlatWeb(3), 0.0)
    assert (verdict.connections, verdict.bytes_sent) == (3, sum(entry.sent for entry in entries))
    assert [verdict.lateness.p50, verdict.lateness.p99] == [sorted(entry.late for entry in entries)[1]] * 2


# ---- the log ---------------------------------------------------------------------------------------------------------


async def test_the_log_is_flushed_while_the_server_runs(server: WebServer, tmp_path: Path) -> None:
    async with Client(server, OPEN) as client:
        await client.get("/", attempt=3)
        await client.get("/nowhere?x=1")
    first, second = await logged(tmp_path / "log", 2)
    assert (first.host, first.path, first.attempt, first.status) == (OPEN, "/", 3, 200)
    assert (second.path, second.attempt, second.status) == ("/nowhere?x=1", 1, 404)
    assert first.connection == second.connection
    assert first.at < first.end <= second.at < second.end <= time.monotonic()
    assert abs(first.wall - time.time()) < 30


# ---- the process -----------------------------------------------------------------------------------------------------


def refused(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_started_web_ends_with_its_parent() -> None:
    parent = (
        "import msgspec\nfrom crawler.testweb.process import start_web\n"
        "print(msgspec.json.encode(start_web(flat=3).settings).decode(), flush=True)\ninput()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdin=-1, stdout=-1, env=ENV) as process:
        assert process.stdout
        address = json.loads(process.stdout.readline())["resolve"][FLAT]
        assert not refused(address)
        process.kill()
    deadline = time.monotonic() + 5
    while not refused(address) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert refused(address)


async def test_a_terminated_web_keeps_its_last_lines(tmp_path: Path) -> None:
    with start_web(flat=3, log=tmp_path / "log") as web:
        host, _, port = web.settings.resolve[FLAT].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: flat.demo.test\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        web.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(web.process.wait, 5) == 0
        writer.close()
    assert [found.path for found in read_log(tmp_path / "log")] == ["/"]


def test_an_invalid_web_is_refused_at_once() -> None:
    with pytest.raises(CrawlerError, match="did not start"):
        start_web(hosts=2)


# ---- the commands ----------------------------------------------------------------------------------------------------

OPTIONS = ["--seed", "1", "--hosts", "15", "--pages", "250"]


def test_describe_and_oracle_agree_with_the_web() -> None:
    described = CliRunner().invoke(commands.testweb, ["describe", *OPTIONS])
    assert "250 HTML" in described.output
    lines = CliRunner().invoke(commands.testweb, ["oracle", *OPTIONS]).output.splitlines()
    ends = {end["url"]: end for end in map(json.loads, lines)}
    assert f"URLs     {len(ends)}:" in described.output
    assert all(split(url)[0] in WEB.names for url in ends)
    assert sum(end["html"] for end in ends.values()) == 250


def test_judge_ends_with_1_for_an_unclean_crawl(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with RequestLog(log) as written:
        for at in (1.0, 2.5):
            written.add(LogEntry(at, 1e9, at + 0.1, OPEN, "/", 1, 200, 1, 1))
    done = CliRunner().invoke(commands.testweb, ["judge", str(log), "--delay", "1", *OPTIONS])
    assert done.exit_code == 1
    assert msgspec.json.decode(done.output, type=Verdict) == judge(log, WEB, 1.0)
    assert (
        CliRunner().invoke(commands.testweb, ["judge", str(log), "--delay", "1", "--kill", "2", *OPTIONS]).exit_code
        == 0
    )


@pytest.mark.parametrize("profile", ["lab", "real", "hostile"])
def test_describe_shows_parameters_with_sources_and_results(profile: str) -> None:
    options = ["--profile", profile, "--hosts", "20", "--pages", "200", "--size-scale", "0.1", "--set", "external=0.5"]
    described = CliRunner().invoke(commands.testweb, ["describe", *options])
    assert described.exit_code == 0
    assert re.search(r"external +0\.5  HTTP Archive 2024", described.output)
    assert re.search(r"links to other hosts +[3-8]\d\.\d%", described.output)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--profile real --set haste=3", "unknown field `haste`"),
        ("--profile real --set external=2", "`float` <= 1.0"),
        ("--profile real --set external", "expected NAME=NUMBER"),
        ("--set external=0.5", "the demo web has neither TLS nor parameters"),
    ],
)
def test_invalid_parameters_are_refused(options: str, words: str) -> None:
    done = CliRunner().invoke(commands.testweb, ["describe", *options.split()])
    assert done.exit_code == 2
    assert words in done.output


def test_an_invalid_web_is_exit_2() -> None:
    done = CliRunner().invoke(commands.testweb, ["describe", "--hosts", "3"])
    assert (done.exit_code, done.output) == (2, "error: no such web: hosts must be at least 13, not 3\n")


def test_serve_writes_settings_for_the_crawler(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "crawler.testweb",
        "serve",
        "--until-eof",
        *OPTIONS,
        "--settings",
        str(tmp_path / "web.toml"),
    ]
    with subprocess.Popen(command, stdin=-1, stdout=-1, env=ENV) as process:
        assert process.stdin
        assert process.stdout
        printed = json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.wait(5) == 0
    settings = tomllib.loads((tmp_path / "web.toml").read_text())
    assert settings == printed["settings"]
    assert settings["seeds"] == list(WEB.seeds)
    assert settings["attempt_header"] == "X-Attempt"
    assert settings["resolve"][OPEN] == f"127.16.0.2:{printed['port']}"
