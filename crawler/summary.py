"""What a run tells at its end: the one object that `--json` prints, and the same for people."""

from __future__ import annotations

import msgspec

from crawler.core.messages import Ending
from crawler.histogram import Histogram
from crawler.stats import RunStats, Tally


class Heartbeat(msgspec.Struct, kw_only=True):
    """How late the beats of a run came, in milliseconds. `counts` are (upper edge of a bucket, beats) and may be added
    to those of other runs."""

    beats: int
    p50: float
    p99: float
    max: float
    counts: tuple[tuple[float, int], ...]


class Summary(msgspec.Struct, kw_only=True):
    """Of the directory as a whole: `urls` to `complete`. Of this run and its processes: the rest. Seconds, bytes."""

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
    not_followed: dict[str, int] = {}


def summarise(
    tally: Tally,
    *,
    out: str | None,
    mode: str,
    client: str,
    ending: Ending,
    stats: RunStats,
    seconds: float = 0.0,
    startup_seconds: float = 0.0,
    cpu_seconds: float = 0.0,
    peak_memory_bytes: int = 0,
) -> Summary:
    """Put together what a directory holds and what a run did."""
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
        not_followed=dict(sorted(tally.not_followed.items())),
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


def exit_code(summary: Summary) -> int:
    """0 complete; 1 stopped by a limit, or nothing could be fetched. An interrupted run ends with its signal's code."""
    return 0 if summary.complete and summary.statuses else 1
