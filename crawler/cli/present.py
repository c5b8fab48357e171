"""The summary at the end of a run: one JSON object for scripts, some lines for people."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap

from msgspec import to_builtins

from crawler.core.endings import in_words
from crawler.core.reasons import Ending
from crawler.metrics.counters import RunStats
from crawler.metrics.summary import WORDS, Summary
from crawler.report.numbers import lasting
from crawler.storage.directory import DIFF_REPORT, REPORT
from crawler.storage.generations import folder_of
from crawler.system.invocation import called
from crawler.system.text import counts, duration, escape_unprintable, format_bytes

SLOWEST = 3
INDENT = " " * 13  # the column of the text, after the name of the line


def as_object(value: object) -> str:
    """One line of JSON, in ASCII."""
    return json.dumps(to_builtins(value))


def present(summary: Summary, stats: RunStats | None, as_json: bool) -> str:
    """What stdout shows. `stats` None: nothing was left to do in this run."""
    return as_object(summary) if as_json else "\n".join(_lines(summary, stats))


def _lines(summary: Summary, stats: RunStats | None) -> list[str]:
    lines = [
        _headline(summary),
        f"  statuses   {counts(summary.statuses)}",
        f"  reasons    {counts(summary.reasons)}",
        f"  digest     {summary.digest}",
    ]
    if summary.incomplete_because:
        lines.append(f"  missed     {in_words(summary.incomplete_because)}")
    if summary.asked_again:
        lines.append(f"  retried    {in_words(summary.asked_again)} (fetched again in this run)")
    if summary.not_followed:
        lines.append(f"  left out   {counts(summary.not_followed)} (links that were not followed)")
    if summary.not_modified:
        saved = format_bytes(summary.bytes_saved)
        lines.append(f"  unchanged  {summary.not_modified:,} pages not sent again (304), {saved} saved")
    if summary.carried_over:
        lines.append(f"  not asked  {summary.carried_over:,} known pages: each counts as it is stored")
    if summary.too_deep:
        lines.append(f"  too deep   {summary.too_deep:,} URLs beyond max_depth")
    if summary.pauses:
        lines.append(f"  paused     {counts(summary.pauses)}")
    if stats is None:
        lines.append("  this run   nothing was left to do")
    else:
        lines += _run_lines(summary, stats)
    lines = [piece for line in lines for piece in _fit(line)]
    if summary.out is not None:
        lines += _directory_lines(summary, summary.out)
    return lines


def _headline(summary: Summary) -> str:
    if summary.ending == Ending.FAILED:
        return f"failed: nothing could be fetched (URLs given up: {sum(summary.reasons.values()):,})"
    owed = f", {summary.owed:,} still owed" if summary.owed else ""
    headline = WORDS[Ending(summary.ending)] + (f", generation {summary.generation}" if summary.generation else "")
    if summary.carried_over:
        headline += " for what was asked for"
    return f"{headline}: {summary.urls:,} URLs fetched, {summary.pages:,} pages, {format_bytes(summary.bytes)}{owed}"


def _fit(line: str) -> list[str]:
    """Wrap a line to the terminal's width; unchanged where stdout is no terminal. Not for commands and paths, which
    must stay on one line to be copied."""
    if not sys.stdout.isatty():
        return [line]
    width = max(get_terminal_size().columns, 40)
    return wrap(line, width, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False)


def _run_lines(summary: Summary, stats: RunStats) -> list[str]:
    lines = [
        f"  this run   {summary.urls_this_run:,} URLs in {duration(summary.seconds)}"
        f" ({summary.pages_per_second:g} per second) with {summary.mode} and {summary.client}",
        f"  cost       {summary.cpu_seconds:.1f} s of CPU, "
        f"{format_bytes(summary.peak_memory_bytes)} of memory at the peak, "
        f"{duration(summary.startup_seconds)} to start",
    ]
    if beat := summary.heartbeat:
        lines.append(
            f"  heartbeat  late by {beat.p50:g} ms at the median, {beat.p99:g} ms at p99, {beat.max:g} ms at most"
        )
    lines += _mean_times(stats)
    if stats.errors:
        lines.append(f"  not ok     {counts(stats.errors)}")
    return lines


def _mean_times(stats: RunStats) -> list[str]:
    """The mean fetch time of the slowest hosts, or of the only one."""
    slowest, lines = stats.slowest(SLOWEST), list[str]()
    for name, host in slowest:
        mean = f"{lasting(host.seconds / host.fetched)} on average, of {host.fetched:,}"
        lines.append(f"  slowest    {escape_unprintable(name)}: {mean}" if len(slowest) > 1 else f"  a fetch    {mean}")
    return lines


def _directory_lines(summary: Summary, out: str) -> list[str]:
    name = escape_unprintable(shlex.quote(out))
    lines = [f"  data       {escape_unprintable(out)}"]
    folder = folder_of(Path(out), summary.generation)
    if (folder / REPORT).exists():
        lines.append(f"  report     {escape_unprintable(str(folder / REPORT))}")
    if (folder / DIFF_REPORT).exists():
        lines.append(f"  changes    {escape_unprintable(str(folder / DIFF_REPORT))}")
    if summary.over and not summary.complete:
        lines.append(f"  retry      {called()} resume {name}")
    elif not summary.complete:
        limit = " (with a higher limit)" if summary.ending == "limit" else ""
        lines.append(f"  resume     {called()} resume {name}{limit}")
    lines.append(f"  check      {called()} verify {name}")
    lines.append(f"  use        {called()} export {name} --format csv -o urls.csv")
    return lines
