"""The parts of the dashboard that need no service: states, figures, forms, settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.endings import PAUSES
from crawler.core.reasons import Pause
from crawler.service.core.states import FINAL, TABLE, RunEvent, RunReason, RunState
from crawler.service.errors import Invalid
from crawler.service.merge_patch import merge_patch, patch_between
from crawler.service.records import JobRecord, RunProgress, RunRecord
from crawler.service.web.charts import Column, columns, curves, spark
from crawler.service.web.crawl_facts import RunReadings
from crawler.service.web.effective import effective
from crawler.service.web.job_forms import field_of, read_job, typed_from
from crawler.service.web.kept_readings import BEING_READ
from crawler.service.web.run_states import SHOWN, WHY, actions, ended, shown
from crawler.service.web.schedules import read_schedule
from crawler.service.web.templating import ago

EVENT_OF = {
    "pause": RunEvent.PAUSE,
    "resume": RunEvent.RESUME,
    "stop": RunEvent.STOP,
    "cancel": RunEvent.CANCEL,
    "force": RunEvent.CANCEL,
}


def run(state: RunState = RunState.RUNNING, **fields: Any) -> RunRecord:
    given: dict[str, Any] = {
        "id": "run_1",
        "job": "job_1",
        "job_name": "x",
        "directory": "runs/run_1",
        "created_at": 0.0,
    }
    return RunRecord(state=state, **given | fields)


def test_every_state_reason_and_pause_has_its_words() -> None:
    assert set(SHOWN) == set(RunState) and set(WHY) == set(RunReason) and set(PAUSES) == set(Pause)
    words = [told.word for told in SHOWN.values()]
    assert len(set(words)) == len(words)


def test_states_of_one_colour_differ_in_their_words() -> None:
    assert shown(run(RunState.SUCCEEDED, reason=RunReason.COMPLETE)).kind == "good"
    assert shown(run(RunState.SUCCEEDED, reason=RunReason.DEGRADED)).word == "degraded"
    assert shown(run(RunState.SUCCEEDED, reason=RunReason.INCOMPLETE)).kind == "warn"


@pytest.mark.parametrize("state", RunState)
def test_buttons_are_what_the_state_allows(state: RunState) -> None:
    names = [one.name for one in actions(run(state))]
    if state in FINAL:
        assert names == ([] if state is RunState.SKIPPED else ["retry"])
        assert ended(run(state))
        return
    assert names and {EVENT_OF[name] for name in names} <= TABLE[state].keys()
    assert not ended(run(state))


def snapshots(count: int) -> list[RunProgress]:
    return [
        RunProgress(at=100.0 + n, rate=float(n), urls=10 * n, bytes=1000 * n, queue=50 - n, fetch_seconds=2.0 * n)
        for n in range(count)
    ]


def test_figures_say_what_they_show_last() -> None:
    assert curves(snapshots(1)) == []
    told = dict(curves(snapshots(20)))
    assert 'aria-label="URLs per second: now 19, at most 19 in the 1 min shown"' in told["URLs per second"]
    assert "now 200 ms, at most 200 ms" in told["Mean time of a fetch"]
    assert "now 1.0 kB, at most 1.0 kB" in told["Bytes per second"]
    assert "now 31, at most 49" in told["Queue"]


def test_the_axis_of_time_grows_in_steps() -> None:
    def first_place(count: int) -> float:
        found = re.search(r'class="curve" d="M([\d.]+)', dict(curves(snapshots(count)))["Queue"])
        assert found
        return float(found[1])

    assert first_place(10) > first_place(100) > 58
    assert first_place(121) < first_place(122)


def test_small_figures() -> None:
    assert spark([1.0]) == "" and columns([], "none") == ""
    assert spark([1.0, 2.0]).count("<path") == 1
    drawn = columns([Column(3, "fine", "3 <pages>"), Column(0, "other", "none")], "Two runs")
    assert drawn.count("<rect") == 2 and "3 &lt;pages&gt;" in drawn


def test_a_job_survives_its_form() -> None:
    form = {
        "name": "news", "seeds": "https://a.test/\nhttps://b.test/", "profile": "polite", "mode": "threads",
        "settings": 'max_pages = 10\nheaders = { "https://a.test" = { "X-Team" = "env:TEAM" } }', "tags": "a b",
        "min_pages": "5", "max_error_share": "2.5", "max_drop": "", "fail": "on", "retries": "2", "first_wait": "30",
        "on_end": "https://a.test/hook", "recrawl": "on",
    }  # fmt: skip
    spec = read_job(form)
    assert spec.settings["seeds"] == ["https://a.test/", "https://b.test/"] and spec.expect.max_error_share == 0.025
    kept: dict[str, Any] = {key: getattr(spec, key) for key in spec.__struct_fields__}
    job = JobRecord(id="job_1", created_at=0.0, updated_at=0.0, **kept)
    assert read_job(typed_from(job)) == spec


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "no spaces"}, "name"),
        ({"name": "x", "settings": "seeds = []"}, "settings"),
        ({"name": "x", "settings": "= 1"}, "settings"),
        ({"name": "x", "max_drop": "many"}, "max_drop"),
        ({"name": "x", "first_wait": "0"}, "first_wait"),
    ],
)
def test_the_field_at_fault_is_named(form: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_job(form)
    assert field_of(refused.value.key) == field


def test_every_key_of_the_settings_has_a_field() -> None:
    assert field_of("settings.delay") == "settings" and field_of("settings.seeds") == "seeds"
    assert field_of("settings.headers.https://a.test.X") == "settings" and field_of("name") == "name"


def test_a_schedule_needs_a_job_and_a_cron_line() -> None:
    assert read_schedule({"job": "x", "cron": " 0 3 * * * ", "catchup": ""}).cron == "0 3 * * *"
    for form, key in (
        ({"job": "x"}, "cron"),
        ({"cron": "0 3 * * *"}, "job"),
        ({"job": "x", "cron": "x", "jitter": "y"}, "jitter"),
    ):
        with pytest.raises(Invalid) as refused:
            read_schedule(form)
        assert refused.value.key == key


def test_settings_have_their_origin_and_secrets_stay_secret() -> None:
    settings = {
        "profile": "fast",
        "seeds": ["https://a.test/"],
        "max_pages": 7,
        "credentials": {"https://a.test": {"user": "me", "password": "env:NOT_SET_ANYWHERE"}},
    }
    told = effective(run(settings=settings), {key: value for key, value in settings.items() if key != "max_pages"})
    origins = {one.key: one.origin for one in told.chosen}
    assert told.problem == "" and origins["per_host"] == "profile fast" and origins["seeds"] == "job"
    assert origins["max_pages"] == "this run"
    values = [one.value for one in (*told.chosen, *told.defaults)]
    assert "(1 set, not shown)" in values and not any("NOT_SET" in value for value in values)
    assert {one.key for one in told.defaults} | set(origins) >= {"delay", "credentials", "timeout"}


def test_settings_that_do_not_fit_any_more_are_told() -> None:
    assert "max_pages" in effective(run(settings={"max_pages": "many"}), {}).problem


def test_how_long_ago() -> None:
    assert [ago(at, 1000.0) for at in (1000.0, 940.0, 1040.0)] == ["now", "1 min ago", "in 40 s"]
    assert ago(0.0, 86_400.0 * 3) == "3 days ago"


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(st.integers(0, 2) | st.lists(st.integers(0, 1)), lambda inner: st.dictionaries(KEYS, inner))


@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_a_patch_between_two_leads_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert merge_patch(before, patch_between(before, after)) == after


async def test_a_page_does_not_wait_for_a_directory_that_is_being_read(tmp_path: Path) -> None:
    facts, gone = RunReadings().facts, tmp_path / "gone"
    assert (await facts.of("run_1", gone, live=True, wait=0.0)).unread == BEING_READ
    read = await facts.of("run_1", gone, live=True, wait=30.0)
    assert read.facts is None and "does not exist" in read.unread
    assert await facts.of("run_1", gone, live=True, wait=0.0) is read


async def test_a_directory_without_a_crawl_is_told_in_words(tmp_path: Path) -> None:
    read = await RunReadings().facts.of("run_1", tmp_path, live=False, wait=30.0)
    assert read.facts is None and str(tmp_path) in read.unread
