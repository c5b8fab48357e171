"""Proxies of the native client, blocking and on a loop: through real proxies on loopback, to real servers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

import crawler
import variants
from crawler.core.reasons import FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch.base import ClientPlan, Fetcher, Limits, Request
from crawler.settings import merge_layers

from .proxy_server import ProxyServer
from .raw_server import RawServer, Step, response
from .test_fetchers import start, trouble

LOGIN = "someone:pass word"
PRIVATE = "192.168.0.1"
Open = Callable[..., Fetcher]


@pytest.fixture(params=["native", "native on a loop"])
def opened(request: pytest.FixtureRequest, authority: Path) -> Iterator[Open]:
    """Opens fetchers that go through proxies: fields of the plan by name."""
    fetchers: list[Fetcher] = []

    def open_one(**fields: Any) -> Fetcher:
        plan = ClientPlan(limits=Limits(connect=2, first_byte=3, total=5), ca_file=str(authority), **fields)
        fetchers.append(start(request.param, plan))
        return fetchers[-1]

    yield open_one
    for fetcher in fetchers:
        fetcher.close()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def authority(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


def serving(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


class SecureSite:
    """Answers every request over TLS with "secret"; `heads` has what it received."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> SecureSite:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: Any) -> None:
        with suppress(OSError), self._context.wrap_socket(line, server_side=True) as secure:
            while head := secure.recv(65_536):
                self.heads.append(head)
                secure.sendall(response(b"secret"))


def with_login(proxy: ProxyServer, login: str = LOGIN) -> dict[str, Any]:
    return {"proxy": proxy.url, "proxy_logins": {proxy.url: login}}


# ---- http ------------------------------------------------------------------------------------------------------------


def test_an_http_proxy_gets_urls_in_absolute_form_on_a_connection_for_each_site(opened: Open) -> None:
    hosts = ("a.test", "b.test") * 3
    with RawServer(lambda path: [response(b"page")]) as site, ProxyServer(login=LOGIN) as proxy:
        fetcher = opened(**with_login(proxy))
        for host in hosts:
            got = fetcher.fetch(Request(f"http://{host}:{site.port}/x?y"))
            assert (got.status, got.body, got.address) == (200, b"page", "")
    assert proxy.asked == [f"GET http://{host}:{site.port}/x?y HTTP/1.1" for host in hosts]
    assert proxy.connections == 2
    assert all(b"Proxy-Authorization" not in head for head in site.requests)


@pytest.mark.parametrize("says", ["X: y", "Connection: keep-alive"])
def test_a_site_gets_no_request_for_another_where_a_proxy_only_relays(opened: Open, says: str) -> None:
    evil = response(b"evil", says)
    with (
        RawServer(lambda path: [evil]) as one,
        RawServer(lambda path: [response(b"good")]) as two,
        ProxyServer(login=LOGIN, relays=True) as proxy,
    ):
        fetcher = opened(**with_login(proxy))
        assert fetcher.fetch(Request(f"http://one.test:{one.port}/")).body == b"evil"
        assert fetcher.fetch(Request(f"http://two.test:{two.port}/")).body == b"good"
    assert (len(one.requests), len(two.requests), proxy.connections) == (1, 1, 2)
    assert all(b"Proxy-Authorization" not in head for head in one.requests + two.requests)


def test_an_https_site_is_reached_by_connect_and_the_login_stays_at_the_proxy(opened: Open, ca: trustme.CA) -> None:
    with SecureSite(serving(ca, "a.test")) as site, ProxyServer(login=LOGIN) as proxy:
        fetcher = opened(**with_login(proxy))
        for _ in range(3):
            assert fetcher.fetch(Request(f"https://a.test:{site.port}/")).body == b"secret"
    assert proxy.asked == [f"CONNECT a.test:{site.port} HTTP/1.1"]
    assert len(site.heads) == 3
    assert all(b"Proxy-" not in head for head in site.heads)


def test_the_certificate_of_the_site_is_checked_through_a_proxy(opened: Open, ca: trustme.CA) -> None:
    with SecureSite(serving(ca, "a.test")) as site, ProxyServer() as proxy:
        error = trouble(opened(proxy=proxy.url), f"https://b.test:{site.port}/")
    assert error.kind is FetchErrorKind.TLS
    assert error.detail.startswith("certificate is for another host")


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_may_be_spoken_to_by_tls(opened: Open, ca: trustme.CA, secure: bool, dns: None) -> None:
    with (
        RawServer(lambda path: [response(b"page")]) as plain,
        SecureSite(serving(ca, "a.test")) as site,
        ProxyServer(login=LOGIN, context=serving(ca, "proxy.test")) as proxy,
    ):
        fetcher = opened(**with_login(proxy))
        url = f"https://a.test:{site.port}/" if secure else f"http://a.test:{plain.port}/"
        assert [fetcher.fetch(Request(url)).body for _ in range(2)] == [b"secret" if secure else b"page"] * 2
    assert proxy.connections == 1


# ---- SOCKS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["", LOGIN])
def test_a_socks_proxy_resolves_the_names(opened: Open, ca: trustme.CA, login: str) -> None:
    with (
        RawServer(lambda path: [response(b"page")]) as plain,
        SecureSite(serving(ca, "a.test")) as site,
        ProxyServer("socks", login=login) as proxy,
    ):
        fetcher = opened(**with_login(proxy, login))
        assert fetcher.fetch(Request(f"http://only-there.test:{plain.port}/")).body == b"page"
        assert fetcher.fetch(Request(f"https://a.test:{site.port}/")).body == b"secret"
    assert proxy.asked == [f"SOCKS only-there.test:{plain.port}", f"SOCKS a.test:{site.port}"]
    assert plain.requests[0].startswith(b"GET / HTTP/1.1\r\n")


# ---- which hosts -----------------------------------------------------------------------------------------------------


def test_each_host_has_the_proxy_of_its_pattern_and_no_login_reaches_another(opened: Open) -> None:
    with (
        RawServer(lambda path: [response(b"page")]) as site,
        ProxyServer(login="one:1") as one,
        ProxyServer(login="two:2") as two,
    ):
        fetcher = opened(
            proxies={"*.one.test": one.url, "two.test": two.url},
            proxy_logins={one.url: "one:1", two.url: "two:2"},
            networks=("127.0.0.0/8",),
        )
        for _ in range(50):
            for host in ("a.one.test", "two.test", "127.0.0.1"):
                assert fetcher.fetch(Request(f"http://{host}:{site.port}/")).status == 200
    assert (len(one.asked), len(two.asked), len(site.requests)) == (50, 50, 150)
    assert {head.count(b"Proxy-Authorization") for head in one.heads + two.heads} == {1}


def test_private_addresses_and_this_machine_are_refused_before_a_proxy_is_asked(opened: Open) -> None:
    with ProxyServer() as proxy:
        fetcher = opened(proxy=proxy.url)
        for url in (
            f"http://{PRIVATE}/",
            "https://127.0.0.1/",
            "http://localhost/",
            "http://[::1]/",
            "http://a.test:25/",
        ):
            assert trouble(fetcher, url).kind is FetchErrorKind.BLOCKED
    assert proxy.connections == 0


# ---- trouble ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n", "answered 407"),
        (b"HTTP/1.1 200 OK\r\n\r\nPOISON", "sent bytes before the site could"),
        (b"", "closed the connection"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_an_error_of_the_connect(opened: Open, answer: bytes, why: str) -> None:
    with ProxyServer(answers=(answer,)) as proxy:
        error = trouble(opened(**with_login(proxy)), "https://a.test/")
    assert (error.kind, error.detail) == (FetchErrorKind.CONNECT, f"proxy {proxy.url}: {why}")


def test_a_proxy_that_speaks_no_http_is_an_error_of_the_protocol(opened: Open) -> None:
    with ProxyServer(answers=(b"220 mail\r\n",)) as proxy:
        assert trouble(opened(proxy=proxy.url), "https://a.test/").kind is FetchErrorKind.PROTOCOL


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ((b"\x05\xff",), "speaks no SOCKS 5, or wants another login"),
        ((b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6)), "connection refused"),
        ((b"\x05\x00", b"\x05\x00\x00\x01" + bytes(6) + b"POISON"), "sent bytes before the site could"),
        ((b"\x05\x02", b"\x01\x01"), "refused the login"),
    ],
)
def test_a_socks_proxy_says_why_it_does_not_connect(opened: Open, answers: tuple[bytes, ...], why: str) -> None:
    with ProxyServer("socks", answers=answers) as proxy:
        error = trouble(opened(**with_login(proxy)), "http://a.test/")
    assert (error.kind, error.detail) == (FetchErrorKind.CONNECT, f"proxy {proxy.url}: {why}")


def test_a_proxy_that_is_not_there_is_an_error_of_the_connect(opened: Open) -> None:
    with ProxyServer() as proxy:
        pass
    assert trouble(opened(proxy=proxy.url), "http://a.test/").kind is FetchErrorKind.CONNECT


def test_a_silent_proxy_is_ended_by_the_connect_deadline(opened: Open) -> None:
    with RawServer(lambda path: [9.0]) as silent:
        error = trouble(opened(proxy=silent.url), "https://a.test/")
    assert (error.kind, error.detail) == (FetchErrorKind.TIMEOUT, "connect")


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the proxy leads to loopback; no other name is known."""
    real = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("proxy.test", "127.0.0.1"):
            return real("127.0.0.1", *args, **options)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("bad", ["ftp://p:1", "http://p:99999", "p:3128", "http://u:secret@p:1"])
def test_what_is_no_proxy_is_refused_without_its_login(opened: Open, bad: str) -> None:
    with pytest.raises(UsageError) as refused:
        opened(proxy=bad)
    assert "secret" not in str(refused.value)


# ---- settings --------------------------------------------------------------------------------------------------------


def test_the_login_of_a_proxy_is_read_where_it_is_named_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_PASSWORD", "hunter2")
    settings = merge_layers(
        {"proxy": "http://p", "proxy_credentials": {"http://p:80": {"user": "me", "password": "env:PROXY_PASSWORD"}}}
    )
    assert settings.client_plan(1).proxy_logins == {"http://p:80": "me:hunter2"}
    assert "hunter2" not in repr(settings)
    assert settings.secret_origins == ("http://p:80",)
    assert variants.client_of(settings) == "native"


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"proxy": "p:3128"}, "expected http://"),
        ({"proxies": {"a b": "http://p"}}, "expected a host"),
        ({"proxies": {"a": "socks4://p"}}, "socks5h://"),
        ({"proxy_credentials": {"http://p": {"user": "me"}}}, "not a proxy of this configuration"),
        ({"proxy": "http://p", "proxy_credentials": {"http://p": {"token": "t"}}}, "user and password"),
        ({"proxy": "http://p", "proxy_credentials": {"http://p": {"user": "u" * 256}}}, "255 bytes"),
        ({"proxy": "http://p", "proxy_credentials": {"direct": {"user": "me"}}}, "not to 'direct'"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        merge_layers(keys)


def test_only_the_native_client_goes_through_proxies() -> None:
    with pytest.raises(UsageError, match="only --client native"):
        variants.client_of(merge_layers({"proxy": "http://p", "client": "aiohttp"}))


@pytest.mark.parametrize("mode", variants.names())
def test_every_mode_crawls_through_a_proxy(mode: str, tmp_path: Path) -> None:
    def reply(path: str) -> list[Step]:
        return [
            response(b"" if path == "/robots.txt" else b"<a href=/1>1</a> <a href=/2>2</a>", "Content-Type: text/html")
        ]

    with RawServer(reply) as site, ProxyServer("socks", login=LOGIN) as proxy:
        summary = crawler.crawl(
            f"http://only-there.test:{site.port}/",
            out=tmp_path / "out",
            mode=mode,
            processes=1,
            delay=0.0,
            proxy=proxy.url,
            proxy_credentials={proxy.url: {"user": "someone", "password": "pass word"}},
        )
    assert (summary.pages, summary.complete, summary.client) == (3, True, "native")
    assert set(proxy.asked) == {f"SOCKS only-there.test:{site.port}"}
    for file in (tmp_path / "out").rglob("*"):
        assert file.is_dir() or b"pass word" not in file.read_bytes()
