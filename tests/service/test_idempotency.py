"""Idempotency-Key: what is sent twice is done once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from crawler.service import idempotency
from crawler.service.idempotency import HEADER, Answers
from crawler.service.problems import RefusedRequest
from crawler.service.routing import API
from tests.service.served import Served, serving

SETTINGS = {"seeds": ["http://127.0.0.1:9/"], "delay": 0}


def call(key: str | None, body: bytes = b"{}", caller: str = "a", path: str = "/x") -> Any:
    async def read() -> bytes:
        return body

    headers = {} if key is None else {HEADER: key}
    request = SimpleNamespace(headers=headers, path=path, read=read)
    return SimpleNamespace(request=request, caller=SimpleNamespace(digest=caller))


class Counter:
    """A route that counts its calls; it waits until it is `let_go`."""

    def __init__(self) -> None:
        self.calls = 0
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.fails = False

    async def __call__(self) -> web.StreamResponse:
        self.calls += 1
        await self.let_go.wait()
        if self.fails:
            raise RefusedRequest(409, "no")
        return web.Response(status=201, text=str(self.calls), headers={"Location": "/y", "X-Other": "1"})


def text(response: web.StreamResponse) -> str:
    assert isinstance(response, web.Response) and response.text is not None
    return response.text


async def test_a_key_is_answered_once() -> None:
    answers, route = Answers(), Counter()
    assert text(await answers.once(call("k"), route)) == "1"
    again = await answers.once(call("k"), route)
    assert (text(again), again.status, again.headers["Location"]) == ("1", 201, "/y")
    assert again.headers["Idempotent-Replayed"] == "true" and "X-Other" not in again.headers
    for other in (call("l"), call("k", caller="b"), call("k", path="/z"), call(None), call(None)):
        await answers.once(other, route)
    assert route.calls == 6


async def test_a_key_with_another_body_is_refused() -> None:
    answers, route = Answers(), Counter()
    await answers.once(call("k"), route)
    with pytest.raises(RefusedRequest) as caught:
        await answers.once(call("k", b'{"a":1}'), route)
    assert (caught.value.problem.status, caught.value.problem.key, route.calls) == (422, HEADER, 1)


async def test_the_second_waits_for_the_first() -> None:
    answers, route = Answers(), Counter()
    route.let_go.clear()
    both = [asyncio.ensure_future(answers.once(call("k"), route)) for _ in range(2)]
    await asyncio.sleep(0)
    route.let_go.set()
    assert [text(one) for one in await asyncio.gather(*both)] == ["1", "1"]


async def test_a_failure_is_not_kept() -> None:
    answers, route = Answers(), Counter()
    route.fails = True
    route.let_go.clear()
    first, second = (asyncio.ensure_future(answers.once(call("k"), route)) for _ in range(2))
    await asyncio.sleep(0)
    route.let_go.set()
    for one in (first, second):
        with pytest.raises(RefusedRequest) as caught:
            await one
        assert caught.value.problem.status == 409
    route.fails = False
    assert text(await answers.once(call("k"), route)) == "2"


async def test_answers_are_forgotten_by_number_and_by_age(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, route = Answers(), Counter()
    monkeypatch.setattr(idempotency, "MOST", 3)
    for number in range(10):
        await answers.once(call(str(number)), route)
        assert len(answers._answers) <= 3
    monkeypatch.setattr(idempotency, "LIFETIME", 0.0)
    await answers.once(call("9"), route)
    assert route.calls == 11


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201, "\xe4", "a\tb"])
async def test_a_key_that_cannot_be_used_is_refused(key: str) -> None:
    with pytest.raises(RefusedRequest) as caught:
        await Answers().once(call(key), Counter())
    assert (caught.value.problem.status, caught.value.problem.key) == (422, HEADER)


def test_over_the_api_nothing_is_made_twice(served: Served) -> None:
    job = {"name": "once", "settings": SETTINGS}
    first, second = (served.ask("POST", f"{API}/jobs", job, headers={HEADER: "job-1"}) for _ in range(2))
    assert (first.status, second.status, first.json["id"]) == (201, 201, second.json["id"])
    assert "Idempotent-Replayed" not in first.headers and second.headers["Location"] == first.headers["Location"]
    refused = served.ask("POST", f"{API}/jobs", {**job, "name": "twice"}, headers={HEADER: "job-1"})
    assert (refused.status, refused.json["key"]) == (422, HEADER)
    assert served.ask("POST", f"{API}/jobs", job, headers={HEADER: "job-2"}).status == 409


def test_a_run_is_not_started_twice_though_the_service_was_restarted(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.ask("POST", f"{API}/jobs", {"name": "once", "settings": SETTINGS})
        first = served.ask("POST", f"{API}/jobs/once/runs", {}, headers={HEADER: "run-1"})
        assert first.status == 202
    with serving(tmp_path) as served:
        again = served.ask("POST", f"{API}/jobs/once/runs", {}, headers={HEADER: "run-1"})
        assert (again.status, again.json["id"]) == (202, first.json["id"])
        other = served.ask("POST", f"{API}/jobs/once/runs", {"mode": "threads"}, headers={HEADER: "run-1"})
        assert (other.status, other.json["key"]) == (422, HEADER)
        assert len(served.ask("GET", f"{API}/runs").json["items"]) == 1
