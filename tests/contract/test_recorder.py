"""How long the recorder waits for a full disk."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from crawler.core.messages import Actions, Link
from crawler.core.reasons import Pause
from crawler.errors import Busy, DiskFull
from crawler.runtime.recorder import Recorder
from crawler.storage import database
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.memory import MemoryFrontier

BATCH = Actions(queued=[Link(1, "http://a.test/", 0)])
PATIENCE = 30.0


class FullFor(MemoryFrontier):
    """A frontier whose disk is full for the first commits."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    def commit(self, batch: Batch, at: float) -> list[Link]:
        self.refusals -= 1
        if self.refusals >= 0:
            raise DiskFull("no space left")
        return super().commit(batch, at)


def test_the_last_commit_of_a_crawl_waits_for_space_like_every_other() -> None:
    frontier = FullFor(2)
    recorder = Recorder(frontier, seed=1, disk_wait=PATIENCE)
    recorder.start(lambda: None, lambda event: None)
    recorder.keep(BATCH)
    recorder.close()
    assert [link.url for link in frontier.owed()] == ["http://a.test/"]


def test_the_wait_for_a_lock_of_another_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT", 0.2)
    asked = []

    def locked() -> None:
        asked.append(monotonic())
        raise Busy("locked by another program")

    with pytest.raises(Busy):
        database.retry_storage(locked, seconds=0.0)
    assert len(asked) > 1, "the commit was not retried"


def test_a_stop_ends_the_wait() -> None:
    began = monotonic()
    recorder = Recorder(FullFor(1000), seed=1, disk_wait=PATIENCE)
    recorder.start(lambda: None, lambda event: None)
    recorder.hurry()
    recorder.keep(BATCH)
    with pytest.raises(DiskFull):
        recorder.close()
    assert monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize("pauses", [[Pause.DISK], [Pause.MEMORY, Pause.DISK]])
def test_actions_kept_after_a_pause_that_began_in_an_idle_recorder_are_committed(pauses: list[Pause]) -> None:
    frontier, kept = MemoryFrontier(), threading.Event()
    recorder = Recorder(frontier, seed=1)
    recorder.after_commit(lambda output: kept.set() if frontier.tally().queued else None)
    recorder.start(lambda: None, lambda event: None)
    for why in pauses:
        recorder.pause(why, True)
    recorder.keep(BATCH)
    assert kept.wait(PATIENCE)
    recorder.close()
    assert frontier.tally().pauses == dict.fromkeys(pauses, 1)
