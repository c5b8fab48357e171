"""The document of the API: OpenAPI 3.1, made from the table of routes and the types of their bodies and answers.

Rules:
- Nothing is written by hand that the table or a type says, so the document cannot disagree with the service.
- Every status that an operation may answer is named; 405, with Allow, is for methods that a path does not have.
- The settings of a job are described as what they are, the keys of the configuration, though the struct takes any.

Source: https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from crawler.service.idempotency import HEADER as IDEMPOTENCY_KEY
from crawler.service.job_settings import REFUSED
from crawler.service.problems import MEDIA, Problem
from crawler.service.routing import API, JSON, PARAMETER, Route
from crawler.settings import Settings

REF = "#/components/schemas/{name}"
Schema = dict[str, Any]
WITH_SETTINGS = ("JobSpec", "JobPatch", "RunStart")
HEADER_PARAMETERS = {
    "Range": ("A range of bytes, as bytes=-1000 (RFC 9110)", r"^bytes=\d*-\d*$"),
    "Last-Event-ID": ("The id of the last event that was seen: what followed is sent first", r"^[\w-]+$"),
    IDEMPOTENCY_KEY: ("A request with the key of an earlier one gets that answer, and is done once", r"^[!-~]{1,200}$"),
}
MEANINGS = {
    400: "The request is not HTTP, or its body is no JSON",
    401: "A valid token is missing",
    403: "The Host or the origin is foreign, or the scope of the token is too small",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    409: "The state forbids it; `state` tells it",
    413: "The body is too long",
    414: "The path or the query is too long",
    415: "The body is not of the type application/json",
    422: "A value cannot be used; `key` names it, `nearest` a key that may have been meant",
    429: "There is too much of this at once; see Retry-After",
    503: "The service cannot do this now",
    507: "The disk is full",
}


@cache
def document(routes: tuple[Route, ...]) -> Schema:
    """The document of these routes, without the pages for people."""
    shown = [route for route in routes if not route.is_page]
    kinds = [kind for route in shown for kind in (route.query, route.body, route.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components([*kinds, Problem, Settings], ref_template=REF)
    left = iter(schemas)
    paths: dict[str, Schema] = {}
    for route in shown:
        query = next(left)
        body = next(left) if route.body is not None else None
        answer = next(left) if route.answer is not None else None
        path = PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, _resolved(query, components), body, answer)
    for route in shown:
        components.pop(route.query.__name__, None)
    told = {
        "openapi": "3.1.0",
        "info": {
            "title": "crawler",
            "version": "1",
            "description": "Jobs, runs and schedules of the crawler service. Times are Unix seconds.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _with_settings(components),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    return {key: _plain(value) for key, value in told.items()}


def _operation(route: Route, query: Schema, body: Schema | None, answer: Schema | None) -> Schema:
    operation: Schema = {
        "operationId": _identifier(route),
        "summary": route.summary,
        "tags": [_tag(route)],
        "security": [] if route.scope is None else [{"token": []}],
        "parameters": [*_parameters(route, query)],
        "responses": _responses(route, answer),
    }
    if body is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": body}}, "required": _is_required(route.body)}
    return operation


def _identifier(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix("/api/"))
    return "_".join([route.method.lower(), *words])


def _tag(route: Route) -> str:
    return "service" if not route.path.startswith(API) else route.path.removeprefix(f"{API}/").partition("/")[0]


def _is_required(kind: type[msgspec.Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(kind))


def _parameters(route: Route, query: Schema) -> Iterable[Schema]:
    for name in route.parameters:
        named = {"type": "string", "minLength": 1, "maxLength": 200}
        yield {"name": name, "in": "path", "required": True, "schema": named}
    for name, schema in query.get("properties", {}).items():
        yield {
            "name": name,
            "in": "query",
            "required": name in query.get("required", ()),
            "schema": _without_null(schema),
        }
    for name in (*route.headers, *([IDEMPOTENCY_KEY] if route.method == "POST" else ())):
        text, pattern = HEADER_PARAMETERS[name]
        yield {
            "name": name,
            "in": "header",
            "required": False,
            "description": text,
            "schema": {"type": "string", "pattern": pattern},
        }


def _responses(route: Route, answer: Schema | None) -> Schema:
    phrase = HTTPStatus(route.status).phrase
    responses: Schema = {str(route.status): {"description": phrase}}
    if route.status != HTTPStatus.NO_CONTENT:
        schema = {"type": "string"} if answer is None else answer
        others = {route.other_media: {"schema": {"type": "string"}}} if route.other_media else {}
        responses[str(route.status)]["content"] = {route.media: {"schema": schema}, **others}
    for status in sorted(statuses(route)):
        described: Schema = {"description": MEANINGS.get(status, HTTPStatus(status).phrase)}
        if status < HTTPStatus.BAD_REQUEST:
            described["content"] = {route.media: {"schema": {"type": "string"}}}
        elif status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            described["content"] = {MEDIA: {"schema": {"$ref": REF.format(name="Problem")}}}
        responses[str(status)] = described
    return responses


def statuses(route: Route) -> set[int]:
    """Every status other than its own that a route may answer."""
    found = {400, 403, 414, 422, *route.refusals}
    if route.scope is not None:
        found |= {401, 503}
    if route.parameters:
        found.add(404)
    if route.method != "GET":
        found |= {413, 415, 507}
    if route.body is not None:
        found.add(408)
    return found


def _resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    name = schema["$ref"].rpartition("/")[2]
    return components[name]


def _without_null(schema: Schema) -> Schema:
    """The schema of a parameter: it may be left out, but not null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    if not kinds:
        return rest
    return rest | kinds[0] if len(kinds) == 1 else rest | {"anyOf": kinds}


def _with_settings(components: dict[str, Schema]) -> dict[str, Schema]:
    """Describe the settings of a job by the keys of the configuration that a job may set, and `profile`."""
    properties = components["Settings"]["properties"]
    for name in REFUSED:
        properties.pop(name, None)
    properties["profile"] = {"type": "string", "description": "A profile: its keys come first"}
    for name in WITH_SETTINGS:
        components[name]["properties"]["settings"] = {"$ref": REF.format(name="Settings")}
    return components


def _plain(value: Any) -> Any:
    r"""A value as JSON Schema has it: lists for tuples, and in patterns `$` for `\Z`."""
    if isinstance(value, dict):
        return {
            key: inner.replace(r"\Z", "$") if key == "pattern" and isinstance(inner, str) else _plain(inner)
            for key, inner in value.items()
        }
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
