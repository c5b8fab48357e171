"""Reads what a client sends, the query and the body, into msgspec structs, or refuses it with the key and the nearest.

Rules:
- A body is JSON in UTF-8, not compressed, within the size limit and READ_TIME: a client that dribbles is refused.
- An empty body stands for {} where every key has a default.
- 400 for what is no JSON, 415 for another type, 413 for too much, 408 for too slow, 422 for JSON that means nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import inspect

from crawler.service.problems import RefusedRequest

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
READ_TIME = 15.0
"""Seconds in which a body must have arrived."""
MOST_PARAMETERS = 50
JSON_TYPES = frozenset({"application/json", "application/merge-patch+json"})
AT = re.compile(r" - at `\$\.?(.*)`\Z", re.DOTALL)
UNKNOWN = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
MISSING = re.compile(r"Object missing required field `(.*)`\Z", re.DOTALL)


def read_query(kind: type[S], request: web.Request) -> S:
    """The query of a request. Raises RefusedRequest."""
    if len(request.query) > MOST_PARAMETERS:
        raise RefusedRequest(422, f"there are more than {MOST_PARAMETERS} parameters in the query")
    lists = _lists(kind)
    sent: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        if len(values) > 1 and name not in lists:
            raise RefusedRequest(422, f"the parameter {name!r} is there more than once", key=name)
        sent[name] = values if name in lists else values[0]
    return convert(sent, kind, strict=False)


@cache
def _lists(kind: Any) -> frozenset[str]:
    """The parameters that may be there several times."""
    return frozenset(field.name for field in msgspec.structs.fields(kind) if field.default == ())


def check_no_body(request: web.Request) -> None:
    """Raises RefusedRequest (415, 413) for a body of a route that takes none; an empty JSON body is ignored."""
    if request.body_exists:
        _check_head(request)


async def read_body(kind: Any, request: web.Request) -> tuple[Any, dict[str, Any]]:
    """The body of a request, as a struct and as it was sent. Raises RefusedRequest."""
    if request.body_exists:
        _check_head(request)
    text = await in_time(request.read())
    try:
        sent = msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedRequest(400, f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise RefusedRequest(422, "the body is nested too deeply") from None
    if not isinstance(sent, dict):
        raise RefusedRequest(422, "the body must be a JSON object")
    return convert(sent, kind), sent


async def in_time(reading: Awaitable[T]) -> T:
    """What is read from a client. Raises RefusedRequest (408) where it takes longer than READ_TIME."""
    try:
        async with asyncio.timeout(READ_TIME):
            return await reading
    except TimeoutError:
        raise RefusedRequest(408, "the body did not arrive in time", headers={"Connection": "close"}) from None


def convert(sent: Mapping[str, Any], kind: type[T], strict: bool = True) -> T:
    """A struct of what was sent. Raises RefusedRequest (422) with the key, and the nearest where it is unknown."""
    try:
        return msgspec.convert(sent, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _refused(str(error), kind) from None


def _check_head(request: web.Request) -> None:
    if request.content_type not in JSON_TYPES:
        raise RefusedRequest(415, "send JSON, with the header Content-Type: application/json")
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise RefusedRequest(415, "send the body in UTF-8")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RefusedRequest(415, "send the body without a Content-Encoding")
    if (request.content_length or 0) > request.client_max_size:
        raise RefusedRequest(413, f"the body is longer than {request.client_max_size} bytes")


def _refused(text: str, kind: Any) -> RefusedRequest:
    """The refusal for an error of msgspec, such as "Expected `int` >= 0 - at `$.expect.min_pages`"."""
    at = AT.search(text)
    path = at[1] if at else ""
    text = text[: at.start()] if at else text
    if unknown := UNKNOWN.fullmatch(text):
        key = ".".join(filter(None, (path, unknown[1])))
        close = get_close_matches(unknown[1], keys_at(kind, path.split(".") if path else ()), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return RefusedRequest(422, f"unknown key {key!r}{hint}", key=key, nearest=close[0] if close else None)
    if missing := MISSING.fullmatch(text):
        key = ".".join(filter(None, (path, missing[1])))
        return RefusedRequest(422, f"the key {key!r} is missing", key=key)
    return RefusedRequest(422, f"bad value for {path or 'the body'}: {text[:1].lower()}{text[1:]}", key=path or None)


def keys_at(kind: Any, path: Sequence[str]) -> list[str]:
    """The keys of the struct at a path within a type; none where there is no struct."""
    structs = [*_structs(inspect.type_info(kind))]
    for name in path:
        structs = [
            deeper
            for one in structs
            for field in one.fields
            if field.encode_name == name.partition("[")[0]
            for deeper in _structs(field.type)
        ]
    return [field.encode_name for one in structs for field in one.fields]


def _structs(kind: inspect.Type) -> Iterator[inspect.StructType]:
    match kind:
        case inspect.StructType():
            yield kind
        case inspect.UnionType():
            for one in kind.types:
                yield from _structs(one)
        case inspect.Metadata():
            yield from _structs(kind.type)
        case inspect.ListType() | inspect.VarTupleType():
            yield from _structs(kind.item_type)
