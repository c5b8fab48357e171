"""The table of routes: from one entry come the dispatch, the document (openapi.py) and the tests of security.

Rules:
- A route without an entry does not exist, so none can lack its scope.
- Bodies and queries are msgspec structs. Whatever is unknown in them is refused with the nearest name.
- The function of a route returns a value, which is sent as JSON with the status of the route, or a whole response.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import msgspec
from aiohttp import web

from crawler.service.auth import Caller, Sessions

if TYPE_CHECKING:
    from crawler.service.config import ServiceConfig
    from crawler.service.metrics import ServiceMetrics
    from crawler.service.records import TokenScope
    from crawler.service.service import Service

P = ParamSpec("P")
T = TypeVar("T")
API = "/api/v1"
JSON = "application/json"
PARAMETER = re.compile(r"\{(\w+)(?::[^{}]*)?\}")

SERVICE: web.AppKey[Service] = web.AppKey("SERVICE")
CONFIG: web.AppKey[ServiceConfig] = web.AppKey("CONFIG")
SESSIONS: web.AppKey[Sessions] = web.AppKey("SESSIONS")
READINGS: web.AppKey[asyncio.Semaphore] = web.AppKey("READINGS")
ALL_ROUTES: web.AppKey[tuple[Route, ...]] = web.AppKey("ALL_ROUTES")
METRICS: web.AppKey[ServiceMetrics] = web.AppKey("METRICS")
CALLER: web.RequestKey[Caller] = web.RequestKey("CALLER")


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of what a query may name; itself the query of a route that takes none."""


@dataclass(frozen=True)
class Route:
    """One route. `path` is that of aiohttp, with {parameters}; `scope` None: open to everybody.

    `body`: type of its JSON body, None: it takes none; `answer`: type of its JSON answer, None: it has another `media`,
    or no content; `other_media`: what it may answer instead, as its query says. `refusals` are its statuses beyond
    those that follow from scope, path, body and query; `headers` those of a request that it heeds. `is_page`: for
    people, so not in the document, and it takes forms. `streams`: its answer has no known end.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    respond: Callable[[Call], Awaitable[Any]]
    summary: str
    scope: TokenScope | None = "read"
    body: Any = None
    query: type[msgspec.Struct] = Query
    answer: Any = None
    status: int = 200
    media: str = JSON
    other_media: str = ""
    refusals: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    is_page: bool = False
    streams: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in its path."""
        return tuple(PARAMETER.findall(self.path))


class Call:
    """One request that has passed the checks: its `caller` (None on an open route), `path` parameters, `query` and
    `body`, both of the types in the route. `sent` is the body as it was sent, for patches. A route that creates
    something sets `location`."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.service = request.app[SERVICE]
        self.sessions = request.app[SESSIONS]
        self.caller = request.get(CALLER)
        self.path: Mapping[str, str] = request.match_info
        self.query: Any = None
        self.body: Any = None
        self.sent: dict[str, Any] = {}
        self.location = ""

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function that blocks reads from a crawl directory; few at a time, so that crawls are not disturbed."""
        async with self.request.app[READINGS]:
            return await asyncio.to_thread(function, *args, **kwargs)

    async def is_valid(self) -> bool:
        """Whether the token of this call still stands; long answers ask now and then."""
        return self.caller is not None and await self.service.check_digest(self.caller.digest) is not None
