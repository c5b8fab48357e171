"""The report at the end of a run: the one object that `--json` prints, and the same for people."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from crawler.core.conditions import NUMBERS, parse
from crawler.core.endings import Conclusion, asked, errors
from crawler.core.reasons import Ending, Reason
from crawler.metrics.counters import RunStats, Tally
from crawler.metrics.histogram import Histogram

FAILED = 4
"""The exit code of a crawl that failed."""


class Heartbeat(msgspec.Struct, kw_only=True):
    """The lateness of the heartbeats of a run, in milliseconds. `counts` are (upper edge of a bucket, beats) and may be
    added to those of other runs."""

    beats: int
    p50: float
    p99: float
    max: float
    counts: tuple[tuple[float, int], ...]


class Summary(msgspec.Struct, kw_only=True):
    """Figures of the directory, and of this run and its processes. Times in seconds, sizes in bytes.

    FIELDS describes each field.
    """

    urls: int
    pages: int
    bytes: int
    statuses: dict[str, int]
    reasons: dict[str, int]
    digest: str
    out: str | None
    complete: bool
    ending: str
    mode: str
    client: str
    seconds: float
    startup_seconds: float
    pages_per_second: float
    cpu_seconds: float
    peak_memory_bytes: int
    urls_this_run: int
    owed: int
    retries: int
    truncated: int
    links_cut: int
    unread: int
    too_deep: int
    pauses: dict[str, int]
    cookies_dropped: int
    heartbeat: Heartbeat | None = None
    incomplete_because: dict[str, int] = {}
    fail_on_held: tuple[str, ...] = ()
    asked_again: dict[str, int] = {}
    not_followed: dict[str, int] = {}
    generation: int = 0
    not_modified: int = 0
    bytes_saved: int = 0
    carried_over: int = 0

    @property
    def over(self) -> bool:
        """Whether the crawl has ended: no URL is owed, although some may have been missed."""
        return self.ending not in (Ending.LIMIT, Ending.STOPPED)


FIELDS = {
    "urls": "URLs that settled after at least one fetch; robots.txt does not count",
    "pages": "URLs with a stored body",
    "bytes": "bytes of these bodies, decoded",
    "statuses": "how many URLs ended with each HTTP status",
    "reasons": "how many URLs ended with each reason",
    "digest": "sum modulo 2^128 of xxh3_128(url NUL status NUL stored body) over all URLs that got a response: "
    "equal digests mean equal work, in any order, by any engine",
    "out": "the directory; null where nothing is kept",
    "complete": "nothing is owed and nothing was missed",
    "ending": "complete, incomplete, failed, limit or stopped",
    "incomplete_because": "what was missed, by reason, largest first",
    "fail_on_held": "the conditions of `fail_on` that hold",
    "owed": "URLs still to be fetched",
    "retries": "attempts beyond the first",
    "truncated": "pages that were stored in part",
    "links_cut": "links that were dropped, beyond `max_links` or `max_url_length`",
    "unread": "pages that were stored without their links",
    "too_deep": "distinct URLs in scope that only `--max-depth` kept out. Where paths of different lengths lead to a "
    "page it may depend on the order of answers",
    "not_followed": "links that were seen and left out, by kind",
    "cookies_dropped": "cookies beyond what a jar holds",
    "pauses": "how often the crawl paused, by cause",
    "generation": "0 for the first crawl of a directory, then one more with each `recrawl`",
    "not_modified": "pages that the server confirmed with 304: each counts as the page that is stored",
    "bytes_saved": "bytes of these pages, decoded, that were not transferred",
    "carried_over": "known pages that `revisit` left out, which were not asked for: each counts as the page that is "
    "stored. They are not among `urls`, and `complete` says nothing of them",
    "mode": "of this run, as all that follow",
    "client": "the HTTP client",
    "asked_again": "URLs that this run fetches again, by the reason they had ended with",
    "urls_this_run": "as `urls`",
    "seconds": "first fetch to last commit",
    "startup_seconds": "start of the process to first fetch",
    "pages_per_second": "`urls_this_run` divided by `seconds`",
    "cpu_seconds": "of all processes",
    "peak_memory_bytes": "peak of the summed PSS of all processes",
    "heartbeat": "how late the heartbeats were, where the key `heartbeat` is set: `beats`, `p50`, `p99`, `max` in "
    "milliseconds, `counts`. It shows lag of the event loop and waits for the GIL",
}
"""What each field of the JSON object is, for people."""

WORDS = {
    Ending.COMPLETE: "complete",
    Ending.INCOMPLETE: "incomplete",
    Ending.FAILED: "failed",
    Ending.LIMIT: "stopped by a limit",
    Ending.STOPPED: "stopped",
}
"""Each ending, for people: the same words everywhere."""


def state(come_to: Conclusion | None, running: int | None = None) -> str:
    """The state of a crawl, in words; `running`: the process that works on it, from CrawlDirectory.lock_owner."""
    if running is not None:
        return f"running in process {running}" if running else "running"
    return WORDS[come_to.ending] if come_to else "not complete, not running"


def summarise(
    tally: Tally,
    *,
    out: str | None,
    mode: str,
    client: str,
    ran: Ending,
    stats: RunStats,
    seconds: float = 0.0,
    startup_seconds: float = 0.0,
    cpu_seconds: float = 0.0,
    peak_memory_bytes: int = 0,
    asked_again: dict[str, int] | None = None,
    generation: int = 0,
) -> Summary:
    """The summary of what a directory holds and what a run did; `ran`: how the run ended."""
    ending, because = tally.conclude(ran)
    return Summary(
        urls=tally.urls,
        pages=tally.pages,
        bytes=tally.bytes,
        statuses=dict(sorted(tally.statuses.items())),
        reasons=dict(sorted(tally.reasons.items())),
        digest=tally.digest,
        out=out,
        complete=ending is Ending.COMPLETE,
        ending=ending.value,
        mode=mode,
        client=client,
        seconds=round(seconds, 3),
        startup_seconds=round(startup_seconds, 3),
        pages_per_second=round(stats.urls / seconds, 2) if seconds > 0 else 0.0,
        cpu_seconds=round(cpu_seconds, 3),
        peak_memory_bytes=peak_memory_bytes,
        urls_this_run=stats.urls,
        owed=tally.owed,
        retries=tally.retries,
        truncated=tally.truncated,
        links_cut=tally.links_cut,
        unread=tally.unread,
        too_deep=tally.too_deep,
        pauses=dict(sorted(tally.pauses.items())),
        cookies_dropped=tally.cookies_dropped,
        heartbeat=_heartbeat(stats.lateness) if stats.lateness else None,
        incomplete_because=because,
        asked_again=asked_again or {},
        not_followed=dict(sorted(tally.not_followed.items())),
        generation=generation,
        not_modified=tally.not_modified,
        bytes_saved=tally.bytes_saved,
        carried_over=tally.carried_over,
    )


def _heartbeat(lateness: Histogram) -> Heartbeat:
    return Heartbeat(
        beats=len(lateness),
        p50=_milliseconds(lateness.percentile(0.5)),
        p99=_milliseconds(lateness.percentile(0.99)),
        max=_milliseconds(lateness.longest),
        counts=tuple((_milliseconds(edge), count) for edge, count in lateness.edges()),
    )


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 4)


def figures(summary: Summary) -> dict[str, float]:
    """The numbers that conditions of `fail_on` may name: those of the summary, `errors`, and each reason."""
    numbers: dict[str, float] = {name: getattr(summary, name) for name in NUMBERS}
    return numbers | {"errors": errors(summary.reasons)} | {it.value: summary.reasons.get(it, 0) for it in Reason}


def judge(summary: Summary, conditions: Iterable[str]) -> list[str]:
    """The conditions of `fail_on` that hold, each with its figures; also sets `fail_on_held` of the summary. Raises
    ValueError for an invalid condition."""
    numbers, base = figures(summary), asked(summary.reasons)
    parsed = [parse(condition) for condition in conditions]
    found = [(one.text, why) for one in parsed if (why := one.holds(summary.ending, numbers, base)) is not None]
    summary.fail_on_held = tuple(text for text, _ in found)
    return [f"{text}: {why}" for text, why in found]


def exit_code(summary: Summary) -> int:
    """0 complete, or incomplete; 1 stopped by a limit; 4 failed, or a condition of `fail_on` holds. An interrupted run
    ends with its signal's code."""
    if summary.fail_on_held or summary.ending == Ending.FAILED:
        return FAILED
    return 0 if summary.over else 1
