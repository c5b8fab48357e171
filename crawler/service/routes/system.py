"""The service itself: health, overview, storage, tokens, events, and the document of the API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from time import monotonic
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from crawler.service import metrics as prometheus
from crawler.service.broadcast import Subscription
from crawler.service.problems import RefusedRequest
from crawler.service.records import (
    Listing,
    NewToken,
    Overview,
    Sent,
    ServiceEvent,
    StoredRun,
    TokenRecord,
    TokenScope,
)
from crawler.service.routing import ALL_ROUTES, API, METRICS, Call, Query, Route
from crawler.service.streaming import MOST_STREAMS, StreamLimit, stream

KEEP_ALIVE = 15.0
"""Seconds without an event after which a comment is sent; proxies close silent connections."""
RECONNECT = b"retry: 2000\n\n"
EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
EventType = Literal["run", "progress", "schedule", "tick", "job", "disk", "notice"]
listening = StreamLimit(MOST_STREAMS)


class ServiceHealth(msgspec.Struct, frozen=True):
    """Whether the service is well; nothing more, because everybody may ask."""

    status: Literal["ok"] = "ok"


class TokenSpec(Sent, frozen=True):
    """A token as it is asked for."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scope: TokenScope = "read"


class EventsQuery(Query, frozen=True, kw_only=True):
    """Only events of these types, or only those of one run. `last_event_id` stands for the header, where a client
    cannot set it."""

    type: tuple[EventType, ...] = ()
    run: Annotated[str, Meta(max_length=100)] | None = None
    last_event_id: Annotated[str, Meta(max_length=100)] | None = None


async def healthz(call: Call) -> ServiceHealth:
    """It answers."""
    return ServiceHealth()


async def readyz(call: Call) -> ServiceHealth:
    """It can start runs. Raises RefusedRequest (503) where it cannot."""
    if not call.service.ready():
        raise RefusedRequest(503, "not ready", headers={"Retry-After": "5"})
    return ServiceHealth()


async def overview(call: Call) -> Overview:
    """What runs, waits, is due, went wrong."""
    return await call.service.overview()


async def storage(call: Call) -> Listing[StoredRun]:
    """What keeps how much."""
    return Listing(await call.service.storage())


async def list_tokens(call: Call) -> Listing[TokenRecord]:
    """The tokens, without their secrets."""
    return Listing(await call.service.tokens())


async def add_token(call: Call) -> NewToken:
    """A new token."""
    return await call.service.add_token(call.body.name, call.body.scope)


async def revoke_token(call: Call) -> None:
    """Revoke a token."""
    await call.service.revoke_token(call.path["token"])


async def openapi(call: Call) -> dict[str, Any]:
    """The document of the API."""
    from crawler.service.openapi import document

    return document(call.request.app[ALL_ROUTES])


async def metrics(call: Call) -> web.Response:
    """The metrics of the service."""
    text = await call.request.app[METRICS].exposition()
    return web.Response(body=text, headers={"Content-Type": prometheus.MEDIA})


async def events(call: Call) -> web.StreamResponse:
    """The stream of events."""
    query: EventsQuery = call.query

    def wanted(event: ServiceEvent) -> bool:
        if query.type and event.type not in query.type:
            return False
        return query.run is None or query.run in (event.data.get("run"), event.data.get("id"))

    last_id = call.request.headers.get("Last-Event-ID") or query.last_event_id or ""
    with listening.one(), call.service.events.subscribe(last_id, wanted) as subscription:
        return await stream(call.request, _sent(call, subscription), EVENT_STREAM)


async def _sent(call: Call, subscription: Subscription) -> AsyncGenerator[bytes, None]:
    """What the client of a subscription gets, until that is over or its token is revoked."""
    yield RECONNECT
    valid_until = 0.0
    while not subscription.over:
        if monotonic() >= valid_until:
            if not await call.is_valid():
                return
            valid_until = monotonic() + KEEP_ALIVE
        taken = await subscription.take(KEEP_ALIVE)
        yield taken or b": keep-alive\n\n"


ROUTES = (
    Route("GET", "/healthz", healthz, "Whether the service answers", scope=None, answer=ServiceHealth),
    Route(
        "GET",
        "/readyz",
        readyz,
        "Whether the service can start runs",
        scope=None,
        answer=ServiceHealth,
        refusals=(503,),
    ),
    Route("GET", "/openapi.json", openapi, "This document", answer=dict[str, Any]),
    Route("GET", f"{API}/openapi.json", openapi, "This document", answer=dict[str, Any]),
    Route("GET", "/metrics", metrics, "Show the metrics of the service to Prometheus", media="text/plain"),
    Route("GET", f"{API}/metrics", metrics, "Show the metrics of the service to Prometheus", media="text/plain"),
    Route("GET", f"{API}/overview", overview, "Show what runs, waits, is due and went wrong", answer=Overview),
    Route("GET", f"{API}/storage", storage, "List what each run keeps on disk", answer=Listing[StoredRun]),
    Route("GET", f"{API}/tokens", list_tokens, "List tokens", scope="admin", answer=Listing[TokenRecord]),
    Route(
        "POST",
        f"{API}/tokens",
        add_token,
        "Add a token; this answer alone shows its secret",
        scope="admin",
        body=TokenSpec,
        answer=NewToken,
        status=201,
        refusals=(409,),
    ),
    Route("DELETE", f"{API}/tokens/{{token}}", revoke_token, "Revoke a token", scope="admin", status=204),
    Route(
        "GET",
        f"{API}/events",
        events,
        "Follow what changes, as Server-Sent Events",
        query=EventsQuery,
        media="text/event-stream",
        headers=("Last-Event-ID",),
        refusals=(429,),
        streams=True,
    ),
)
