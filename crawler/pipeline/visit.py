"""One fetch from request to stored page: `visit` and `avisit` ask a fetcher, read the response and store the page.

Rules:
- `visit` and `avisit` differ only in `await`. The page is with the writer before the event exists.
- A failure ends one page, never the crawl: a bug of ours becomes `INTERNAL`, lack of memory or descriptors
  `RESOURCE_EXHAUSTED`, wherever it is raised. Only a store that cannot keep pages stops everything (StorageError).
- A page that is carried over is read from the store, without a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from time import perf_counter, time

from msgspec.structs import replace

from crawler.core.messages import Failed, Fetch, FetchResult
from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.errors import StorageError
from crawler.fetch.base import UNCOUNTED, AsyncFetcher, Fetcher, FetchError, Held, Response
from crawler.fetch.bodies import COPIES
from crawler.fetch.exhaustion import is_resource_exhausted, lacks_memory
from crawler.pipeline.page_processor import PageProcessor
from crawler.pipeline.revalidation import NOT_ASKED
from crawler.storage.pages.base import Page, Writer
from crawler.system.failpoints import passing
from crawler.system.memory_shortage import despite_shortage
from crawler.system.text import escape_unprintable

MAX_DETAIL = 200  # characters


def visit(
    fetch: Fetch, fetcher: Fetcher, reader: PageProcessor, writer: Writer, lock: AbstractContextManager[object]
) -> FetchResult:
    """Fetch, read, store. `lock` guards the writer where several threads share it."""
    started = perf_counter()
    held: Held = UNCOUNTED
    try:
        request = reader.request(fetch)
        held = request.held
        response = NOT_ASKED if fetch.carried else fetcher.fetch(request)
        passing("fetch.done")
        page, event = reader.read(fetch, response, time())
        if page is None:
            return event
        _hold(held, page, response)
        passing("store.put")
        with lock:
            position = writer.put(page)
        return replace(event, part=writer.part, position=position)
    except Exception as error:
        if isinstance(error, StorageError) and not lacks_memory(error):
            raise
        cause = error  # the name `error` ends with this block
        return despite_shortage(lambda: failed(fetch, cause, perf_counter() - started))
    finally:
        held.release()


async def avisit(
    fetch: Fetch,
    fetcher: AsyncFetcher,
    reader: PageProcessor,
    writer: Writer,
    turn: Callable[[], Awaitable[None]] | None = None,
) -> FetchResult:
    """Fetch, read, store, on an event loop. `turn` waits until the response may be read."""
    started = perf_counter()
    held: Held = UNCOUNTED
    try:
        request = reader.request(fetch)
        held = request.held
        response = NOT_ASKED if fetch.carried else await fetcher.fetch(request)
        passing("fetch.done")
        if turn is not None:
            await turn()
        page, event = await reader.aread(fetch, response, time())
        if page is None:
            return event
        _hold(held, page, response)
        passing("store.put")
        position = await writer.aput(page)
        return replace(event, part=writer.part, position=position)
    except Exception as error:
        if isinstance(error, StorageError) and not lacks_memory(error):
            raise
        cause = error  # the name `error` ends with this block
        return despite_shortage(lambda: failed(fetch, cause, perf_counter() - started))
    finally:
        held.release()


def _hold(held: Held, page: Page, response: Response) -> None:
    """Count the decoded body too. Raises FetchError(RESOURCE_EXHAUSTED)."""
    if page.body is not response.body:
        held.grow(len(page.body) // COPIES)


def failed(fetch: Fetch, error: Exception, seconds: float) -> Failed:
    """The event of a failed fetch; its detail is remote text, so it is made printable and truncated."""
    if lacks_memory(error):
        words = f"{NO_MEMORY} ({_in_words(error)})" if not str(error).startswith(NO_MEMORY) else str(error)
        return Failed(
            fetch.id, FetchErrorKind.RESOURCE_EXHAUSTED, escape_unprintable(words[:MAX_DETAIL])[:MAX_DETAIL], seconds
        )
    trouble = error.kind if isinstance(error, FetchError) else FetchErrorKind.INTERNAL
    trouble = FetchErrorKind.RESOURCE_EXHAUSTED if is_resource_exhausted(error) else trouble
    return Failed(fetch.id, trouble, escape_unprintable(_in_words(error)[:MAX_DETAIL])[:MAX_DETAIL], seconds)


def _in_words(error: Exception) -> str:
    if isinstance(error, FetchError):
        return error.detail
    return f"{type(error).__name__}: {error}"
