"""Each wrong key, cron line, zone, URL, path and body gets the answer that the document has for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from crawler.service.bodies import convert, keys_at
from crawler.service.problems import RefusedRequest
from crawler.service.records import JobSpec
from crawler.service.routes.jobs import JobPatch, JobsQuery
from crawler.service.routing import API
from tests.service.served import Served

JOBS, SCHEDULES = f"{API}/jobs", f"{API}/schedules"
JOB: dict[str, Any] = {"name": "nightly", "settings": {"seeds": ["http://127.0.0.1:9/"]}}


def job(**changes: Any) -> dict[str, Any]:
    return {**JOB, "name": "wrong", **changes}


def settings(**keys: Any) -> dict[str, Any]:
    return job(settings={"seeds": ["http://127.0.0.1:9/"], **keys})


def cron(text: str, **changes: Any) -> dict[str, Any]:
    return {"job": "nightly", "cron": text, **changes}


@pytest.fixture(scope="module", autouse=True)
def known_job(served: Served) -> Iterator[str]:
    """A job that is there."""
    made = served.ask("POST", JOBS, JOB)
    assert made.status == 201 and made.headers["Location"] == f"{JOBS}/{made.json['id']}"
    yield made.json["id"]


WRONG_JOBS = [
    (job(nmae="x"), "nmae", "name"),
    ({"settings": {}}, "name", None),
    (job(name=""), "name", None),
    (job(name="../x"), "name", None),
    (job(name=7), "name", None),
    (job(name="x" * 101), "name", None),
    (job(tags=["x"] * 21), "tags", None),
    (job(expect={"min_page": 1}), "expect.min_page", "min_pages"),
    (job(expect={"max_error_share": 2}), "expect.max_error_share", None),
    (job(retry={"attempts": -1}), "retry.attempts", None),
    (job(retry={"atempts": 1}), "retry.atempts", "attempts"),
    (job(on_end={"url": "file:///etc/passwd"}), "on_end.url", None),
    (job(on_end={"command": ["sh"]}), "on_end.command", None),
    (job(settings=[]), "settings", None),
    (job(settings={}), "settings.seeds", None),
    (settings(dleay=1), "settings.dleay", "delay"),
    (settings(delay=-1), "settings.delay", None),
    (settings(delay="soon"), "settings.delay", None),
    (settings(mode="asink"), "settings.mode", None),
    (settings(seeds=["ftp://127.0.0.1/"]), "settings.seeds", None),
    (settings(seeds=["nonsense"]), "settings.seeds", None),
    (settings(seeds=["http://user:word@127.0.0.1/"]), "settings.seeds", None),
    (settings(include=["("]), "settings.include", None),
    (settings(profile="fats"), "settings.profile", None),
    (settings(out="/etc"), "settings.out", None),
    (settings(ca_file="/etc/passwd"), "settings.ca_file", None),
    (settings(on_page="os:system"), "settings.on_page", None),
    (settings(filter="os:system"), "settings.filter", None),
    (settings(headers={"http://127.0.0.1:9": {"Authorization": "Bearer x"}}), None, None),
    (settings(headers={"http://127.0.0.1:9": {"Authorization": "file:/etc/passwd"}}), None, None),
    (settings(credentials={"http://127.0.0.1:9": {"netrc": "/root/.netrc"}}), None, None),
]


@pytest.mark.parametrize(("sent", "key", "nearest"), WRONG_JOBS, ids=[json.dumps(one[0])[:60] for one in WRONG_JOBS])
def test_a_wrong_job_is_refused_with_its_key(served: Served, sent: Any, key: str | None, nearest: str | None) -> None:
    answer = served.ask("POST", JOBS, sent)
    assert answer.status == 422, answer
    problem = answer.json
    assert problem["detail"] and "\n" not in problem["detail"]
    assert key is None or problem["key"] == key
    assert problem.get("nearest") == nearest
    assert [one["name"] for one in served.ask("GET", JOBS).json["items"]] == ["nightly"]


WRONG_SCHEDULES = [
    (cron("nonsense"), 422, "cron"),
    (cron("61 * * * *"), 422, "cron"),
    (cron(""), 422, "cron"),
    (cron("* * * *"), 422, "cron"),
    (cron("0 3 31 2 *"), 422, "cron"),
    (cron("0 3 * * *", zone="Europe/Nowhere"), 422, "zone"),
    (cron("0 3 * * *", zone="../../etc/passwd"), 422, "zone"),
    (cron("0 3 * * *", zone=""), 422, "zone"),
    (cron("0 3 * * *", overlap="maybe"), 422, "overlap"),
    (cron("0 3 * * *", catchup=-1), 422, "catchup"),
    (cron("0 3 * * *", jitter=1e9), 422, "jitter"),
    (cron("0 3 * * *", croon=1), 422, "croon"),
    ({"cron": "0 3 * * *"}, 422, "job"),
]


@pytest.mark.parametrize(
    ("sent", "status", "key"), WRONG_SCHEDULES, ids=[json.dumps(one[0]) for one in WRONG_SCHEDULES]
)
def test_a_wrong_schedule_is_refused_with_its_key(served: Served, sent: Any, status: int, key: str) -> None:
    answer = served.ask("POST", SCHEDULES, sent)
    assert (answer.status, answer.json.get("key")) == (status, key), answer.json
    assert served.ask("GET", SCHEDULES).json["items"] == []


def test_a_schedule_of_no_job_is_refused(served: Served) -> None:
    answer = served.ask("POST", SCHEDULES, {"job": "none", "cron": "0 3 * * *"})
    assert answer.status in (404, 422) and "none" in answer.json["detail"]


def test_the_name_of_a_job_is_taken_once(served: Served) -> None:
    assert served.ask("POST", JOBS, JOB).status == 409


JSON = {"Content-Type": "application/json"}
WRONG_BODIES = [
    (b"{", JSON, 400),
    (b'{"name": "x"', JSON, 400),
    (b"\xff\xfe", JSON, 400),
    (b'{"name": "\xff"}', JSON, 400),
    (b"[]", JSON, 422),
    (b"null", JSON, 422),
    (b'"name"', JSON, 422),
    (b"", JSON, 422),
    (b"[" * 100_000 + b"]" * 100_000, JSON, 422),
    (b'{"name": "x", "settings": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}", JSON, 422),
    (b"name=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b'{"name": "x"}', {"Content-Type": "text/plain"}, 415),
    (b'{"name": "x"}', {}, 415),
    (b'{"name": "x"}', {"Content-Type": "application/json; charset=utf-16"}, 415),
    (b'{"name": "x"}', {**JSON, "Content-Encoding": "gzip"}, 415),
    (b" " * (1024 * 1024 + 1), JSON, 413),
]


@pytest.mark.parametrize(("raw", "headers", "status"), WRONG_BODIES, ids=lambda value: str(value)[:30])
def test_a_wrong_body_is_refused(served: Served, raw: bytes, headers: dict[str, str], status: int) -> None:
    answer = served.ask("POST", JOBS, raw=raw, headers=headers)
    assert (answer.status, answer.json["status"]) == (status, status), answer


def test_a_body_of_unknown_length_has_the_same_limit(served: Served) -> None:
    head = (
        f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.tokens['admin']}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    assert served.send(head.encode() + 17 * chunk + b"0\r\n\r\n").split()[1] == b"413"


def test_a_body_that_does_not_come_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    head = (
        f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.tokens['admin']}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"
    )
    monkeypatch.setattr("crawler.service.bodies.READ_TIME", 0.05)
    answer = served.send(head.encode())
    assert answer.split()[1] == b"408"


WRONG_QUERIES = [
    ("limit=0", 422, "limit"),
    ("limit=1001", 422, "limit"),
    ("limit=ten", 422, "limit"),
    ("limt=10", 422, "limt"),
    ("limit=1&limit=2", 422, "limit"),
    ("cursor=", 422, "cursor"),
    ("tag=", 422, "tag"),
    ("&".join(f"a{number}=1" for number in range(60)), 422, None),
    (f"tag={'x' * 9000}", 414, None),
]


@pytest.mark.parametrize(("query", "status", "key"), WRONG_QUERIES, ids=[one[0][:20] for one in WRONG_QUERIES])
def test_a_wrong_query_is_refused_with_its_key(served: Served, query: str, status: int, key: str | None) -> None:
    answer = served.ask("GET", f"{JOBS}?{query}")
    assert (answer.status, answer.json.get("key")) == (status, key)


@pytest.mark.parametrize("path", ["/runs", "/schedules", "/runs?state=queued"])
def test_a_cursor_of_another_list_is_refused(served: Served, path: str) -> None:
    answer = served.ask("GET", f"{API}{path}{'&' if '?' in path else '?'}cursor=nonsense")
    assert (answer.status, answer.json["key"]) == (422, "cursor")


def test_the_nearest_parameter_is_named(served: Served) -> None:
    assert served.ask("GET", f"{JOBS}?limt=10").json["nearest"] == "limit"


@pytest.mark.parametrize(
    "path",
    [
        *("/jobs/none", "/runs/none", "/runs/run_000000000000", "/schedules/none", "/runs/..%2f..%2fetc/log"),
        *("/runs/none/pages", "/runs/none/errors", "/runs/none/hosts", "/runs/none/files", "/runs/none/report"),
        *("/runs/none/export", "/runs/none/log", "/runs/none/transitions", "/runs/none/progress", "/runs/none/history"),
        *("/schedules/none/next", "/schedules/none/ticks", "/jobs/%00", "/runs/%ff", "/jobs/" + "x" * 3000),
    ],
)
def test_what_is_not_there_is_404(served: Served, path: str) -> None:
    answer = served.ask("GET", f"{API}{path}")
    assert answer.status == 404 and answer.json["detail"]


@pytest.mark.parametrize("verb", ["pause", "resume", "stop", "cancel", "retry"])
def test_no_verb_does_anything_to_a_run_that_is_not_there(served: Served, verb: str) -> None:
    assert served.ask("POST", f"{API}/runs/none/{verb}").status == 404


def test_a_patch_changes_what_it_names(served: Served, known_job: str) -> None:
    changed = served.ask("PATCH", f"{JOBS}/{known_job}", {"tags": ["a"]})
    assert (changed.status, changed.json["tags"], changed.json["settings"]) == (200, ["a"], JOB["settings"])
    for body, key in (({"tgas": []}, "tgas"), ({"settings": {"delay": -1}}, "settings.delay"), ({"name": ""}, "name")):
        refused = served.ask("PATCH", f"{JOBS}/{known_job}", body)
        assert (refused.status, refused.json["key"]) == (422, key)
    assert served.ask("GET", f"{JOBS}/nightly").json == changed.json


def test_lists_go_on_at_their_cursor(served: Served) -> None:
    for number in range(5):
        assert served.ask("POST", JOBS, job(name=f"one-{number}", tags=["five"])).status == 201
    names, cursor = list[str](), ""
    while True:
        page = served.ask("GET", f"{JOBS}?tag=five&limit=2{cursor}").json
        assert len(page["items"]) <= 2
        names += [one["name"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(names) == [f"one-{number}" for number in range(5)]
    for name in names:
        assert served.ask("DELETE", f"{JOBS}/{name}").status == 204
        assert served.ask("DELETE", f"{JOBS}/{name}").status == 404


def test_the_keys_of_a_type_are_found_at_any_depth() -> None:
    assert "min_pages" in keys_at(JobSpec, ["expect"]) and "min_pages" in keys_at(JobPatch, ["expect"])
    assert keys_at(JobSpec, ["name"]) == [] == keys_at(JobSpec, ["nothing"])
    assert set(keys_at(JobsQuery, [])) == {"cursor", "limit", "tag"}


def test_a_refusal_names_the_place_of_the_value() -> None:
    with pytest.raises(RefusedRequest) as caught:
        convert({"name": "x", "tags": ["a", ""]}, JobSpec)
    assert caught.value.problem.key == "tags[1]"
    assert caught.value.problem.detail.startswith("bad value for tags[1]: expected")
