"""The native client, blocking and on a loop, against the servers and proxies that the web runs on.

Each is a real process on loopback: see tests/live/server_process.py. Those that are not installed are skipped.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import random
import socket
import ssl
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import pytest
import trustme

from crawler.core.reasons import FetchErrorKind
from crawler.fetch import open_async_fetcher
from crawler.fetch.base import ACCEPT_ENCODING, ClientPlan, Fetcher, Headers, Limits, Request, Response
from crawler.fetch.decode import decode
from tests.contract.raw_server import RawServer, response
from tests.contract.test_fetchers import start, trouble

from .real_proxies import PROXIES, SOCKS, WITHOUT_LOGIN
from .real_servers import HTTP_SERVER, NGINX, SERVERS
from .server_process import (
    LOGIN,
    NAME,
    PAGES,
    Place,
    Running,
    Server,
    folder_for_servers,
    path_of,
    running,
    write_pages,
)

REQUESTS = 200
REQUESTS_BY_PROXY = {"localhost": 30, "127.0.0.1": 16}
DRIVERS = ("native", "native on a loop")
AT_ONCE = 6
MARKS = itertools.count()
LIMITS = Limits(connect=5, first_byte=10, idle=10, total=20)
VALIDATORS = {"etag": ("etag", "If-None-Match"), "date": ("last-modified", "If-Modified-Since")}
"""For each way to ask whether a page has changed: the header to remember, and the one to send."""


class Step(NamedTuple):
    """One request, and what must come."""

    kind: str
    path: str
    validator: tuple[str, str] | None = None
    """The header of an earlier answer for `path`, and the header to send it back in."""


def steps(kinds: tuple[str, ...], count: int) -> list[Step]:
    """Requests of all kinds, mixed: first the plain pages, which the validators come from. Each URL is another."""
    planned = [Step("plain", path_of("plain", number)) for number in range(PAGES)]
    for number in range(count - PAGES):
        kind = kinds[number % len(kinds)]
        path = path_of(kind, number // len(kinds))
        planned.append(Step(kind, path, VALIDATORS.get(kind)))
    later = planned[PAGES:]
    random.Random(3).shuffle(later)
    return planned[:PAGES] + later


def request_of(origin: str, step: Step, query: str, known: dict[str, Response]) -> Request:
    headers: Headers = ()
    if step.validator is not None:
        told, asked = step.validator
        value = known[step.path].header(told)
        assert value, f"no {told} for {step.path}"
        headers = ((asked, value),)
    return Request(f"{origin}{step.path}?{query}", headers)


def check(step: Step, got: Response, site: Path, missing: bytes) -> None:
    """The status, the bytes and how they came are what the kind of page says."""
    about = f"{step} {got.status} {got.headers}"
    assert got.truncated == "", about
    if step.kind in ("etag", "date"):
        assert (got.status, got.body) == (304, b""), about
        return
    if step.kind == "missing":
        assert (got.status, got.body) == (404, missing), about
        return
    body = (site / step.path.lstrip("/")).read_bytes()
    coding = got.header("content-encoding")
    assert got.status == 200, about
    assert coding == ("gzip" if step.kind == "gzip" else ""), about
    if coding:
        assert decode(got.body, coding, len(body) + 1) == (body, ""), about
    else:
        assert got.body == body, about
    length, transfer = got.header("content-length"), got.header("transfer-encoding")
    if step.kind == "plain":
        assert (length, transfer) == (str(len(body)), ""), about
    elif step.kind == "chunked":  # a server that has it all at once may tell the length
        assert (length or transfer.lower()) in (str(len(body)), "chunked"), about
    elif step.kind == "open":
        assert length == "", about  # a proxy may make chunks of it


def check_all(planned: list[Step], answers: list[Response], site: Path, missing: bytes) -> None:
    """Check each, and that chunks really came in chunks."""
    in_chunks = []
    for step, got in zip(planned, answers, strict=True):
        check(step, got, site, missing)
        if step.kind == "chunked":
            in_chunks.append(bool(got.header("transfer-encoding")))
    assert sum(in_chunks) * 2 >= len(in_chunks)


def closes(got: Response) -> bool:
    """Whether the server closes the connection after it."""
    return "close" in got.header("connection").lower()


def connections_needed(answers: list[Response], server: Server) -> int:
    """The connections of requests one after the other, where each is kept until the server closes it."""
    closed = [not server.keeps or closes(got) for got in answers]
    return 1 + sum(closed[:-1])


def reference(place: Place, ca_file: Path, path: str) -> bytes:
    """The body as another client sees it."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.check_hostname = False
    connection = (
        http.client.HTTPSConnection("127.0.0.1", place.port, context=context, timeout=5)
        if place.tls
        else http.client.HTTPConnection("127.0.0.1", place.port, timeout=5)
    )
    headers = {"Host": f"{NAME}:{place.port}", "Accept-Encoding": ACCEPT_ENCODING}
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().read()
    finally:
        connection.close()


def tls_version(port: int, ca_file: Path) -> str:
    """The version that a server chooses of all that we have."""
    context = ssl.create_default_context(cafile=str(ca_file))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as line,
        context.wrap_socket(line, server_hostname=NAME) as secure,
    ):
        return secure.version() or ""


# ---- what the tests share --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Iterator[Place]:
    """The pages, a certificate and its authority (ca.pem), in a folder that all servers may read."""
    with folder_for_servers() as folder:
        site, certificate = folder / "site", folder / "site.pem"
        write_pages(site)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        authority.issue_cert(NAME, "localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            str(certificate)
        )
        yield Place(folder=folder, site=site, port=0, certificate=certificate)


@pytest.fixture(scope="module")
def ca_file(shared: Place) -> Path:
    return shared.folder / "ca.pem"


WAYS = [(server, tls) for server in SERVERS for tls in ("", "1.2", "1.3") if server.secure or not tls]


@pytest.fixture(scope="module", params=WAYS, ids=[f"{server.name}-{tls or 'http'}" for server, tls in WAYS])
def served(request: pytest.FixtureRequest, shared: Place, ca_file: Path) -> Iterator[Running]:
    """A running server."""
    server, tls = request.param
    with running(server, shared._replace(tls=tls)) as here:
        if tls:
            assert tls_version(here.place.port, ca_file) == f"TLSv{tls}"
        yield here


def plan_for(here: Running, ca_file: Path, connections: int) -> ClientPlan:
    return ClientPlan(
        limits=LIMITS,
        headers=(("User-Agent", "servers/1"),),
        resolve={NAME: "127.0.0.1"},
        networks=("127.0.0.0/8",),
        ca_file=str(ca_file),
        connections=connections,
    )


def new_mark() -> str:
    """What the queries of one test begin with: no other's do."""
    return f"of{next(MARKS)}n"


def peers(here: Running, answers: list[Response], mark: str) -> list[str]:
    """The ports that the server saw these requests come from, in their order. `mark`: what their queries begin with."""
    if here.server.log:
        return here.logged(mark, len(answers))
    named = [got.header("x-peer") for got in answers if got.status != 304 or got.header("x-peer")]
    assert all(named)  # only the 304 of Apache has no such header
    return named


def connections(ports: list[str]) -> int:
    """Of requests one after the other. A port may be used again, seldom at once: so these are few less, never more."""
    return 1 + sum(one != other for one, other in pairwise(ports))


# ---- servers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_answer_is_exact_and_connections_are_kept(served: Running, ca_file: Path, driver: str) -> None:
    missing = reference(served.place, ca_file, path_of("missing", 0))
    mark = new_mark()
    planned = steps(served.server.kinds, REQUESTS)
    fetcher = start(driver, plan_for(served, ca_file, 1))
    try:
        answers = ask(fetcher, served.origin, planned, mark)
    finally:
        fetcher.close()
    check_all(planned, answers, served.place.site, missing)
    assert {got.address for got in answers} == {"127.0.0.1"}
    if served.server.sees_peers:
        needed = connections_needed(answers, served.server)
        assert needed * 0.95 <= connections(peers(served, answers, mark)) <= needed
        asked_to_close = sum(step.kind in ("close", "open") for step in planned)
        assert needed <= asked_to_close + REQUESTS // 100 + 1 or not served.server.keeps
        assert needed > asked_to_close * 0.9


def ask(fetcher: Fetcher, origin: str, planned: list[Step], mark: str) -> list[Response]:
    """Fetch one after the other. `mark`: what their queries begin with."""
    known: dict[str, Response] = {}
    answers = []
    for number, step in enumerate(planned):
        got = fetcher.fetch(request_of(origin, step, f"{mark}{number}", known))
        if step.kind == "plain":
            known[step.path] = got
        answers.append(got)
    return answers


async def test_answers_to_many_at_once_are_exact_on_a_loop(served: Running, ca_file: Path) -> None:
    missing = reference(served.place, ca_file, path_of("missing", 0))
    mark = new_mark()
    planned = steps(served.server.kinds, REQUESTS)
    fetcher = open_async_fetcher("native", plan_for(served, ca_file, AT_ONCE))
    known: dict[str, Response] = {}
    try:
        for number, step in enumerate(planned[:PAGES]):
            known[step.path] = await fetcher.fetch(request_of(served.origin, step, f"{mark}{number}", known))
        requests = [request_of(served.origin, step, f"{mark}{number}", known) for number, step in enumerate(planned)]
        answers = await asyncio.gather(*map(fetcher.fetch, requests[PAGES:]))
    finally:
        await fetcher.close()
    everything = [*known.values(), *answers]
    check_all(planned, everything, served.place.site, missing)
    if served.server.sees_peers:
        closed = sum(not served.server.keeps or closes(got) for got in everything)
        assert len(set(peers(served, everything, mark))) <= closed + AT_ONCE


@pytest.mark.parametrize("served", [way for way in WAYS if way[0] is NGINX], ids=["http", "1.2", "1.3"], indirect=True)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_connection_that_was_closed_while_idle_is_not_used(served: Running, ca_file: Path, driver: str) -> None:
    fetcher = start(driver, plan_for(served, ca_file, 1))
    try:
        answers = []
        for pause in (0.0, 0.0, 0.2, 0.2):
            sleep(pause)
            answers.append(fetcher.fetch(Request(served.origin + "/brief")))
    finally:
        fetcher.close()
    assert [(got.status, got.body) for got in answers] == [(200, b"brief")] * 4
    assert not any(closes(got) for got in answers)
    assert connections(peers(served, answers, "")) == 3


# ---- proxies ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["", "1.3"], ids=["http", "https"])
def behind(request: pytest.FixtureRequest, shared: Place) -> Iterator[Running]:
    """The site that is fetched through proxies."""
    with running(HTTP_SERVER, shared._replace(tls=request.param)) as here:
        yield here


THROUGH = [(proxy, login) for proxy in PROXIES for login in ("", LOGIN) if not (login and proxy.name in WITHOUT_LOGIN)]
WITH_LOGIN = [(proxy, login) for proxy, login in THROUGH if login]


def name_of(way: tuple[Server, str]) -> str:
    return f"{way[0].name}-{'login' if way[1] else 'open'}"


@pytest.fixture(scope="module", params=THROUGH, ids=name_of)
def proxy(request: pytest.FixtureRequest, shared: Place) -> Iterator[Running]:
    """A running proxy."""
    server, login = request.param
    with running(server, shared._replace(login=login)) as here:
        yield here


def through(proxy: Running, ca_file: Path, login: str) -> ClientPlan:
    scheme = "socks5h" if proxy.server.name in SOCKS else "http"
    url = f"{scheme}://127.0.0.1:{proxy.place.port}"
    return ClientPlan(
        limits=LIMITS,
        networks=("127.0.0.0/8",),
        ca_file=str(ca_file),
        proxy=url,
        proxy_logins={url: login} if login else {},
    )


@pytest.mark.parametrize("host", REQUESTS_BY_PROXY)
@pytest.mark.parametrize("driver", DRIVERS)
def test_every_answer_through_a_proxy_is_exact(
    behind: Running, proxy: Running, ca_file: Path, driver: str, host: str
) -> None:
    missing = reference(behind.place, ca_file, path_of("missing", 0))
    planned = steps(behind.server.kinds, REQUESTS_BY_PROXY[host])
    tunnelled = bool(behind.place.tls) or proxy.server.name in SOCKS
    fetcher = start(driver, through(proxy, ca_file, proxy.place.login))
    try:
        answers = ask(fetcher, behind.origin.replace(NAME, host), planned, new_mark())
    finally:
        fetcher.close()
    check_all(planned, answers, behind.place.site, missing)
    assert {got.address for got in answers} == {""}
    assert not any("proxy-authorization" in got.header("x-got") for got in answers)
    if tunnelled:
        needed = connections_needed(answers, behind.server)
        assert needed * 0.8 <= connections(peers(behind, answers, "")) <= needed


@pytest.mark.parametrize("proxy", WITH_LOGIN, ids=name_of, indirect=True)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_site_behind_a_proxy_gets_no_request_for_another(proxy: Running, ca_file: Path, driver: str) -> None:
    """Also where it keeps its connection against what the proxy asks for: tinyproxy would relay all that follows."""
    keeping = "Connection: keep-alive", "Proxy-Connection: keep-alive", "Transfer-Encoding: chunked"
    evil = "\r\n".join(("HTTP/1.1 200 OK", *keeping, "", "4", "evil", "0", "", "")).encode()
    with RawServer(lambda path: [evil]) as one, RawServer(lambda path: [response(b"good")]) as two:
        fetcher = start(driver, through(proxy, ca_file, proxy.place.login))
        try:
            for server, body in ((one, b"evil"), (two, b"good")) * 3:
                assert fetcher.fetch(Request(server.url + "/")).body == body
        finally:
            fetcher.close()
    assert (len(one.requests), len(two.requests)) == (3, 3)
    assert all(b"Proxy-Authorization" not in head for head in one.requests + two.requests)


@pytest.mark.parametrize("proxy", WITH_LOGIN, ids=name_of, indirect=True)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_wrong_login_is_refused_by_a_proxy(behind: Running, proxy: Running, ca_file: Path, driver: str) -> None:
    url = behind.origin.replace(NAME, "localhost") + path_of("plain", 2)
    of_socks = proxy.server.name in SOCKS
    for login in ("someone:else", ""):
        fetcher = start(driver, through(proxy, ca_file, login))
        began = monotonic()
        try:
            if of_socks or behind.place.tls:
                error = trouble(fetcher, url)
                assert error.kind is FetchErrorKind.CONNECT
                assert ("refused the login" if login else "another login") in error.detail if of_socks else True
            else:
                assert fetcher.fetch(Request(url)).status in (401, 407)
        finally:
            fetcher.close()
        assert monotonic() - began < LIMITS.connect
