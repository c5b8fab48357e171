"""The bytes of a request."""

from __future__ import annotations

import pytest

from crawler.core.reasons import FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch.base import ACCEPT_ENCODING, ClientPlan, FetchError, Request
from crawler.fetch.http1.request import Origin, RequestEncoder, request_headers, split_port, split_url

ENCODED = f"Accept-Encoding: {ACCEPT_ENCODING}".encode()


def encode(url: str, *headers: tuple[str, str], plan: tuple[tuple[str, str], ...] = ()) -> tuple[Origin, list[bytes]]:
    """The origin, and the lines that are sent; the second time from what the encoder remembers."""
    encoder = RequestEncoder(ClientPlan(headers=plan))
    first, again = (encoder.encode(Request(url, headers)) for _ in range(2))
    assert first == again
    origin, message = first
    assert message.endswith(b"\r\n\r\n")
    return origin, message[:-4].split(b"\r\n")


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://a.example/x?y=%2F", b"GET /x?y=%2F HTTP/1.1", b"Host: a.example"),
        ("http://a.example", b"GET / HTTP/1.1", b"Host: a.example"),
        ("http://a.example?q", b"GET /?q HTTP/1.1", b"Host: a.example"),
        ("http://a.example?q=/x", b"GET /?q=/x HTTP/1.1", b"Host: a.example"),
        ("http://a.example/x?", b"GET /x? HTTP/1.1", b"Host: a.example"),
        ("http://a.example/x#part", b"GET /x HTTP/1.1", b"Host: a.example"),
        ("http://u:p@a.example:81/", b"GET / HTTP/1.1", b"Host: a.example:81"),
        ("https://a.example:443/", b"GET / HTTP/1.1", b"Host: a.example"),
        ("https://[::1]:444/x", b"GET /x HTTP/1.1", b"Host: [::1]:444"),
    ],
)
def test_the_url_is_sent_as_it_is(url: str, line: bytes, host: bytes) -> None:
    assert encode(url)[1] == [line, host, ENCODED]


def test_headers_of_a_request_replace_those_of_the_plan() -> None:
    _, lines = encode("http://a.example/", ("accept", "b"), plan=(("Accept", "a"), ("Accept-Encoding", "gzip")))
    assert lines[2:] == [b"Accept-Encoding: gzip", b"accept: b"]


def test_through_a_proxy_http_urls_are_sent_in_absolute_form_and_others_as_to_the_site() -> None:
    judged: list[tuple[str, int]] = []
    plan = ClientPlan(
        proxy="http://p:3128", proxies={"s.example": "socks5h://s"}, proxy_logins={"http://p:3128": "u:p"}
    )
    encoder = RequestEncoder(plan, lambda host, port: judged.append((host, port)))
    origin, message = encoder.encode(Request("http://a.example:81/x?y"))
    assert message.startswith(
        b"GET http://a.example:81/x?y HTTP/1.1\r\nHost: a.example:81\r\nProxy-Authorization: Basic dTpw\r\nAccept"
    )
    assert (origin.host, str(origin.proxy), origin.forwarded) == ("a.example", "Proxy(http://p:3128)", True)
    assert encoder.encode(Request("http://b.example/"))[0] != origin, "a connection for each site"
    for url in ("https://a.example/", "http://s.example/"):
        origin, message = encoder.encode(Request(url))
        assert origin.host == url.split("/")[2] and origin.proxy is not None and not origin.forwarded
        assert message.startswith(b"GET / HTTP/1.1\r\n") and b"Proxy" not in message
    assert judged == [("a.example", 81), ("b.example", 80), ("a.example", 443), ("s.example", 80)]


def test_a_proxy_without_a_login_gets_none() -> None:
    _, message = RequestEncoder(ClientPlan(proxy="http://p")).encode(Request("http://a.example/"))
    assert message.startswith(b"GET http://a.example/ HTTP/1.1\r\n") and b"Proxy" not in message


def test_an_origin_is_scheme_host_and_port() -> None:
    assert encode("https://[::1]/x")[0] == Origin("https", "::1", 443)


def test_only_so_many_hosts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.fetch.http1.request._MOST_KNOWN", 2)
    encoder = RequestEncoder(ClientPlan())
    for host in "abcda":
        assert encoder.encode(Request(f"http://{host}/"))[0].host == host


@pytest.mark.parametrize("bad", ["a\r\nX: 1", "a\0b", "caf\u00e9"])
def test_a_header_with_control_characters_is_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        RequestEncoder(ClientPlan(headers=(("X", bad),)))
    with pytest.raises(FetchError) as caught:
        encode("http://a.example/", ("X", bad))
    assert caught.value.kind is FetchErrorKind.INTERNAL


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("ftp://a.example/", FetchErrorKind.INTERNAL),
        ("http://a.example/ b", FetchErrorKind.INTERNAL),
        ("http://a.example/\u00e9", FetchErrorKind.INTERNAL),
        ("http://a.example:99999/", FetchErrorKind.INTERNAL),
        ("http://a.example:0/", FetchErrorKind.BLOCKED),
        ("http://a.example:000/", FetchErrorKind.BLOCKED),
    ],
)
def test_a_url_that_cannot_be_sent_is_refused(url: str, kind: FetchErrorKind) -> None:
    with pytest.raises(FetchError) as caught:
        encode(url)
    assert caught.value.kind is kind


def test_what_is_no_url_has_no_parts() -> None:
    with pytest.raises(FetchError):
        split_url("mailto:a@b")


def test_a_header_needs_a_name() -> None:
    with pytest.raises(UsageError, match="empty"):
        RequestEncoder(ClientPlan(headers=(("", "x"),)))


def test_host_and_port() -> None:
    assert split_port("a:1") == ("a", 1)
    assert split_port("[::1]:1") == ("::1", 1)
    assert split_port("::1") == ("::1", 0)
    assert split_port("a") == ("a", 0)
    with pytest.raises(UsageError, match="valid port"):
        split_port("a:b")


def test_without_headers_of_its_own_a_request_has_the_usual_ones() -> None:
    assert request_headers((("A", "b"),), Request("http://a.example/")) == (("A", "b"),)
