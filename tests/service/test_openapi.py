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

EXAMPLES = 6
CHECKED = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "negative_data_rejection", "ignored_auth"),
)
SHOWN = [route for route in all_routes() if not route.is_page]


@pytest.fixture(scope="module")
def told() -> Any:
    """The document."""
    return document(all_routes())


def path_of(route: Route) -> str:
    return PARAMETER.sub(r"{\1}", route.path)


def shown(route: Route) -> str:
    return f"{route.method} {route.path}"


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


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("route", [route for route in SHOWN if not route.streams], ids=shown)
def test_the_service_answers_as_documented(served: Served, told: Any, route: Route, mode: GenerationMode) -> None:
    load_all_checks()
    operation = schemathesis.openapi.from_dict(told)[path_of(route)][route.method]
    checks = CHECKS.get_by_names(list(CHECKED))
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
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=served.url, headers=headers, checks=checks)

    holds()
