"""One trial: a web and a crawler in fresh processes; then the crawl is read back and judged.

Rules, and why:
- The crawler runs through its command line, so the measurement includes start-up, as for a user.
- Each trial has its own web on its own port, so no connection, log or TIME_WAIT affects the next one.
- Rates come from the commits of the crawl's frontier (see stored_rate), costs from the kernel's accounting of the
  process tree.
- The latency added by an engine is computed afterwards, from the crawl's stored pages and the server's log.
- What was observed is kept raw (see raw_logs); gates and metrics are computed from that alone.
- A trial that crashes, hangs or is void is recorded; only one that the user interrupts is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic, time
from typing import NamedTuple

from crawler.compare import gates, open_loop, workload
from crawler.compare.costs import NO_START, StartCost, costs
from crawler.compare.design import Planned
from crawler.compare.durability import Durability, FileWatch, commits
from crawler.compare.envelope import stop
from crawler.compare.environment import LoadMeter, OtherLoad, cpu_of
from crawler.compare.launch import Cost
from crawler.compare.overhead import overhead
from crawler.compare.raw_logs import RawTrial
from crawler.compare.records import Condition, Trial
from crawler.compare.run_process import (
    Crashed,
    Stopped,
    read_back,
    run_watched,
    stored_times,
    summary_of,
)
from crawler.compare.stored_rate import stored_rates
from crawler.metrics.summary import Summary
from crawler.storage.pages.base import Page
from crawler.testweb.draw import SeededRandom
from crawler.testweb.log import LogEntry, read_log
from crawler.testweb.referee import judge_entries


class Rates(NamedTuple):
    """Reference rates of a trial, in pages/s: the raw client loop in the same block, the server's capacity. None where
    not measured. `start`: what the engine spends on starting. `offered`: fetches/s of an open loop, 0 in a closed one.
    """

    raw: float | None = None
    server: float | None = None
    start: StartCost = NO_START
    offered: float = 0.0


class TrialSeen(NamedTuple):
    """The results of a command and its server. `machine` and `server_cpu` as in gates.Evidence."""

    cost: Cost
    entries: list[LogEntry]
    server_cpu: float
    machine: OtherLoad | None
    durability: Durability


def run_trial(
    planned: Planned,
    folder: Path,
    *,
    seed: int,
    rates: Rates,
    strict: bool,
    stopped: Stopped,
    keep: Callable[[RawTrial], str] = lambda raw: "",
) -> Trial:
    """Run one trial in an empty folder; `keep` gets what was observed, and returns its digest. Raises Interrupted,
    CrawlerError where the web cannot be started."""
    condition, started_at, began = planned.condition, time(), monotonic()
    out = folder / "crawl"

    def command(configuration: Path, address: str) -> list[str]:
        return workload.command(planned.arm, condition, configuration, out)

    try:
        dice = SeededRandom(seed, "trial", planned.order)
        seen = beside_web(condition, folder, command, dice, stopped, rates.offered)
        raw = _observed(folder, seen, summary_of(seen.cost, folder), rates, started_at)
        return recorded(planned, raw, keep(raw), strict=strict)
    except Crashed as why:
        found = gates.crashed(str(why))
    return planned.recorded(found, {}, started_at=started_at, seconds=monotonic() - began)


def recorded(planned: Planned, raw: RawTrial, digest: str, *, strict: bool) -> Trial:
    """The record of a trial, from what was observed alone; `digest` is that of its raw log."""
    evidence = evidence_of(planned.condition, raw)
    return planned.recorded(
        gates.judge(evidence, strict=strict),
        _metrics(evidence, raw.cost, raw.start),
        started_at=raw.started_at,
        seconds=raw.cost.ended_at - raw.cost.started_at,
        raw=digest,
    )


def beside_web(
    condition: Condition,
    folder: Path,
    command: Callable[[Path, str], list[str]],
    dice: SeededRandom,
    stopped: Stopped,
    offered: float = 0.0,
) -> TrialSeen:
    """Serve the web of the condition and run a command, made from (configuration, address of the first host); a crawl
    with so many fetches/s `offered`, as many as it can at 0."""
    log, configuration = folder / "log", folder / "web.toml"
    with workload.serve(condition, log) as web:
        workload.write_configuration(condition, web, configuration)
        address = next(iter(web.settings.resolve.values()))
        environment = workload.child_environment(dice) | ({"CRAWLER_ARRIVALS": str(offered)} if offered else {})
        patience = workload.patience(condition)
        load, cpu_before, files = LoadMeter(), cpu_of(web.process.pid), FileWatch(folder / "crawl")
        cost = run_watched(command(configuration, address), folder, environment, patience, stopped, files.look)
        server_cpu = cpu_of(web.process.pid) - cpu_before
        machine = load.others(cost.cpu + cost.own_cpu + server_cpu)
        durability = files.end()
    return TrialSeen(cost, read_log(log), server_cpu, machine, durability)


def _observed(folder: Path, seen: TrialSeen, summary: Summary, rates: Rates, started_at: float) -> RawTrial:
    """Read the crawl back. Raises Crashed where it cannot be read."""
    first_bytes, received_at, cut = dict[str, float](), dict[str, float](), 0

    def see(page: Page) -> None:
        nonlocal cut
        first_bytes[page.url] = page.first_byte
        if rates.offered:
            received_at[page.url] = page.fetched_at
        cut += page.truncated == "length"

    directory, audit = read_back(folder / "crawl", see)
    return RawTrial(
        started_at=started_at,
        cost=seen.cost,
        summary=summary,
        settings=directory.settings,
        audit=audit,
        entries=seen.entries,
        first_bytes=first_bytes,
        received_at=received_at,
        stored_at=stored_times(directory),
        cut=cut,
        server_cpu=seen.server_cpu,
        raw_rate=rates.raw,
        server_rate=rates.server,
        start=rates.start,
        machine=seen.machine,
        durability=seen.durability,
    )


def evidence_of(condition: Condition, raw: RawTrial) -> gates.Evidence:
    """What the gates judge."""
    oracle = workload.oracle_of(condition)
    ends, slots = oracle.ends, condition.concurrency

    def busy(url: str) -> float:
        return stop(oracle.web, url, ends[url].attempts).busy if url in ends else 0.0

    asked_at = min((entry.wall for entry in raw.entries), default=0.0)
    return gates.Evidence(
        condition=condition,
        oracle=oracle,
        settings=raw.settings,
        summary=raw.summary,
        audit=raw.audit,
        entries=raw.entries,
        first_bytes=raw.first_bytes,
        received_at=raw.received_at,
        stored_at=raw.stored_at,
        durability=raw.durability,
        rates=stored_rates(raw.stored_at, asked_at, slots, busy),
        cut=raw.cut,
        verdict=judge_entries(raw.entries, oracle.web, condition.delay, workload.per_host(condition)),
        cpu=raw.cost.cpu,
        processes=raw.cost.processes,
        server_cpu=raw.server_cpu,
        raw_rate=raw.raw_rate,
        server_rate=raw.server_rate,
        machine=raw.machine,
    )


def _metrics(evidence: gates.Evidence, cost: Cost, start: StartCost) -> dict[str, float]:
    """The metrics, by the names in records.METRICS. A page is a URL that was fetched and settled."""
    pages, steady, rates = max(evidence.summary.urls, 1), evidence.verdict.steady, evidence.rates
    first = min((entry.at for entry in evidence.entries), default=cost.ended_at)
    found = {
        "steady_rate": rates.steady or rates.whole,
        "crawl_rate": rates.whole,
        "answer_rate": steady.throughput,
        "startup": first - cost.started_at,
        "in_flight": steady.mean_in_flight,
        **overhead(evidence.first_bytes, evidence.entries),
        **costs(cost, evidence.summary, start),
        **_kept(evidence),
    }
    if offered := evidence.settings.arrivals:
        found["offered_rate"] = offered
        found |= open_loop.response_times(offered, evidence.received_at, evidence.entries)
    if rates.drift is not None and evidence.condition.workload == workload.FLAT:
        found["drift"] = rates.drift
    if math.isfinite(rates.possible):
        found["possible_rate"] = rates.possible
    if evidence.condition.workload != workload.FLAT:
        found["least_rate"] = pages / evidence.oracle.seconds
    beside = {"raw_rate": evidence.raw_rate, "server_rate": evidence.server_rate}
    return found | {name: rate for name, rate in beside.items() if rate is not None}


def _kept(evidence: gates.Evidence) -> dict[str, float]:
    """The metrics of durability."""
    made, left = commits(evidence.stored_at), evidence.durability.unsynced
    found = {
        "commits": float(made.number),
        "largest_commit": float(made.largest),
        "longest_uncommitted": made.longest,
    }
    return found if left is None else found | {"unsynced": float(left)}
