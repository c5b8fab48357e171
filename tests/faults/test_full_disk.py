"""A worker that dies while the disk is full: its replacement waits for space, as the other workers do."""

from __future__ import annotations

from pathlib import Path
from threading import Timer
from time import monotonic, sleep

import pytest

from crawler.testweb.settings import to_toml
from tests.faults.crawlers import Crawler
from tests.faults.soak import disk
from tests.faults.test_points import truth
from tests.faults.trial import ATTEMPTS, IN_FLIGHT

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("mode", ["processes", "prefork"])
def test_a_worker_restarted_on_a_full_disk_waits_for_space(tmp_path: Path, mode: str) -> None:
    struck: list[float | None] = []
    with disk(tmp_path / "out") as full, truth().serve(tmp_path) as web:
        if full is None:
            pytest.skip("mounting a small file system needs root")
        settings = f"attempts = {ATTEMPTS}\ndisk_wait = 30\nlease = 20\n{to_toml(web.settings)}"
        (tmp_path / "web.toml").write_text(settings)
        crawler = Crawler(tmp_path, mode, IN_FLIGHT)
        give_up_at = monotonic() + 30
        while not list((tmp_path / "out" / "parts").glob("*.sqlite")) and monotonic() < give_up_at:
            sleep(0.05)
        blow = Timer(0.2, lambda: struck.append(crawler.strike("worker")))
        blow.start()
        full(2.5)
        blow.join()
        summary = crawler.wait()
        kills = [at for at in struck if at is not None]
        assert kills
        truth().check(tmp_path, web, summary, kills, IN_FLIGHT)
