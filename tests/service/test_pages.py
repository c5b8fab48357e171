"""The pages of the dashboard over a real service with a run that has ended: what they hold, what their forms do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from crawler.service.config import ServiceConfig
from crawler.service.web.pages import ROUTES
from tests.service.person import Outline, Person
from tests.service.served import READ, Served, serving

HOSTILE = "<script>alert(1)</script>"
SMALL = {"profile": "demo", "max_pages": 12}


@pytest.fixture(scope="module")
def person(served: Served) -> Person:
    return Person(served)


@pytest.fixture(scope="module")
def run(served: Served) -> Any:
    """A run of the job "small" that has ended, and the id of a `schedule` of that job."""
    job = served.ask("POST", "/api/v1/jobs", {"name": "small", "settings": SMALL, "tags": [HOSTILE]})
    assert job.status == 201, job.body
    begun = served.ask("POST", f"/api/v1/jobs/{job.json['id']}/runs").json
    schedule = {"job": "small", "cron": "0 3 * * *", "zone": "Europe/Berlin"}
    added = served.ask("POST", "/api/v1/schedules", schedule)
    assert added.status == 201
    ended = served.until(f"/api/v1/runs/{begun['id']}", lambda now: now["ended_at"] is not None)
    return {**ended, "schedule": added.json["id"]}


def kill(served: Served, run: str) -> None:
    """End a run at once, and wait for its end."""
    served.ask("POST", f"/api/v1/runs/{run}/cancel", {"force": True})
    served.until(f"/api/v1/runs/{run}", lambda now: now["ended_at"] is not None)


def pages_of(run: Any) -> list[str]:
    named = {"job": run["job"], "run": run["id"], "schedule": run["schedule"], "name": "dashboard.css"}
    return [re.sub(r"\{(\w+)\}", lambda part: named[part[1]], one.path) for one in ROUTES if one.method == "GET"]


def fields_of(text: str, field: str) -> str:
    """The element of a form field."""
    found = re.search(rf'<input id="f-{field}"[^>]*>|<(textarea|select) id="f-{field}".*?</\1>', text, re.DOTALL)
    assert found, field
    return found[0]


def test_every_page_is_whole_and_has_no_inline_script_or_style(person: Person, run: Any) -> None:
    for path in pages_of(run):
        answer = person.look(path)
        assert answer.status == 200, path
        if not answer.headers["Content-Type"].startswith("text/html"):
            continue
        outline = Outline(answer.body.decode())
        assert outline.wrong == [] and outline.open == [], path
        assert outline.inline == [], path
        assert len(outline.ids) == len(set(outline.ids)), path
        assert set(outline.named) <= set(outline.ids), path


def test_every_part_that_the_script_asks_for_is_what_the_page_holds(person: Person, run: Any) -> None:
    asked = 0
    for path in pages_of(run):
        answer = person.look(path)
        if not answer.headers["Content-Type"].startswith("text/html"):
            continue
        for name in re.findall(r'data-fragment="(\w+)"', answer.body.decode()):
            part = person.text(f"{path}?fragment={name}")
            assert "<!doctype" not in part and part.strip(), (path, name)
            asked += 1
    assert asked >= 10


def test_a_run_shows_what_its_report_has(person: Person, run: Any) -> None:
    text = person.text(f"/runs/{run['id']}")
    summary = run["summary"]
    assert f"<b>{summary['urls']:,}</b><span>URLs fetched</span>" in text
    assert "stopped by a limit" in text
    for part in ("How URLs ended", "Hosts", "Politeness", "Log", "Settings", "What became of it"):
        assert f"<h2>{part}</h2>" in text, part
    assert re.search(r"<code>max_pages</code>.*?12.*?job", text, re.DOTALL)
    assert re.search(r"<code>delay</code>.*?0\.02.*?profile demo", text, re.DOTALL)


def test_other_pages_know_the_run(person: Person, run: Any) -> None:
    link = f'href="/runs/{run["id"]}"'
    assert link in person.text(f"/jobs/{run['job']}")
    assert link in person.text("/runs")
    assert link in person.text("/runs?state=limited")
    assert link not in person.text("/runs?state=failed")
    assert link in person.text("/compare?job=small")
    assert link in person.text("/storage")
    assert "http://" in person.text("/hosts")


def test_names_from_people_are_text(person: Person, run: Any) -> None:
    for path in ("/", "/jobs", f"/jobs/{run['job']}"):
        text = person.text(path)
        assert HOSTILE not in text and "&lt;script&gt;" in text, path


def test_a_job_is_added_changed_started_and_removed_by_forms(person: Person, served: Served) -> None:
    fields = {"name": "mine", "seeds": "http://127.0.0.1:9/\nhttp://127.0.0.1:9/b", "settings": "max_pages = 3"}
    added = person.send("/ui/jobs", **fields, tags="a, b", min_pages="1", max_error_share="50", retries="0")
    assert added.status == 303, added.body
    job = served.ask("GET", "/api/v1/jobs/mine").json
    assert added.headers["Location"] == f"/jobs/{job['id']}"
    assert job["settings"] == {"max_pages": 3, "seeds": fields["seeds"].split()}
    assert job["tags"] == ["a", "b"] and job["expect"]["max_error_share"] == 0.5
    text = person.text(f"/jobs/{job['id']}")
    assert 'value="50"' in fields_of(text, "max_error_share") and "max_pages = 3" in fields_of(text, "settings")
    changed = person.send(f"/ui/jobs/{job['id']}/change", **fields | {"settings": "max_pages = 4"}, mode="threads")
    assert changed.status == 303, changed.body
    assert served.ask("GET", "/api/v1/jobs/mine").json["settings"]["mode"] == "threads"
    begun = person.send(f"/ui/jobs/{job['id']}/start", mode="async", next="/jobs")
    assert begun.status == 303 and begun.headers["Location"] == "/jobs"
    (run,) = served.ask("GET", f"/api/v1/runs?job={job['id']}").json["items"]
    assert person.send(f"/ui/jobs/{job['id']}/remove").status == 409
    kill(served, run["id"])
    assert person.send(f"/ui/jobs/{job['id']}/remove").status == 303
    assert served.ask("GET", "/api/v1/jobs/mine").status == 404


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"name": ""}, "name"),
        ({"name": "small"}, "name"),
        ({"settings": "max_pages"}, "settings"),
        ({"settings": "max_pagse = 1"}, "settings"),
        ({"settings": "mode = 'async'"}, "settings"),
        ({"mode": "fibers"}, "mode"),
        ({"seeds": "gopher://a.test/"}, "seeds"),
        ({"min_pages": "-1"}, "min_pages"),
        ({"max_drop": "1e2"}, "max_drop"),
        ({"max_error_share": "200"}, "max_error_share"),
        ({"retries": "21"}, "retries"),
        ({"on_end": "ftp://a.test/"}, "on_end"),
        ({"tags": "x" * 51}, "tags"),
    ],
)
def test_a_job_that_is_refused_is_shown_again(person: Person, run: Any, fields: dict[str, str], at_fault: str) -> None:
    typed = {"name": "other", "seeds": "http://127.0.0.1:9/", "tags": "kept"} | fields
    answer = person.send("/ui/jobs", **typed)
    text = answer.body.decode()
    assert answer.status == (409 if fields == {"name": "small"} else 422), text
    assert 'aria-invalid="true"' in fields_of(text, at_fault)
    assert f'href="#f-{at_fault}"' in text
    if "tags" not in fields:
        assert 'value="kept"' in fields_of(text, "tags")


def test_a_live_run_is_shown_limited_paused_and_killed_by_forms(person: Person, served: Served) -> None:
    served.ask("POST", "/api/v1/jobs", {"name": "long", "settings": {"profile": "demo", "delay": 0.5}})
    run = served.ask("POST", "/api/v1/jobs/long/runs").json["id"]
    served.until(f"/api/v1/runs/{run}/history", lambda told: len(told["items"]) >= 2 and told["items"][-1]["queue"])
    text = person.text(f"/runs/{run}")
    assert text.count("<figcaption>") == 4 and "URLs known" in text
    assert f'id="run-{run}"' in person.text("/?fragment=now")
    refused = person.send(f"/ui/runs/{run}/limits", delay="-1", concurrency="4")
    assert refused.status == 422 and 'aria-invalid="true"' in fields_of(refused.body.decode(), "delay")
    assert person.send(f"/ui/runs/{run}/limits", delay="1.5", concurrency="4", per_host="").status == 303
    assert 'value="1.5"' in fields_of(person.text(f"/runs/{run}"), "delay")
    limits = served.ask("GET", f"/api/v1/runs/{run}").json["limits"]
    assert limits == {"delay": 1.5, "concurrency": 4, "per_host": None}
    assert person.send(f"/ui/runs/{run}/pause", next="/").headers["Location"] == "/"
    assert "somebody asked for it" in person.text(f"/runs/{run}")
    assert person.send(f"/ui/runs/{run}/stop").status == 303
    person.send(f"/ui/runs/{run}/force")
    served.until(f"/api/v1/runs/{run}", lambda now: now["ended_at"] is not None)
    again = person.send(f"/ui/runs/{run}/retry").headers["Location"]
    assert again.startswith("/runs/run_") and not again.endswith(run)
    kill(served, again.rpartition("/")[2])


def test_a_job_is_started_in_several_modes(person: Person, served: Served, run: Any) -> None:
    none = person.send("/ui/compare", job=run["job"])
    assert none.status == 422 and b"choose at least one mode" in none.body
    assert person.send("/ui/compare", job=run["job"], modes="fibers").status == 422
    assert person.send("/ui/compare", job=run["job"], modes="threads processes").status == 303
    begun = [one for one in served.ask("GET", f"/api/v1/runs?job={run['job']}").json["items"] if one["id"] != run["id"]]
    assert {one["settings"]["mode"] for one in begun} == {"threads", "processes"}
    text = person.text(f"/compare?job={run['job']}")
    assert all(f'<a href="/runs/{one["id"]}">{one["settings"]["mode"]}</a>' in text for one in begun)
    assert "Not all of them are over" in text or "same work" in text
    for one in begun:
        kill(served, one["id"])


def test_a_schedule_is_added_paused_run_and_removed_by_forms(person: Person, served: Served, run: Any) -> None:
    assert person.send("/ui/schedules", job=run["job"], cron="15 4 * * *", zone="UTC", catchup="60").status == 303
    schedules = served.ask("GET", "/api/v1/schedules").json["items"]
    (one,) = [schedule for schedule in schedules if schedule["cron"] == "15 4 * * *"]
    text = person.text("/schedules")
    assert one["id"] in text and text.count("T04:15:00Z") >= 10
    assert person.send(f"/ui/schedules/{one['id']}/pause").status == 303
    assert "None while it is paused." in person.text("/schedules")
    assert person.send(f"/ui/schedules/{one['id']}/resume").status == 303
    begun = person.send(f"/ui/schedules/{one['id']}/run")
    assert begun.headers["Location"].startswith("/runs/run_")
    kill(served, begun.headers["Location"].rpartition("/")[2])
    assert person.send(f"/ui/schedules/{one['id']}/remove").status == 303
    assert one["id"] not in person.text("/schedules")


def test_a_schedule_is_changed_by_its_form(person: Person, served: Served, run: Any) -> None:
    spec = {"job": run["job"], "cron": "20 5 * * *", "zone": "Europe/Berlin", "jitter": 30, "paused": True}
    one = served.ask("POST", "/api/v1/schedules", spec).json
    path, form = f"/schedules/{one['id']}", f"/ui/schedules/{one['id']}/change"
    text = person.text(path)
    assert 'value="20 5 * * *"' in fields_of(text, "cron") and 'value="30"' in fields_of(text, "jitter")
    assert f'href="{path}"' in person.text("/schedules")
    fields = {"job": run["job"], "cron": "25 5 * * *", "zone": "UTC", "overlap": "queue", "catchup": "60", "jitter": ""}
    changed = person.send(form, **fields)
    assert (changed.status, changed.headers["Location"]) == (303, f"/schedules#{one['id']}")
    now = served.ask("GET", f"/api/v1{path}").json
    assert {key: now[key] for key in ("cron", "zone", "overlap", "catchup", "jitter", "paused")} == {
        **{"cron": "25 5 * * *", "zone": "UTC", "overlap": "queue", "catchup": 60.0, "jitter": 0.0, "paused": True}
    }
    refused = person.send(form, **fields | {"zone": "Europe/Nowhere"})
    assert refused.status == 422
    again = fields_of(refused.body.decode(), "zone")
    assert 'value="Europe/Nowhere"' in again and "aria-invalid" in again
    assert served.ask("GET", f"/api/v1{path}").json == now
    assert person.send(f"/ui/schedules/{one['id']}/remove").status == 303
    assert person.send(form, **fields).status == 404 and person.look(path).status == 404


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": ""}, "cron"),
        ({"zone": "Mars/Base"}, "zone"),
        ({"catchup": "-1"}, "catchup"),
    ],
)
def test_a_schedule_that_is_refused_is_shown_again(
    person: Person, run: Any, fields: dict[str, str], at_fault: str
) -> None:
    answer = person.send("/ui/schedules", **{"job": run["job"], "cron": "1 2 * * *", "zone": "UTC"} | fields)
    assert answer.status == 422
    assert 'aria-invalid="true"' in fields_of(answer.body.decode(), at_fault)


def test_what_the_state_forbids_is_a_page_with_that_status(person: Person, run: Any) -> None:
    for action, status in (("pause", 409), ("dance", 404)):
        answer = person.send(f"/ui/runs/{run['id']}/{action}")
        assert answer.status == status and b"To the overview" in answer.body
    assert person.look("/runs/run_nothing").status == 404
    assert person.look("/jobs/nothing").status == 404
    assert person.look("/nowhere").status == 404


def test_a_token_is_shown_once(person: Person, served: Served) -> None:
    made = person.send("/ui/tokens", name="reporter", scope="read")
    secret = re.search(r'class="secret">([^<]+)<', made.body.decode())
    assert made.status == 201 and secret
    listed = person.text("/tokens")
    assert secret[1] not in listed
    token = re.search(r"/ui/tokens/([^/]+)/revoke", listed)
    assert token
    headers = {"Authorization": f"Bearer {secret[1]}"}
    assert served.ask("GET", "/api/v1/jobs", as_="", headers=headers).status == 200
    for one in served.ask("GET", "/api/v1/tokens").json["items"]:
        if one["name"] == "reporter":
            assert person.send(f"/ui/tokens/{one['id']}/revoke").status == 303
    assert served.ask("GET", "/api/v1/jobs", as_="", headers=headers).status == 401
    assert person.send("/ui/tokens", name="", scope="read").status == 422
    assert person.send("/ui/tokens", name="x", scope="root").status == 422


def test_who_may_only_read_gets_no_buttons(served: Served, run: Any) -> None:
    reader = Person(served, READ)
    for path in ("/", "/jobs", f"/jobs/{run['job']}", f"/runs/{run['id']}", "/schedules", "/compare"):
        text = reader.text(path)
        assert "Your token may only read" in text
        assert set(re.findall(r'action="(/ui/[^"]+)"', text)) == {"/ui/logout"}, path
    assert reader.send(f"/ui/jobs/{run['job']}/start").status == 403


def test_after_the_login_one_is_where_one_wanted_to_be(served: Served) -> None:
    refused = served.ask("GET", "/runs?state=failed", as_="")
    assert refused.status == 401 and b'name="next" value="/runs?state=failed"' in refused.body
    wrong = served.ask(
        "POST", "/ui/login", as_="", raw=b"token=wrong&next=/jobs",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert wrong.status == 401 and b'value="/jobs"' in wrong.body and "Set-Cookie" not in wrong.headers


@pytest.mark.parametrize("place", ["//evil.test/", "https://evil.test/", "/\\evil.test", "evil", "/a\r\nX: y", ""])
def test_no_form_leads_elsewhere(person: Person, served: Served, run: Any, place: str) -> None:
    token = served.tokens["admin"]
    logged_in = person.send("/ui/login", token=token, next=place)
    assert logged_in.status == 303 and logged_in.headers["Location"].startswith("/")
    assert not logged_in.headers["Location"].startswith(("//", "/\\"))
    assert "evil" not in logged_in.headers["Location"] and "X" not in logged_in.headers


def test_files_are_named_by_their_content_and_kept_by_browsers(person: Person) -> None:
    text = person.text("/")
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', text):
        answer = person.look(path)
        assert answer.status == 200 and "immutable" in answer.headers["Cache-Control"]
    assert person.look("/static/pages.py").status == 404
    assert person.look("/static/..%2Fpages.py").status == 404


def test_a_full_disk_is_told_where_people_look_first(tmp_path: Path) -> None:
    with serving(tmp_path, ServiceConfig(disk_floor="900000G")) as served:
        served.until("/api/v1/overview", lambda now: now["disk_full"])
        person = Person(served)
        for path in ("/", "/?fragment=now", "/storage"):
            assert "The disk is nearly full: runs pause until there is room." in person.text(path), path
        assert "crawler_disk_full 1.0" in served.ask("GET", "/metrics").body.decode()
