"""Decides whether a trial counts. Each gate checks evidence that does not come from the engine itself.

Gates of correctness, which always decide:
- G1 the digest of the crawl and its reasons are the oracle's, computed without crawling, and so is the number of links
  that its pages have and a crawl leaves out, which only an engine that parses every page can know;
- G2 the stored data, read back, gives the same digest;
- G3 the server saw every expected (URL, attempt) once, and nothing else. An answer that is no page may be asked for
  again: a fetch uses up no attempt while its host seems to be down;
- G4 order could not change the result: no limit that depends on it was set, none was reached, no body was cut;
- G6 no requests came too early, too many at once, or against robots.txt;
- G7 failures were deterministic: the requests of a URL carried attempt numbers 1, 2, ..., and each got the web's answer
  to that attempt;
- G10 nothing was faster than possible: the crawl lasted, from the first request to the last commit, at least as long as
  any crawl of this web must, the rate of its steady window is not beyond what the slots allow, and no page was
  committed before it was answered;
- G11 as much was kept as safely as by every engine (see durability).

Gates of the machine, which a lenient session turns into warnings ("warning: ..." in the detail):
- G5 the slots were as many as asked for: never more than C requests in flight, and 0.90 C at least once, which a hidden
  limit (a connection pool) would prevent. How full the slots were on average is a result, not a condition: a gate on it
  would void the slow engines. It requires nothing at latency 0, of a job of fewer than 10 pages a slot, or of an open
  loop, whose schedule decides. An engine at its CPU roof (CPU per page times pages/s: 0.8 cores) cannot fill its slots;
  that is a finding, not a fault. Where worker processes were asked for, they and their parent were alive at once;
- G8 the server had headroom: it used at most 0.60 of its one core, it can give three times the rate of this crawl, and
  the raw loop got at least the same rate from it. Its answers were late by at most half their latency, or 20 ms (p99):
  a later server is what is measured. None was early: one that gives all pages the same time, say, answers in waves;
- G12 the rate was steady: the halves of the steady window differ by at most DRIFT. It only warns, in a strict session
  too: to void an engine that slows down would hide that it does.
- G9 the host was quiet: steal below 1 %, other processes below 10 % of all cores, no swapping, no throttling.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from crawler.compare import determinism as order
from crawler.compare import durability
from crawler.compare.environment import OtherLoad
from crawler.compare.overhead import percentile
from crawler.compare.records import Condition, Gate, Trial
from crawler.compare.stored_rate import StoredRates
from crawler.compare.workload import FLAT, Oracle
from crawler.metrics.summary import Summary
from crawler.settings import Settings
from crawler.storage.verify import Audit
from crawler.testweb.log import LogEntry
from crawler.testweb.referee import Verdict

FILLED = 0.90
SHORTEST = 10
CPU_ROOF = 0.8
SERVER_SHARE = 0.60
RAW_SLACK = 0.9
HEADROOM = 3.0
LATE = 0.02
EARLY = 0.005
"""Seconds; timers have a resolution of 1 ms."""
STEAL = 0.01
FOREIGN = 0.10
CLOCKS = 0.02
"""Seconds by which the clocks of server and crawler may differ: both are that of the machine."""
DRIFT = 0.10
BEYOND = 1.05
"""How far a rate may be beyond what is possible: the pages of a window were fetched a little before it."""
WARNING = "warning: "
OK, TOO_MANY, SERVER_ERROR = 200, 429, 500


class Evidence(NamedTuple):
    """All observations of one trial.

    `settings`, `first_bytes` (URL -> seconds), `received_at` (URL -> Unix time, in an open loop) and `stored_at` (URL
    -> Unix time of its commit) as the crawl stored them; `durability` as its files showed it; `rates` by its commits;
    `cut`: number of bodies cut at the cap; `cpu` of the crawler's tree and `server_cpu` in seconds; `processes`: most
    alive at once (0: not seen); `raw_rate` and `server_rate` (the server's capacity) in pages/s, None where they were
    not measured; `machine` None where it is unknown.
    """

    condition: Condition
    oracle: Oracle
    settings: Settings
    summary: Summary
    audit: Audit
    entries: Sequence[LogEntry]
    first_bytes: Mapping[str, float]
    received_at: Mapping[str, float]
    stored_at: Mapping[str, float]
    durability: durability.Durability
    rates: StoredRates
    cut: int
    verdict: Verdict
    cpu: float
    processes: int
    server_cpu: float
    raw_rate: float | None
    server_rate: float | None
    machine: OtherLoad | None


def judge(evidence: Evidence, *, strict: bool = True) -> tuple[Gate, ...]:
    """The results of all gates, by name. Not `strict`: the gates of the machine only warn."""
    checks = (_oracle, _store, _referee, _order, _politeness, _failures, _possible, _durability)
    correctness = [check(evidence) for check in checks]
    machine = [_concurrency(evidence), _headroom(evidence), quiet(evidence.machine)]
    found = [*correctness, *(machine if strict else map(as_warning, machine)), as_warning(_steadiness(evidence))]
    return tuple(sorted(found, key=lambda gate: int(gate.name[1:])))


def crashed(why: str) -> tuple[Gate, ...]:
    """The gates of a trial without a result: G1 fails."""
    return (Gate("G1", False, why),)


def as_warning(gate: Gate) -> Gate:
    """A gate of the machine in a lenient session: it passes, with the fault as a warning."""
    return gate if gate.passed else Gate(gate.name, True, WARNING + gate.detail)


def warnings(trials: Iterable[Trial]) -> list[str]:
    """The gates of the machine that only warned, one line each: how often, and the detail of the first."""
    found: dict[str, list[str]] = {}
    for one in (one for trial in trials for one in trial.gates if one.passed and one.detail.startswith(WARNING)):
        found.setdefault(one.name, []).append(one.detail.removeprefix(WARNING))
    return [f"{name} in {len(details)} trials: {details[0]}" for name, details in sorted(found.items())]


def _oracle(evidence: Evidence) -> Gate:
    summary, oracle = evidence.summary, evidence.oracle
    reasons = Counter(end.reason.value for end in oracle.ends.values())
    faults = []
    if summary.digest != oracle.digest:
        faults.append(f"digest {summary.digest} instead of {oracle.digest}")
    if summary.reasons != dict(reasons):
        differing = sorted(name for name in reasons | summary.reasons if reasons[name] != summary.reasons.get(name, 0))
        faults += [f"{name} {summary.reasons.get(name, 0)} instead of {reasons[name]}" for name in differing]
    for kind, count in oracle.left_out.items():
        if (seen := summary.not_followed.get(kind, 0)) != count:
            faults.append(f"{seen} links left out ({kind}) instead of {count}: were all pages parsed?")
    return gate("G1", faults, f"digest {oracle.digest}, {len(oracle.ends)} URLs")


def _store(evidence: Evidence) -> Gate:
    audit, oracle = evidence.audit, evidence.oracle
    faults = list(audit.problems)
    if audit.digest != oracle.digest:
        faults.insert(0, f"the disk gives digest {audit.digest} instead of {oracle.digest}")
    return gate("G2", faults, f"{audit.pages} pages and {audit.bytes} bytes read back")


def _referee(evidence: Evidence) -> Gate:
    web, ends = evidence.oracle.web, evidence.oracle.ends
    expected = {(url, attempt) for url, end in ends.items() for attempt in range(1, end.attempts + 1)}
    asked, answered = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for entry in evidence.entries:
        if entry.host not in web.names or not web.is_robots(entry.host, entry.path):
            key = entry.url, entry.attempt
            asked[key] += 1
            answered[key] += _is_page(entry)
    kinds = {
        "missing": sorted(expected - asked.keys()),
        "unexpected": sorted(asked.keys() - expected),
        "twice": sorted(key for key, times in answered.items() if times > 1),
    }
    faults = [f"{len(found)} {kind}: {found[0][0]} attempt {found[0][1]}" for kind, found in kinds.items() if found]
    return gate(
        "G3", faults, f"{len(asked)} requests, each once; robots.txt {len(evidence.entries) - asked.total()} times"
    )


def _is_page(entry: LogEntry) -> bool:
    """Whether a host that answers so is up."""
    return bool(entry.status) and entry.status != TOO_MANY and entry.status < SERVER_ERROR


def _order(evidence: Evidence) -> Gate:
    faults = order.limits(evidence.settings) + order.reached(evidence.settings, evidence.summary)
    if evidence.cut:
        faults.append(f"{evidence.cut} bodies were cut at the cap")
    return gate("G4", faults, "no limit was set that depends on order, and none was reached")


def _failures(evidence: Evidence) -> Gate:
    web = evidence.oracle.web
    attempts: defaultdict[str, list[int]] = defaultdict(list)
    faults, failed = [], 0
    for entry in evidence.entries:
        if entry.host not in web.names:
            continue  # reported by G3
        url = entry.url
        if not web.is_robots(entry.host, entry.path) and (_is_page(entry) or entry.attempt not in attempts[url]):
            attempts[url].append(entry.attempt)
        answer = web.document(entry.host, entry.path, entry.attempt)
        status = 0 if answer.fault == "reset" else answer.status
        failed += bool(answer.fault) or status >= 400
        if entry.status != status:
            faults.append(f"{url} attempt {entry.attempt} ended with {entry.status}, the web's answer is {status}")
    counted = {url: seen for url, seen in attempts.items() if sorted(seen) != list(range(1, len(seen) + 1))}
    faults += [f"{url} was asked for as attempts {seen}" for url, seen in counted.items()]
    return gate("G7", faults, f"{failed} failures, each the web's answer to that attempt")


def _politeness(evidence: Evidence) -> Gate:
    verdict = evidence.verdict
    kinds: Mapping[str, Sequence[object]] = {
        "too early": verdict.gaps,
        "too many at once": verdict.overlaps,
        "before Retry-After was over": verdict.holds,
        "forbidden by robots.txt": verdict.disallowed,
        "of a closed host": verdict.closed,
    }
    faults = [f"{len(found)} requests {kind}" for kind, found in kinds.items() if found]
    gaps = [host.smallest_gap for host in verdict.hosts.values() if host.smallest_gap is not None]
    return gate("G6", faults, f"smallest gap {min(gaps) * 1000:.1f} ms" if gaps else "no rest was asked for")


def _concurrency(evidence: Evidence) -> Gate:
    condition, verdict = evidence.condition, evidence.verdict
    slots, mean, most = condition.concurrency, verdict.steady.mean_in_flight, verdict.most_in_flight
    seen = f"mean {mean:.1f}, most {most} of {slots} in flight"
    faults = [f"too many: {seen}"] if most > slots else []
    workers, alive = evidence.settings.processes or 0, evidence.processes
    long = condition.pages >= SHORTEST * slots
    if long and workers and 0 < alive <= workers:
        faults.append(f"{alive} processes alive at once, where {workers} workers and their parent were asked for")
    filled = long and condition.workload == FLAT and condition.latency > 0 and not condition.arrivals
    if filled and most < FILLED * slots:
        busy = evidence.cpu / max(evidence.summary.urls, 1) * verdict.steady.throughput
        if busy < CPU_ROOF:
            faults.append(f"slots left empty with {busy:.2f} cores busy: {seen}")
        else:
            seen += f"; at the CPU roof, {busy:.2f} cores busy"
    return gate("G5", faults, seen)


def _possible(evidence: Evidence) -> Gate:
    rates, least = evidence.rates, evidence.oracle.seconds
    faults = []
    if rates.seconds < least / BEYOND:
        faults.append(
            f"{rates.seconds:.2f} s from the first request to the last commit, where {least:.2f} s are needed"
        )
    if rates.steady > rates.possible * BEYOND:
        faults.append(f"{rates.steady:.0f} pages/s, where the slots allow {rates.possible:.0f}")
    early = [url for url, at in _answered(evidence).items() if evidence.stored_at.get(url, at) < at - CLOCKS]
    if early:
        faults.append(f"{len(early)} pages are stated as committed before they were answered: {early[0]}")
    return gate("G10", faults, f"{rates.seconds:.2f} s, where {least:.2f} s are needed at least")


def _answered(evidence: Evidence) -> dict[str, float]:
    """URL -> when the server had first sent its page, in Unix time."""
    return {
        f"http://{entry.host}{entry.path}": entry.wall + entry.end - entry.at
        for entry in reversed(evidence.entries)
        if entry.status == OK
    }


def _durability(evidence: Evidence) -> Gate:
    seen, made = evidence.durability, durability.commits(evidence.stored_at)
    faults = durability.faults(evidence.stored_at, seen, evidence.condition.concurrency)
    left = "unsynced bytes unknown" if seen.unsynced is None else f"{seen.unsynced} bytes unsynced"
    told = f"{made.number} commits of at most {made.largest} pages, {made.longest:.2f} s apart at most, {left}"
    return gate("G11", faults, told)


def _steadiness(evidence: Evidence) -> Gate:
    drift = evidence.rates.drift if evidence.condition.workload == FLAT else None
    if drift is None:
        return Gate("G12", True, "no steady window to compare the halves of")
    told = f"the second half of the steady window {drift:+.1%} against the first"
    return gate("G12", [told] if abs(drift) > DRIFT else [], told)


def _headroom(evidence: Evidence) -> Gate:
    entries, faults = evidence.entries, []
    served = max((entry.end for entry in entries), default=0.0) - min((entry.at for entry in entries), default=0.0)
    share, rate = evidence.server_cpu / max(served, 1e-9), evidence.verdict.steady.throughput
    early, late = _lateness(evidence)
    allowed = max(LATE, evidence.condition.latency / 2)
    if early > EARLY * 1000:
        faults.append(f"the server answered up to {early:.1f} ms early: it has other latencies than were asked for")
    if late > allowed * 1000:
        faults.append(f"the server answered late by {late:.1f} ms at p99, where {allowed * 1000:.0f} ms are allowed")
    if share > SERVER_SHARE:
        faults.append(f"the server was busy for {share:.2f} of its core")
    if evidence.raw_rate is not None and evidence.raw_rate < RAW_SLACK * rate:
        faults.append(
            f"the raw loop got {evidence.raw_rate:.0f} pages/s, this crawl {rate:.0f}: it measured something else"
        )
    if evidence.server_rate is not None and evidence.server_rate < HEADROOM * rate:
        faults.append(f"server-limited: it can give {evidence.server_rate:.0f} pages/s, this crawl took {rate:.0f}")
    seen = f"server busy for {share:.2f} of its core, late by {late:.2f} ms at p99; here {rate:.0f} pages/s"
    for name, most in (("raw loop", evidence.raw_rate), ("server at most", evidence.server_rate)):
        seen += "" if most is None else f", {name} {most:.0f}"
    return gate("G8", faults, seen)


def _lateness(evidence: Evidence) -> tuple[float, float]:
    """By how much the server's earliest answer was early, and the 99th percentile of their lateness, in ms."""
    web = evidence.oracle.web
    late = sorted(
        entry.end - entry.at - web.document(entry.host, entry.path, entry.attempt).delay
        for entry in evidence.entries
        if entry.host in web.names and entry.status
    )
    return (-1000 * late[0], 1000 * percentile(late, 0.99)) if late else (0.0, 0.0)


def quiet(machine: OtherLoad | None) -> Gate:
    """G9, from the load of other processes; passed where that is unknown."""
    if machine is None:
        return Gate("G9", True, "not known on this system")
    tests = (
        (machine.steal > STEAL, f"steal {machine.steal:.1%}"),
        (machine.foreign > FOREIGN, f"other processes took {machine.foreign:.1%} of all cores"),
        (machine.swapped > 0, f"{machine.swapped} pages swapped"),
        (machine.throttled > 0, f"throttled {machine.throttled} times"),
    )
    seen = f"steal {machine.steal:.1%}, other processes {machine.foreign:.1%} of all cores, load {machine.average:.2f}"
    return gate("G9", [words for wrong, words in tests if wrong], seen)


def gate(name: str, faults: Sequence[str], seen: str) -> Gate:
    """A gate that passed with `seen`, or failed with the first three faults."""
    return Gate(name, not faults, "; ".join(faults[:3]) or seen)
