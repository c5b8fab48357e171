"""Problems: every answer of the API that is no success, as application/problem+json (RFC 9457).

Rules:
- `detail` is one line that says what to do. No answer has a traceback or a secret in it.
- `key` is the dotted name of the value that is refused, `nearest` the key that may have been meant, `state` what
  forbids it (409).
- An error that nobody expected is 500 with one line in the log. The answer says no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from traceback import format_exception

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from crawler.errors import DiskFull, StorageError, UsageError
from crawler.service.errors import Conflict, Invalid, NotFound, QueueFull, ServiceError
from crawler.system.logs import open_log
from crawler.system.text import escape_unprintable

MEDIA = "application/problem+json"
LATER = {"Retry-After": "10"}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a request, or with the service. `type` is always about:blank: `status` tells the kind."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    key: str | UnsetType = UNSET
    nearest: str | UnsetType = UNSET
    state: str | UnsetType = UNSET


class RefusedRequest(ServiceError):
    """An answer other than a success, with its status and headers."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        key: str | None = None,
        nearest: str | None = None,
        state: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.problem = Problem(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=escape_unprintable(detail),
            key=UNSET if key is None else key,
            nearest=UNSET if nearest is None else nearest,
            state=UNSET if state is None else state,
        )


def problem_response(refusal: RefusedRequest) -> web.Response:
    """The refusal as an answer of the API."""
    return web.Response(
        status=refusal.problem.status,
        body=msgspec.json.encode(refusal.problem),
        content_type=MEDIA,
        headers=refusal.headers,
    )


def refusal_of(error: Exception) -> RefusedRequest:
    """What an error that a route raised is for its client. Unknown ones are logged."""
    match error:
        case RefusedRequest():
            return error
        case web.HTTPException():
            return _of_aiohttp(error)
        case web.RequestPayloadError():
            return RefusedRequest(400, "the body is not sent as HTTP/1.1 demands")
        case NotFound():
            return RefusedRequest(404, str(error))
        case Conflict():
            return RefusedRequest(409, str(error), state=error.state)
        case QueueFull():
            return RefusedRequest(429, str(error), headers=LATER)
        case Invalid():
            return RefusedRequest(422, str(error), key=error.key, nearest=error.nearest)
        case DiskFull():
            return RefusedRequest(507, str(error), headers=LATER)
        case StorageError():
            return RefusedRequest(503, str(error), headers=LATER)
        case UsageError():
            return RefusedRequest(422, str(error))
        case _:
            told = "".join(format_exception(error))
            open_log().error("a request failed", why=f"{type(error).__name__}: {error}", exception=told)
            return RefusedRequest(500, "this is a bug of the crawler; its log says more")


DETAILS = {
    404: "there is nothing at this path; GET /openapi.json lists what there is",
    405: "this path does not have that method; see the header Allow",
    413: "the body is too long",
    417: "only the expectation 100-continue can be met",
}


def _of_aiohttp(error: web.HTTPException) -> RefusedRequest:
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return RefusedRequest(error.status, DETAILS.get(error.status, error.reason), headers=allow)
