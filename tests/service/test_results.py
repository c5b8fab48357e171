"""What a run has brought, over the API, from a real run of a real site."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from crawler.service.core.states import FINAL
from crawler.service.crawl_reader import MOST_CONDITIONS
from crawler.service.log_reader import CHUNK
from crawler.service.routing import API
from crawler.storage.export import COLUMNS
from tests.service.served import Answer, Served
from tests.service.site import PAGES, Site, site

FAST = {"delay": 0, "per_host": 8, "mode": "async"}


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    with site() as one:
        yield one


@pytest.fixture(scope="module")
def run(served: Served, web: Site) -> Any:
    """A run that has ended."""
    job = served.ask("POST", f"{API}/jobs", {"name": "small", "settings": {"seeds": [f"{web.url}/"], **FAST}})
    assert job.status == 201, job
    started = served.ask("POST", f"{API}/jobs/small/runs", {})
    assert started.status == 202 and started.headers["Location"] == f"{API}/runs/{started.json['id']}"
    return served.until(f"{API}/runs/{started.json['id']}", lambda found: found["state"] in FINAL)


def get(served: Served, run: Any, path: str, **headers: str) -> Answer:
    return served.ask("GET", f"{API}/runs/{run['id']}{path}", as_="read", headers=headers)


def test_the_run_has_succeeded_with_a_summary(run: Any) -> None:
    assert (run["state"], run["summary"]["pages"]) == ("succeeded", PAGES)
    assert run["summary"]["statuses"] == {"200": PAGES, "404": 1}


def test_its_states_are_told(served: Served, run: Any) -> None:
    states = [one["state"] for one in get(served, run, "/transitions").json["items"]]
    assert states[:2] == ["queued", "starting"] and states[-1] == "succeeded"
    assert get(served, run, "/progress").json is None
    assert isinstance(get(served, run, "/history").json["items"], list)


def test_its_pages_are_listed_page_by_page(served: Served, web: Site, run: Any) -> None:
    found, cursor = list[Any](), ""
    while True:
        page = get(served, run, f"/pages?limit=5{cursor}").json
        assert len(page["items"]) <= 5
        found += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len({one["url"] for one in found}) == len(found) == PAGES + 1
    assert all(list(one) == list(COLUMNS) for one in found)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        *(("where=status%3E%3D400", 1), ("where=reason=ok&where=depth=1", PAGES - 1), ("where=length%3C0", 0)),
        *(("where=url!=x", PAGES + 1), ("where=status=404&where=reason=ok", 0)),
    ],
)
def test_its_pages_can_be_filtered(served: Served, run: Any, query: str, count: int) -> None:
    assert len(get(served, run, f"/pages?{query}").json["items"]) == count


def test_a_filter_looks_at_a_bounded_number_of_rows(served: Served, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.service.crawl_reader.MOST_LOOKED_AT", 4)
    first = get(served, run, "/pages?where=status=404").json
    assert first["next"] is not None
    found, cursor = first["items"], first["next"]
    while cursor is not None:
        page = get(served, run, f"/pages?where=status=404&cursor={cursor}").json
        found, cursor = found + page["items"], page["next"]
    assert [one["status"] for one in found] == [404]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        *(("/pages?where=stauts=1", "where"), ("/pages?where=nonsense", "where"), ("/pages?where=status=x", "where")),
        *(("/pages?cursor=nonsense", "cursor"), ("/pages?cursor=1.x", "cursor"), ("/hosts?cursor=-1", "cursor")),
        *(("/pages?" + "&".join(["where=depth=1"] * (MOST_CONDITIONS + 1)), "where"), ("/pages?limit=0", "limit")),
        *(("/export?format=xml", "format"), ("/export?fields=nothing", "fields"), ("/export?where=x", "where")),
        *(("/log?tail=-1", "tail"), ("/log?tail=many", "tail"), ("/log?follow=perhaps", "follow")),
        *(("/hosts?cursor=99999999999", "cursor"), ("/files?x=1", "x"), ("/report?x=1", "x")),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_key(served: Served, run: Any, path: str, key: str) -> None:
    answer = get(served, run, path)
    assert (answer.status, answer.json["key"]) == (422, key), answer


def test_its_errors_are_told_with_an_example(served: Served, web: Site, run: Any) -> None:
    (cause,) = get(served, run, "/errors").json["items"]
    assert (cause["status"], cause["count"], cause["url"]) == (404, 1, f"{web.url}/page/3")


def test_its_hosts_are_told_with_their_delay(served: Served, web: Site, run: Any) -> None:
    page = get(served, run, "/hosts?limit=1").json
    (host,) = page["items"]
    assert (host["host"], host["fetched"], host["failed"], host["owed"]) == (web.url, PAGES + 1, 1, 0)
    assert host["delay"] == 0.0 and page["next"] is None
    assert get(served, run, "/hosts?cursor=1").json["items"] == []


def test_its_files_are_named_below_its_directory(served: Served, run: Any) -> None:
    files = {one["name"]: one["bytes"] for one in get(served, run, "/files").json["items"]}
    assert files["crawl.json"] > 0 and files["shard-0000/frontier.sqlite"] > 0
    assert not any(name.startswith(("/", "..")) for name in files)


def test_its_report_is_a_page_that_can_do_nothing(served: Served, run: Any) -> None:
    answer = get(served, run, "/report")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/html")
    assert answer.body.lower().startswith(b"<!doctype html>")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy and "script" not in policy


def test_its_export_has_every_row(served: Served, run: Any) -> None:
    answer = get(served, run, "/export?fields=url,status,title")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{run["id"]}.jsonl"'
    rows = [json.loads(line) for line in answer.body.splitlines()]
    assert len(rows) == PAGES + 1 and {row["title"] for row in rows if row["status"] == 200} > {"/page/1"}
    table = csv.DictReader(io.StringIO(get(served, run, "/export?format=csv&where=status=404").body.decode()))
    assert [row["status"] for row in table] == ["404"]


def test_its_log_is_read_whole_in_part_and_to_its_end(served: Served, run: Any) -> None:
    path = served.service.log_file(run["id"])
    text = "".join(f"line {number}\n" for number in range(CHUNK // 4)).encode()
    path.write_bytes(text)
    whole = get(served, run, "/log")
    assert (whole.status, whole.body, whole.headers["Accept-Ranges"]) == (200, text, "bytes")
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    part = get(served, run, "/log", Range="bytes=10-19")
    assert (part.status, part.body) == (206, text[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(text)}"
    assert get(served, run, "/log", Range=f"bytes=-{CHUNK * 2}").body == text[-CHUNK * 2 :]
    beyond = get(served, run, "/log", Range="bytes=99999999-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(text)}")
    assert get(served, run, "/log?tail=2").body == b"".join(text.splitlines(keepends=True)[-2:])
    assert get(served, run, "/log?follow=true&tail=1").body == text.splitlines(keepends=True)[-1]


@pytest.mark.parametrize("verb", ["pause", "resume", "stop", "cancel"])
def test_a_run_that_has_ended_cannot_be_changed(served: Served, run: Any, verb: str) -> None:
    answer = served.ask("POST", f"{API}/runs/{run['id']}/{verb}")
    assert (answer.status, answer.json["state"]) == (409, "succeeded")
    assert served.ask("PATCH", f"{API}/runs/{run['id']}/limits", {"delay": 1}).status == 409


@pytest.fixture
def hanging(served: Served, web: Site) -> Iterator[tuple[str, str]]:
    """Two runs of one host: one that waits for an answer, and one that waits for the host."""
    settings = {"seeds": [f"{web.url}/hang"], **FAST}
    assert served.ask("POST", f"{API}/jobs", {"name": "hanging", "settings": settings}).status == 201
    first, second = (served.ask("POST", f"{API}/jobs/hanging/runs").json["id"] for _ in range(2))
    served.until(f"{API}/runs/{first}", lambda found: found["state"] == "running")
    yield first, second
    for one in (second, first):
        served.ask("POST", f"{API}/runs/{one}/cancel", {"force": True})
        served.until(f"{API}/runs/{one}", lambda found: found["state"] in FINAL)
    assert served.ask("DELETE", f"{API}/jobs/hanging").status == 204


def test_a_run_obeys_its_verbs_and_another_of_its_host_waits(served: Served, hanging: tuple[str, str]) -> None:
    first, second = hanging
    assert served.ask("GET", f"{API}/runs/{second}").json["state"] == "queued"
    for path in ("pages", "errors", "hosts", "files", "report", "export"):
        answer = served.ask("GET", f"{API}/runs/{second}/{path}")
        assert (answer.status, answer.json["state"]) == (409, "no_directory")
    assert served.ask("GET", f"{API}/runs/{second}/log").body == b""
    assert {one["id"] for one in served.ask("GET", f"{API}/overview").json["queued"]} == {second}
    assert served.ask("DELETE", f"{API}/jobs/hanging").status == 409
    limits = served.ask("PATCH", f"{API}/runs/{first}/limits", {"delay": 5})
    assert (limits.status, limits.json["delay"]) == (200, 5)
    paused = served.ask("POST", f"{API}/runs/{first}/pause")
    assert (paused.status, paused.json["state"]) == (202, "paused")
    assert served.ask("POST", f"{API}/runs/{first}/resume").json["state"] == "running"
    wrong = served.ask("POST", f"{API}/runs/{first}/cancel", {"farce": True})
    assert (wrong.status, wrong.json["nearest"]) == (422, "force")
    assert served.ask("POST", f"{API}/runs/{second}/cancel").json["state"] == "cancelled"
    assert served.ask("POST", f"{API}/runs/{first}/cancel?force=true").status == 202
    served.until(f"{API}/runs/{first}", lambda found: found["state"] == "cancelled")
