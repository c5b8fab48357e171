"""Formats numbers for a report, each with its interval in brackets. Pure."""

from __future__ import annotations

from collections.abc import Collection

from crawler.compare.fields import Row
from crawler.compare.intervals import Estimate
from crawler.compare.records import Condition
from crawler.report.numbers import Show, lasting, milliseconds, number, seconds, share, short
from crawler.system.text import format_bytes


def span(estimate: Estimate, show: Show = number) -> str:
    """The interval alone, in brackets; the range where there are too few blocks for one. A common unit is not
    repeated."""
    if estimate.n == 1:
        return "(one block)"
    value, low, high = show(estimate.value), show(estimate.low), show(estimate.high)
    unit = value[value.rfind(" ") :] if " " in value else ""
    if unit and low.endswith(unit) and high.endswith(unit):
        low, high = low.removesuffix(unit), high.removesuffix(unit)
    return f"[{low}, {high}]" if estimate.known else f"({low} to {high})"


def full(estimate: Estimate, show: Show = number) -> str:
    """The value with its interval."""
    return f"{show(estimate.value)} {span(estimate, show)}"


SHOWN: dict[str, tuple[str, str, Show]] = {
    "steady_rate": ("Throughput", "pages/s, steady", number),
    "crawl_rate": ("Throughput of the whole crawl", "pages/s, first request to last answer", number),
    "cold_rate": ("Throughput from a cold start", "pages/s, start to exit", number),
    "cpu_per_1000": ("CPU", "seconds per 1,000 pages", number),
    "memory": ("Memory", "peak PSS", format_bytes),
    "switches_per_page": ("Switches", "per page", number),
    "threads": ("Threads", "most at once", number),
    "startup": ("Start-up", "process start to first request", lasting),
    "overhead_p99": ("Overhead p99", "first byte minus server's delay", milliseconds),
    "response_p50": ("Response, median", "intended start to whole response", milliseconds),
    "response_p99": ("Response p99", "intended start to whole response", milliseconds),
    "heartbeat_p99": ("Heartbeat p99", "how late our code gets to run", milliseconds),
}
"""Every metric that is shown: its name, its unit, the format of its values."""


def cell(row: Row, metric: str) -> str:
    """A metric of an arm as text; "" where it has none."""
    return full(row.levels[metric], SHOWN[metric][2]) if metric in row.levels else ""


LEVELS: dict[str, tuple[str, Show, str]] = {
    "concurrency": ("requests in flight", short, " in flight"),
    "latency": ("latency of the server", seconds, " of latency"),
    "payload": ("size of a page", format_bytes, ""),
    "cpu_ms": ("CPU per page, ms", short, " ms of CPU per page"),
    "workers": ("workers", short, " workers"),
    "errors": ("share of failing requests", share, " errors"),
    "pages": ("pages in the job", short, " pages"),
    "spread": ("spread of the latencies (0: all alike)", "sigma {:g}".format, ""),
}
"""Every factor: its name, the format of its levels, what follows a level in a sentence."""


def conditions(condition: Condition, *, but: Collection[str] = ()) -> str:
    """The conditions of a cell in one line, without the factors in `but`."""
    said = {
        "pages": f"{condition.pages:,} pages",
        "concurrency": f"{condition.concurrency:,} in flight",
        "latency": f"latency {seconds(condition.latency)}" if condition.latency or condition.workload == "flat" else "",
        "spread": "the same for every page" if condition.latency and not condition.spread else "",
        "payload": f"{format_bytes(condition.payload)} a page" if condition.payload else "",
        "cpu_ms": f"{short(condition.cpu_ms)} ms CPU a page" if condition.cpu_ms else "",
        "errors": f"{share(condition.errors)} errors" if condition.errors else "",
        "hosts": f"{condition.hosts:,} hosts" if condition.hosts > 1 else "",
        "tls": "https" if condition.tls else "",
        "arrivals": f"open loop at {share(condition.arrivals)} of the least peak" if condition.arrivals else "",
        "delay": f"one request per {seconds(condition.delay)} and host" if condition.delay else "",
        "workers": f"{condition.workers} workers" if condition.workers else "",
    }
    return ", ".join([condition.workload, *(text for name, text in said.items() if text and name not in but)])
