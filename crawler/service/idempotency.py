"""Idempotency-Key: a POST that is sent again with the same key gets the first answer, and is done once.

Rules:
- A key belongs to its token and its path. The same key with another body is 422.
- While the first request is at work, the second waits for it. Only a success is kept: what failed may be tried again.
- Answers are kept in memory, MOST of them, for LIFETIME. A run also keeps its key in the database (Service.start), so
  that a client that saw the service die may ask again and starts no second run.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from time import monotonic
from typing import NamedTuple

from aiohttp import web

from crawler.service.bodies import in_time
from crawler.service.problems import RefusedRequest
from crawler.service.routing import Call

HEADER = "Idempotency-Key"
KEY = re.compile(r"[!-~]{1,200}")
MOST = 1000
LIFETIME = 86_400.0
KEPT_HEADERS = ("Content-Type", "Location")


def idempotency_key(request: web.Request) -> str | None:
    """The key of a request; None without. Raises RefusedRequest (422) for one that cannot be used."""
    key = request.headers.get(HEADER)
    if key is not None and not KEY.fullmatch(key):
        raise RefusedRequest(422, f"{HEADER} must be 1 to 200 printable ASCII characters without spaces", key=HEADER)
    return key


class _Answer(NamedTuple):
    """The answer to a key, and what was asked with it."""

    asked: bytes
    at: float
    sent: asyncio.Future[web.Response]


class Answers:
    """The answers to the last keys."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str, str], _Answer] = {}

    async def once(self, call: Call, respond: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """The answer to a call: that of `respond`, or an earlier one to the same key. Raises RefusedRequest."""
        key = idempotency_key(call.request)
        if key is None or call.caller is None:
            return await respond()
        place = (call.caller.digest, call.request.path, key)
        asked = sha256(await in_time(call.request.read())).digest()
        self._forget(monotonic())
        if (known := self._answers.get(place)) is not None:
            if known.asked != asked:
                raise RefusedRequest(422, f"this {HEADER} was sent with another body before; use a new one", key=HEADER)
            return _again(await asyncio.shield(known.sent))
        answer = _Answer(asked, monotonic(), asyncio.get_running_loop().create_future())
        self._answers[place] = answer
        return await self._first(place, answer, respond)

    async def _first(
        self, place: tuple[str, str, str], answer: _Answer, respond: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            response = await respond()
            if not isinstance(response, web.Response):
                raise TypeError("a POST is answered by a whole response")
        except BaseException as error:
            del self._answers[place]
            answer.sent.set_exception(
                RefusedRequest(409, "the request with this key failed; send it again", state="failed")
            )
            answer.sent.exception()  # nobody may be waiting
            raise error
        answer.sent.set_result(response)
        return response

    def _forget(self, now: float) -> None:
        """Drop what is too old or too much, the oldest first; a dict keeps the order."""
        for place, one in [*self._answers.items()]:
            if not one.sent.done() or (now - one.at < LIFETIME and len(self._answers) < MOST):
                break
            del self._answers[place]


def _again(response: web.Response) -> web.Response:
    kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return web.Response(status=response.status, body=response.body, headers=kept | {"Idempotent-Replayed": "true"})
