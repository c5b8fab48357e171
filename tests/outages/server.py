"""Serves a web whose hosts are faulty for a while, on loopback, in a thread: `with FaultyWeb(web, windows) as served`.

The clock of the faults starts with `begin`, or with the first connection. Before that, hosts have the faults of its
start.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import cast

from crawler.testweb.document import AnyWeb
from crawler.testweb.settings import WebSettings, address_of, settings_for
from tests.outages.plan import Kind, Window, Windows

RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: close sends RST
TICK = 0.02
PHRASES = {status.value: status.phrase for status in HTTPStatus}


class FaultyWeb:
    """The server. `contacts` counts connections and requests that met a fault, by host."""

    def __init__(self, web: AnyWeb, windows: Windows) -> None:
        self.web = web
        self.contacts: Counter[str] = Counter()
        self._windows = dict(windows)
        self._began_at: float | None = None
        self._lines: dict[str, set[_Line]] = {name: set() for name in web.names}
        self._listeners: dict[str, asyncio.Server] = {}
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def settings(self) -> WebSettings:
        """The settings that a crawler needs."""
        return settings_for(self.web, self._port)

    def __enter__(self) -> FaultyWeb:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self) -> None:
        """Start the clock of the faults."""
        self._loop.call_soon_threadsafe(self._start_clock)

    def heal(self) -> None:
        """End all faults."""
        self._windows = {}
        self._do(self._sweep())

    def _do(self, work: object) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)  # type: ignore[arg-type]
        done.result(30)

    # ---- on the loop -------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Every host listens once, so that its port is known to be free; then those that refuse stop listening."""
        for _ in range(20):
            try:
                for name in self.web.names:
                    await self._listen(name)
                break
            except OSError:
                await self._close()
                self._port = 0
        else:
            raise OSError("no port is free at all addresses")
        await self._sweep()
        self._ticking = asyncio.create_task(self._tick())

    async def _end(self) -> None:
        self._ticking.cancel()
        await self._close()

    async def _close(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        for lines in self._lines.values():
            for line in list(lines):
                line.transport.abort()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            await self._sweep()

    async def _sweep(self) -> None:
        """Hosts that restart stop listening and cut their answers; those that are back listen again."""
        for name in self.web.names:
            away = self.fault(name) == "refuse"
            if away and name in self._listeners:
                self._listeners.pop(name).close()
                for line in list(self._lines[name]):
                    line.reset()
            elif not away and name not in self._listeners:
                with suppress(OSError):  # a client of another trial may have that port for a moment
                    await self._listen(name)

    async def _listen(self, name: str) -> None:
        address = address_of(list(self.web.names).index(name))
        listener = await self._loop.create_server(
            lambda: _Line(self, name), address, self._port, reuse_address=True, backlog=256
        )
        self._listeners[name] = listener
        self._port = listener.sockets[0].getsockname()[1]

    def _start_clock(self) -> None:
        if self._began_at is None:
            self._began_at = self._loop.time()

    def meet(self, name: str, line: _Line) -> None:
        """Note a new connection."""
        self._start_clock()
        self._lines[name].add(line)

    def leave(self, name: str, line: _Line) -> None:
        """It is over."""
        self._lines[name].discard(line)

    def window(self, name: str) -> Window | None:
        """The current fault of a host."""
        now = 0.0 if self._began_at is None else self._loop.time() - self._began_at
        return next((one for one in self._windows.get(name, ()) if one.start <= now < one.end), None)

    def fault(self, name: str, path: str = "") -> Kind | None:
        """The current behaviour of a host for a request of `path`. One that runs out of memory restarts from time to
        time."""
        window = self.window(name)
        if window is None or (path == "/robots.txt" and not window.robots and window.kind != "refuse"):
            return None
        if window.kind != "memory":
            return window.kind
        now = self._loop.time() - (self._began_at or self._loop.time())
        if (now - window.start) % 1.0 > 0.6:
            return "refuse"
        kinds: tuple[Kind, ...] = ("500", "reset in head", "reset in body")
        return kinds[sum(path.encode()) % len(kinds)]


class _Line(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, web: FaultyWeb, name: str) -> None:
        self._web = web
        self._name = name
        self._received = b""
        self._answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._web.meet(self._name, self)
        if self._web.fault(self._name) == "reset at accept":
            self._web.contacts[self._name] += 1
            self.reset()

    def connection_lost(self, error: Exception | None) -> None:
        self._web.leave(self._name, self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, self._received = self._received.partition(b"\r\n\r\n")
        if not found:
            self._received = head
            return
        request, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        attempt = headers.get("x-attempt", "1")
        host = headers.get("host", "").partition(":")[0]
        path = request.split(" ")[1]
        answer = self._web.web.answer(host, path, int(attempt), headers.get("accept-encoding", ""))
        kind = self._web.fault(self._name, path)
        self._answers += 1
        keep = kind is None and not (answer.keep and self._answers >= answer.keep)
        if kind is not None:
            self._web.contacts[self._name] += 1
        sent = _response(answer.status, answer.headers, answer.body, keep=keep)
        asyncio.get_running_loop().call_later(answer.delay, self._answer, kind, sent, keep)

    def _answer(self, kind: Kind | None, sent: bytes, keep: bool) -> None:
        match kind:
            case None:
                self.transport.write(sent)
            case "503" | "500":
                self.transport.write(_response(int(kind), (("Content-Type", "text/plain"),), b"not now\n", keep=False))
            case "reset in head":
                self.transport.write(sent[:10])
            case "reset in body":
                body = sent.index(b"\r\n\r\n") + 4
                self.transport.write(sent[: (body + len(sent)) // 2])
            case "silent":
                return
        if kind in ("reset in head", "reset in body", "reset at accept", "refuse"):
            asyncio.get_running_loop().call_later(0.01, self.reset)  # so that the sent bytes arrive first
        elif not keep:
            self.transport.close()

    def reset(self) -> None:
        """End the connection with a RST."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


def _response(status: int, headers: tuple[tuple[str, str], ...], body: bytes, *, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {PHRASES[status]}", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}", *([] if keep else ["Connection: close"]), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
