"""One request and its response on one connection: the client side of HTTP/1.1, pure (RFC 9112).

Bytes, the end of the stream and `now` go in; whether the exchange has ended comes out, then a Response or a FetchError.
No socket, no clock, no thread: a driver reads and writes (crawler/fetch/clients/native_async.py, native_blocking.py).

    state    input                          next      RFC 9112
    HEAD     part of a head, 1xx replies    HEAD      2.1, 9110 15.2
    HEAD     the end of a final head        BODY      6.3: which of the three bodies; ENDED where it has none
    HEAD     anything else                  ENDED     error PROTOCOL, as soon as no valid head can follow
    HEAD     end of stream, a deadline      ENDED     error DISCONNECT, TIMEOUT
    BODY     bytes                          BODY      6.2 (length), 7.1 (chunks), 6.3 rule 8 (until the end of stream)
    BODY     its last byte                  ENDED     complete; 9.3: the connection goes on or not
    BODY     more than `max_body` bytes     ENDED     truncated "length"
    BODY     end of stream                  ENDED     complete without length and chunks, else truncated "disconnect"
    BODY     a deadline                     ENDED     truncated "time"
    BODY     invalid chunks                 ENDED     error PROTOCOL

Rules:
- Once there is a head, a body that does not come to its end is no error but a mark (see `Response.truncated`).
- A connection is used again only after a complete body with nothing after it, where both sides allow it (`reusable`).
  One that ends at a proxy is kept only where the proxy says "keep-alive": some merely relay what follows to the site,
  which would get the login of the proxy.
- `read_head` and `Chunks` alone say what is valid, for every client.
"""

from __future__ import annotations

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import FetchError, Held, Limits, Response
from crawler.fetch.http1.chunks import Chunks
from crawler.fetch.http1.deadlines import FetchTimer
from crawler.fetch.http1.framing import Head, check_partial, read_head, says_keep_alive

_PREFIX = len("HTTP/")


class Exchange:
    """One response that is being received. `ended`: nothing more is read for it; `reusable`: its connection may be used
    again. `timer` has its deadlines; `started_at` in seconds of the driver's clock. `forwarded`: the connection ends
    at a proxy that gets requests in absolute form."""

    __slots__ = (
        "_blocks",
        "_chunks",
        "_error",
        "_forwarded",
        "_head",
        "_held",
        "_left",
        "_limits",
        "_raw",
        "_truncated",
        "ended",
        "ended_at",
        "reusable",
        "timer",
    )

    def __init__(self, limits: Limits, held: Held, started_at: float, forwarded: bool = False) -> None:
        self.timer = FetchTimer(started_at)
        self.ended = False
        self.ended_at = 0.0
        self.reusable = False
        self._limits = limits
        self._held = held
        self._raw = b""
        self._forwarded = forwarded
        self._head: Head | None = None
        self._left: int | None = None  # bytes of the body that have not come; None where only its end will tell
        self._chunks: Chunks | None = None
        self._blocks: list[bytes] = []
        self._truncated = ""
        self._error: FetchError | None = None

    def receive(self, data: bytes, now: float) -> bool:
        """Take the next bytes; whether it has ended. Must not be called after that."""
        try:
            if self._head is None:
                data = self._receive_head(data, now)
                if self._head is None:
                    return False
            return self._receive_body(data, now)
        except FetchError as error:
            return self.fail(error, now)

    def _receive_head(self, data: bytes, now: float) -> bytes:
        """Returns what follows the head, once that is complete. Raises FetchError(PROTOCOL)."""
        raw = self._raw + data if self._raw else data
        if len(self._raw) >= _PREFIX and b"\n" not in data and len(raw) <= self._limits.max_head:
            self._raw = raw  # without a new line there is nothing new to see: a head may come byte by byte
            return b""
        found = read_head(raw, self._limits.max_head)
        if found is None:
            self._raw = raw
            return b""
        head, start = found
        self._head, self._left, self._raw = head, head.length, b""
        self._chunks = Chunks() if head.chunked else None
        self.timer.head_at = now
        return raw[start:]

    def _receive_body(self, data: bytes, now: float) -> bool:
        """Raises FetchError for chunks that are invalid, or where there is no memory for the body."""
        left, chunks = self._left, self._chunks
        surplus = False
        if left is not None:
            surplus = len(data) > left
            if surplus:
                data = data[:left]
            self._left = left = left - len(data)
        elif chunks is not None:
            data = b"".join(chunks.feed(data))
            surplus = chunks.excess_data
        if data:
            self._keep(data)
            if self.timer.size > self._limits.max_body:
                return self._cut("length", now)
        if chunks is not None and chunks.error is not None:
            raise chunks.error
        if left == 0 or (chunks is not None and chunks.done):
            head = self._head
            assert head is not None
            self.reusable = head.keep_alive and not surplus and (not self._forwarded or says_keep_alive(head.fields))
            return self._end(now)
        return False

    def _keep(self, data: bytes) -> None:
        self.timer.size += len(data)
        self._held.grow(len(data))
        self._blocks.append(data)

    def end_of_stream(self, now: float, detail: str = "", *, broken: bool = False) -> None:
        """The server sends no more. `broken`: the connection failed, or TLS ended without a word; `detail` says how."""
        if self._head is None:
            error = FetchError(FetchErrorKind.DISCONNECT, detail or "closed inside the head")
            try:
                check_partial(self._raw, self._limits.max_head)
            except FetchError as invalid:
                error = invalid
            self.fail(error, now)
        elif broken or self._left is not None or self._chunks is not None:
            self._cut("disconnect", now)
        else:
            self._end(now)

    def check_deadlines(self, now: float, late: float = 0.0) -> bool:
        """End it where a deadline has passed; whether it has ended. `late`: see FetchTimer.overdue."""
        reason = self.timer.overdue(self._limits, now, late)
        if not reason:
            return False
        if self._head is not None:
            return self._cut("time", now)
        return self.fail(FetchError(FetchErrorKind.TIMEOUT, reason), now)

    def fail(self, error: FetchError, now: float) -> bool:
        """End it with an error. Always True."""
        self._error = error
        return self._end(now)

    def _cut(self, truncated: str, now: float) -> bool:
        self._truncated = truncated
        return self._end(now)

    def _end(self, now: float) -> bool:
        self.ended, self.ended_at = True, now
        return True

    def response(self, address: str) -> Response:
        """The response, once it has ended. Raises FetchError."""
        if self._error is not None:
            raise self._error
        head, timer, blocks = self._head, self.timer, self._blocks
        assert head is not None
        body = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        if self._truncated == "length":
            body = body[: self._limits.max_body]
        return Response(
            head.status,
            head.fields,
            body,
            self._truncated,
            timer.head_at - timer.started,
            self.ended_at - timer.started,
            address,
        )
