"""A crew makes do with the threads that the system allows."""

from __future__ import annotations

import threading

import pytest

from crawler.errors import CrawlerError
from crawler.runtime.job import open_reader
from crawler.runtime.memory_plan import ROOMY
from crawler.runtime.page_stream import Tap
from crawler.settings import Settings, open_scope
from variants.crew import Crew


def crew_of(allowed: int, monkeypatch: pytest.MonkeyPatch) -> Crew:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def limited(self: threading.Thread) -> None:
        if len(started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    settings = Settings(seeds=("http://127.0.0.1:9/",))
    reader = open_reader(settings, open_scope(settings), ROOMY)
    monkeypatch.setattr(threading.Thread, "start", limited)
    return Crew(8, "urllib3", settings.client_plan(1), reader, Tap().writer("p"))


def test_fewer_threads_than_asked_for_are_a_smaller_crew(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = crew_of(3, monkeypatch)
    assert crew.size == 3
    crew.close()


def test_none_at_all_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CrawlerError, match="raise the limit"):
        crew_of(0, monkeypatch)
