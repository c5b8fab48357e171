"""The exchange: one response, received in any pieces, ends in one way. No socket, no clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import UNCOUNTED, FetchError, Limits, Response
from crawler.fetch.http1.exchange import Exchange
from tests.contract.hostile import REPLIES

from .test_framing import PLACES, cut, mutated

LIMITS = Limits(first_byte=2.0, idle=3.0, total=10.0, max_body=1_000, max_head=65_536)
STARTED = 100.0
SHORT = [reply for reply, _ in REPLIES.values() if len(reply) < 2_000]


def begun(*pieces: bytes, limits: Limits = LIMITS) -> Exchange:
    """An exchange that has received these pieces, one each tenth of a second."""
    exchange = Exchange(limits, UNCOUNTED, STARTED)
    for number, piece in enumerate(pieces, 1):
        if exchange.ended:
            break
        exchange.receive(piece, STARTED + number / 10)
    return exchange


def ended(exchange: Exchange) -> tuple[object, ...]:
    """How an exchange has ended, without its times."""
    assert exchange.ended
    try:
        got = exchange.response("a")
    except FetchError as error:
        return error.kind, exchange.reusable
    return got.status, got.headers, got.body, got.truncated, exchange.reusable


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join((status, *lines, "", "")).encode()


# ---- the transition table --------------------------------------------------------------------------------------------


def test_a_response_with_a_length_is_complete_at_its_last_byte() -> None:
    exchange = begun(head("Content-Length: 2"), b"h")
    assert not exchange.ended
    assert exchange.receive(b"i", STARTED + 0.5)
    got = exchange.response("192.0.2.1")
    assert got == Response(200, (("Content-Length", "2"),), b"hi", "", got.first_byte, 0.5, "192.0.2.1")
    assert got.first_byte == pytest.approx(0.1)
    assert exchange.reusable


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ((), False),
        (("Proxy-Connection: keep-alive",), False),
        (("connection: x, Keep-Alive",), True),
        (("Connection: keep-alive", "Connection: close"), False),
    ],
)
def test_a_connection_that_ends_at_a_proxy_is_kept_only_where_the_proxy_says_so(
    lines: tuple[str, ...], kept: bool
) -> None:
    exchange = Exchange(LIMITS, UNCOUNTED, STARTED, forwarded=True)
    assert exchange.receive(head("Content-Length: 0", *lines), STARTED)
    assert exchange.reusable is kept


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_statuses_have_no_body(status: str) -> None:
    assert ended(begun(head("Date: x", status=f"HTTP/1.1 {status}")))[2:] == (b"", "", True)


def test_interim_replies_are_passed_over() -> None:
    interim = head(status="HTTP/1.1 103 Early Hints")
    assert ended(begun(interim, interim + head("Content-Length: 0")))[:1] == (200,)


def test_chunks_end_with_the_last_one() -> None:
    exchange = begun(head("Transfer-Encoding: chunked"), b"2\r\nhi\r\n")
    assert not exchange.ended
    exchange.receive(b"0\r\n\r\n", STARTED + 1)
    assert ended(exchange)[2:] == (b"hi", "", True)


def test_invalid_chunks_are_an_error_although_a_body_had_begun() -> None:
    exchange = begun(head("Transfer-Encoding: chunked") + b"2\r\nhi\r\nrubbish\r\n")
    assert ended(exchange) == (FetchErrorKind.PROTOCOL, False)


def test_without_length_and_chunks_the_body_ends_with_the_stream() -> None:
    exchange = begun(head(), b"hi")
    assert not exchange.ended
    exchange.end_of_stream(STARTED + 1)
    assert ended(exchange)[2:] == (b"hi", "", False)


@pytest.mark.parametrize("field", ["Content-Length: 9", "Transfer-Encoding: chunked"])
def test_an_early_end_of_the_stream_truncates(field: str) -> None:
    exchange = begun(head(field) + b"2\r\nhi")
    exchange.end_of_stream(STARTED + 1)
    assert ended(exchange)[3:] == ("disconnect", False)


def test_a_broken_connection_truncates_a_body_that_the_end_of_the_stream_would_complete() -> None:
    exchange = begun(head(), b"hi")
    exchange.end_of_stream(STARTED + 1, "reset", broken=True)
    assert ended(exchange)[2:] == (b"hi", "disconnect", False)


def test_an_end_inside_the_head_is_a_disconnect() -> None:
    for said in (b"", b"HTTP/1.1 200 OK\r\nA: b\r\n"):
        exchange = begun(said)
        exchange.end_of_stream(STARTED + 1)
        assert ended(exchange) == (FetchErrorKind.DISCONNECT, False)


def test_an_end_inside_a_head_that_was_invalid_already_is_an_error_of_the_protocol() -> None:
    exchange = begun(b"HTTP/1.1 200 OK\r\nno field\r\nA: b\r\n")
    exchange.end_of_stream(STARTED + 1)
    assert ended(exchange) == (FetchErrorKind.PROTOCOL, False)


def test_a_head_that_cannot_become_valid_ends_it_at_once() -> None:
    assert ended(begun(b"220 mail.example ESMTP\r\n")) == (FetchErrorKind.PROTOCOL, False)


@pytest.mark.parametrize(("extra", "truncated"), [(0, ""), (1, "length")])
def test_the_cap_of_the_body_is_exact(extra: int, truncated: str) -> None:
    body = b"x" * (LIMITS.max_body + extra)
    got = ended(begun(head(f"Content-Length: {len(body)}"), body))
    assert got[2:] == (body[: LIMITS.max_body], truncated, not extra)


def test_bytes_after_the_body_belong_to_nobody() -> None:
    assert ended(begun(head("Content-Length: 2") + b"hiPOISON"))[2:] == (b"hi", "", False)
    assert ended(begun(head("Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\nX"))[2:] == (b"hi", "", False)


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    assert ended(begun(head("Content-Length: 0", "Connection: close")))[4] is False


def test_a_head_may_have_as_many_bytes_as_the_limit_allows() -> None:
    limits = Limits(max_head=200)
    fits = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + b"a" * (200 - 44) + b"\r\n\r\n"
    assert ended(begun(fits[:90], fits[90:], limits=limits))[0] == 200
    bytewise = [fits[:10], *(b"a" for _ in range(191))]
    assert ended(begun(*bytewise, limits=limits)) == (FetchErrorKind.PROTOCOL, False)


# ---- deadlines -------------------------------------------------------------------------------------------------------


def test_no_head_in_time_is_an_error() -> None:
    exchange = begun(b"HTTP/1.1 200 OK\r\n")
    assert not exchange.check_deadlines(STARTED + 1.9)
    assert exchange.check_deadlines(STARTED + 2.0)
    with pytest.raises(FetchError, match="first byte"):
        exchange.response("a")


def test_a_body_that_stops_is_truncated() -> None:
    exchange = begun(head("Content-Length: 9"), b"hi")
    assert not exchange.check_deadlines(STARTED + 1)
    assert not exchange.check_deadlines(STARTED + 3.9)
    assert exchange.check_deadlines(STARTED + 4.0)
    assert ended(exchange)[2:] == (b"hi", "time", False)


def test_the_total_deadline_also_ends_a_body_that_goes_on() -> None:
    exchange = begun(head("Content-Length: 999"))
    for second in range(1, 10):
        exchange.receive(b"x", STARTED + second)
        assert not exchange.check_deadlines(STARTED + second)
    assert exchange.check_deadlines(STARTED + 10)
    assert ended(exchange)[3] == "time"


def test_the_shortest_deadline_bounds_the_connect() -> None:
    timer = Exchange(LIMITS, UNCOUNTED, STARTED).timer
    assert timer.connect_until(Limits(connect=1, first_byte=2, total=3), STARTED + 0.5) == (STARTED + 1.5, "connect")
    assert timer.connect_until(Limits(connect=9, first_byte=2, total=3), STARTED + 0.5) == (STARTED + 2, "first byte")
    assert timer.connect_until(Limits(connect=9, first_byte=9, total=3), STARTED + 0.5) == (STARTED + 3, "total")


# ---- any bytes, any pieces -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPLIES)
def test_the_corpus_ends_as_it_says(name: str) -> None:
    reply, expected = REPLIES[name]
    exchange = begun(reply, limits=Limits())
    if not exchange.ended:
        exchange.end_of_stream(STARTED + 1)
    try:
        got = exchange.response("a")
        outcome = " ".join(filter(None, (str(got.status), got.body.decode(), got.truncated)))
    except FetchError as error:
        outcome = str(error.kind)
    assert outcome == expected


@pytest.mark.parametrize("name", [name for name, (reply, _) in REPLIES.items() if len(reply) < 3_000])
def test_byte_by_byte_it_ends_alike(name: str) -> None:
    reply, _ = REPLIES[name]
    results = []
    for pieces in ([reply], [reply[at : at + 1] for at in range(len(reply))]):
        exchange = begun(*pieces)
        if not exchange.ended:
            exchange.end_of_stream(STARTED + 1)
        results.append(ended(exchange)[:4])
    assert results[0] == results[1]


@given(raw=mutated(SHORT) | st.binary(max_size=200), places=PLACES)
def test_any_bytes_end_alike_in_any_pieces(raw: bytes, places: list[int]) -> None:
    results = []
    for pieces in ([raw] if raw else [], cut(raw, places)):
        exchange = begun(*pieces)
        if not exchange.ended:
            exchange.end_of_stream(STARTED + 200)
        results.append(ended(exchange)[:4])
    assert results[0] == results[1]


@given(body=st.binary(max_size=1_500), places=PLACES, chunked=st.booleans())
def test_what_is_sent_is_what_comes(body: bytes, places: list[int], chunked: bool) -> None:
    if chunked:
        parts = [part for part in cut(body, places) if part]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        reply = head("Transfer-Encoding: chunked") + framed
    else:
        reply = head(f"Content-Length: {len(body)}") + body
    got = ended(begun(*cut(reply, places)))
    if len(body) <= LIMITS.max_body:
        assert got[2:] == (body, "", True)
    else:
        assert got[2:] == (body[: LIMITS.max_body], "length", False)
