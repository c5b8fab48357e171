"""The HTTP application: every request passes `guard`, then its route.

Rules:
- The order of the checks is Host, Origin, token, scope, CSRF token, and only then whether there is such a path: nobody
  without a token learns anything, except from open routes.
- An error becomes a problem (problems.py), or a page for people.
- Every answer forbids what a browser could do with foreign content: other sources, frames, guessing of types, caching.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from crawler.service import auth
from crawler.service.auth import Sessions
from crawler.service.bodies import check_no_body, read_body, read_query
from crawler.service.idempotency import Answers
from crawler.service.metrics import ServiceMetrics
from crawler.service.problems import RefusedRequest, problem_response, refusal_of
from crawler.service.routing import ALL_ROUTES, API, CALLER, CONFIG, METRICS, READINGS, SERVICE, SESSIONS, Call, Route

if TYPE_CHECKING:
    from crawler.service.config import ServiceConfig
    from crawler.service.service import Service

MAX_BODY = 1024 * 1024
"""Bytes of a request's body."""
MAX_TARGET = 8000
"""Characters of a path with its query."""
CHALLENGE = {"WWW-Authenticate": "Bearer"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send "Origin: null" with our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]

TABLE: web.AppKey[dict[tuple[str, str], Route]] = web.AppKey("TABLE")
READINGS_AT_ONCE = 4


@cache
def all_routes() -> tuple[Route, ...]:
    """The table: the routes of the API, then the pages."""
    from crawler.service.routes import ROUTES as of_the_api
    from crawler.service.web.pages import ROUTES as pages

    return (*of_the_api, *pages)


def make_app(service: Service, config: ServiceConfig, session_key: bytes | None = None) -> web.Application:
    """The application over a service. `session_key` signs sessions; without one they end with this process."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[guard])
    app[SERVICE] = service
    app[CONFIG] = config
    app[SESSIONS] = Sessions(session_key or secrets.token_bytes(32))
    app[READINGS] = asyncio.Semaphore(READINGS_AT_ONCE)
    app[METRICS] = ServiceMetrics(service, config.max_queued)
    app[ALL_ROUTES] = all_routes()
    app[TABLE] = {}
    answers = Answers()
    for route in app[ALL_ROUTES]:
        added = app.router.add_route(route.method, route.path, _dispatch(route, answers))
        assert added.resource is not None
        app[TABLE][route.method, added.resource.canonical] = route
        if route.method == "GET" and not route.streams:
            app.router.add_route("HEAD", route.path, _dispatch(route, answers))
            app[TABLE]["HEAD", added.resource.canonical] = route
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(_end_streams)
    return app


@web.middleware
async def guard(request: web.Request, handler: Respond) -> web.StreamResponse:
    """Check a request, call its route, and turn what it raises into an answer."""
    resource = request.match_info.route.resource
    route = request.app[TABLE].get((request.method, resource.canonical)) if resource is not None else None
    is_page = route.is_page if route is not None else not request.path.startswith((f"{API}/", "/openapi", "/metrics"))
    try:
        await _check(request, route, is_page)
        return await handler(request)
    except asyncio.CancelledError:
        raise
    except ConnectionError:
        raise  # the client is gone
    except Exception as error:
        refusal = refusal_of(error)
    if is_page:
        from crawler.service.web.pages import refusal_page

        return await refusal_page(request, refusal)
    return problem_response(refusal)


async def _check(request: web.Request, route: Route | None, is_page: bool) -> None:
    auth.check_host(request, request.app[CONFIG].allowed_hosts)
    auth.check_origin(request, is_page)
    if len(request.raw_path) > MAX_TARGET:
        raise RefusedRequest(414, f"the path and its query are longer than {MAX_TARGET} characters")
    if route is not None and route.scope is None:
        return
    caller = await auth.identify(request, request.app[SERVICE], request.app[SESSIONS])
    if caller is None:
        raise RefusedRequest(
            401, "a valid token is missing; send it as: Authorization: Bearer TOKEN", headers=CHALLENGE
        )
    if route is not None and route.scope == "admin" and caller.scope != "admin":
        raise RefusedRequest(403, "this token may only read; use one of the scope admin")
    await auth.check_csrf(request, caller)
    request[CALLER] = caller


def _dispatch(route: Route, answers: Answers) -> Respond:
    async def dispatch(request: web.Request) -> web.StreamResponse:
        call = Call(request)
        if route.is_page:
            answer = await route.respond(call)
            assert isinstance(answer, web.StreamResponse)
            return answer
        call.query = read_query(route.query, request)
        if route.body is None:
            check_no_body(request)
        else:
            call.body, call.sent = await read_body(route.body, request)
        if route.method != "POST":
            return await _respond(route, call)
        return await answers.once(call, lambda: _respond(route, call))

    return dispatch


async def _respond(route: Route, call: Call) -> web.StreamResponse:
    answer: Any = await route.respond(call)
    if isinstance(answer, web.StreamResponse):
        return answer
    headers = {"Location": call.location} if call.location else {}
    if route.status == 204:
        return web.Response(status=204, headers=headers)
    return web.Response(
        status=route.status, body=msgspec.json.encode(answer), content_type=route.media, headers=headers
    )


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "crawler"


async def _end_streams(app: web.Application) -> None:
    app[SERVICE].events.close()
