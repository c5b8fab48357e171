"""A kill or an error once at every failpoint: the crawl continues, and all invariants hold (see .invariants)."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest

from crawler.system.failpoints import POINTS, VARIABLE
from crawler.testweb.settings import to_toml
from tests.faults.crawlers import Crawler
from tests.faults.invariants import Truth
from tests.faults.trial import ATTEMPTS, Blow, Trial

pytestmark = pytest.mark.faults
HOSTS, PAGES, SEED = 13, 90, 1
CASES = {
    "fetch.done": ("threads", "sqlite", "kill@20"),
    "store.put": ("async", "files", "kill@20"),
    "store.body": ("async", "files", "kill@9"),
    "store.flush": ("processes", "sqlite", "kill@3"),
    "store.close": ("async", "sqlite", "kill~0.001"),
    "recorder.flushed": ("threads", "files", "kill@3"),
    "recorder.committed": ("prefork", "sqlite", "kill@3"),
    "frontier.commit": ("async", "sqlite", "ENOSPC@4"),
    "frontier.close": ("threads", "sqlite", "kill"),
    "layout.copied": ("prefork", "sqlite", "kill"),
    "directory.made": ("async", "sqlite", "kill"),
    "manifest.replace": ("async", "sqlite", "EIO@2"),
    "outbox.send": ("prefork", "sqlite", "kill@2"),
    "outbox.sent": ("prefork", "files", "kill@2"),
}
truth = cache(lambda: Truth(HOSTS, PAGES, ATTEMPTS, SEED))


def test_every_failpoint_has_a_case() -> None:
    asking = {"frontier.reopen", "asking.reopened"}  # see tests/live/test_endings.py
    assert {*CASES, *asking, "directory.removed"} == set(POINTS)


@pytest.mark.parametrize("point", CASES)
def test_a_fault_at_a_failpoint_violates_no_invariant(tmp_path: Path, point: str) -> None:
    mode, store, rule = CASES[point]
    with Trial(truth(), tmp_path, store, random.Random(1)) as trial:
        if point == "layout.copied":
            trial.strike(Blow("group", "async"), life=(1.5, 1.5))
        trial.strike(Blow(f"point:{point}={rule}", mode))
        assert any(kind.startswith(f"point:{point}") for _, kind in trial.landed), trial.landed
        trial.finish("processes" if mode == "async" else "async")


def test_a_crawl_killed_while_it_is_replaced_can_be_replaced_again(tmp_path: Path) -> None:
    with truth().serve(tmp_path) as web:
        (tmp_path / "web.toml").write_text(to_toml(web.settings))
        Crawler(tmp_path, "async", 16).wait()
        killed = Crawler(tmp_path, "async", 16, "--fresh", environment={VARIABLE: "directory.removed=kill"}).end()
        assert killed.code == -9
        summary = Crawler(tmp_path, "prefork", 16, "--fresh").wait()
    assert (summary["owed"], summary["digest"]) == (0, truth().digest)
