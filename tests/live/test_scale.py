"""The measuring scripts run, at a size that takes seconds; their figures are not checked closely."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from .guarded_web import why_no_network


def run_once(*words: str, before: tuple[str, ...] = ()) -> dict[str, Any]:
    done = subprocess.run([*before, sys.executable, "-m", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_frontier_is_filled_and_restarted() -> None:
    found = run_once("tests.scale", "--urls", "20000", "--hosts", "500", "--max-memory", "160M")
    assert (found["urls"], found["hosts"], len(found["step_us_per_url"])) == (20_000, 500, 10)
    assert found["restart_seconds"] > 0 and found["peak_rss_mb"] < 160


def test_many_hosts_are_asked_politely() -> None:
    found = run_once("tests.many_hosts", "--hosts", "200", "--large", "10", "--pages", "5")
    delayed, free = found["delay"], found["no_delay"]
    assert found["least_gap"] >= 1.0, "a host was asked more often than its delay allows"
    assert delayed["reasons"] == free["reasons"] and set(free["reasons"]) == {"ok"}
    assert 0.5 < found["share_of_polite_rate"] <= 1.05


def test_tarpits_and_hostile_pages_do_not_delay_other_hosts() -> None:
    found = run_once("tests.tarpits", "--good", "60", "--pages", "6", "--tarpits", "12", "--size", "500000")
    assert found["alone"]["urls"] == found["tarpits"]["urls"] == 360
    assert found["hostile"]["urls"] > 360 and found["alone"]["unread"] == 0
    assert min(found["tarpits"]["share"], found["hostile"]["share"]) > 0.35, "politeness sets the rate, not the tarpits"


def test_names_without_a_dns_answer_do_not_delay_other_hosts() -> None:
    if why := why_no_network():
        pytest.skip(why)
    words = ["--slow", "200", "--good", "20", "--pages", "10", "--modes", "threads"]
    found = run_once("tests.slow_names", *words, before=("unshare", "-n", "-m"))
    assert found["mode"] == "threads"
    assert found["share_of_good_pages_per_second"] > 0.3, "200 names at 10 s by 32 threads would leave a sixth"
