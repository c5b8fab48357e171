"""Every route against every attack, from the table of routes: a new route cannot be forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from crawler.service.app import all_routes
from crawler.service.connections import LONGEST_CAUSE
from crawler.service.problems import MEDIA
from crawler.service.routing import API, PARAMETER, Route
from tests.service.served import ADMIN, NOBODY, READ, Answer, Served

ROUTES = all_routes()
FOREIGN_HOSTS = (
    *("evil.test", "evil.test:80", "localhost.evil.test", "127.0.0.1.evil.test", "127.1", "2130706433", "0x7f.0.0.1"),
    *("[::1", "::1", "127.0.0.1@evil.test", "evil.test/127.0.0.1", "localhost,evil.test", "", "127.0.0.1:123456"),
)
FOREIGN_ORIGINS = ("http://evil.test", "https://evil.test:8765", "null", "http://127.0.0.1:1", "file://", "evil")
WRONG_TOKENS = ("Bearer wrong", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer {} {}", "Bearer \xe4")


def shown(route: Route) -> str:
    return f"{route.method} {route.path}"


def target(route: Route) -> str:
    return PARAMETER.sub("run_000000000000", route.path)


def attack(served: Served, route: Route, *, as_: str = ADMIN, headers: Mapping[str, str] | None = None) -> Answer:
    body: Any = {} if route.body is not None else None
    return served.ask(route.method, target(route), body, as_=as_, headers=headers)


def assert_refused(answer: Answer, status: int, route: Route) -> None:
    assert answer.status == status
    kind = answer.headers["Content-Type"]
    if route.is_page:
        assert kind.startswith("text/html")
        return
    assert kind == MEDIA
    assert answer.json["status"] == status and answer.json["detail"] and answer.json["type"] == "about:blank"


every_route = pytest.mark.parametrize("route", ROUTES, ids=shown)
closed_route = pytest.mark.parametrize("route", [route for route in ROUTES if route.scope is not None], ids=shown)


def test_only_health_and_what_a_login_needs_is_open() -> None:
    opened = {route.path for route in ROUTES if route.scope is None and not route.is_page}
    assert opened == {"/healthz", "/readyz"}
    assert all(route.scope == "admin" for route in ROUTES if route.method != "GET" and route.scope is not None)


@closed_route
def test_without_a_token_every_route_is_closed(served: Served, route: Route) -> None:
    answer = attack(served, route, as_=NOBODY)
    assert_refused(answer, 401, route)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@closed_route
def test_with_a_wrong_token_every_route_is_closed(served: Served, route: Route) -> None:
    for text in WRONG_TOKENS:
        header = text.replace("{}", served.tokens[ADMIN])
        assert_refused(attack(served, route, as_=NOBODY, headers={"Authorization": header}), 401, route)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.scope == "admin"], ids=shown)
def test_a_token_that_may_read_changes_nothing(served: Served, route: Route) -> None:
    assert_refused(attack(served, route, as_=READ), 403, route)


@every_route
def test_a_foreign_host_is_refused_whatever_token_it_has(served: Served, route: Route) -> None:
    for host in FOREIGN_HOSTS:
        assert_refused(attack(served, route, headers={"Host": host}), 403, route)


@every_route
def test_a_foreign_origin_is_refused_whatever_token_it_has(served: Served, route: Route) -> None:
    for origin in FOREIGN_ORIGINS:
        assert_refused(attack(served, route, headers={"Origin": origin}), 403, route)


@every_route
def test_a_page_of_another_site_is_refused_whatever_token_it_has(served: Served, route: Route) -> None:
    for site in ("cross-site", "same-site", "nonsense"):
        assert_refused(attack(served, route, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"}), 403, route)


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.is_page], ids=shown)
def test_nobody_comes_to_the_api_by_a_link_from_elsewhere(served: Served, route: Route) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert_refused(attack(served, route, headers=headers), 403, route)


def test_none_of_this_changed_anything(served: Served) -> None:
    for kind in ("jobs", "runs", "schedules"):
        assert served.ask("GET", f"{API}/{kind}").json == {"items": [], "next": None}
    assert {one["name"] for one in served.ask("GET", f"{API}/tokens").json["items"]} >= {"first"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_to_everybody_and_nothing_else(served: Served, path: str) -> None:
    answer = served.ask("GET", path, as_=NOBODY)
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert answer.headers["Server"] == "crawler"


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1", "10.1.2.3:80", "[::1]:1", "[fe80::1]"])
def test_addresses_and_localhost_are_us(served: Served, host: str) -> None:
    assert served.ask("GET", f"{API}/jobs", headers={"Host": host}).status == 200


def test_our_own_origin_and_our_own_pages_may_ask(served: Served) -> None:
    for headers in ({"Origin": served.url}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert served.ask("GET", f"{API}/jobs", headers=headers).status == 200
    default_port = {"Host": "localhost", "Origin": "https://localhost"}
    assert served.ask("GET", f"{API}/jobs", headers=default_port).status == 200


def test_what_is_not_there_is_told_only_to_those_who_may_know(served: Served) -> None:
    for path in ("/api/v1/nothing", "/nothing", "/api/v1/../../etc/passwd", "/api/v1/jobs/", "//healthz"):
        assert served.ask("GET", path, as_=NOBODY).status == 401
        assert served.ask("GET", path).status == 404
    answer = served.ask("GET", "/api/v1/nothing")
    assert answer.headers["Content-Type"] == MEDIA and answer.json["title"] == "Not Found"


def test_another_method_is_told_which_there_are(served: Served) -> None:
    methods: dict[str, set[str]] = {}
    for route in ROUTES:
        if not route.is_page:
            methods.setdefault(target(route), set()).add(route.method)
    for path, there in methods.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - there:
            assert served.ask(method, path, as_=NOBODY).status == 401
            answer = served.ask(method, path)
            assert answer.status == 405, (method, path)
            assert set(re.split(r",\s*", answer.headers["Allow"])) - {"HEAD"} == there


def test_every_answer_forbids_foreign_content(served: Served) -> None:
    for path, status in (("/healthz", 200), ("/openapi.json", 200), (f"{API}/nothing", 404), ("/nothing", 404)):
        answer = served.ask("GET", path)
        assert answer.status == status
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "same-origin"


def test_a_revoked_token_opens_nothing(served: Served) -> None:
    made = served.ask("POST", f"{API}/tokens", {"name": "short", "scope": "admin"})
    assert made.status == 201
    bearer = {"Authorization": f"Bearer {made.json['secret']}"}
    assert served.ask("GET", f"{API}/jobs", as_=NOBODY, headers=bearer).status == 200
    listed = served.ask("GET", f"{API}/tokens").body.decode()
    assert made.json["token"]["id"] in listed and made.json["secret"] not in listed and "hash" not in listed
    assert served.ask("DELETE", f"{API}/tokens/{made.json['token']['id']}").status == 204
    assert served.ask("GET", f"{API}/jobs", as_=NOBODY, headers=bearer).status == 401


def test_what_is_no_http_is_refused_and_the_service_goes_on(served: Served) -> None:
    for text in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n", b"GET\r\n\r\n"):
        head, _, body = served.send(text).partition(b"\r\n\r\n")
        assert b"400" in head.partition(b"\r\n")[0]
        assert b"Content-Type: application/problem+json" in head and b"X-Content-Type-Options: nosniff" in head
        problem = json.loads(body)
        assert problem["status"] == 400 and "HTTP/1.1" in problem["detail"] and "\n" not in problem["detail"]
    assert served.ask("GET", "/healthz").status == 200


def test_a_refusal_quotes_little_of_what_is_no_http(served: Served) -> None:
    body = served.send(b"GET / HTTP/1.1\r\n" + b"x" * 4000 + b"\r\n\r\n").partition(b"\r\n\r\n")[2]
    assert len(json.loads(body)["detail"]) < LONGEST_CAUSE + 100


@pytest.mark.parametrize(
    "lines",
    [
        [f"GET /{'x' * 9000} HTTP/1.1", "Host: localhost"],
        ["GET /healthz HTTP/1.1", "Host: localhost", f"X-Long: {'x' * 9000}"],
        ["GET /healthz HTTP/1.1", "Host: localhost", *(f"X-{number}: 1" for number in range(100))],
    ],
    ids=["line", "header", "headers"],
)
def test_a_head_has_its_limits(served: Served, lines: list[str]) -> None:
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
    assert served.send(head).partition(b"\r\n")[0].split()[1] in (b"400", b"414", b"431")


def test_two_hosts_are_none(served: Served) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
    assert served.send(head).partition(b"\r\n")[0].split()[1] in (b"400", b"403")
    without = b"GET /healthz HTTP/1.0\r\n\r\n"
    assert served.send(without).partition(b"\r\n")[0].split()[1] == b"403"
