"""A real service in a thread of this process, on a real socket, and a client that sends what it is told."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from typing import Any, NamedTuple

import uvloop

from crawler.service import server
from crawler.service.address import ServedAt
from crawler.service.config import ServiceConfig
from crawler.service.service import Service

PATIENCE = 30.0
ADMIN = "admin"
READ = "read"
NOBODY = ""


class Answer(NamedTuple):
    """What a service answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class Served:
    """A service that runs. `tokens` are those of the scopes `admin` and `read`, and none."""

    def __init__(self, at: ServedAt, service: Service, loop: asyncio.AbstractEventLoop, data: Path) -> None:
        self.url = at.url
        self.data = data
        self.service = service
        self.host, _, port = at.url.removeprefix("http://").rpartition(":")
        self.port = int(port)
        self._loop = loop
        admin = Path(at.token_file).read_text().strip()
        self.tokens = {ADMIN: admin, NOBODY: ""}
        self.tokens[READ] = self.ask(
            "POST", "/api/v1/tokens", {"name": f"reader-{token_hex(4)}", "scope": "read"}
        ).json["secret"]

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        as_: str = ADMIN,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Send a request; `raw` is a body as it is. A header of None is not sent."""
        given = {"Authorization": f"Bearer {self.tokens[as_]}"} if self.tokens[as_] else {}
        if body is not None:
            given["Content-Type"] = "application/json"
        given |= headers or {}
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        with closing(HTTPConnection(self.host, self.port, timeout=PATIENCE)) as connection:
            connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            if sent is not None:
                connection.putheader("Content-Length", str(len(sent)))
            connection.endheaders(sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def send(self, text: bytes) -> bytes:
        """Send bytes as they are, and read until the connection ends."""
        with socket.create_connection((self.host, self.port), timeout=PATIENCE) as connection:
            connection.sendall(text)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function on the loop of the service."""

        async def called() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(PATIENCE)

    def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """What the API answers, once that is as it should be."""
        give_up_at = monotonic() + PATIENCE
        while not holds(found := self.ask("GET", path).json):
            assert monotonic() < give_up_at, found
            sleep(0.02)
        return found


@contextmanager
def serving(data: Path, config: ServiceConfig | None = None) -> Iterator[Served]:
    """Context manager: a service with this data folder."""
    started: list[tuple[ServedAt, Service, asyncio.AbstractEventLoop]] = []
    failed: list[BaseException] = []
    ready = threading.Event()
    stops: list[Callable[[], object]] = []

    async def main() -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        stops.append(lambda: loop.call_soon_threadsafe(stopped.set))
        address = server.parse_listen("127.0.0.1:0")
        with server.listen_on(address, False) as listening:
            settings = config or ServiceConfig()
            service = await Service.open(data, settings)

            def announce(at: ServedAt) -> None:
                started.append((at, service, loop))
                ready.set()

            await server.serve(service, data, listening, address.host, settings, announce, stopped)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="service")
    thread.start()
    try:
        ready.wait(PATIENCE)
        if failed:
            raise failed[0]
        at, service, loop = started[0]
        yield Served(at, service, loop, data)
    finally:
        for stop in stops:
            stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()
