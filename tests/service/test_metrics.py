"""The metrics: what is counted from which event, their names, and the files of `config/` that use them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawler.service.core.states import RunReason, RunState
from crawler.service.event_counters import SKIPS, EventCounters
from crawler.service.metrics import MEDIA
from crawler.service.records import RunProgress, RunRecord, ServiceEvent, TickRecord
from crawler.settings.layers import profiles_folder
from tests.service.served import NOBODY, READ, Served

CONFIG = profiles_folder()
METRIC = re.compile(r"\bcrawler_[a-z_]+\b")
SUFFIXES = ("_total", "_bucket", "_sum", "_count")


def run(state: RunState, **fields: Any) -> ServiceEvent:
    told = RunRecord(
        id="run_1", job="job_1", job_name="x", state=state, directory="runs/run_1", created_at=0.0, **fields
    )
    return ServiceEvent("run", 0.0, msgspec.to_builtins(told))


def progress(**fields: Any) -> ServiceEvent:
    told = msgspec.to_builtins(RunProgress(at=1.0, **fields))
    return ServiceEvent("progress", 1.0, {"run": "run_1", **told})


def counted(*events: ServiceEvent) -> EventCounters:
    counters = EventCounters()
    for event in events:
        counters.see(event)
    return counters


def test_progress_adds_up_also_over_a_restart() -> None:
    counters = counted(
        run(RunState.STARTING, starts=1),
        run(RunState.RUNNING, starts=1, mode="threads"),
        progress(urls=10, bytes=100, fetch_seconds=2.0, reasons={"timeout": 1}),
        progress(urls=15, bytes=180, fetch_seconds=3.0, reasons={"timeout": 1, "dns": 2}, responses={"2xx": 12}),
        run(RunState.STARTING, starts=2, mode="threads"),
        progress(urls=4, bytes=40, fetch_seconds=0.5, reasons={"dns": 1}, responses={"2xx": 3, "5xx": 1}),
    )
    assert counters.urls["threads"] == 19 and counters.bytes["threads"] == 220
    assert counters.fetches == 19 and counters.fetch_seconds == 3.5
    assert counters.errors == {"timeout": 1, "dns": 3}
    assert counters.responses == {"2xx": 15, "3xx": 0, "4xx": 0, "5xx": 1}
    assert counters.restarts == 1


def test_an_end_is_counted_by_its_state_and_duration() -> None:
    ends = {"started_at": 100.0, "ended_at": 160.0, "schedule": "sch_1", "mode": "async", "starts": 1}
    counters = counted(
        run(RunState.RUNNING, starts=1),
        run(RunState.SUCCEEDED, reason=RunReason.COMPLETE, **ends),
        run(RunState.RUNNING, starts=1),
        run(RunState.FAILED, reason=RunReason.EXIT_CODE, **ends | {"ended_at": 1e6}),
        run(RunState.QUEUED),
        run(RunState.SKIPPED, reason=RunReason.OVERLAP),
        run(RunState.SKIPPED, reason=RunReason.OVERLAP, removed=True),
    )
    assert {state: count for state, count in counters.ended.items() if count} == {
        "succeeded": 1,
        "failed": 1,
        "skipped": 1,
    }
    assert counters.lasting == [0, 1, 0, 0, 0, 0, 0, 1] and counters.lasting_sum == 60 + 1e6 - 100
    assert counters.successes == {"sch_1": 160.0}


def test_a_tick_without_a_run_is_counted_by_its_reason() -> None:
    ticks = [
        TickRecord("sch_1", 60.0, "run_1", None),
        *(TickRecord("sch_1", 120.0, None, reason) for reason in SKIPS),
    ]
    counters = counted(*(ServiceEvent("tick", 0.0, msgspec.to_builtins(tick)) for tick in ticks))
    assert counters.skips == dict.fromkeys(map(str, SKIPS), 1)


@pytest.fixture(scope="module")
def text(served: Served) -> str:
    """The metrics after a run."""
    served.ask("POST", "/api/v1/jobs", {"name": "x", "settings": {"profile": "demo", "max_pages": 8}})
    served.ask("POST", "/api/v1/schedules", {"job": "x", "cron": "0 0 1 1 *"})
    begun = served.ask("POST", "/api/v1/jobs/x/runs").json
    served.until(f"/api/v1/runs/{begun['id']}", lambda now: now["ended_at"] is not None)
    answer = served.ask("GET", "/metrics", as_=READ)
    assert answer.status == 200 and answer.headers["Content-Type"] == MEDIA
    return answer.body.decode()


def test_they_tell_what_the_run_did(text: str) -> None:
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}
    assert values['crawler_runs_total{outcome="limited"}'] == 1
    assert values['crawler_pages_fetched_total{mode="async"}'] >= 8
    assert values['crawler_response_bytes_total{mode="async"}'] > 0
    assert values['crawler_responses_total{status_class="2xx"}'] >= 8
    assert values['crawler_responses_total{status_class="5xx"}'] == 0
    assert values["crawler_fetch_duration_seconds_count"] == values['crawler_pages_fetched_total{mode="async"}']
    assert values['crawler_run_duration_seconds_bucket{le="+Inf"}'] == 1
    assert values['crawler_active_runs{state="running"}'] == 0
    assert values["crawler_disk_free_bytes"] > 0 and values["crawler_disk_full"] == 0
    assert values["crawler_schedule_lag_seconds"] == 0
    assert 'crawler_schedule_skipped_total{reason="overlap"}' in values


def test_they_need_a_token(served: Served) -> None:
    assert served.ask("GET", "/metrics", as_=NOBODY).status == 401


def test_the_dashboard_and_the_alerts_use_metrics_that_exist(text: str) -> None:
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    families |= {name.removesuffix("_total") for name in families}
    for name in ("grafana.json", "prometheus-alerts.yml"):
        used = set(METRIC.findall((CONFIG / name).read_text(encoding="utf-8")))
        strange = {one for one in used if one not in families and one.removesuffix(_suffix(one)) not in families}
        assert used and strange == set(), name


def _suffix(name: str) -> str:
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def test_the_panels_of_the_dashboard_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((CONFIG / "grafana.json").read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on this machine (Debian: prometheus)")
def test_promtool_has_nothing_to_say(text: str) -> None:
    metrics = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (metrics.returncode, metrics.stdout + metrics.stderr) == (0, "")
    rules = ["promtool", "check", "rules", str(CONFIG / "prometheus-alerts.yml")]
    assert subprocess.run(rules, capture_output=True, timeout=60).returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_the_unit_is_hardened() -> None:
    unit = CONFIG / "crawler.service"
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert Path(unit).read_text(encoding="utf-8").count("--allow-remote") == 0
