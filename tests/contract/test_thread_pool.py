"""A crew makes do with the threads that the system allows."""

from __future__ import annotations

import threading

import pytest

from crawler.errors import CrawlerError
from crawler.runtime.job import open_processor
from crawler.runtime.memory_plan import ROOMY
from crawler.runtime.page_stream import PageStream
from crawler.settings import Settings, open_scope
from variants.thread_pool import FetchThreadPool


def crew_of(allowed: int, monkeypatch: pytest.MonkeyPatch) -> FetchThreadPool:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def limited(self: threading.Thread) -> None:
        if len(started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    settings = Settings(seeds=("http://127.0.0.1:9/",))
    reader = open_processor(settings, open_scope(settings), ROOMY)
    monkeypatch.setattr(threading.Thread, "start", limited)
    return FetchThreadPool(8, "urllib3", settings.client_plan(1), reader, PageStream().writer("p"))


def test_fewer_threads_than_asked_for_are_a_smaller_crew(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = crew_of(3, monkeypatch)
    assert pool.size == 3
    pool.close()


def test_none_at_all_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CrawlerError, match="raise the limit"):
        crew_of(0, monkeypatch)
