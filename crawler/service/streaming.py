"""Answers without a known end: events, logs that are followed, exports.

Rules:
- What a client does not read in WRITE_TIME ends its connection. At most one chunk waits for it in our memory.
- An answer that cannot be completed is cut without its last chunk, so that no client takes it for whole.
- An empty chunk is not sent; it is an occasion to see that the client is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from aiohttp import web

from crawler.service.problems import RefusedRequest
from crawler.system.logs import open_log

WRITE_TIME = 20.0
"""Seconds in which a client must take a chunk."""
CHUNK = 64 * 1024
MOST_STREAMS = 1000
MOST_FOLLOWERS = 100
MOST_EXPORTS = 8


class StreamLimit:
    """How many answers of a kind may be under way at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Context manager: one more. Raises RefusedRequest (429) where there are too many."""
        if self._open >= self._most:
            raise RefusedRequest(
                429, f"{self._most} such answers are under way; try again later", headers={"Retry-After": "5"}
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


async def stream(
    request: web.Request, chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str], status: int = 200
) -> web.StreamResponse:
    """Send chunks as they come. Closes the generator, also where the client goes away."""
    response = web.StreamResponse(status=status, headers=headers)
    try:
        await response.prepare(request)
        async for chunk in chunks:
            if request.transport is None or request.transport.is_closing():
                break
            if chunk:
                await _in_time(response.write(chunk))
        else:
            await _in_time(response.write_eof())
    except ConnectionError:
        _cut(request)
    except Exception as error:  # the status is sent, so it cannot become a problem
        open_log().warning("an answer was cut", path=request.path, why=f"{type(error).__name__}: {error}")
        _cut(request)
    finally:
        await chunks.aclose()
    return response


async def from_thread(lines: Iterator[str]) -> AsyncGenerator[bytes, None]:
    """The lines of a generator that blocks, in chunks. It runs on one thread, because connections of SQLite stay in
    theirs."""
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(1, "export")
    try:
        while chunk := await loop.run_in_executor(executor, _chunk, lines):
            yield chunk
    finally:
        executor.submit(_close, lines)
        executor.shutdown(wait=False)


def _chunk(lines: Iterator[str]) -> bytes:
    taken, size = list[bytes](), 0
    for line in lines:
        taken.append(line.encode("utf-8", "replace"))
        size += len(taken[-1])
        if size >= CHUNK:
            break
    return b"".join(taken)


def _close(lines: Iterator[str]) -> None:
    close = getattr(lines, "close", None)
    if close is not None:
        close()


async def _in_time(writing: Awaitable[None]) -> None:
    """Raises ConnectionResetError where the client does not read."""
    try:
        async with asyncio.timeout(WRITE_TIME):
            await writing
    except TimeoutError:
        raise ConnectionResetError("the client does not read") from None


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
