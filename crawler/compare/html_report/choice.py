"""The decision map: latency of the server by CPU per page, and for each combination the finding on the engines. Pure.

A combination is *clear* where every other engine is shown to be slower, a *tie* where those that are not are shown to
be equal to the fastest, *open* where that is not shown either, *mute* where the A/A arm differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from crawler.compare.fields import Field
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.numbers import full
from crawler.compare.html_report.phrases import listed
from crawler.compare.records import Condition
from crawler.compare.verdicts import leaders
from crawler.report.numbers import seconds, short

Fields = Mapping[tuple[float, float], Field]
"""By latency in seconds and milliseconds of CPU per page."""


@dataclass(frozen=True, slots=True)
class BestMode:
    """The finding of one condition: its kind, the leading engines, pages/s of the fastest with its interval."""

    kind: str
    engines: Sequence[str]
    rate: str

    def __str__(self) -> str:
        if self.kind == "mute":
            return "no claim: the A/A arm differs"
        names = listed(self.engines)
        said = {"clear": names, "tie": f"tie of {names}", "open": f"open between {names}"}[self.kind]
        return f"{said}: {self.rate}"


def decision(book: Book) -> tuple[list[Figure], str]:
    """The fastest engine by latency and CPU per page, where the session varies both; else why there is no map."""
    groups: dict[Condition, dict[tuple[float, float], Field]] = {}
    for one in book.found.sweeps:
        for field in one.fields:
            cell = field.condition
            if one.name in ("cpu", "latency"):
                alike = msgspec.structs.replace(cell, sweep="", pages=0, latency=0.0, cpu_ms=0.0)
                groups.setdefault(alike, {})[cell.latency, cell.cpu_ms] = field
    for alike, fields in sorted(groups.items(), key=lambda group: -len(group[1])):
        costs = sorted({cpu for _, cpu in fields})
        latencies = [at for at in sorted({at for at, _ in fields}) if all((at, cpu) in fields for cpu in costs)]
        if len(latencies) > 1 and len(costs) > 1:
            return [_map(book, alike.concurrency, latencies, costs, fields)], ""
    return [], "it needs a grid of latencies and of CPU per page"


def _map(book: Book, slots: int, latencies: Sequence[float], costs: Sequence[float], fields: Fields) -> Figure:
    choices = {(at, cpu): choice(fields[at, cpu]) for at in latencies for cpu in costs}
    return Figure(
        finding(list(choices.values())),
        f"Which engine for which job, with {slots:,} in flight?",
        (),
        "One name: all other engines are shown to be slower. In a tie the engines named are shown to be equal, in an "
        "open case that is not shown; there, take the one that costs least. Pages/s are those of the fastest [95 %].",
        Table(
            ["CPU per page", *(f":latency {seconds(at)}" for at in latencies)],
            [[f"{short(cpu)} ms", *(str(choices[at, cpu]) for at in latencies)] for cpu in costs],
        ),
        book.foot([fields[at, cpu].condition for at in latencies for cpu in costs], but=["latency", "cpu_ms"]),
    )


def choice(field: Field) -> BestMode:
    """The finding under one condition."""
    found = leaders(field)
    if not found:
        return BestMode("mute", (), "")
    best, rest = found
    kind = "clear" if not rest else "tie" if set(rest.values()) == {"equivalent"} else "open"
    return BestMode(kind, (best.arm, *rest), full(best.levels[field.rate]))


def finding(choices: Sequence[BestMode]) -> str:
    """The number of combinations that each engine wins, of ties, and of open ones."""
    kinds = Counter(one.kind for one in choices)
    clear = Counter(one.engines[0] for one in choices if one.kind == "clear")
    ahead = ", ".join(f"{name} in {count}" for name, count in clear.most_common()) or "no engine in any"
    names = {"tie": "a tie", "open": "not decided", "mute": "no claim"}
    rest = [f"{said} in {kinds[kind]}" for kind, said in names.items() if kinds[kind]]
    return "; ".join([f"Of {len(choices)} kinds of job, shown to be fastest: {ahead}", *rest])
