"""A connection of the aiohttp session that validates heads by `framing`, as all clients do.

Rules:
- aiohttp's parser (llhttp) gets a synthetic head, which has only the framing of the body, and re-encoded chunks: it
  never sees the original bytes.
- A body never gets more bytes than were promised, nor bytes that came before its request. A server that sends such
  bytes loses this connection.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import FetchError, one_line
from crawler.fetch.exhaustion import lacks_memory
from crawler.fetch.http1.chunks import Chunks
from crawler.fetch.http1.framing import Head, check_partial, read_head


class Connection(ResponseHandler):
    """A connection. `head` is that of the last response, None while a request waits for one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_head: int) -> None:
        super().__init__(loop)
        self.head: Head | None = None
        self.address = ""
        self._max_head = max_head
        self._raw = b""
        self._has_eof = False
        self._left = 0
        self._ended = False
        self._chunks: Chunks | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""

    def set_response_params(self, **params: Any) -> None:
        """Called by aiohttp before it sends a request."""
        super().set_response_params(**params)
        self.head = None
        raw, self._raw = self._raw, b""
        if raw:  # it spoke first, as mail servers do
            self.data_received(raw)

    def data_received(self, data: bytes) -> None:
        """Called by the loop with the bytes that came; by aiohttp with b"" to resume a body that was paused."""
        try:
            self._receive(data)
        except MemoryError:
            self._fail(FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, NO_MEMORY))

    def _receive(self, data: bytes) -> None:
        frame = b""
        if self.head is None:
            data = self._begin(data)
            if self.head is None:
                return
            frame = self.head.minimal_head()
        elif self._ended and data:
            self._hang_up()
            return
        chunks = self._chunks
        if chunks is not None:
            data = self._take_chunks(chunks, data)
        elif self.head.length is not None:
            data = self._take(data)
        super().data_received(frame + data)
        if chunks is not None and chunks.error:
            self._fail(chunks.error)

    def eof_received(self) -> None:
        """Called by the loop when the server ends the stream, under TLS with a close_notify only."""
        self._has_eof = True
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the loop when the connection has ended."""
        if exc is not None and lacks_memory(exc):
            self._fail(FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, NO_MEMORY))
        if self._raw:
            try:
                check_partial(self._raw, self._max_head)
            except FetchError as error:
                self._fail(error)
        broken = exc or (None if self._has_eof else ConnectionResetError("closed without the end of the stream"))
        if broken is not None and self.head is not None and self.head.length is None and not self.head.chunked:
            # A body delimited by the end of the connection was truncated; aiohttp would take it as complete.
            self.set_exception(broken)
        super().connection_lost(exc)

    def _begin(self, data: bytes) -> bytes:
        """Take the next bytes of a head; returns those of the body."""
        raw = self._raw = self._raw + data
        if self._parser is None:  # no request was sent
            if len(raw) > self._max_head:
                self._fail(FetchError(FetchErrorKind.PROTOCOL, "it sent a head unasked"))
            return b""
        try:
            found = read_head(raw, self._max_head)
        except FetchError as error:
            self._fail(error)
            return b""
        if found is None:
            return b""
        self.head, start = found
        self._raw = b""
        self._left, self._ended, self._chunks = self.head.length or 0, False, None
        if self.head.chunked:
            self._chunks = Chunks()
        return raw[start:]

    def _take(self, data: bytes) -> bytes:
        """The part of `data` that belongs to a body with a Content-Length."""
        if len(data) > self._left:
            data = data[: self._left]
            self.force_close()
        self._left -= len(data)
        self._ended = not self._left
        return data

    def _take_chunks(self, chunks: Chunks, data: bytes) -> bytes:
        """The data of these chunks, re-encoded as one chunk."""
        body = b"".join(chunks.feed(data))
        self._ended = chunks.done
        if chunks.excess_data:
            self.force_close()
        last = b"0\r\n\r\n" if data and chunks.done else b""
        return b"%x\r\n%b\r\n%b" % (len(body), body, last) if body else last

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def _fail(self, error: FetchError) -> None:
        self._raw = b""
        self._hang_up()
        self.set_exception(error)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Called by aiohttp when parsing or the connection fails; also fails the reader of the body."""
        if isinstance(exc, HttpProcessingError):
            exc = FetchError(FetchErrorKind.PROTOCOL, one_line(exc))
        super().set_exception(exc, *cause)
        if self._payload is not None and not self._payload.is_eof():
            broken = isinstance(exc, FetchError)
            self._payload.set_exception(exc if broken else aiohttp.ClientPayloadError(str(exc)))
