"""One connection of a client: what aiohttp makes of it, with a problem where it cannot read the request.

Bytes that are no HTTP reach no route and no middleware: aiohttp answers them itself, as plain text. Here they get the
same problem+json and the same headers as every other refusal, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from aiohttp import web

from crawler.service.app import HEADERS
from crawler.service.problems import RefusedRequest, problem_response

LONGEST_CAUSE = 200
"""Characters of what the parser says."""


class ClientConnection(web.RequestHandler):
    """The protocol of one connection."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what could not be read, or to an error that nothing else has caught. Raises ConnectionError
        where an answer was begun."""
        super().handle_error(request, status, exc, message)  # it logs the error; its answer is not used
        cause = (message or "").strip().partition("\n")[0][:LONGEST_CAUSE].rstrip(":")
        detail = f"the request is not HTTP/1.1 as it must be: {cause or 'it cannot be read'}"
        if status >= 500:
            detail = "this is a bug of the crawler; its log says more"
        response = problem_response(RefusedRequest(status, detail))
        response.headers.update(HEADERS)
        response.headers["Server"] = "crawler"
        response.force_close()
        return response


async def accept_on(listening: socket.socket, server: web.Server, options: dict[str, Any]) -> asyncio.Server:
    """Accept connections for an application's server; `options` are those of aiohttp's RequestHandler."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: ClientConnection(server, loop=loop, **options), sock=listening)
