"""How numbers read in a report: three significant digits, a unit, an interval in brackets. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection

from crawler.compare.intervals import Estimate
from crawler.compare.records import Condition
from crawler.words import size

Show = Callable[[float], str]
MINUS = "\N{MINUS SIGN}"


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if not math.isfinite(value):
        return "∞" if value > 0 else MINUS + "∞"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    text = f"{rounded:,.{max(0, min(digits, 6))}f}"
    return text.replace("-", MINUS)


def short(value: float) -> str:
    """As a tick says it: 1,024 or 0.05, without trailing zeros."""
    return f"{value:,.6g}" if value < 1e6 else f"{value:,.0f}"


def seconds(value: float) -> str:
    """A time in its natural unit."""
    return f"{short(value * 1000)} ms" if 0 < value < 1 else f"{short(value)} s"


def lasting(value: float) -> str:
    """A measured time: three digits, natural unit."""
    return f"{number(value * 1000)} ms" if 0 < value < 1 else f"{number(value)} s"


def milliseconds(value: float) -> str:
    """Milliseconds that are already milliseconds."""
    return f"{number(value)} ms"


def share(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.0f} %"


def percent(ratio: float) -> str:
    """A ratio as a change."""
    change = round(100 * (ratio - 1), 1)
    return f"{change:+.1f} %".replace("-", MINUS) if change else "0.0 %"


def counted(count: int, what: str) -> str:
    """1 block, 2 blocks."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def span(estimate: Estimate, show: Show = number) -> str:
    """The interval alone; a unit that all share is not repeated."""
    if not estimate.known:
        return "[no interval]"
    value, low, high = show(estimate.value), show(estimate.low), show(estimate.high)
    unit = value[value.rfind(" ") :] if " " in value else ""
    if unit and low.endswith(unit) and high.endswith(unit):
        low, high = low.removesuffix(unit), high.removesuffix(unit)
    return f"[{low}, {high}]"


def trimmed(text: str) -> str:
    """A number without the zeros that say nothing on an axis: 50.0 MB is 50 MB there."""
    return re.sub(r"(?<=\d)(\.\d*?)0+(?!\d)", lambda found: found[1].rstrip("."), text)


def full(estimate: Estimate, show: Show = number) -> str:
    """The value with its interval."""
    return f"{show(estimate.value)} {span(estimate, show)}"


SHOWN: dict[str, tuple[str, str, Show]] = {
    "steady_rate": ("Throughput", "pages/s, steady", number),
    "crawl_rate": ("Throughput of the whole crawl", "pages/s, first request to last answer", number),
    "cold_rate": ("Throughput from a cold start", "pages/s, start to exit", number),
    "cpu_per_1000": ("CPU", "seconds per 1,000 pages", number),
    "memory": ("Memory", "peak PSS", size),
    "switches_per_page": ("Switches", "per page", number),
    "threads": ("Threads", "most at once", number),
    "descriptors": ("Open descriptors", "most at once", number),
    "startup": ("Start-up", "process start to first request", lasting),
    "overhead_p50": ("Overhead p50", "first byte minus server's delay", milliseconds),
    "overhead_p99": ("Overhead p99", "first byte minus server's delay", milliseconds),
    "heartbeat_p50": ("Heartbeat p50", "how late our code gets to run", milliseconds),
    "heartbeat_p99": ("Heartbeat p99", "how late our code gets to run", milliseconds),
    "in_flight": ("In flight", "mean, counted by the server", number),
}
"""Every metric: its name, its unit, how its values read."""

LEVELS: dict[str, tuple[str, Show, Show]] = {
    "concurrency": ("requests in flight", short, "{:,.0f} in flight".format),
    "latency": ("latency of the server", seconds, lambda value: f"{seconds(value) if value else '0 ms'} of latency"),
    "payload": ("size of a page", size, size),
    "cpu_ms": ("CPU per page, ms", short, "{:g} ms of CPU per page".format),
    "workers": ("workers", short, "{:g} workers".format),
    "errors": ("share of failing requests", share, lambda value: f"{share(value)} errors"),
    "pages": ("pages in the job", short, "{:,.0f} pages".format),
}
"""Every factor: its name, how its levels read on an axis, how they read in a sentence."""


def conditions(condition: Condition, *, but: Collection[str] = ()) -> str:
    """The conditions of a cell in one line, without the factors that vary."""
    said = {
        "pages": f"{condition.pages:,} pages",
        "concurrency": f"{condition.concurrency:,} in flight",
        "latency": f"latency {seconds(condition.latency)}" if condition.latency or condition.workload == "flat" else "",
        "payload": f"{size(condition.payload)} a page" if condition.payload else "",
        "cpu_ms": f"{short(condition.cpu_ms)} ms CPU a page" if condition.cpu_ms else "",
        "errors": f"{share(condition.errors)} errors" if condition.errors else "",
        "hosts": f"{condition.hosts:,} hosts" if condition.hosts > 1 else "",
        "delay": f"one request per {seconds(condition.delay)} and host" if condition.delay else "",
        "workers": f"{condition.workers} workers" if condition.workers else "",
    }
    return ", ".join([condition.workload, *(text for name, text in said.items() if text and name not in but)])
