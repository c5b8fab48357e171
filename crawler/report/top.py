"""The top of a crawl's report: how it ended and when, a banner where nothing was fetched, and the figures. Pure."""

from __future__ import annotations

import shlex

from crawler.core.endings import REASONS, in_words
from crawler.core.reasons import Reason
from crawler.metrics.summary import state as state_of
from crawler.report.facts import Facts
from crawler.report.html import NOTHING, between, moment, remote
from crawler.report.numbers import counted, lasting, number
from crawler.system.text import duration, format_bytes

FINE = ("ok", "redirect")


def state(facts: Facts) -> str:
    """The state of the crawl, in words."""
    return state_of(facts.come_to, facts.running)


def when(facts: Facts) -> str:
    """The end of a sentence on a crawl: from its first fetch to its last answer, by the clock; of one that runs, when
    it was looked at."""
    spans = facts.pace.spans
    if facts.running is not None:
        return f"; as of {moment(facts.taken_at)}"
    if not spans:
        return ""
    runs = f", in {counted(facts.manifest.runs, 'run')}" if facts.manifest.runs > 1 else ""
    return f"; {between(spans[0].start, spans[-1].end)}{runs}"


def top(facts: Facts) -> str:
    """All of it."""
    return f"{_state(facts)}{_banner(facts)}{_tiles(facts)}"


def not_fine(facts: Facts) -> int:
    """The URLs that ended otherwise than ok or with a redirect."""
    return sum(count for reason, count in facts.tally.reasons.items() if reason not in FINE)


def _state(facts: Facts) -> str:
    owed = f", {facts.tally.owed:,} of {facts.tally.queued:,} URLs still to be fetched" if facts.tally.owed else ""
    demo = " The built-in test web." if facts.manifest.demo else ""
    missed = f" (missed: {in_words(facts.missed)})" if facts.missed else ""
    text = f"{state(facts)}{missed}{owed}{when(facts)}.{demo} <code>{remote(facts.out)}</code>"
    return f'<p class="state">{text}</p>'


def _banner(facts: Facts) -> str:
    """What went wrong first, where a crawl that does not run has fetched nothing."""
    if facts.running is not None or not (facts.failed or not facts.tally.urls):
        return ""
    said = "Nothing could be fetched." if facts.failed else "Nothing was fetched."
    if facts.troubles:
        first = facts.troubles[0]
        detail = f" ({remote(first.detail)})" if first.detail else ""
        said += f" {_sentence(first.reason)}{detail}: {remote(first.url)}."
    resume = f"{facts.command} resume {shlex.quote(facts.out)}"
    return f'<p class="banner">{said} To ask again: <code>{remote(resume, 600)}</code></p>'


def _sentence(reason: str) -> str:
    """What a reason means, without its full stop. One of a newer version has no sentence."""
    try:
        return REASONS[Reason(reason)].sentence.removesuffix(".")
    except ValueError:
        return remote(reason)


def figures(facts: Facts) -> dict[str, str]:
    """The main figures by name."""
    tally, times = facts.tally, facts.fetch_times
    cpu, memory = facts.cpu_seconds, facts.peak_memory
    return {
        "URLs fetched": f"{tally.urls:,}",
        "still to be fetched": f"{tally.owed:,}",
        "pages stored": f"{tally.pages:,}",
        **({"known, not asked for": f"{tally.carried_over:,}"} if tally.carried_over else {}),
        "stored, uncompressed": format_bytes(tally.bytes),
        "not ok": f"{not_fine(facts):,}",
        "retries": f"{tally.retries:,}",
        "hosts": f"{facts.hosts.count:,}",
        "active time": duration(facts.pace.seconds),
        "URLs/s on average": number(facts.rate) if facts.rate else NOTHING,
        "fetch time, p50": lasting(times.p50) if times else NOTHING,
        "fetch time, p95": lasting(times.p95) if times else NOTHING,
        "fetch time, p99": lasting(times.p99) if times else NOTHING,
        "CPU time": duration(cpu) if cpu is not None else NOTHING,
        "memory at the peak": format_bytes(memory) if memory is not None else NOTHING,
    }


def _tiles(facts: Facts) -> str:
    tiles = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in figures(facts).items())
    return f'<div class="tiles">{tiles}</div>'
