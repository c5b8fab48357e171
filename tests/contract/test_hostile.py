"""The same bytes have the same outcome in every client, in whatever pieces they arrive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from crawler.fetch.base import ClientPlan, Fetcher, FetchError, Limits, Request
from tests.http1.test_framing import mutated

from .hostile import DOUBTFUL, OPEN, REPLIES
from .raw_server import RawServer, Step, response
from .test_fetchers import STRICT as CLIENTS
from .test_fetchers import start

KEPT = [name for name, (_, end) in REPLIES.items() if end[0].isdigit() and "disconnect" not in end and name not in OPEN]
LOOPBACK = ("127.0.0.0/8",)
LIMITS = Limits(first_byte=10, idle=10, total=15)


@pytest.fixture(scope="module")
def fetchers() -> Iterator[dict[str, Fetcher]]:
    opened = {client: start(client, ClientPlan(limits=LIMITS, networks=LOOPBACK)) for client in CLIENTS}
    yield opened
    for fetcher in opened.values():
        fetcher.close()


def ending(fetcher: Fetcher, url: str) -> str:
    """The outcome of a fetch: status, body and truncation mark, or the kind of error."""
    try:
        got = fetcher.fetch(Request(url))
    except FetchError as error:
        assert error.detail.isprintable()
        return str(error.kind)
    return " ".join(filter(None, (str(got.status), got.body.decode("latin-1"), got.truncated)))


def play(fetchers: dict[str, Fetcher], steps: list[Step]) -> dict[str, str]:
    with RawServer(lambda path: steps) as server:
        return {client: ending(fetcher, server.url + "/") for client, fetcher in fetchers.items()}


@pytest.mark.parametrize("name", REPLIES)
def test_every_client_has_the_same_outcome(fetchers: dict[str, Fetcher], name: str) -> None:
    reply, expected = REPLIES[name]
    assert play(fetchers, [reply, "close"]) == dict.fromkeys(CLIENTS, expected)


@pytest.mark.parametrize("name", REPLIES)
def test_pieces_change_nothing(fetchers: dict[str, Fetcher], name: str) -> None:
    reply, expected = REPLIES[name]
    bytewise: list[Step] = [step for n in range(min(len(reply), 250)) for step in (reply[n : n + 1], 0.0002)]
    assert play(fetchers, [*bytewise, reply[250:], 0.005, "close"]) == dict.fromkeys(CLIENTS, expected)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", KEPT)
def test_a_connection_in_an_unclear_state_is_not_reused(client: str, name: str) -> None:
    reply, expected = REPLIES[name]
    with RawServer(lambda path: [reply if path == "/odd" else response(b"next")]) as server:
        fetcher = start(client, ClientPlan(limits=LIMITS, networks=LOOPBACK))
        try:
            assert ending(fetcher, server.url + "/odd") == expected
            server.wait_played(1)  # all bytes have been sent, including those after the reply
            assert ending(fetcher, server.url + "/next") == "200 next"
        finally:
            fetcher.close()
    assert server.connections == (2 if name in DOUBTFUL else 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reply=mutated([reply for reply, _ in REPLIES.values() if len(reply) < 300]))
def test_mutated_replies_have_the_same_outcome_in_every_client(fetchers: dict[str, Fetcher], reply: bytes) -> None:
    endings = set(play(fetchers, [reply, "close"]).values())
    assert len(endings) == 1 or endings == {"protocol", "disconnect"}  # libcurl may not report the last line of a head


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unrequested_reply_answers_no_request(client: str) -> None:
    with RawServer(lambda path: [response(b"first"), 0.03, response(b"POISON")]) as server:
        fetcher = start(client, ClientPlan(limits=LIMITS, networks=LOOPBACK))
        try:
            for number in range(1, 4):
                assert ending(fetcher, server.url + "/") == "200 first"
                server.wait_played(number)
        finally:
            fetcher.close()
    assert server.connections == 3


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("rate", [0.0, 1_000.0])
def test_a_slow_body_is_ended_by_the_minimum_rate(client: str, rate: float) -> None:
    drip: list[Step] = [b"x", 0.02] * 60
    with RawServer(lambda path: [b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", *drip, "close"]) as server:
        fetcher = start(client, ClientPlan(limits=Limits(idle=0.3, total=20, min_rate=rate), networks=LOOPBACK))
        try:
            got = fetcher.fetch(Request(server.url + "/"))
        finally:
            fetcher.close()
    assert (got.truncated, len(got.body) < 60) == (("time", True) if rate else ("", False))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_body_above_the_minimum_rate_may_take_longer_than_the_idle_limit(client: str) -> None:
    drip: list[Step] = [b"x" * 100, 0.02] * 40
    with RawServer(lambda path: [b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", *drip, "close"]) as server:
        fetcher = start(client, ClientPlan(limits=Limits(idle=0.3, total=20, min_rate=500), networks=LOOPBACK))
        try:
            got = fetcher.fetch(Request(server.url + "/"))
        finally:
            fetcher.close()
    assert (got.truncated, len(got.body)) == ("", 4_000)
