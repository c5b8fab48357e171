"""The document of the API: valid, whole, and true of the service by its own judgement and by that of schemathesis."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from crawler.service.app import all_routes
from crawler.service.job_settings import REFUSED
from crawler.service.openapi import document, statuses
from crawler.service.routing import API, PARAMETER, Route
from crawler.settings import KEYS
from tests.service.served import Served

EXAMPLES = 3
CHECKED = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "negative_data_rejection", "ignored_auth"),
)
SHOWN = [route for route in all_routes() if not route.is_page]


def can_be_wrong(route: Route) -> bool:
    """Whether there is anything in a request of this route that could break the document."""
    return bool(route.scope or route.parameters or route.body or route.query.__struct_fields__)


@pytest.fixture(scope="module")
def told() -> Any:
    """The document."""
    return document(all_routes())


@pytest.fixture(scope="module")
def schema(told: Any) -> Any:
    """The document as schemathesis reads it."""
    load_all_checks()
    rejected = {"negative_data_rejection": {"expected-statuses": ["4xx"]}}  # 414 among them
    return schemathesis.openapi.from_dict(told, config=schemathesis.Config.from_dict({"checks": rejected}))


def path_of(route: Route) -> str:
    return PARAMETER.sub(r"{\1}", route.path)


def shown(route: Route) -> str:
    return f"{route.method} {route.path}"


CASES = [
    (route, mode)
    for route in SHOWN
    for mode in GenerationMode
    if not route.streams and (mode.is_positive or can_be_wrong(route))
]


def test_it_is_valid(told: Any) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(told).iter_errors()] == []


def test_the_service_shows_it(served: Served, told: Any) -> None:
    for path in ("/openapi.json", f"{API}/openapi.json"):
        assert served.ask("GET", path, as_="read").json == told


def test_it_has_every_route_and_no_page(told: Any) -> None:
    found = {(method.upper(), path) for path, there in told["paths"].items() for method in there}
    assert found == {(route.method, path_of(route)) for route in SHOWN}
    names = [operation["operationId"] for there in told["paths"].values() for operation in there.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("route", SHOWN, ids=shown)
def test_it_names_every_status_and_parameter_of_a_route(told: Any, route: Route) -> None:
    operation = told["paths"][path_of(route)][route.method.lower()]
    assert set(operation["responses"]) == {str(status) for status in {route.status, *statuses(route)}}
    assert operation["security"] == ([] if route.scope is None else [{"token": []}])
    named = {(one["in"], one["name"]) for one in operation["parameters"]}
    assert {("path", name) for name in route.parameters} <= named
    assert {("query", name) for name in route.query.__struct_fields__} <= named
    assert ("requestBody" in operation) is (route.body is not None)


def test_the_settings_of_a_job_are_the_keys_that_it_may_set(told: Any) -> None:
    schemas = told["components"]["schemas"]
    assert set(schemas["Settings"]["properties"]) == ({*KEYS, "profile"} - REFUSED.keys())
    for name in ("JobSpec", "JobPatch", "RunStart"):
        assert schemas[name]["properties"]["settings"] == {"$ref": "#/components/schemas/Settings"}
    assert r"\Z" not in str(told)


@pytest.mark.slow
@pytest.mark.parametrize(("route", "mode"), CASES, ids=[f"{shown(route)}-{mode.value}" for route, mode in CASES])
def test_the_service_answers_as_documented(served: Served, schema: Any, route: Route, mode: GenerationMode) -> None:
    operation = schema[path_of(route)][route.method]
    headers = {"Authorization": f"Bearer {served.tokens['admin']}"} if route.scope else {}

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        case.call_and_validate(base_url=served.url, headers=headers, checks=CHECKS.get_by_names(list(CHECKED)))

    holds()
