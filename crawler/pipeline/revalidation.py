"""Conditional requests of a re-crawl: the validators that go out, and the stored page that a 304 stands for.

Rules:
- A 304 counts as the stored page: its status, its body, its links. Where what was read of it is kept
  (crawler/pipeline/readings.py), that is taken. Otherwise the body is parsed again, as if it had been fetched.
- What is taken so is not compared with the stored body: `verify` does that, and the next unconditional fetch.
- What comes is the record of the earlier generation, not a new one. Where the 304 brings other validators, or other
  headers that matter to us, a new record holds the headers and names the body.
- A body that came again unchanged (200 and the same digest) is not stored again either.
- A stored page that cannot be read, or whose digest does not match, fails the fetch as a broken connection does: the
  next attempt is unconditional.
- The stored body is counted as a body in flight (crawler/fetch/bodies.py).
- A page that is carried over is read in the same way, as if a 304 without headers had confirmed it.
"""

from __future__ import annotations

import threading

from msgspec.structs import replace

from crawler.core.messages import Fetch, Fetched
from crawler.core.page.digest import term
from crawler.core.page.links import page_headers
from crawler.core.reasons import FetchErrorKind
from crawler.core.revisit.validators import OK, is_conditional, updated, validators_of
from crawler.errors import Corrupt, StorageError
from crawler.fetch.base import FetchError, Headers, Held, Response
from crawler.fetch.bodies import COPIES
from crawler.pipeline.readings import kept_reading
from crawler.storage.known_pages import KnownPage, KnownReader
from crawler.storage.pages.base import Page, Store

NOT_MODIFIED = 304
MOST_IN_FLIGHT, LARGE = 1024, 16_384
"""What is kept for answers: pages, and bytes of what was read of one."""
NOT_ASKED = Response(status=NOT_MODIFIED, headers=(), body=b"")
"""What stands for the answer where no request is made."""
Placed = tuple[Page | None, Fetched]


class StoredResponse(Response, frozen=True, kw_only=True):
    """A 304 as the page it confirms, which is `known`. `renewed`: its headers differ from the stored ones in something
    that matters."""

    known: KnownPage
    renewed: bool


class Revalidation:
    """What is known of the pages of earlier generations, and how often they are asked for without validators: every
    `every`-th time. `read_by` is the number of the rules that pages are read by. Thread-safe."""

    def __init__(self, known: KnownReader, store: Store, every: int, read_by: int) -> None:
        self._known = known
        self._store = store
        self._every = every
        self._read_by = read_by
        self._in_flight: dict[str, KnownPage] = {}
        self._lock = threading.Lock()

    def request_headers(self, fetch: Fetch) -> Headers:
        """The headers that make this fetch conditional; none where it is not to be. Raises StorageError."""
        known = self._asked_with(fetch)
        return () if known is None else known.validators.request_headers

    def confirming(self, fetch: Fetch, response: Response) -> KnownPage | None:
        """The page that a response confirms: a 304 to a conditional request, or NOT_ASKED. Raises StorageError, and
        FetchError where a page that is to be carried over is not known."""
        if fetch.carried:
            known = self._find(fetch)
            if known is None:
                raise FetchError(FetchErrorKind.DISCONNECT, "the stored page is not known any more")
            return known
        return self._asked_with(fetch) if response.status == NOT_MODIFIED else None

    def remembered(self, known: KnownPage, fetch: Fetch, response: Response) -> Fetched | None:
        """The event of a 304, from what was read of the page before; None where the page must be parsed. Its cookies
        are left out."""
        if not known.reading or fetch.naming is not None:
            return None
        reading = kept_reading(known.reading, self._read_by)
        if reading is None or self._brings_news(known, response):
            return None
        return Fetched(
            fetch.id,
            OK,
            reading.links,
            size=known.size,
            digest=known.digest,
            part=known.part,
            position=known.position,
            cut=reading.cut,
            content_type=reading.content_type,
            seconds=response.seconds,
            first_byte=response.first_byte,
            fingerprint=reading.fingerprint,
            not_followed=reading.not_followed,
            address=response.address,
            not_modified=not fetch.carried,
            carried=fetch.carried,
        )

    def stored(self, known: KnownPage, fetch: Fetch, response: Response, held: Held) -> StoredResponse:
        """The stored page that a 304 confirms. Raises FetchError and StorageError."""
        held.grow(known.size // COPIES)
        page = self._read(fetch.url, known)
        if page is None:
            raise FetchError(FetchErrorKind.DISCONNECT, "not modified, but the stored page cannot be read")
        headers = updated(page.headers, response.headers)
        return StoredResponse(
            status=page.status,
            headers=headers,
            body=page.body,
            first_byte=response.first_byte,
            seconds=response.seconds,
            address=response.address,
            known=known,
            renewed=_differ(page.headers, headers),
        )

    def placed(self, fetch: Fetch, response: Response, page: Page | None, event: Fetched) -> Placed:
        """The page to store and the event, after a response was read: without a body that is stored already."""
        if page is None:
            return None, event
        if isinstance(response, StoredResponse):
            known, renewed = response.known, response.renewed
            event = replace(event, not_modified=not fetch.carried, carried=fetch.carried)
        else:
            found = self._find(fetch)
            stored = self._read(fetch.url, found) if found and found.digest == event.digest else None
            if found is None or stored is None:
                return page, event
            known, renewed = found, _differ(stored.headers, response.headers)
        if renewed:
            return replace(page, stored_at=known.body), event
        return None, replace(event, part=known.part, position=known.position)

    def close(self) -> None:
        """Close the files."""
        self._known.close()
        self._store.close()

    def _brings_news(self, known: KnownPage, response: Response) -> bool:
        """Whether a 304 may have headers that matter and differ from the stored ones. Most have none that matter."""
        mine = validators_of(response.headers)
        told = page_headers(response.headers)
        same = all(new in ("", old) for new, old in zip(mine, known.validators, strict=True))
        if same and not (told.robots or told.nosniff or told.refresh or told.link):
            return False
        try:
            with self._lock:
                headers, _ = self._store.head(known.part, known.position)
        except (StorageError, KeyError):
            return True
        return _differ(headers, updated(headers, response.headers))

    def _asked_with(self, fetch: Fetch) -> KnownPage | None:
        """The page whose validators go with this fetch; None where it is unconditional."""
        known = self._find(fetch)
        if known is None or not is_conditional(fetch.attempt, known.checks, self._every):
            return None
        return known if known.validators.request_headers else None

    def _find(self, fetch: Fetch) -> KnownPage | None:
        """What is known of a page: it is looked up for the request and kept for the answer."""
        if fetch.robots:
            return None
        with self._lock:
            if fetch.url in self._in_flight:
                return self._in_flight.pop(fetch.url)
            try:
                known = self._known.find(fetch.url)
            except Corrupt:  # the next re-crawl makes the file again
                return None
            if known is not None and len(known.reading) <= LARGE:
                if len(self._in_flight) >= MOST_IN_FLIGHT:  # of requests that got no answer
                    self._in_flight.pop(next(iter(self._in_flight)))
                self._in_flight[fetch.url] = known
        return known

    def _read(self, url: str, known: KnownPage) -> Page | None:
        """The stored page; None where it cannot be read or is another one."""
        try:
            with self._lock:
                page = self._store.read(known.part, known.position)
        except (StorageError, KeyError):
            return None
        return page if term(url, page.status, page.body) == known.digest == page.digest else None


def _differ(stored: Headers, now: Headers) -> bool:
    """Whether headers that matter to us differ: validators, and what decides how a page is read."""
    return validators_of(stored) != validators_of(now) or page_headers(stored) != page_headers(now)
