"""One fetch from order to landing: `read` turns a response into a page and an event, two thin twins fetch and store
around it.

Rules:
- `read` is pure but for the Unix time it is given. It is the only place that decodes, parses, and decides what is
  stored.
- Only bodies of 2xx are decoded, parsed and stored: a redirect or an error page is not worth a decompression bomb.
- A heavy page (crawler/core/weight.py) is read elsewhere: its parser would stall all others. `aread` leaves to a thread
  what would stall an event loop besides; a body whose coding hides how long it is shows that by not ending.
- The twins are the same lines but for `await`. The page is with the writer before the event exists.
- Whatever goes wrong with one page is the end of that page, never of the crawl: a bug of ours lands as `internal`. Only
  a store that cannot keep pages stops everything (StorageError).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import perf_counter, thread_time, time
from typing import Protocol, TypeVar

from msgspec.structs import replace

from crawler.core.digest import term
from crawler.core.links import Reading, is_html, read_page
from crawler.core.messages import Failed, Fetch, Fetched, Landing, SetCookie, Trouble
from crawler.core.robots import decode_robots
from crawler.core.rules import Rules
from crawler.core.scope import Scope
from crawler.core.spelling import speller
from crawler.core.urls import Resolver, host_of, resolve
from crawler.core.weight import HEAVY, is_heavy
from crawler.errors import StorageError
from crawler.failpoints import passing
from crawler.fetch.base import AsyncFetcher, Fetcher, FetchError, Headers, Request, Response
from crawler.fetch.decode import Decoded, decode
from crawler.fetch.secrets import with_cookie
from crawler.fetch.set_cookie import read_all
from crawler.fetch.starving import starved
from crawler.store.base import Page, Writer
from crawler.words import printable

T = TypeVar("T")
Read = tuple[Page | None, Fetched]
ReadPage = Callable[[bytes, str, str, Sequence[str], bool, bool], Reading]

MAX_DETAIL = 200
NONE: Mapping[str, Headers] = {}


class Elsewhere(Protocol):
    """Where heavy pages are read."""

    def read(
        self, body: bytes, url: str, content_type: str, x_robots: Sequence[str], follow: bool, sketch: bool
    ) -> Reading:
        """As `read_page`."""

    def alone(self, work: Callable[[], T]) -> T:
        """Do something while nobody else does, who came with `alone` or `apart`."""

    async def apart(self, work: Callable[[], T]) -> T:
        """`alone`, beside the event loop."""

    def close(self) -> None:
        """End whoever reads there."""


class Reader:
    """What asking and reading need and keep: the rules, the scope of paths, the memo of links, and `secrets`, the
    headers that are meant for one host each (see crawler/fetch/secrets.py). Threads may share one.

    Without a place `elsewhere` all pages are read here.
    """

    def __init__(
        self,
        rules: Rules,
        scope: Scope,
        max_body: int,
        attempt_header: str = "",
        spin: float = 0.0,
        elsewhere: Elsewhere | None = None,
        secrets: Mapping[str, Headers] = NONE,
    ) -> None:
        self._rules = rules
        self._resolver = Resolver(scope.admits_path, respell=speller(rules))
        self._max_body = max_body
        self._attempt_header = attempt_header
        self._spin = spin
        self._elsewhere = elsewhere
        self._secrets = secrets

    def close(self) -> None:
        """Read no more."""
        if self._elsewhere is not None:
            self._elsewhere.close()

    def request(self, fetch: Fetch) -> Request:
        """What a client is asked for. Here, and nowhere else, a request gets what is meant for its host alone."""
        headers: Headers = ()
        if self._secrets and not fetch.bare:
            headers = self._secrets.get(host_of(fetch.url), ())
        if fetch.cookie:
            headers = with_cookie(headers, fetch.cookie)
        if self._attempt_header:
            headers = (*headers, (self._attempt_header, str(fetch.attempt)))
        return Request(fetch.url, headers, fetch.patient)

    def read(self, fetch: Fetch, response: Response, now: float) -> Read:
        """The page to store, if any, and the event without its place; `now` is Unix time. Raises FetchError."""
        light = self._read_light(fetch, response, now)
        if light is None:
            assert self._elsewhere is not None
            return self._elsewhere.alone(lambda: self._read_heavy(fetch, response, now))
        return light

    async def aread(self, fetch: Fetch, response: Response, now: float) -> Read:
        """`read` for an event loop."""
        light = self._read_light(fetch, response, now)
        if light is None:
            assert self._elsewhere is not None
            return await self._elsewhere.apart(lambda: self._read_heavy(fetch, response, now))
        return light

    def _read_light(self, fetch: Fetch, response: Response, now: float) -> Read | None:
        """As `read`; None for what may take long."""
        if fetch.robots:
            return None, self._read_robots(fetch, response, now)
        if not 200 <= response.status <= 299:
            return None, self._facts(fetch, response, now)
        content_type = response.header("content-type")
        guarded = self._elsewhere is not None and (_codings(response) or is_html(response.body, content_type))
        if guarded and len(response.body) > HEAVY:
            return None
        cap = min(HEAVY, self._max_body) if guarded else self._max_body
        decoded = self._decode(response, cap)
        if guarded and (is_heavy(decoded.body) or (decoded.truncated == "length" and cap < self._max_body)):
            return None
        return self._page(fetch, response, now, decoded, self._read_here)

    def _read_heavy(self, fetch: Fetch, response: Response, now: float) -> Read:
        assert self._elsewhere is not None
        decoded = self._decode(response, self._max_body)
        html = is_html(decoded.body, response.header("content-type"))
        return self._page(fetch, response, now, decoded, self._elsewhere.read if html else self._read_here)

    def _read_here(
        self, body: bytes, url: str, content_type: str, x_robots: Sequence[str], follow: bool, sketch: bool
    ) -> Reading:
        return read_page(body, url, content_type, self._rules, self._resolver, x_robots, follow, sketch)

    def _page(self, fetch: Fetch, response: Response, now: float, decoded: Decoded, read: ReadPage) -> Read:
        body, truncated = decoded
        content_type = response.header("content-type")
        x_robots = tuple(value for name, value in response.headers if name.lower() == "x-robots-tag")
        reading = read(body, fetch.url, content_type, x_robots, fetch.follow, fetch.sketch)
        if self._spin:
            burn(self._spin)
        kept = not (reading.noindex and self._rules.obey_noindex)
        digest = term(fetch.url, response.status, body if kept else b"")
        event = Fetched(
            fetch.id,
            response.status,
            reading.links,
            size=len(body) if kept else 0,
            digest=digest,
            truncated=truncated,
            cut=reading.cut,
            content_type=content_type[:MAX_DETAIL],
            seconds=response.seconds,
            first_byte=response.first_byte,
            unread=reading.unread,
            cookies=self._cookies(fetch, response, now),
            sketch=reading.sketch,
            address=response.address,
        )
        if not kept:
            return None, event
        return Page(
            url=fetch.url,
            status=response.status,
            headers=response.headers,
            fetched_at=now,
            seconds=response.seconds,
            content_type=content_type,
            charset=reading.charset,
            digest=digest,
            body=body,
            truncated=truncated,
            noindex=reading.noindex,
            first_byte=response.first_byte,
        ), event

    def _read_robots(self, fetch: Fetch, response: Response, now: float) -> Fetched:
        event = self._facts(fetch, response, now)
        if not 200 <= response.status <= 299:
            return event
        # One byte too many tells that the last line may be half a rule, which must not be obeyed.
        body, truncated = self._decode(response, self._rules.robots_size + 1)
        return replace(event, robots_text=decode_robots(body, self._rules.robots_size), truncated=truncated)

    def _facts(self, fetch: Fetch, response: Response, now: float) -> Fetched:
        """An answer whose body nobody reads."""
        location = _as_utf8(response.header("location"))
        return Fetched(
            fetch.id,
            response.status,
            location=(resolve(fetch.url, location) or "") if location and 300 <= response.status <= 399 else "",
            retry_after=retry_after(response.header("retry-after"), now),
            digest=term(fetch.url, response.status),
            content_type=response.header("content-type")[:MAX_DETAIL],
            seconds=response.seconds,
            first_byte=response.first_byte,
            address=response.address,
            cookies=() if fetch.robots else self._cookies(fetch, response, now),
        )

    def _cookies(self, fetch: Fetch, response: Response, now: float) -> tuple[SetCookie, ...]:
        if not self._rules.cookies:
            return ()
        return read_all((value for name, value in response.headers if name.lower() == "set-cookie"), fetch.url, now)

    def _decode(self, response: Response, cap: int) -> Decoded:
        # Clients read as much as the larger of two caps allows, that of pages and that of robots.txt.
        raw, truncated = response.body, response.truncated
        if len(raw) > cap:
            raw, truncated = raw[:cap], "length"
        return decode(raw, _codings(response), cap, truncated)


def visit(
    fetch: Fetch, fetcher: Fetcher, reader: Reader, writer: Writer, lock: AbstractContextManager[object]
) -> Landing:
    """Fetch, read, store. `lock` guards the writer where several threads share it."""
    started = perf_counter()
    try:
        response = fetcher.fetch(reader.request(fetch))
        passing("fetch.done")
        page, event = reader.read(fetch, response, time())
        if page is None:
            return event
        passing("store.put")
        with lock:
            position = writer.put(page)
        return replace(event, part=writer.part, position=position)
    except FetchError as error:
        return failed(fetch, error, perf_counter() - started)
    except StorageError:
        raise
    except Exception as error:
        return failed(fetch, FetchError(Trouble.INTERNAL, f"{type(error).__name__}: {error}"), perf_counter() - started)


async def avisit(fetch: Fetch, fetcher: AsyncFetcher, reader: Reader, writer: Writer) -> Landing:
    """Fetch, read, store, on an event loop."""
    started = perf_counter()
    try:
        response = await fetcher.fetch(reader.request(fetch))
        passing("fetch.done")
        page, event = await reader.aread(fetch, response, time())
        if page is None:
            return event
        passing("store.put")
        position = await writer.aput(page)
        return replace(event, part=writer.part, position=position)
    except FetchError as error:
        return failed(fetch, error, perf_counter() - started)
    except StorageError:
        raise
    except Exception as error:
        return failed(fetch, FetchError(Trouble.INTERNAL, f"{type(error).__name__}: {error}"), perf_counter() - started)


def burn(seconds: float) -> None:
    """Use up CPU time of this thread, holding the GIL but for the switches that the interpreter forces."""
    until = thread_time() + seconds
    while thread_time() < until:
        pass


def failed(fetch: Fetch, error: FetchError, seconds: float) -> Failed:
    """Trouble as a value; its detail is remote text, so it is made printable and cut."""
    trouble = Trouble.STARVED if starved(error) else error.trouble
    return Failed(fetch.id, trouble, printable(error.detail[:MAX_DETAIL])[:MAX_DETAIL], seconds)


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait from a Retry-After header (RFC 9110 10.2.3: seconds or a date); None if unusable."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value.lstrip("0")[:12] or 0)
    try:
        date = parsedate_to_datetime(value)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)  # all dates of HTTP are, also in the oldest form
        return max(0.0, date.timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def _codings(response: Response) -> str:
    return ", ".join(value for name, value in response.headers if name.lower() == "content-encoding")


def _as_utf8(value: str) -> str:
    """A header that servers fill with UTF-8 although it was read as Latin-1, as the Fetch standard reads Location."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
