"""The system clock is changed during a crawl or between two runs: no hold gets shorter or longer."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic, time

import pytest

from crawler.core.messages import Actions, Cookie, CookieNote, Event, HostNote, Refill, RefillRequest, Resumed
from crawler.runtime import recorder
from crawler.runtime.recorder import Recorder
from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.memory import MemoryFrontier
from crawler.system import clock

from .raw_server import until

HOST = "http://a.test"
HOLD = 1000.0
JUMPS = [86_400.0, -3600.0]


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_change_during_a_run_changes_no_hold(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Event] = []
    keeper = Recorder(MemoryFrontier(), seed=1)
    keeper.start(lambda: None, answers.append)
    rest_until = monotonic() + HOLD
    keeper.keep(Actions(notes=[HostNote(HOST, rest_until=rest_until)]))
    until(lambda: keeper.clean)
    monkeypatch.setattr(recorder, "time", lambda: time() + jump)
    keeper.keep(Actions(refill_requests=[RefillRequest(HOST, 0, 1, first=True)]))
    keeper.close()
    (offered,) = answers
    assert isinstance(offered, Refill) and offered.note is not None
    assert offered.note.rest_until == pytest.approx(rest_until, abs=1e-3)


def test_a_run_uses_one_clock_offset_however_busy_the_machine_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = CrawlDirectory.create(tmp_path / "out", Settings(), demo=False, fresh=False)
    lived_by = directory.to_unix
    monkeypatch.setattr(clock, "time", lambda: time() - 0.01)
    directory.begin_run(Settings())
    directory.close()
    assert lived_by == directory.to_unix == CrawlDirectory.open_readonly(tmp_path / "out").to_unix


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_change_between_two_runs_changes_no_hold(
    jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = CrawlDirectory.create(tmp_path / "out", Settings(), demo=False, fresh=False)
    directory.begin_run(Settings())
    before = directory.to_unix
    directory.close()
    monkeypatch.setattr(clock, "time", lambda: time() + jump)
    assert CrawlDirectory.open_readonly(tmp_path / "out").to_unix == before


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_change_does_not_change_the_expiry_of_cookies(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    frontier, until = MemoryFrontier(), monotonic() + HOLD
    keeper = Recorder(frontier, seed=1)
    keeper.start(lambda: None, lambda event: None)
    keeper.keep(Actions(cookies=[CookieNote(HOST, (Cookie("/", "n", "v", until),))]))
    keeper.close()
    monkeypatch.setattr(recorder, "time", lambda: time() + jump)
    (resumed, _) = Recorder(frontier, seed=1, to_unix=keeper.to_unix).resume((), again=True)
    assert isinstance(resumed, Resumed)
    ((cookie,),) = [note.cookies for note in resumed.cookies]
    assert cookie.until == pytest.approx(until, abs=1e-3)


def test_after_a_reboot_a_clock_that_was_set_back_lengthens_no_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "frontier.sqlite"
    written.touch()
    now = time()
    os.utime(written, (now, now))
    monkeypatch.setattr(clock, "time", lambda: now - 3600.0)
    found = clock.offset("another boot", 5.0, [written, tmp_path / "none"])
    assert found + monotonic() == pytest.approx(now, abs=1.0)
    monkeypatch.setattr(clock, "time", lambda: now + 7200.0)
    assert clock.offset("", 5.0, [written]) + monotonic() == pytest.approx(now + 7200.0, abs=1.0)


def test_without_a_boot_id_the_boot_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "BOOT", tmp_path / "none")
    assert clock.boot() == ""
