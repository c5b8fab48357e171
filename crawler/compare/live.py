"""One trial on a real site, checked by the gates that work without a web of our own.

Rules, and why:
- There is no oracle: within a block every arm must reach the same ends (URL, reason, status) as the first valid one, or
  it is void (G1). Bodies that differ only warn, because many sites write the time of day into their pages.
- There is no referee: the server's view of duplicates, pauses and requests in flight is unknown, so G3, G5, G6, G7 and
  G8 are not judged. Rates come from the crawl itself (times of its stored pages).
- Politeness applies between trials, too: none begins before the delay, and any rest the site requested, is over.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep, time
from typing import NamedTuple

import msgspec

from crawler.compare import determinism as order
from crawler.compare import gates, raw_logs, site, workload
from crawler.compare.costs import costs
from crawler.compare.design import Planned
from crawler.compare.environment import LoadMeter, OtherLoad
from crawler.compare.launch import Cost
from crawler.compare.overhead import EDGE, percentile
from crawler.compare.records import Gate, Site, Trial
from crawler.compare.run_process import (
    LOOK,
    Crashed,
    Interrupted,
    Stopped,
    read_back,
    run_watched,
    stored_times,
    summary_of,
)
from crawler.errors import CrawlerError
from crawler.metrics.summary import Summary
from crawler.settings import Settings
from crawler.storage.pages.base import Page
from crawler.storage.verify import Audit
from crawler.testweb.draw import SeededRandom

PATIENCE = 600.0
ENOUGH = 20


class SiteFindings(NamedTuple):
    """The results of a crawl of the site. `ends` is a digest of every URL with its reason and status, `moments` are
    those of its commits, one for each URL, `first_bytes` those of its stored pages. Moments and `rest_until` are Unix
    time."""

    settings: Settings
    summary: Summary
    audit: Audit
    ends: str
    moments: list[float]
    first_bytes: list[float]
    rest_until: float


class RawSite(msgspec.Struct, frozen=True, kw_only=True):
    """The raw log of one trial on a site. `started_at` in Unix time."""

    started_at: float
    cost: Cost
    found: SiteFindings
    machine: OtherLoad | None


class LiveTrials:
    """Runs trials on a site one after another, with the rests that the site requires in between; `session` is the
    folder of the comparison."""

    def __init__(self, named: Site, session: Path, delay: float, seed: int, strict: bool) -> None:
        self._site = named
        self._session = session
        self._configuration = site.configuration_of(named, session)
        self._delay = delay
        self._seed = seed
        self._strict = strict
        self._rest_until = time() + delay  # there may have been a request to the site just now

    def run(self, planned: Planned, folder: Path, trials: Iterable[Trial], stopped: Stopped) -> Trial:
        """Run one trial in an empty folder, and compare it with the `trials` of its block. Raises Interrupted."""
        self._rest(stopped)
        started_at, began = time(), monotonic()
        try:
            cost, machine = self._crawl(planned, folder, stopped)
            found = findings(folder / "crawl", summary_of(cost, folder))
            self._rest_until = max(self._rest_until, found.rest_until)
            raw = RawSite(started_at=started_at, cost=cost, found=found, machine=machine)
            kept = raw_logs.write(raw_logs.path_of(self._session, planned.order), raw)
            return recorded(planned, raw, kept, trials, strict=self._strict)
        except Crashed as why:
            crashed = gates.crashed(str(why))
        finally:
            self._rest_until = max(self._rest_until, time() + self._delay)
        return planned.recorded(crashed, {}, started_at=started_at, seconds=monotonic() - began)

    def _rest(self, stopped: Stopped) -> None:
        while (left := self._rest_until - time()) > 0:
            if stopped():
                raise Interrupted
            sleep(min(left, LOOK))

    def _crawl(self, planned: Planned, folder: Path, stopped: Stopped) -> tuple[Cost, OtherLoad | None]:
        one, dice = planned.condition, SeededRandom(self._seed, "trial", planned.order)
        command = site.command(planned.arm, self._site, one, self._configuration, folder / "crawl")
        environment = workload.child_environment(dice) | {"CRAWLER_HEARTBEAT": str(workload.HEARTBEAT)}
        patience = PATIENCE + 10 * one.pages * (1 + self._delay)
        load = LoadMeter()
        cost = run_watched(command, folder, environment, patience, stopped)
        return cost, load.others(cost.cpu + cost.own_cpu)


def findings(path: Path, summary: Summary) -> SiteFindings:
    """Read the results from disk. Raises Crashed where that fails."""
    first_bytes: list[float] = []

    def see(page: Page) -> None:
        first_bytes.append(page.first_byte)

    directory, read = read_back(path, see)
    moments = sorted(stored_times(directory).values())
    try:
        with closing(directory.open_frontiers()) as frontier:
            rows = sorted(f"{row.url} {row.reason} {row.status}\n" for row in frontier.settled())
            notes = list(frontier.notes())
    except CrawlerError as error:
        raise Crashed(f"the crawl cannot be read back: {error}") from error
    asked = max((max(note.rest_until, time() + note.delay) for note in notes), default=0.0)
    ends = hashlib.sha256("".join(rows).encode()).hexdigest()[:16]
    return SiteFindings(directory.settings, summary, read, ends, moments, sorted(first_bytes), asked)


def recorded(planned: Planned, raw: RawSite, digest: str, trials: Iterable[Trial], *, strict: bool) -> Trial:
    """The record of a trial, from what was observed and the earlier `trials` of its block; `digest` is that of its raw
    log."""
    where = planned.block, planned.condition
    peers = [one for one in trials if one.ends and (one.block, one.condition) == where and one.order < planned.order]
    return planned.recorded(
        judge(raw.found, raw.machine, peers, strict=strict),
        measured(raw.found, raw.cost),
        started_at=raw.started_at,
        seconds=raw.cost.ended_at - raw.cost.started_at,
        ends=raw.found.ends,
        digest=raw.found.summary.digest,
        raw=digest,
    )


def judge(found: SiteFindings, machine: OtherLoad | None, peers: Sequence[Trial], *, strict: bool) -> tuple[Gate, ...]:
    """The gates that apply to a real site."""
    faults = order.limits(found.settings) + order.reached(found.settings, found.summary)
    disk = list(found.audit.problems)
    if found.audit.digest != found.summary.digest:
        disk.insert(0, f"the disk gives digest {found.audit.digest} instead of {found.summary.digest}")
    quiet = gates.quiet(machine)
    return (
        _agreement(found, next((peer for peer in peers if all(gate.passed for gate in peer.gates)), None)),
        gates.gate("G2", disk, f"{found.audit.pages} pages and {found.audit.bytes} bytes read back"),
        gates.gate("G4", faults, "a fixed list of URLs, and no limit was reached"),
        quiet if strict else gates.as_warning(quiet),
    )


def _agreement(found: SiteFindings, first: Trial | None) -> Gate:
    """G1: the arms agree with each other, as there is no oracle."""
    if not found.summary.statuses:
        return Gate("G1", False, "nothing could be fetched")
    if first is None:
        return Gate("G1", True, f"no oracle: ends {found.ends}, digest {found.summary.digest}, the first of its block")
    if found.ends != first.ends:
        return Gate("G1", False, f"no oracle: other ends ({found.ends}) than {first.arm} ({first.ends}) in this block")
    if found.summary.digest != first.digest:
        return Gate("G1", True, f"{gates.WARNING}no oracle: the same ends as {first.arm}, but other bodies")
    return Gate("G1", True, f"no oracle: the same ends and bodies as {first.arm} in this block")


def measured(found: SiteFindings, cost: Cost) -> dict[str, float]:
    """The metrics, by the names in records.METRICS, that the crawl itself provides."""
    metrics = {"startup": found.summary.startup_seconds, "crawl_rate": found.summary.pages_per_second}
    metrics |= costs(cost, found.summary)
    edge, moments = len(found.moments) // EDGE, found.moments
    if len(moments) >= ENOUGH and moments[-1 - edge] > moments[edge]:
        inside = bisect_right(moments, moments[-1 - edge]) - bisect_right(moments, moments[edge])
        metrics["steady_rate"] = inside / (moments[-1 - edge] - moments[edge])
    else:  # all in one commit
        metrics["steady_rate"] = found.summary.pages_per_second
    if len(found.first_bytes) >= ENOUGH:
        metrics["first_byte_p50"] = 1000 * percentile(found.first_bytes, 0.5)
    return metrics
