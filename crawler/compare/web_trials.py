"""Runs the trials of a session on webs of our own, and what several of them share: reference measurements.

Rules, and why:
- The raw client loop runs once in each block of a condition, beside the trials that it is compared with.
- The capacity of the server is measured once for each size of a page and number of connections.
- What an arm spends on starting is measured once for each number of slots, by a crawl of one page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import time

from crawler.compare import gates, open_loop, raw_logs, workload
from crawler.compare.costs import NO_START, StartCost
from crawler.compare.design import Planned
from crawler.compare.headroom import capacity
from crawler.compare.records import Arm, Condition, Trial
from crawler.compare.run_process import Crashed, Stopped, empty_folder, last_line, summary_of
from crawler.compare.trial import Rates, beside_web, run_trial
from crawler.errors import CrawlerError
from crawler.testweb.draw import SeededRandom
from crawler.testweb.referee import judge as judge_log

START_URLS = 2
"""URLs of a flat web of one page, and its listing."""


class WebTrials:
    """Runs trials on webs of our own; their raw logs go into the folder of the `session`. Starts with the references
    that were recorded in earlier `trials`."""

    def __init__(self, seed: int, strict: bool, trials: Iterable[Trial], session: Path, arms: Sequence[Arm]) -> None:
        self._seed, self._strict, self._session, self._arms = seed, strict, session, arms
        self._raw: dict[tuple[int, Condition], float | None] = {}
        self._server: dict[tuple[str, int, int], float | None] = {}
        self._starts: dict[tuple[str, int, int], StartCost] = {}
        for trial in trials:
            if trial.metrics:
                if cpu := trial.metrics.get("start_cpu"):
                    spent = StartCost(cpu, trial.metrics["start_switches"], START_URLS)
                    self._starts[_started(trial.arm, trial.condition)] = spent
                self._raw[trial.block, trial.condition] = trial.metrics.get("raw_rate")
                self._server[_served(trial.condition)] = trial.metrics.get("server_rate")

    def run(self, planned: Planned, folder: Path, trials: Iterable[Trial], stopped: Stopped) -> Trial:
        """Run one trial in an empty folder; the earlier `trials` tell the peaks that an open loop is a share of. Raises
        Interrupted, CrawlerError."""
        condition, seed = planned.condition, self._seed
        arms = {arm.name for arm in self._arms if arm.takes_part(condition)}
        offered = open_loop.offered_rate(condition, arms, trials) if condition.arrivals else 0.0
        if offered is None:
            why = gates.crashed("no arm has a valid trial in the closed loop, so there is no peak to offer a share of")
            return planned.recorded(why, {}, started_at=time(), seconds=0)
        block, served = (planned.block, condition), _served(condition)
        if served not in self._server:
            with empty_folder(folder / "load") as load:
                self._server[served] = capacity(condition, load)
        if block not in self._raw:
            with empty_folder(folder / "raw") as raw:
                self._raw[block] = raw_rate(condition, raw, seed=seed + planned.order, stopped=stopped)
        started = _started(planned.arm.name, condition)
        if started not in self._starts:
            with empty_folder(folder / "start") as start:
                self._starts[started] = start_cost(planned, start, seed=seed, stopped=stopped)
        rates = Rates(self._raw[block], self._server[served], self._starts[started], offered)
        raw_log = raw_logs.path_of(self._session, planned.order)
        return run_trial(
            planned,
            folder,
            seed=seed,
            rates=rates,
            strict=self._strict,
            stopped=stopped,
            keep=lambda raw: raw_logs.write(raw_log, raw),
        )


def _served(condition: Condition) -> tuple[str, int, int]:
    return condition.workload, condition.payload, condition.concurrency


def _started(arm: str, condition: Condition) -> tuple[str, int, int]:
    return arm, condition.concurrency, condition.workers


def start_cost(planned: Planned, folder: Path, *, seed: int, stopped: Stopped) -> StartCost:
    """What an engine spends on a flat web of one page; nothing where it crashes, which its trials record. Raises
    Interrupted, CrawlerError."""
    one = planned.condition
    small = Condition(
        sweep=one.sweep,
        pages=1,
        concurrency=one.concurrency,
        workers=one.workers,
        latency=0.0,
        payload=one.payload,
        tls=one.tls,
    )
    out = folder / "crawl"

    def command(configuration: Path, address: str) -> list[str]:
        return workload.command(planned.arm, small, configuration, out)

    try:
        seen = beside_web(small, folder, command, SeededRandom(seed, "start", planned.order), stopped)
        urls = summary_of(seen.cost, folder).urls
    except Crashed:
        return NO_START
    return StartCost(seen.cost.cpu, float(seen.cost.switches), urls) if urls == START_URLS else NO_START


def raw_rate(condition: Condition, folder: Path, *, seed: int, stopped: Stopped) -> float | None:
    """Pages/s of the raw client loop, in the server's steady window; None for a web that it cannot crawl (several
    hosts, rests), and for a sweep that involves more than fetching.

    Raises Interrupted, CrawlerError.
    """
    if condition.workload != workload.FLAT or condition.sweep not in workload.BESIDE_RAW:
        return None
    urls = folder / "urls"
    urls.write_text("\n".join(workload.oracle_of(condition).ends), encoding="utf-8")

    def command(configuration: Path, address: str) -> list[str]:
        words = [sys.executable, "-m", "crawler.compare.raw", str(urls), str(condition.concurrency), address]
        return [*words, *map(str, filter(None, [workload.authority_of(condition, folder)]))]

    try:
        seen = beside_web(condition, folder, command, SeededRandom(seed, "raw"), stopped)
    except Crashed as why:
        raise CrawlerError(f"the raw loop: {why}") from why
    if seen.cost.exit_code:
        raise CrawlerError(f"the raw loop ended with {seen.cost.exit_code}: {last_line(folder)}")
    return judge_log(folder / "log", workload.oracle_of(condition).web, 0.0, condition.concurrency).steady.throughput
