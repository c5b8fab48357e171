"""How connections begin and end: several addresses, limits of the pool, TLS that ends without a word, an abort in the
handshake."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import ClientPlan, Fetcher, Limits, Request
from crawler.fetch.clients.native_connection import ConnectionPool, NativeConnection
from crawler.fetch.http1.request import Origin
from crawler.fetch.net import endpoints
from crawler.fetch.net.dial import ATTEMPT_DELAY, in_turn
from crawler.fetch.net.dns_cache import DnsCache

from .proxy_server import ProxyServer
from .raw_server import RawServer, response, until
from .test_fetchers import STRICT, start, trouble
from .test_guarded import Dns

NATIVE = ("native", "native on a loop")
HERE: dict[str, Any] = {"networks": ("127.0.0.0/8",)}
Answers = dict[str, list[str] | OSError | float]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What names lead to."""
    resolver = Dns()
    resolver.answers = answers = Answers()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(endpoints, "NAMES", DnsCache())
    return answers


@pytest.fixture
def full() -> Iterator[Callable[[str, int], None]]:
    """Fills the queue of connections of an address: further ones get no answer."""
    held: list[socket.socket] = []

    def fill(address: str, port: int) -> None:
        listener = socket.create_server((address, port), backlog=0)
        held.append(listener)
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((address, port))
            held.append(one)

    yield fill
    for one in held:
        one.close()


# ---- several addresses (RFC 8305) ------------------------------------------------------------------------------------


def test_families_alternate_and_the_first_stays_first() -> None:
    assert in_turn(["::1", "::2", "::3", "192.0.2.1"]) == ["::1", "192.0.2.1", "::2", "::3"]
    assert in_turn(["192.0.2.1", "::1", "192.0.2.2"]) == ["192.0.2.1", "::1", "192.0.2.2"]
    assert in_turn([]) == []


@pytest.mark.parametrize("client", NATIVE)
def test_an_address_that_refuses_costs_no_time(client: str, dns: Answers) -> None:
    dns["two.test"] = ["127.0.0.2", "127.0.0.1"]
    with RawServer(lambda path: [response(b"it")]) as server, closing(start(client, ClientPlan(**HERE))) as fetcher:
        got = fetcher.fetch(Request(f"http://two.test:{server.port}/"))
    assert (got.body, got.address) == (b"it", "127.0.0.1")
    assert got.seconds < ATTEMPT_DELAY


@pytest.mark.parametrize("client", NATIVE)
def test_an_address_that_does_not_answer_is_overtaken_by_the_next(
    client: str, dns: Answers, full: Callable[[str, int], None]
) -> None:
    dns["two.test"] = ["127.0.0.2", "127.0.0.1"]
    with RawServer(lambda path: [response(b"it")]) as server, closing(start(client, ClientPlan(**HERE))) as fetcher:
        full("127.0.0.2", server.port)
        got = fetcher.fetch(Request(f"http://two.test:{server.port}/"))
    assert (got.body, got.address) == (b"it", "127.0.0.1")
    assert ATTEMPT_DELAY * 0.9 < got.seconds < 3


@pytest.mark.parametrize("client", NATIVE)
def test_addresses_that_all_refuse_are_an_error_of_the_connect(client: str, dns: Answers) -> None:
    dns["two.test"] = ["127.0.0.2", "127.0.0.3"]
    with socket.create_server(("127.0.0.1", 0)) as free, closing(start(client, ClientPlan(**HERE))) as fetcher:
        assert trouble(fetcher, f"http://two.test:{free.getsockname()[1]}/").kind is FetchErrorKind.CONNECT


# ---- limits of what is kept ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", NATIVE)
def test_no_more_connections_are_open_than_the_plan_allows(client: str, dns: Answers) -> None:
    names = [f"n{number}.test" for number in range(6)]
    dns |= {name: ["127.0.0.1"] for name in names}
    with RawServer(lambda path: [response(b"it")]) as server:
        with closing(start(client, ClientPlan(connections=2, **HERE))) as fetcher:
            for name in names * 2:
                assert fetcher.fetch(Request(f"http://{name}:{server.port}/")).body == b"it"
                until(lambda: server.open <= 2)
        assert server.connections == 12, "the one used least recently makes room"


@pytest.mark.parametrize("client", NATIVE)
def test_a_connection_that_was_idle_for_long_is_not_used_again(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("native_blocking", "native_connection"):
        monkeypatch.setattr(f"crawler.fetch.clients.{module}.KEEPALIVE_S", 0.05)
    with RawServer(lambda path: [response(b"it")]) as server, closing(start(client, ClientPlan(**HERE))) as fetcher:
        for _ in range(3):
            fetcher.fetch(Request(server.url))
            time.sleep(0.1)  # the idle time is the behaviour
    assert server.connections == 3


async def test_a_waiting_fetch_that_is_cancelled_hands_its_turn_on() -> None:
    pool, origin = ConnectionPool(1), Origin("http", "a.test", 80)
    assert await pool.acquire(origin) is None
    first, second = (asyncio.create_task(pool.acquire(origin)) for _ in range(2))
    await asyncio.sleep(0)
    pool.forget()
    first.cancel()
    assert await asyncio.wait_for(second, 1) is None
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_server_that_speaks_first_is_heard_only_up_to_the_size_of_a_head() -> None:
    def is_open_after(*pieces: bytes) -> bool:
        loop = asyncio.get_running_loop()
        connection = NativeConnection(loop, Origin("http", "a.test", 80), lambda one: None, max_early=10)
        for piece in pieces:
            connection.data_received(piece)
        return connection.is_open

    assert is_open_after(b"220 mail\r\n")
    assert not is_open_after(b"220 mail\r\n", b"x", b"y")


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def authority(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def serve_once(listener: socket.socket, cert: trustme.LeafCert, reply: bytes, *, says_goodbye: bool) -> None:
    """Answer one request over TLS, and end with a close_notify or without one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    line, _ = listener.accept()
    with suppress(OSError):
        secure = context.wrap_socket(line, server_side=True)
        secure.recv(65_536)
        secure.sendall(reply)
        if says_goodbye:
            secure.settimeout(2)
            secure.unwrap()
        secure.close()


@pytest.mark.parametrize("client", STRICT)
@pytest.mark.parametrize(("says_goodbye", "truncated"), [(True, ""), (False, "disconnect")])
def test_a_body_that_ends_with_the_stream_is_complete_only_where_tls_says_so(
    client: str, ca: trustme.CA, authority: str, says_goodbye: bool, truncated: str
) -> None:
    """RFC 9112 section 9.8: without a close_notify somebody else may have cut it."""
    reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody"
    cert = ca.issue_cert("a.test")
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(serve_once, listener, cert, reply, says_goodbye=says_goodbye)
        plan = ClientPlan(resolve={"a.test": "127.0.0.1"}, ca_file=authority, **HERE)
        with closing(start(client, plan)) as fetcher:
            got = fetcher.fetch(Request(f"https://a.test:{listener.getsockname()[1]}/"))
    assert (got.body, got.truncated) == (b"body", truncated)


@pytest.mark.parametrize("client", NATIVE)
@pytest.mark.parametrize("why", ["expired", "another host", "unknown authority"])
def test_it_says_what_is_wrong_with_a_certificate(client: str, ca: trustme.CA, authority: str, why: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    cert = (trustme.CA() if why == "unknown authority" else ca).issue_cert(
        "b.test" if why == "another host" else "a.test",
        not_before=now - datetime.timedelta(days=9),
        not_after=now + datetime.timedelta(days=-1 if why == "expired" else 9),
    )
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(serve_once, listener, cert, b"", says_goodbye=False)
        plan = ClientPlan(resolve={"a.test": "127.0.0.1"}, ca_file=authority, **HERE)
        with closing(start(client, plan)) as fetcher:
            error = trouble(fetcher, f"https://a.test:{listener.getsockname()[1]}/")
    assert error.kind is FetchErrorKind.TLS
    assert why in error.detail.partition("(")[0]


# ---- an abort, and what is left open ---------------------------------------------------------------------------------


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("scheme", ["https", "tunnel"])
def test_an_abort_is_seen_while_a_server_or_a_proxy_is_silent(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        plan = ClientPlan(limits=Limits(connect=9), proxy=f"http://{url}" if scheme == "tunnel" else "", **HERE)
        with closing(start("native", plan)) as fetcher:
            running = pool.submit(trouble, fetcher, f"https://{url}/")
            line, _ = silent.accept()
            line.recv(1)
            began = time.monotonic()
            fetcher.abort()
            assert running.result(5).kind is FetchErrorKind.LEASE_EXPIRED
            line.close()
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("client", NATIVE)
@pytest.mark.parametrize("kind", ["refused by a proxy", "no TLS", "no name for TLS"])
def test_a_connection_that_fails_to_begin_leaves_no_descriptor(client: str, kind: str) -> None:
    host = "a" * 70 + ".test" if kind == "no name for TLS" else "a.test"
    with ProxyServer(answers=(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",)) as server:
        routes = {} if kind == "refused by a proxy" else {host: f"127.0.0.1:{server.port}"}
        plan = ClientPlan(proxy=server.url if not routes else "", resolve=routes, **HERE)
        fetcher: Fetcher = start(client, plan)
        with closing(fetcher):
            trouble(fetcher, f"https://{host}/")
            before = open_descriptors()
            errors = [trouble(fetcher, f"https://{host}/") for _ in range(20)]  # kept: their tracebacks hold the frames
            until(lambda: open_descriptors() <= before + 2)
    assert len(errors) == 20
