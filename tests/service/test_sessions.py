"""Sessions of the dashboard: cookies that say which token began them, and the CSRF token that goes with each."""

from __future__ import annotations

from time import time

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from crawler.service.address import TOKEN
from crawler.service.auth import SESSION, Sessions, cookie_name, digest_of, is_own_path, log_in, log_out
from crawler.service.routing import API
from crawler.service.server import session_key
from tests.service.served import ADMIN, NOBODY, READ, Answer, Served


def sessions_of(served: Served) -> Sessions:
    """What signs the sessions of a service."""
    return Sessions(session_key(served.data / TOKEN) or b"")


def cookie(served: Served, scope: str = ADMIN, until: float = SESSION) -> str:
    """A session as a login makes it."""
    return sessions_of(served).sign(digest_of(served.tokens[scope]), int(time() + until))


def with_cookie(served: Served, value: str, method: str = "GET", path: str = f"{API}/jobs", **headers: str) -> Answer:
    name = f"crawler-session-{served.port}"
    return served.ask(method, path, as_=NOBODY, headers={"Cookie": f"{name}={value}", **headers})


def test_a_session_opens_what_its_token_opens(served: Served) -> None:
    value = cookie(served)
    assert with_cookie(served, value).status == 200
    assert with_cookie(served, cookie(served, READ), path=f"{API}/tokens").status == 403
    assert served.tokens[ADMIN] not in value


@pytest.mark.parametrize("spoil", ["x{}", "{}x", "{}.", "", ".", "..", "9{}", "\u0661.a.b", "1e9.a.b"])
def test_a_session_that_is_not_signed_by_us_opens_nothing(served: Served, spoil: str) -> None:
    value = spoil.replace("{}", cookie(served))
    sessions = Sessions(b"key")
    assert sessions.read(value, 0.0) is None
    if value.isascii():
        assert with_cookie(served, value).status == 401


def test_a_session_ends(served: Served) -> None:
    assert with_cookie(served, cookie(served, until=-1)).status == 401


def test_a_session_ends_with_its_token(served: Served) -> None:
    made = served.ask("POST", f"{API}/tokens", {"name": "short", "scope": "read"}).json
    served.tokens["short"] = made["secret"]
    value = cookie(served, "short")
    assert with_cookie(served, value).status == 200
    served.ask("DELETE", f"{API}/tokens/{made['token']['id']}")
    assert with_cookie(served, value).status == 401


def test_a_session_changes_nothing_without_its_csrf_token(served: Served) -> None:
    value = cookie(served)
    csrf = sessions_of(served).csrf(value)
    other = sessions_of(served).csrf(cookie(served, until=5))
    remove = f"{API}/jobs/none"
    for token in ("", "x", "\xe4", other):
        answer = with_cookie(served, value, "DELETE", remove, **{"X-CSRF-Token": token} if token else {})
        assert answer.status == 403 and "CSRF" in answer.json["detail"]
    assert with_cookie(served, value, "DELETE", remove, **{"X-CSRF-Token": csrf}).status == 404


def test_a_csrf_token_alone_is_no_login(served: Served) -> None:
    csrf = sessions_of(served).csrf(cookie(served))
    assert served.ask("DELETE", f"{API}/jobs/none", as_=NOBODY, headers={"X-CSRF-Token": csrf}).status == 401


async def test_a_login_sets_a_cookie_that_no_script_reads_and_no_other_site_sends(served: Served) -> None:
    class Tokens:
        async def check_token(self, secret: str) -> str | None:
            return "admin" if secret == "right" else None

    sessions, response = Sessions(b"key"), web.Response()
    for proto, secure in (("http", False), ("https", True)):
        request = make_mocked_request("POST", "/login", {"Host": "localhost:8765", "X-Forwarded-Proto": proto})
        assert not await log_in(request, response, "wrong", Tokens(), sessions)  # type: ignore[arg-type]
        assert await log_in(request, response, " right\n", Tokens(), sessions)  # type: ignore[arg-type]
        morsel = response.cookies["crawler-session-8765"]
        assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
        assert bool(morsel["secure"]) is secure
        assert sessions.read(morsel.value, time()) == digest_of("right")
    log_out(request, response)
    assert response.cookies["crawler-session-8765"].value == ""
    assert cookie_name(make_mocked_request("GET", "/", {"Host": "localhost"})) == "crawler-session-0"


@pytest.mark.parametrize(
    ("path", "own"),
    [
        *(("/", True), ("/runs/x?a=b", True), ("/a//b", True)),
        *(("//evil.test", False), ("/\\evil.test", False), ("/\t/evil.test", False), ("https://evil.test/", False)),
        *(("", False), ("runs", False), ("/a\\b", False), ("/a b", False), ("/ä", False), ("/a\n", False)),
    ],
)
def test_a_login_goes_on_to_our_own_pages_only(path: str, own: bool) -> None:
    assert is_own_path(path) is own
