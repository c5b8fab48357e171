"""One crawl of the demo web with repeated faults; it is resumed after each one and judged at its end."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from crawler.testweb.settings import to_toml
from tests.faults.calls import Fault, Shim
from tests.faults.crawlers import NO_MORE, Crawler, Ended, Summary
from tests.faults.invariants import Toll, Truth

IN_FLIGHT = 16
ATTEMPTS = 6  # a connection that we refuse uses an attempt; enough must be left for pages that succeed at the third
SHARDS = 2
CRASHED = (-signal.SIGSEGV, 127)
"""So libraries may end that were refused memory: the second is glibc, without any for the data of a thread."""
DEAD = (-signal.SIGKILL, -signal.SIGABRT)  # libuv aborts if it gets no thread, which is like a kill
STORAGE = 3
NOTHING_FETCHED = 4
MAY_END_WITH = (0, STORAGE, 2)  # 2: no more threads; fewer fetches in flight would be enough


class Blow(NamedTuple):
    """A fault in a run of the crawler: the kind of process to kill, `point:NAME=RULE` or `call`."""

    kind: str
    mode: str
    fault: Fault | None = None


class Trial:
    """A web, a crawl of it, and its faults. The server runs for the `with` block."""

    def __init__(self, truth: Truth, folder: Path, store: str, dice: random.Random) -> None:
        self.struck: list[float] = []
        self.landed: Counter[tuple[str, str]] = Counter()
        self._truth = truth
        self._folder = folder
        self._store = store
        self._dice = dice
        self._blows = 0
        self._summary: Summary | None = None
        self._served = truth.serve(folder)
        (folder / "web.toml").write_text(f"attempts = {ATTEMPTS}\n{to_toml(self._served.settings)}")

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *error: object) -> None:
        self._served.close()

    @property
    def complete(self) -> bool:
        """Whether the crawl is complete."""
        return self._summary is not None

    def strike(self, blow: Blow, life: tuple[float, float] = (0.3, 1.5)) -> Ended | None:
        """Run the crawler and inject the fault, for kills at a random time between the `life` seconds after its start.
        Returns how it ended; None if it was killed."""
        self._blows += 1
        if blow.fault is not None:
            return self._fail_call(blow, blow.fault)
        if blow.kind.startswith("point:"):
            return self._fail_point(blow)
        return self._kill(blow, life)

    def run_within(self, mode: str, command: Sequence[str]) -> Ended | None:
        """Run the crawler by this command, which may leave it too little memory."""
        return self._end(self._start(mode, within=command), may_crash=True)

    def finish(self, mode: str) -> Toll:
        """Run the crawl to its end and judge it."""
        if self._summary is None:
            self._summary = self._start(mode).wait()
        return self._truth.check(self._folder, self._served, self._summary, self.struck, IN_FLIGHT)

    def finish_without_memory(self, mode: str) -> None:
        """`finish`, where pages had to be fetched again because their answers could not be processed."""
        if self._summary is None:
            self._summary = self._start(mode).wait()
        self._truth.check_content(self._folder, self._summary)

    def counts(self, mode: str) -> dict[str, int]:
        """How often a whole run makes each call that can be made to fail."""
        shim = self._shim(Fault("write", 0))
        self._summary = self._start(mode, shim.environment).wait()
        return shim.counts

    def _start(self, mode: str, environment: Mapping[str, str] = NO_MORE, within: Sequence[str] = ()) -> Crawler:
        more = ("--store", self._store, "--processes", str(SHARDS))
        return Crawler(self._folder, mode, IN_FLIGHT, *more, environment=environment, within=within)

    def _shim(self, fault: Fault) -> Shim:
        return Shim(fault, self._folder / "out", self._folder / f"shim-{self._blows}")

    def _kill(self, blow: Blow, life: tuple[float, float]) -> Ended | None:
        crawler = self._start(blow.mode)
        blow_at = monotonic() + self._dice.uniform(*life)
        while monotonic() < blow_at and not crawler.ended():
            sleep(0.005)
        hit_at = None if crawler.ended() else crawler.strike(blow.kind)
        if hit_at is not None:
            self._land(blow, hit_at)
        return self._end(crawler, killed=hit_at is not None and blow.kind in ("group", "parent"))

    def _fail_point(self, blow: Blow) -> Ended | None:
        log = self._folder / f"points-{self._blows}"
        rule = blow.kind.partition(":")[2]
        crawler = self._start(blow.mode, {"CRAWLER_FAILPOINTS": f"{rule} log={log}"})
        ended = self._end(crawler)
        if log.exists():
            blow = blow._replace(kind="point:" + rule.partition("@")[0])
            self._land(blow, *(float(line.split()[0]) for line in log.read_text().splitlines()))
        return ended

    def _fail_call(self, blow: Blow, fault: Fault) -> Ended | None:
        shim = self._shim(fault)
        ended = self._end(self._start(blow.mode, shim.environment), may_crash=fault.call == "memory")
        if (fired_at := shim.fired_at) is not None:
            self._land(blow, fired_at)
        return ended

    def _land(self, blow: Blow, *moments: float) -> None:
        kind = f"call:{blow.fault.call}" if blow.fault else blow.kind
        self.landed[blow.mode, kind] += 1
        self.struck += moments

    def _end(self, crawler: Crawler, killed: bool = False, may_crash: bool = False) -> Ended | None:
        """The end of a run with a fault: killed, complete, or one line and exit code 3."""
        ended = None if killed else crawler.end()
        crawler.reap()
        if ended is None or ended.code in DEAD or (may_crash and ended.code in CRASHED):
            return None
        if (
            may_crash and ended.code == NOTHING_FETCHED
        ):  # no host was ever reached: the run reports that, and a resume retries
            assert ended.summary is not None and ended.summary["ending"] == "failed", ended
            return ended
        assert ended.code in MAY_END_WITH, ended
        if ended.code == 0:
            assert ended.summary is not None and ended.summary["owed"] == 0, ended
            self._summary = ended.summary
        else:
            self.struck.append(monotonic())
            assert any(line.startswith("error:") for line in ended.lines), ended
        return ended
