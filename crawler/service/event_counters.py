"""Counts what happens in the service since it was started, from the events that it publishes.

Rules:
- A counter never falls: that is what Prometheus expects. A run that goes on in another process, whose own counts begin
  at 0 again, counts on.
- A counter whose labels are a closed list is there from the start, with 0: a rate needs a first value.
- What is remembered of a run is forgotten when it ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from crawler.service.core.states import FINAL, RunReason, RunState
from crawler.service.job_settings import modes
from crawler.service.records import RunProgress, ServiceEvent
from crawler.settings import Settings

SKIPS = (
    *(RunReason.OVERLAP, RunReason.QUEUE_FULL, RunReason.CATCHUP),
    *(RunReason.COALESCED, RunReason.PAUSED_SCHEDULE),
)
RESPONSES = ("2xx", "3xx", "4xx", "5xx")
LASTING = (10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0)
"""Upper edges of the durations of runs, in seconds."""


class RunSeen(msgspec.Struct):
    """What was counted of a run that has not ended: its mode, processes and last progress."""

    mode: str = Settings().mode
    starts: int = 0
    progress: RunProgress = RunProgress(at=0.0)


class EventCounters:
    """Counts events. `see` gets each one, in their order."""

    def __init__(self) -> None:
        self.ended = Counter({str(state): 0 for state in FINAL})
        self.lasting = [0] * (len(LASTING) + 1)
        self.lasting_sum = 0.0
        self.restarts = 0
        self.skips = Counter({str(reason): 0 for reason in SKIPS})
        self.urls, self.bytes = Counter(dict.fromkeys(modes(), 0)), Counter(dict.fromkeys(modes(), 0))
        self.errors: Counter[str] = Counter()
        self.responses = Counter(dict.fromkeys(RESPONSES, 0))
        self.fetches, self.fetch_seconds = 0, 0.0
        self.successes: dict[str, float] = {}
        self._runs: dict[str, RunSeen] = {}

    def see(self, event: ServiceEvent) -> None:
        """Count one event."""
        if event.type == "progress":
            self._progress(event.data)
        elif event.type == "run":
            self._run(event.data)
        elif event.type == "tick":
            self._tick(event.data)

    def _progress(self, told: Mapping[str, Any]) -> None:
        seen = self._runs.get(str(told["run"]))
        if seen is None:
            return
        now = msgspec.convert({key: value for key, value in told.items() if key != "run"}, RunProgress)
        before = seen.progress if now.urls >= seen.progress.urls else RunProgress(at=0.0)  # else another process
        seen.progress = now
        fetched = now.urls - before.urls
        self.urls[seen.mode] += fetched
        self.bytes[seen.mode] += max(0, now.bytes - before.bytes)
        self.fetches += fetched
        self.fetch_seconds += max(0.0, now.fetch_seconds - before.fetch_seconds)
        for reason, count in now.reasons.items():
            self.errors[reason] += max(0, count - before.reasons.get(reason, 0))
        for kind, count in now.responses.items():
            self.responses[kind] += max(0, count - before.responses.get(kind, 0))

    def _run(self, told: Mapping[str, Any]) -> None:
        key, state, starts = str(told["id"]), RunState(told["state"]), int(told["starts"])
        if state in FINAL:
            if self._runs.pop(key, None) is not None:  # else it ended before, and something else has changed
                self._end(told, state)
            return
        seen = self._runs.setdefault(key, RunSeen(starts=starts))
        self.restarts += max(0, starts - max(seen.starts, 1))
        seen.starts = starts
        seen.mode = told["mode"] or seen.mode

    def _end(self, told: Mapping[str, Any], state: RunState) -> None:
        self.ended[str(state)] += 1
        began, over = told["started_at"], told["ended_at"]
        if began is not None and over is not None:
            self.lasting[bisect_left(LASTING, over - began)] += 1
            self.lasting_sum += over - began
        if state is RunState.SUCCEEDED and told["schedule"] and over is not None:
            self.successes[str(told["schedule"])] = over

    def _tick(self, told: Mapping[str, Any]) -> None:
        if told["run"] is None:
            self.skips[str(told["reason"])] += 1
