"""The whole report, section by section. Pure.

A section without data is left out, and the page lists which and why.
"""

from __future__ import annotations

from crawler.compare.html_report.book import Book, Section
from crawler.compare.html_report.calculator import calculator
from crawler.compare.html_report.choice import decision
from crawler.compare.html_report.costs import cost, start
from crawler.compare.html_report.proof import gates
from crawler.compare.html_report.responses import responses
from crawler.compare.html_report.run_order import order
from crawler.compare.html_report.speed import graph, headline, pairs, polite
from crawler.compare.html_report.sweeps import sweep

SWEEPS = {
    "concurrency": "More in flight",
    "latency": "Slow servers",
    "cpu": "CPU per page",
    "job size": "Small jobs",
    "payload": "Size of pages",
    "workers": "Workers",
    "errors": "Failing servers",
    "spread": "Spread of latencies",
}


def sections(book: Book) -> list[Section]:
    """All sections except the summary and the method, in reading order."""
    found = book.found
    politely = [polite(book, field) for field in found.polite if field.engines]
    by_links = [graph(book, field) for field in found.graph if field.engines]
    in_time = [figure for field in found.open_loop if (figure := responses(book, field))]
    return [
        Section("headline", "Throughput and its ceilings", *headline(book)),
        Section("pairs", "Pair by pair", *pairs(book)),
        Section("map", "Which engine for which job", *decision(book)),
        Section("calculator", "Your job", *calculator(book)),
        *(_section(book, name) for name in ("concurrency", "latency", "cpu")),
        Section("start", "Starting up", *start(book)),
        _section(book, "job size"),
        Section("cost", "Memory, CPU and switches", *cost(book)),
        *(_section(book, name) for name in ("payload", "workers", "errors", "spread")),
        Section("graph", "Finding pages by their links", by_links, "no graph was crawled"),
        Section("responses", "Response times under a given load", in_time, "no open loop was run"),
        Section("politeness", "Politeness", politely, "no condition with a delay was run"),
        Section("work", "The same work", *gates(book)),
        Section("order", "Run order, noise and every trial", *order(book)),
    ]


def _section(book: Book, name: str) -> Section:
    figures = [figure for one in book.found.sweeps if one.name == name for figure in sweep(book, one)]
    return Section(f"sweep-{name.replace(' ', '-')}", SWEEPS[name], figures, "this sweep was not run")
