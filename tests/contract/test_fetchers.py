"""The contract of crawler/fetch/base.py, checked for every client on real sockets."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crawler.core.reasons import FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch import ASYNC_CLIENTS, SYNC_CLIENTS, open_async_fetcher, open_fetcher
from crawler.fetch.base import ACCEPT_ENCODING, AsyncFetcher, ClientPlan, Fetcher, FetchError, Limits, Request, Response
from crawler.fetch.net.tls import trusted_certificates, usual_ca_file
from variants.async_loop import loop_factory

from .raw_server import RawServer, Step, chunked, response, until

ON_A_LOOP = " on a loop"
LOOP_CLIENTS = tuple(client + ON_A_LOOP for client in ASYNC_CLIENTS)
CLIENTS = (*SYNC_CLIENTS, *LOOP_CLIENTS)
PLAIN = ("curl", "urllib3")
STRICT = tuple(client for client in CLIENTS if client not in PLAIN)
"""The clients that keep all promises of crawler/fetch/base.py; the plain ones leave some to their libraries."""

strict = pytest.mark.parametrize("client", STRICT, indirect=True)
LOOPBACK: dict[str, Any] = {"networks": ("127.0.0.0/8",)}
USUAL = (("User-Agent", "contract/1"), ("Accept", "text/html"))
DRIP: list[Step] = [b"x", 0.05] * 60
OPEN_END = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


class Blocking:
    """An asynchronous client wrapped as a blocking one: its loop runs in its own thread."""

    def __init__(self, client: str, plan: ClientPlan) -> None:
        self._loop = loop_factory("auto")()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._fetcher = asyncio.run_coroutine_threadsafe(self._open(client, plan), self._loop).result(5)

    @staticmethod
    async def _open(client: str, plan: ClientPlan) -> AsyncFetcher:
        return open_async_fetcher(client, plan)

    def fetch(self, request: Request) -> Response:
        return asyncio.run_coroutine_threadsafe(self._fetcher.fetch(request), self._loop).result(20)

    def abort(self) -> None:
        raise NotImplementedError("a task is cancelled instead")

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._fetcher.close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


Open = Callable[..., Fetcher]


def start(client: str, plan: ClientPlan) -> Fetcher:
    if client in SYNC_CLIENTS:
        return open_fetcher(client, plan)
    return Blocking(client.removesuffix(ON_A_LOOP), plan)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(client: str) -> Iterator[Open]:
    """Opens fetchers of the client that may connect to loopback, and closes them. Limits and fields of the plan by
    name."""
    fetchers: list[Fetcher] = []

    def open_one(limits: Limits | None = None, **fields: object) -> Fetcher:
        plan = ClientPlan(limits=limits or Limits(), **{**LOOPBACK, "headers": USUAL, **fields})
        fetchers.append(start(client, plan))
        return fetchers[-1]

    yield open_one
    for fetcher in fetchers:
        fetcher.close()


def always(*steps: Step) -> RawServer:
    return RawServer(lambda path: list(steps))


def trouble(fetcher: Fetcher, url: str, headers: tuple[tuple[str, str], ...] = ()) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(Request(url, headers))
    assert "\n" not in caught.value.detail
    return caught.value


# ---- requests --------------------------------------------------------------------------------------------------------


@strict
@pytest.mark.parametrize(
    "path",
    ["/", "/a%2Fb?x=%27&y=%7E", "/a/../b", "/a//b/./c", "/%7euser/%c3%a4", "/q?a=b?c=d&e=[f]|{g}", "/x?", "/;p=1,2"],
)
def test_request_line_is_the_url_byte_for_byte(opened: Open, path: str) -> None:
    with always(response()) as server:
        opened().fetch(Request(server.url + path))
    assert server.requests[0].split(b"\r\n")[0] == b"GET " + path.encode() + b" HTTP/1.1"


def test_headers_are_exactly_those_of_the_plan(opened: Open) -> None:
    with always(response()) as server:
        opened().fetch(Request(server.url + "/"))
    lines = sorted(server.requests[0].decode().split("\r\n")[1:])
    assert lines == [
        "Accept-Encoding: " + ACCEPT_ENCODING,
        "Accept: text/html",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: contract/1",
    ]


def test_no_header_is_added_without_a_plan(opened: Open) -> None:
    with always(response()) as server:
        opened(headers=()).fetch(Request(server.url + "/"))
    names = sorted(line.split(":")[0] for line in server.requests[0].decode().split("\r\n")[1:])
    assert names == ["Accept-Encoding", "Host"]


def test_headers_of_a_request_replace_those_of_the_plan_once(opened: Open) -> None:
    with always(response()) as server:
        fetcher = opened()
        own = (("accept", "text/plain"), ("If-None-Match", '"1"'), ("Accept-Encoding", "identity"))
        fetcher.fetch(Request(server.url + "/", own))
        fetcher.fetch(Request(server.url + "/"))
    first, second = ([line.lower() for line in head.decode().split("\r\n")[1:]] for head in server.requests)
    assert [line for line in first if line.startswith("accept")] == ["accept: text/plain", "accept-encoding: identity"]
    assert 'if-none-match: "1"' in first
    assert "accept: text/html" in second
    assert not any(line.startswith("if-none-match") for line in second)


@pytest.mark.parametrize("bad", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "caf\u00e9"])
def test_header_injection_is_refused(opened: Open, bad: str) -> None:
    with pytest.raises(UsageError):
        opened(headers=(("User-Agent", bad),))
    with pytest.raises(UsageError):
        opened(headers=((bad, "x"),))
    with always(response()) as server:
        assert trouble(opened(), server.url + "/", (("X-A", bad),)).kind is FetchErrorKind.INTERNAL
        assert server.connections == 0


@pytest.mark.parametrize("bad", ["/a b", "/a\r\nX: 1", "/\u00e4"])
def test_url_that_is_not_canonical_is_refused(opened: Open, bad: str) -> None:
    with always(response()) as server:
        assert trouble(opened(), server.url + bad).kind is FetchErrorKind.INTERNAL
        assert server.connections == 0


def test_name_override_with_port_and_host_header(opened: Open) -> None:
    with always(response(b"one")) as one, always(response(b"two")) as two:
        there = {
            "a.test": f"127.0.0.1:{one.port}",
            f"b.test:{two.port}": "127.0.0.1",
            "a.test:81": f"127.0.0.1:{two.port}",
        }
        fetcher = opened(resolve=there)
        assert fetcher.fetch(Request("http://a.test/x")).body == b"one"
        assert fetcher.fetch(Request(f"http://b.test:{two.port}/y")).body == b"two"
        assert fetcher.fetch(Request("http://a.test:81/z")).body == b"two"
    assert b"Host: a.test\r\n" in one.requests[0] + b"\r\n"
    assert f"Host: b.test:{two.port}\r\n".encode() in two.requests[0] + b"\r\n"


def test_proxies_and_netrc_of_the_environment_are_ignored(
    opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with always(response(b"direct")) as server:
        assert opened().fetch(Request(server.url + "/")).body == b"direct"
    assert b"uthorization" not in server.requests[0]


def test_cookies_are_not_stored(opened: Open) -> None:
    with always(response(b"", "Set-Cookie: a=b; Path=/")) as server:
        fetcher = opened()
        for _ in range(2):
            fetcher.fetch(Request(server.url + "/"))
    assert not any(b"cookie" in head.lower() for head in server.requests)


# ---- responses -------------------------------------------------------------------------------------------------------


@strict
def test_status_headers_and_body_are_exact(opened: Open) -> None:
    with always(
        response(b"\0\xff<p>", "X-B: 1", "x-a:  two  ", "X-B: 3", "X-Latin: \xe4", status="404 Gone?")
    ) as server:
        got = opened().fetch(Request(server.url + "/"))
    assert got.status == 404
    assert got.headers == (("X-B", "1"), ("x-a", "two"), ("X-B", "3"), ("X-Latin", "\xe4"), ("Content-Length", "5"))
    assert (got.body, got.truncated) == (b"\0\xff<p>", "")
    assert 0 < got.first_byte <= got.seconds < 5


def test_redirect_is_not_followed(opened: Open) -> None:
    with always(response(b"moved", "Location: /elsewhere", status="301 Moved")) as server:
        got = opened().fetch(Request(server.url + "/"))
    assert (got.status, got.header("location"), got.body) == (301, "/elsewhere", b"moved")
    assert len(server.requests) == 1


def test_body_is_not_decompressed(opened: Open) -> None:
    with always(response(b"\x1f\x8bnot gzip", "Content-Encoding: gzip")) as server:
        assert opened().fetch(Request(server.url + "/")).body == b"\x1f\x8bnot gzip"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body_have_none(opened: Open, status: str) -> None:
    with always(f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode()) as server:
        fetcher = opened(limits=Limits(total=5))
        for _ in range(2):
            got = fetcher.fetch(Request(server.url + "/"))
            assert (got.status, got.body, got.truncated) == (int(status[:3]), b"", "")
    assert server.connections == 1


def test_chunked_body(opened: Open) -> None:
    with always(chunked(b"one", b"two" * 9000, b"!", end=b"0;x=y\r\nX-Trailer: 1\r\n\r\n")) as server:
        fetcher = opened()
        for _ in range(2):
            assert fetcher.fetch(Request(server.url + "/")).body == b"one" + b"two" * 9000 + b"!"
    assert server.connections == 1


def test_body_until_the_connection_closes(opened: Open) -> None:
    with always(OPEN_END + b"all of it", "close") as server:
        got = opened().fetch(Request(server.url + "/"))
    assert (got.body, got.truncated) == (b"all of it", "")


@strict
def test_more_than_a_hundred_headers(opened: Open) -> None:
    fields = [f"X-{n}: {n}" for n in range(300)]
    with always(response(b"ok", *fields)) as server:
        got = opened().fetch(Request(server.url + "/"))
    assert [f"{name}: {value}" for name, value in got.headers[:-1]] == fields


@strict
def test_interim_replies_are_skipped(opened: Open) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with always(interim * 3 + response(b"final")) as server:
        got = opened().fetch(Request(server.url + "/"))
    assert (got.status, got.headers, got.body) == (200, (("Content-Length", "5"),), b"final")


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["length", "chunked", "open"])
@pytest.mark.parametrize("extra", [0, 1, 50_000])
def test_cap_of_the_body_is_exact(opened: Open, form: str, extra: int) -> None:
    cap = 30_000
    body = bytes(range(256)) * 500
    body = body[: cap + extra]
    scripts: dict[str, list[Step]] = {
        "length": [response(body), "keep"],
        "chunked": [chunked(body[:700], body[700:]), "keep"],
        "open": [OPEN_END + body, "close"],
    }
    with RawServer(lambda path: scripts[form]) as server:
        fetcher = opened(limits=Limits(max_body=cap))
        for _ in range(2):
            got = fetcher.fetch(Request(server.url + "/"))
            assert got.body == body[:cap]
            assert got.truncated == ("length" if extra else "")
    if not extra:
        assert server.connections == (2 if form == "open" else 1)


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_the_connection_of_a_cut_body_is_not_reused(opened: Open, form: str) -> None:
    body = b"x" * 4_000_000
    with always(response(body) if form == "length" else chunked(body, body)) as server:
        fetcher = opened(limits=Limits(max_body=1000))
        for _ in range(3):
            got = fetcher.fetch(Request(server.url + "/"))
            assert (got.body, got.truncated) == (body[:1000], "length")
    assert server.connections == 3


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        chunked(b"ha", b"lf", end=b""),
        chunked(b"ha", end=b"64\r\nlf"),
    ],
    ids=["length", "between chunks", "inside a chunk"],
)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_body_truncated_by_the_server_is_marked(opened: Open, sent: bytes, end: str) -> None:
    head, _, rest = sent.partition(b"\r\n\r\n")
    with always(head + b"\r\n\r\n", 0.03, rest, 0.03, end) as server:
        got = opened().fetch(Request(server.url + "/"))
    assert (got.status, got.body, got.truncated) == (200, b"half", "disconnect")


@pytest.mark.parametrize("body", [b"", b"half"])
def test_a_reset_truncates_a_body_without_a_length(opened: Open, body: bytes) -> None:
    with always(OPEN_END + body, 0.05, "reset") as server:
        got = opened().fetch(Request(server.url + "/"))
    assert (got.status, got.body, got.truncated) == (200, body, "disconnect")


def test_a_body_truncated_in_the_packet_of_its_head_is_kept(opened: Open) -> None:
    with always(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "close") as server:
        got = opened().fetch(Request(server.url + "/"))
    assert (got.body, got.truncated) == (b"half", "disconnect")


def test_a_slow_body_is_ended_by_the_total_limit(opened: Open) -> None:
    with always(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", *DRIP) as server:
        got = opened(limits=Limits(total=0.4, idle=0.3, first_byte=0.3)).fetch(Request(server.url + "/"))
    assert got.truncated == "time"
    assert 3 <= len(got.body) < 999
    assert got.body == b"x" * len(got.body)
    assert 0.35 < got.seconds < 3


@strict
@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", OPEN_END], ids=["length", "open"])
def test_a_stall_in_the_body_is_ended_by_the_idle_limit(opened: Open, head: bytes) -> None:
    with always(head + b"begun", 3.0) as server:
        fetcher = opened(limits=Limits(total=5, idle=0.3, first_byte=5))
        got = fetcher.fetch(Request(server.url + "/"))
        assert (got.body, got.truncated) == (b"begun", "time")
        assert 0.25 < got.seconds < 2.5


@strict
@pytest.mark.parametrize(
    "start", [(), (b"HTTP/1.1 200 OK\r\nX: ",), (b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n", 0.05] * 40)]
)
def test_a_stall_in_the_head_is_ended_by_the_first_byte_limit(opened: Open, start: tuple[Step, ...]) -> None:
    with always(*start, 3.0) as server:
        fetcher = opened(limits=Limits(total=5, idle=5, first_byte=0.3))
        began = time.monotonic()
        error = trouble(fetcher, server.url + "/")
        assert 0.25 < time.monotonic() - began < 0.9
    assert (error.kind, error.detail) == (FetchErrorKind.TIMEOUT, "first byte")
    assert len(server.requests) == 1


def test_fetch_works_after_one_that_timed_out(opened: Open) -> None:
    with RawServer(lambda path: [3.0] if path == "/slow" else [response(b"fine")]) as server:
        fetcher = opened(limits=Limits(first_byte=0.2, total=1))  # libcurl has only the total
        for _ in range(2):
            assert trouble(fetcher, server.url + "/slow").kind is FetchErrorKind.TIMEOUT
            assert fetcher.fetch(Request(server.url + "/")).body == b"fine"


@strict
def test_connect_deadline(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = []
        for _ in range(4):  # the queue of connections overflows, further SYNs are dropped
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(full.getsockname())
            waiting.append(one)
        assert select.select([], waiting, [], 5)[1], "no connection fills the queue"
        error = trouble(opened(limits=Limits(connect=0.3)), f"http://127.0.0.1:{full.getsockname()[1]}/")
        for one in waiting:
            one.close()
    assert (error.kind, error.detail) == (FetchErrorKind.TIMEOUT, "connect")


@strict
@pytest.mark.parametrize(
    "sent",
    [
        response(b"x", "X: " + "a" * 70_000),
        response(b"x", *["X-Y: z"] * 20_000),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + response(b"x"),
    ],
    ids=["field", "fields", "interim"],
)
def test_an_oversized_head_is_refused(opened: Open, sent: bytes) -> None:
    with always(sent, 1.0) as server:
        assert trouble(opened(limits=Limits(total=5)), server.url + "/").kind is FetchErrorKind.PROTOCOL


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_refused_port(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert trouble(opened(), f"http://127.0.0.1:{port}/").kind is FetchErrorKind.CONNECT


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid"])
def test_no_such_host(opened: Open, host: str) -> None:
    began = time.monotonic()
    assert trouble(opened(limits=Limits(connect=5)), f"http://{host}/").kind is FetchErrorKind.DNS
    assert time.monotonic() - began < 6


@strict
@pytest.mark.parametrize(
    "steps",
    [("close",), ("reset",), (b"HTTP/1.1 200 OK\r\nX: y\r\n", 0.03, "close"), (b"HTTP/1.1 2", 0.03, "reset")],
    ids=["close", "reset", "close in the head", "reset in the status line"],
)
def test_a_connection_that_closes_before_the_end_of_the_head(opened: Open, steps: tuple[Step, ...]) -> None:
    with always(*steps) as server:
        assert trouble(opened(), server.url + "/").kind is FetchErrorKind.DISCONNECT
    assert len(server.requests) == 1, "the request was repeated after its new connection broke"


@strict
@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 1000 Boo\r\n\r\n", b"<html>hi</html>\n"],
)
def test_a_reply_that_is_not_http_is_a_protocol_error(opened: Open, sent: bytes) -> None:
    with always(sent, 0.05, "close") as server:
        assert trouble(opened(), server.url + "/").kind is FetchErrorKind.PROTOCOL


# ---- connections -----------------------------------------------------------------------------------------------------


def test_a_connection_is_reused(opened: Open) -> None:
    with always(response(b"x" * 5000)) as server:
        fetcher = opened()
        for n in range(20):
            assert len(fetcher.fetch(Request(f"{server.url}/{n}")).body) == 5000
    assert (server.connections, len(server.requests)) == (1, 20)


def test_a_kept_connection_closed_by_the_server_fails_no_fetch(opened: Open) -> None:
    with always(response(b"bye"), "close") as server:
        fetcher = opened()
        for n in range(10):
            assert fetcher.fetch(Request(f"{server.url}/{n}")).body == b"bye"
            until(lambda: not server.open)
    assert len(server.requests) == 10


@strict
def test_a_request_is_never_sent_twice_even_if_a_kept_connection_breaks(opened: Open) -> None:
    with RawServer(lambda path: ["reset"] if path == "/reset" else [response(b"fine")]) as server:
        fetcher = opened()
        assert fetcher.fetch(Request(f"{server.url}/1")).body == b"fine"
        assert trouble(fetcher, f"{server.url}/reset").kind is FetchErrorKind.DISCONNECT
        assert fetcher.fetch(Request(f"{server.url}/2")).body == b"fine"
    assert [head.split()[1] for head in server.requests] == [b"/1", b"/reset", b"/2"]


def test_an_unrequested_second_reply_answers_no_request(opened: Open) -> None:
    poison = response(b"good") + response(b"POISON")
    with RawServer(lambda path: [poison if path == "/1" else response(b"next")]) as server:
        fetcher = opened()
        assert fetcher.fetch(Request(server.url + "/1")).body == b"good"
        server.wait_played(1)
        assert fetcher.fetch(Request(server.url + "/2")).body == b"next"


def test_a_thousand_errors_leak_no_connection(opened: Open) -> None:
    def reply(path: str) -> list[Step]:
        kind = int(path[1:]) % 4
        if kind == 0:
            return [response(b"no", "Set-Cookie: a=b; Max-Age=99999999999999999999", status="503 Busy")]
        broken = [b"rubbish\r\n\r\n", b"", OPEN_END[:-2] + b"Content-Length: 9\r\n\r\nx"]
        return [broken[kind - 1], "close"]

    with RawServer(reply) as server:
        fetcher = opened(connections=2, limits=Limits(total=5))
        seen = []
        for n in range(1000):
            try:
                got = fetcher.fetch(Request(f"{server.url}/{n}"))
                seen.append(got.truncated or str(got.status))
            except FetchError as error:
                seen.append(str(error.kind))
        assert seen == ["503", "protocol", "disconnect", "disconnect"] * 250
        began = time.monotonic()
        assert fetcher.fetch(Request(server.url + "/0")).status == 503
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("client", ASYNC_CLIENTS)
def test_concurrent_fetches_share_the_connections(client: str) -> None:
    """Only an asynchronous client has several fetches in flight."""
    with always(0.02, response(b"ok")) as server:

        async def crawl() -> list[Response]:
            fetcher = open_async_fetcher(client, ClientPlan(headers=USUAL, connections=5, **LOOPBACK))
            try:
                return await asyncio.gather(*(fetcher.fetch(Request(f"{server.url}/{n}")) for n in range(25)))
            finally:
                await fetcher.close()

        assert [got.body for got in asyncio.run(crawl())] == [b"ok"] * 25
        assert server.connections == 5


@pytest.mark.parametrize("client", ASYNC_CLIENTS)
def test_time_in_which_the_loop_was_blocked_counts_for_no_deadline(client: str) -> None:
    async def fetch_around_a_block(server: RawServer) -> Response:
        fetcher = open_async_fetcher(client, ClientPlan(limits=Limits(first_byte=0.5, idle=0.5, total=1), **LOOPBACK))
        try:
            fetching = asyncio.create_task(fetcher.fetch(Request(server.url + "/")))
            await asyncio.to_thread(server.pausing.wait, 5)
            asyncio.get_running_loop().call_soon(time.sleep, 1.5)
            return await fetching
        finally:
            await fetcher.close()

    with always(0.2, response(b"in time")) as server:
        assert asyncio.run(fetch_around_a_block(server)).body == b"in time"


@pytest.mark.parametrize("client", ASYNC_CLIENTS)
def test_cancelled_fetch_is_cancelled_and_frees_its_connection(client: str) -> None:
    """A cancellation from outside is not reported as a timeout."""
    with RawServer(lambda path: [3.0] if path == "/slow" else [response(b"ok")]) as server:

        async def crawl() -> bytes:
            fetcher = open_async_fetcher(client, ClientPlan(headers=USUAL, connections=1, **LOOPBACK))
            slow = asyncio.create_task(fetcher.fetch(Request(server.url + "/slow")))
            assert await asyncio.to_thread(server.pausing.wait, 5)
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            try:
                return (await asyncio.wait_for(fetcher.fetch(Request(server.url + "/")), 1)).body
            finally:
                await fetcher.close()

        assert asyncio.run(crawl()) == b"ok"


@pytest.mark.parametrize("client", sorted({*SYNC_CLIENTS} - {*PLAIN}), indirect=True)
@pytest.mark.parametrize("steps", [[], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]], ids=["head", "body"])
def test_abort_from_another_thread(client: str, steps: list[Step], opened: Open) -> None:
    with RawServer(lambda path: [*steps, 5.0]) as server, ThreadPoolExecutor(1) as pool:
        fetcher = opened()
        running = pool.submit(trouble, fetcher, server.url + "/")
        assert server.pausing.wait(5)
        began = time.monotonic()
        fetcher.abort()
        assert running.result(5).kind is FetchErrorKind.LEASE_EXPIRED
        assert time.monotonic() - began < 0.5
        assert trouble(fetcher, server.url + "/").kind is FetchErrorKind.LEASE_EXPIRED


def test_unknown_client_is_refused() -> None:
    with pytest.raises(UsageError, match="curl, urllib3"):
        open_fetcher("wget", ClientPlan())
    with pytest.raises(UsageError, match="aiohttp"):
        open_async_fetcher("wget", ClientPlan())


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for a.test with its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=a.test"
    made = subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:a.test", "-keyout", folder / "key", "-out", folder / "cert"],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no openssl command to make a certificate with")
    both = folder / "both.pem"
    both.write_bytes((folder / "cert").read_bytes() + (folder / "key").read_bytes())
    return both


@pytest.fixture
def secure_port(certificate: Path) -> Iterator[int]:
    """A TLS server that answers one request on each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(line, server_side=True) as secure:
                    secure.recv(65_536)
                    secure.sendall(response(b"secret", "Connection: close"))
            except OSError:
                continue

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from crawler.fetch.net.tls import tls_context

    tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    yield
    tls_context.cache_clear()


def test_unknown_certificate_is_refused(opened: Open, secure_port: int) -> None:
    fetcher = opened(resolve={"a.test": "127.0.0.1"})
    assert trouble(fetcher, f"https://a.test:{secure_port}/").kind is FetchErrorKind.TLS


@pytest.mark.usefixtures("trusted")
def test_a_trusted_certificate_is_valid_for_its_name_only(opened: Open, secure_port: int) -> None:
    fetcher = opened(resolve={"a.test": "127.0.0.1", "b.test": "127.0.0.1"})
    assert fetcher.fetch(Request(f"https://a.test:{secure_port}/")).body == b"secret"
    assert trouble(fetcher, f"https://b.test:{secure_port}/").kind is FetchErrorKind.TLS


def test_an_additional_authority_is_trusted_besides_the_usual_ones(
    opened: Open, secure_port: int, certificate: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    own.write_bytes(certificate.read_bytes().partition(b"-----BEGIN PRIVATE KEY")[0])
    fetcher = opened(resolve={"a.test": "127.0.0.1", "b.test": "127.0.0.1"}, ca_file=str(own))
    assert fetcher.fetch(Request(f"https://a.test:{secure_port}/")).body == b"secret"
    assert trouble(fetcher, f"https://b.test:{secure_port}/").kind is FetchErrorKind.TLS
    assert trusted_certificates(str(own)).startswith(Path(usual_ca_file()).read_bytes())


def test_an_unreadable_authority_is_refused_at_once(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ca_file .*none\.pem: No such file"):
        opened(ca_file=str(tmp_path / "none.pem"))
    (tmp_path / "empty.pem").touch()
    with pytest.raises(UsageError, match=r"ca_file .*empty\.pem"):
        opened(ca_file=str(tmp_path / "empty.pem"))


def test_a_port_that_does_not_speak_tls(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def greet() -> None:
            line, _ = listener.accept()
            with line:
                line.sendall(b"220 mail ready\r\n")
                line.recv(65_536)

        pool.submit(greet)
        error = trouble(opened(limits=Limits(connect=2)), f"https://127.0.0.1:{listener.getsockname()[1]}/")
    assert error.kind is FetchErrorKind.TLS
    assert "SSLContext" not in error.detail


@strict
def test_https_on_a_port_of_http_says_so(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(65_536)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        pool.submit(answer)
        error = trouble(opened(limits=Limits(connect=2)), f"https://127.0.0.1:{listener.getsockname()[1]}/")
    assert error.kind is FetchErrorKind.TLS
    assert error.detail.startswith("the port answers without TLS: is it http:// ?")


@strict
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_connection_that_breaks_in_the_handshake_is_a_disconnect(opened: Open, how: str, after: int) -> None:
    """A server does that while it restarts. A retry may succeed, unlike after an invalid certificate."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def leave() -> None:
            line, _ = listener.accept()
            with line:
                if after:
                    line.recv(65_536)
                if how == "reset":
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        pool.submit(leave)
        error = trouble(opened(limits=Limits(connect=2)), f"https://127.0.0.1:{listener.getsockname()[1]}/")
    assert error.kind is FetchErrorKind.DISCONNECT, error.detail


def test_descriptors_are_closed(opened: Open, client: str) -> None:
    with always(response(b"x")) as server:
        plan = ClientPlan(headers=USUAL, **LOOPBACK)
        start(client, plan).close()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            fetcher = start(client, plan)
            fetcher.fetch(Request(server.url + "/"))
            fetcher.close()
        allowed = before + (3 * 5 if client in LOOP_CLIENTS else 1)
        until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= allowed)
