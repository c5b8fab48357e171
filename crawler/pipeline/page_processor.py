"""Builds the request of a fetch, and turns its response into a page to store and an event.

Rules:
- `read` is pure but for the Unix time it is given. It is the only place that decodes, parses, and decides what is
  stored.
- Bodies of 2xx are decoded, parsed and stored, and those of redirects without a target: browsers show them. Other
  redirects and error pages are not worth a decompression bomb; with `follow_errors` error pages are parsed for links.
- A 206 is a partial page, since we never send a Range: it is stored and parsed like any truncated body, with the mark
  "range".
- A heavy page (crawler/core/page/parse_cost.py) is parsed in the sandbox: its parser would stall all other fetches. So
  is a sitemap that is a gzip file of more than PACKED bytes.
- A sitemap is a page like any other: fetched, stored and counted as one. Only its links are read in another way.
  `aread` moves other slow work to a thread. A body with a content coding is decoded up to HEAVY bytes to find out
  whether it is heavy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import thread_time
from typing import Protocol, TypeVar

from msgspec.structs import replace

from crawler.core.messages import Fetch, Fetched, SetCookie, SitemapNaming
from crawler.core.page.digest import term
from crawler.core.page.links import PageHeaders, Reading, is_html, page_headers, read_page
from crawler.core.page.parse_cost import HEAVY, is_expensive
from crawler.core.page.robots import decode_robots
from crawler.core.page.sitemap import is_packed, sitemap_kind
from crawler.core.reasons import NotFollowed
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver, host_of
from crawler.core.urls.normalization import normalizer
from crawler.core.urls.redirects import REDIRECTS
from crawler.core.urls.scope import Scope
from crawler.fetch.base import FetchError, Headers, Request, Response
from crawler.fetch.bodies import BODIES
from crawler.fetch.decode import Decoded, decode
from crawler.fetch.http1.set_cookie import read_all
from crawler.fetch.secrets import with_cookie
from crawler.pipeline.readings import ReadingKeeper
from crawler.pipeline.response_facts import MAX_CONTENT_TYPE, codings_of, is_page, is_whole, retry_after, target_of
from crawler.pipeline.revalidation import Revalidation
from crawler.storage.known_pages import KnownPage
from crawler.storage.pages.base import Page

T = TypeVar("T")
Read = tuple[Page | None, Fetched]
ReadPage = Callable[[bytes, str, PageHeaders, bool, bool, SitemapNaming | None], Reading]

PARTIAL_CONTENT = 206
PACKED = 4096
NONE: Mapping[str, Headers] = {}


class Sandbox(Protocol):
    """Parses heavy pages; HeavyReader implements it."""

    def read(
        self,
        body: bytes,
        url: str,
        headers: PageHeaders,
        follow: bool,
        fingerprint: bool,
        naming: SitemapNaming | None,
    ) -> Reading:
        """`read_page` in another process."""

    def run_exclusive(self, work: Callable[[], T]) -> T:
        """Run `work` while no other `run_exclusive` or `arun_exclusive` runs."""

    async def arun_exclusive(self, work: Callable[[], T]) -> T:
        """`run_exclusive` on a thread, for an event loop."""

    def close(self) -> None:
        """End the process that parses."""


class PageProcessor:
    """Builds requests and reads responses: has the rules, the scope of paths, a cache of resolved links and `secrets`,
    the headers of each origin (see crawler/fetch/secrets.py). Thread-safe.

    Without a sandbox `elsewhere` all pages are parsed in this process. A re-crawl has a `revalidation`; what is read is
    kept for the next one where there is a `keeper`.
    """

    def __init__(
        self,
        rules: Rules,
        scope: Scope,
        max_body: int,
        attempt_header: str = "",
        spin: float = 0.0,
        elsewhere: Sandbox | None = None,
        secrets: Mapping[str, Headers] = NONE,
        revalidation: Revalidation | None = None,
        keeper: ReadingKeeper | None = None,
    ) -> None:
        self._rules = rules
        self._reads_sitemaps = bool(rules.sitemaps or rules.sitemap)
        self._resolver = Resolver(scope.admits_path, respell=normalizer(rules))
        self._max_body = max_body
        self._attempt_header = attempt_header
        self._spin = spin
        self._elsewhere = elsewhere
        self._secrets = secrets
        self._revalidation = revalidation
        self._keeper = keeper

    def close(self) -> None:
        """Close the sandbox, the files of earlier generations and that of what was read."""
        if self._elsewhere is not None:
            self._elsewhere.close()
        if self._revalidation is not None:
            self._revalidation.close()
        if self._keeper is not None:
            self._keeper.close()

    def request(self, fetch: Fetch) -> Request:
        """The request of a fetch. This is the only place that adds the secrets of an origin to a request."""
        headers: Headers = ()
        if self._secrets and not fetch.without_credentials:
            headers = self._secrets.get(host_of(fetch.url), ())
        if fetch.cookie:
            headers = with_cookie(headers, fetch.cookie)
        if self._revalidation is not None and not fetch.carried:
            headers = (*headers, *self._revalidation.request_headers(fetch))
        if self._attempt_header:
            headers = (*headers, (self._attempt_header, str(fetch.attempt)))
        return Request(fetch.url, headers, fetch.wait_for_dns, BODIES.take())

    def read(self, fetch: Fetch, response: Response, now: float) -> Read:
        """The page to store, if any, and the event; `now` is Unix time. The event has a place where the page is stored
        already. Raises FetchError, and StorageError where an earlier generation cannot be read."""
        if self._revalidation is None:
            return self._kept(fetch, self._read(fetch, response, now))
        held = BODIES.take()
        try:
            known = self._revalidation.confirming(fetch, response)
            if known is not None:
                if (event := self._remembered(known, fetch, response, now)) is not None:
                    return None, event
                response = self._revalidation.stored(known, fetch, response, held)
            return self._revalidation.placed(fetch, response, *self._kept(fetch, self._read(fetch, response, now)))
        finally:
            held.release()

    async def aread(self, fetch: Fetch, response: Response, now: float) -> Read:
        """`read` for an event loop."""
        if self._revalidation is None:
            return self._kept(fetch, await self._aread(fetch, response, now))
        held = BODIES.take()
        try:
            known = self._revalidation.confirming(fetch, response)
            if known is not None and (event := self._remembered(known, fetch, response, now)) is not None:
                return None, event
            if known is not None and known.size > HEAVY:
                response = await asyncio.to_thread(self._revalidation.stored, known, fetch, response, held)
            elif known is not None:
                response = self._revalidation.stored(known, fetch, response, held)
            read = self._kept(fetch, await self._aread(fetch, response, now))
            return self._revalidation.placed(fetch, response, *read)
        finally:
            held.release()

    def _kept(self, fetch: Fetch, read: Read) -> Read:
        """What was read, which is kept for a later 304."""
        page, event = read
        if self._keeper is not None and page is not None:
            self._keeper.keep(fetch, page, event)
        return read

    def _remembered(self, known: KnownPage, fetch: Fetch, response: Response, now: float) -> Fetched | None:
        """The event of a 304 to a page whose reading is kept."""
        assert self._revalidation is not None
        event = self._revalidation.remembered(known, fetch, response)
        return None if event is None else replace(event, cookies=self._cookies(fetch, response, now))

    def _read(self, fetch: Fetch, response: Response, now: float) -> Read:
        try:
            light = self._read_light(fetch, response, now)
            if light is None:
                assert self._elsewhere is not None
                return self._elsewhere.run_exclusive(lambda: self._read_heavy(fetch, response, now))
            return light
        except FetchError as error:
            return None, self._without_body(fetch, response, now, error)

    async def _aread(self, fetch: Fetch, response: Response, now: float) -> Read:
        try:
            light = self._read_light(fetch, response, now)
            if light is None:
                assert self._elsewhere is not None
                return await self._elsewhere.arun_exclusive(lambda: self._read_heavy(fetch, response, now))
            return light
        except FetchError as error:
            return None, self._without_body(fetch, response, now, error)

    def _read_light(self, fetch: Fetch, response: Response, now: float) -> Read | None:
        """`read`, or None for a page that may be heavy."""
        if fetch.robots:
            return None, self._read_robots(fetch, response, now)
        headers = page_headers(response.headers)
        if not self._is_read(fetch, response):
            return None, self._unread(fetch, response, headers, now)
        guarded = self._elsewhere is not None and (codings_of(response) or self._has_links(response.body, headers))
        if guarded and len(response.body) > HEAVY:
            return None
        cap = min(HEAVY, self._max_body) if guarded else self._max_body
        decoded = self._decode(response, cap)
        if guarded and (is_expensive(decoded.body) or (decoded.truncated == "length" and cap < self._max_body)):
            return None
        if guarded and self._reads_sitemaps and len(decoded.body) > PACKED and is_packed(decoded.body):
            return None
        return self._page(fetch, response, headers, now, decoded, self._read_here)

    def _has_links(self, body: bytes, headers: PageHeaders) -> bool:
        """Whether a body is HTML, or a sitemap where these are read."""
        if is_html(body, headers):
            return True
        return self._reads_sitemaps and sitemap_kind(body) is not None

    def _is_read(self, fetch: Fetch, response: Response) -> bool:
        """Whether the body of a response is parsed."""
        return is_page(fetch, response) or (
            self._rules.follow_errors and fetch.extract_links and response.status not in REDIRECTS
        )

    def _unread(self, fetch: Fetch, response: Response, headers: PageHeaders, now: float) -> Fetched:
        """The event of a response whose body is not parsed; counts that it may have links."""
        event = self._facts(fetch, response, now)
        if not fetch.extract_links or response.status in REDIRECTS or not response.body:
            return event
        if not codings_of(response) and not is_html(response.body, headers):
            return event
        return replace(event, not_followed=((NotFollowed.ERROR_PAGE, 1),))

    def _without_body(self, fetch: Fetch, response: Response, now: float, error: FetchError) -> Fetched:
        """The event of a response whose body cannot be decoded. Raises `error` for robots.txt and 2xx."""
        if fetch.robots or 200 <= response.status <= 299:
            raise error
        return self._unread(fetch, response, page_headers(response.headers), now)

    def _read_heavy(self, fetch: Fetch, response: Response, now: float) -> Read:
        assert self._elsewhere is not None
        decoded = self._decode(response, self._max_body)
        headers = page_headers(response.headers)
        read = self._elsewhere.read if self._has_links(decoded.body, headers) else self._read_here
        return self._page(fetch, response, headers, now, decoded, read)

    def _read_here(
        self,
        body: bytes,
        url: str,
        headers: PageHeaders,
        follow: bool,
        fingerprint: bool,
        naming: SitemapNaming | None,
    ) -> Reading:
        return read_page(body, url, headers, self._rules, self._resolver, follow, fingerprint, naming)

    def _page(
        self,
        fetch: Fetch,
        response: Response,
        headers: PageHeaders,
        now: float,
        decoded: Decoded,
        read: ReadPage,
    ) -> Read:
        body, truncated = decoded
        if response.status == PARTIAL_CONTENT and not is_whole(response):
            truncated = truncated or "range"
        shown = is_page(fetch, response)
        content_type = headers.content_type
        reading = read(body, fetch.url, headers, fetch.extract_links, fetch.want_fingerprint, fetch.naming)
        if self._spin:
            spin_cpu(self._spin)
        kept = shown and not (reading.noindex and self._rules.obey_noindex)
        digest = term(fetch.url, response.status, body if kept else b"")
        event = Fetched(
            fetch.id,
            response.status,
            reading.links,
            retry_after=None if kept else retry_after(response.header("retry-after"), now),
            size=len(body) if kept else 0,
            digest=digest,
            truncated=truncated if shown else "",
            cut=reading.cut,
            content_type=content_type[:MAX_CONTENT_TYPE],
            seconds=response.seconds,
            first_byte=response.first_byte,
            unread=reading.unread,
            cookies=self._cookies(fetch, response, now),
            fingerprint=reading.fingerprint,
            not_followed=reading.not_followed,
            address=response.address,
            sitemap=reading.sitemap,
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
        # One byte too many shows that the last line may be half a rule, which must not be obeyed.
        body, truncated = self._decode(response, self._rules.robots_size + 1)
        return replace(event, robots_text=decode_robots(body, self._rules.robots_size), truncated=truncated)

    def _facts(self, fetch: Fetch, response: Response, now: float) -> Fetched:
        """The event of a response, without anything from its body."""
        location = target_of(fetch, response)
        too_long = len(location) > self._rules.max_url_length and response.status in REDIRECTS and not fetch.robots
        return Fetched(
            fetch.id,
            response.status,
            location=location,
            cut=int(too_long),
            not_followed=((NotFollowed.TOO_LONG, 1),) if too_long else (),
            retry_after=retry_after(response.header("retry-after"), now),
            digest=term(fetch.url, response.status),
            content_type=page_headers(response.headers).content_type[:MAX_CONTENT_TYPE],
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
        return decode(raw, codings_of(response), cap, truncated)


def spin_cpu(seconds: float) -> None:
    """Use up CPU time of this thread, holding the GIL but for the switches that the interpreter forces."""
    until = thread_time() + seconds
    while thread_time() < until:
        pass
