"""The stream of events over real sockets: what arrives, what a client that reads nothing costs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from crawler.service.broadcast import MOST_QUEUED
from crawler.service.records import ServiceEvent
from crawler.service.routing import API
from crawler.service.server import SHUTDOWN
from tests.service.served import PATIENCE, Served, serving
from tests.service.site import site

SEEDS = {"seeds": ["http://127.0.0.1:9/"]}


class Listener:
    """One client of the stream."""

    def __init__(self, answer: HTTPResponse) -> None:
        self.answer = answer

    def block(self) -> dict[str, str]:
        """The next block of lines; a comment has the name ""."""
        lines = list(iter(lambda: self.answer.readline().decode().rstrip("\n"), ""))
        return dict(line.partition(":")[::2] for line in lines)

    def event(self) -> tuple[str, str, Any]:
        """The next event: its id, its type and its data."""
        while "data" not in (block := self.block()):
            pass
        return block.get("id", "").strip(), block["event"].strip(), json.loads(block["data"])


@contextmanager
def listening(served: Served, query: str = "", **headers: str) -> Iterator[Listener]:
    connection = HTTPConnection(served.host, served.port, timeout=PATIENCE)
    try:
        bearer = {"Authorization": f"Bearer {served.tokens['read']}"}
        connection.request("GET", f"{API}/events{query}", headers=bearer | headers)
        answer = connection.getresponse()
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream")
        one = Listener(answer)
        assert "retry" in one.block()
        yield one
    finally:
        connection.close()


def publish(served: Served, kind: str, **data: Any) -> None:
    served.call(lambda: served.service.events.publish(ServiceEvent(kind, 0.0, data)))  # type: ignore[arg-type]


def test_what_changes_is_told_and_told_again_after_the_last_id(served: Served) -> None:
    with listening(served) as one:
        added = served.ask("POST", f"{API}/jobs", {"name": "told", "settings": SEEDS}).json
        last, kind, sent = one.event()
        assert (kind, sent["data"]["id"]) == ("job", added["id"])
    publish(served, "notice", text="meanwhile")
    for query, headers in (("", {"Last-Event-ID": last}), (f"?last_event_id={last}", {})):
        with listening(served, query, **headers) as again:
            assert again.event()[2]["data"] == {"text": "meanwhile"}


def test_only_what_is_asked_for_is_sent(served: Served) -> None:
    with listening(served, "?type=disk&type=notice&run=run_1") as one:
        publish(served, "schedule", id="run_1")
        publish(served, "notice", id="run_2")
        publish(served, "notice", run="run_1", name="wanted")
        assert one.event()[2]["data"]["name"] == "wanted"
    assert served.ask("GET", f"{API}/events?type=nonsense").status == 422


def test_a_silent_stream_is_kept_alive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.service.routes.system.KEEP_ALIVE", 0.01)
    with listening(served) as one:
        assert one.block() == {"": " keep-alive"}


def test_a_stream_ends_with_its_token(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.service.routes.system.KEEP_ALIVE", 0.01)
    made = served.ask("POST", f"{API}/tokens", {"name": "short", "scope": "read"}).json
    with listening(served, Authorization=f"Bearer {made['secret']}") as one:
        served.ask("DELETE", f"{API}/tokens/{made['token']['id']}")
        while one.block():
            pass
        assert one.answer.read() == b""


def test_clients_that_read_nothing_are_dropped_and_cost_no_more_than_their_queue(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawler.service.streaming.WRITE_TIME", 0.2)
    events = served.service.events
    request = (
        f"GET {API}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.tokens['read']}\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        clients = []
        for _ in range(20):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((served.host, served.port))
            client.sendall(request)
            clients.append(client)
        served.until(f"{API}/overview", lambda _: served.call(lambda: len(events)) >= len(clients))
        for number in range(200):
            publish(served, "notice", text="x" * 10_000, number=number)
        queued = served.call(lambda: [len(one._frames) for one in events._subscriptions])
        assert all(length <= MOST_QUEUED for length in queued)
        served.until(f"{API}/overview", lambda _: publish_until_dropped(served))
        for client in clients:
            client.settimeout(PATIENCE)
            with pytest.raises(ConnectionResetError):
                while client.recv(65_536):
                    pass
                raise ConnectionResetError("closed in order")


def publish_until_dropped(served: Served) -> bool:
    """Go on with events until no client is left."""
    publish(served, "notice", text="x" * 10_000, run="run_1")
    left: int = served.call(lambda: len(served.service.events))
    return left == 0


def test_open_streams_do_not_hold_the_end_of_the_service(tmp_path: Path) -> None:
    with site() as web, ExitStack() as stack:
        with serving(tmp_path) as served:
            one = stack.enter_context(listening(served))
            served.ask("POST", f"{API}/jobs", {"name": "hanging", "settings": {"seeds": [f"{web.url}/hang"]}})
            run = served.ask("POST", f"{API}/jobs/hanging/runs").json["id"]
            connection = HTTPConnection(served.host, served.port, timeout=PATIENCE)
            bearer = {"Authorization": f"Bearer {served.tokens['read']}"}
            connection.request("GET", f"{API}/runs/{run}/log?follow=true", headers=bearer)
            log = connection.getresponse()
            began = monotonic()
        assert monotonic() - began < SHUTDOWN
        one.answer.read()
        log.read()
        connection.close()


def test_there_are_no_more_streams_than_may_be(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from crawler.service.routes import system
    from crawler.service.streaming import StreamLimit

    monkeypatch.setattr(system, "listening", StreamLimit(1))
    with listening(served):
        answer = served.ask("GET", f"{API}/events")
        assert answer.status == 429 and answer.headers["Retry-After"]
