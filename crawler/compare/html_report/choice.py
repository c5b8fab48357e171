"""The decision map: latency of the server by CPU per page, and in each square the finding on the engines. Pure.

A square is *clear* where every other engine is shown to be slower, a *tie* where those that are not are shown to be
equal to the fastest, *open* where that is not shown either, *mute* where the A/A arm differs. Only *clear* names one
engine and has its colour; the others are grey with a dashed edge, so that they differ in grey print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from crawler.compare.fields import Field
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.numbers import full
from crawler.compare.records import Condition
from crawler.compare.verdicts import leaders
from crawler.report.numbers import seconds, short
from crawler.report.svg import NARROW, box, colour, mark, svg, words

Fields = Mapping[tuple[float, float], Field]
"""By latency in seconds and milliseconds of CPU per page."""


@dataclass(frozen=True, slots=True)
class Square:
    """The finding of one condition: its kind, the leading engines (index, name), pages/s of the first as text."""

    kind: str
    engines: Sequence[tuple[int, str]]
    rate: str


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
        latencies = [
            latency for latency in sorted({at for at, _ in fields}) if all((latency, cpu) in fields for cpu in costs)
        ]
        if len(latencies) > 1 and len(costs) > 1:
            return [_map(book, alike.concurrency, latencies, costs, fields)], ""
    return [], "it needs a grid of latencies and of CPU per page"


def _map(book: Book, slots: int, latencies: Sequence[float], costs: Sequence[float], fields: Fields) -> Figure:
    squares = {
        (i, j): _square(book, fields[latency, cpu])
        for i, latency in enumerate(latencies)
        for j, cpu in enumerate(costs)
    }
    rows = [
        [seconds(latencies[i]), short(costs[j]), _said(square), " or ".join(name for _, name in square.engines),
         square.rate]
        for (i, j), square in squares.items()
    ]  # fmt: skip
    title = finding(list(squares.values()))
    across, down = [seconds(x) for x in latencies], [f"{short(cpu)} ms" for cpu in costs]
    return Figure(
        title,
        f"Which engine for which job, with {slots:,} in flight?",
        [lambda width: _drawn(width, across, down, squares, title)],
        "A coloured square names the engine that all others are shown to be slower than. Dashed squares name no "
        "single one: in a tie the engines marked are shown to be equal, in an open one that is not shown. There, take "
        "the one that costs least.",
        Table(["latency", "CPU per page, ms", "verdict", "fastest", "pages/s of the fastest [95 %]"], rows),
        book.foot([fields[at, cpu].condition for at in latencies for cpu in costs], but=["latency", "cpu_ms"]),
        legend="narrow",
    )


def _square(book: Book, field: Field) -> Square:
    found = leaders(field)
    if not found:
        return Square("mute", (), "")
    best, rest = found
    kind = "open" if "inconclusive" in rest.values() else "tie" if rest else "clear"
    engines = [(book.index[arm], arm) for arm in (best.arm, *rest)]
    return Square(kind, sorted(engines) if rest else engines, full(best.levels[field.rate]))


def finding(squares: Sequence[Square]) -> str:
    """The number of squares that each engine wins, of ties, and of open ones."""
    kinds = Counter(square.kind for square in squares)
    clear = Counter(square.engines[0][1] for square in squares if square.kind == "clear")
    ahead = ", ".join(f"{name} in {count}" for name, count in clear.most_common()) or "no engine in any"
    rest = [
        f"{said} in {kinds[kind]}"
        for kind, said in (("tie", "a tie"), ("open", "not decided"), ("mute", "no claim"))
        if kinds[kind]
    ]
    return "; ".join([f"Of {len(squares)} kinds of job, fastest for sure: {ahead}", *rest])


def _said(square: Square) -> str:
    return {"clear": "fastest", "tie": "tie", "open": "open", "mute": "no claim: the A/A arm differs"}[square.kind]


def _drawn(
    width: int, across: Sequence[str], down: Sequence[str], squares: Mapping[tuple[int, int], Square], label: str
) -> str:
    left, top, step = (54 if width == NARROW else 110), 34, 58
    wide = (width - left - 8) / len(across)
    parts = [words(left + (width - left) / 2, 14, "latency of the server", "axis", "middle")]
    parts += [words(left + wide * (i + 0.5), 30, name, "tick", "middle") for i, name in enumerate(across)]
    parts += [words(left - 8, top + step * (j + 0.5) + 4, name, "tick", "end") for j, name in enumerate(down)]
    for (i, j), square in squares.items():
        x, y = left + wide * i + 2, top + step * j + 2
        parts.append(_tile(square, x, y, wide - 4, step - 4))
    parts.append(words(4, 14, "CPU per page ↓", "axis"))
    return svg(width, top + step * len(down) + 8, "".join(parts), label)


def _tile(square: Square, x: float, y: float, width: float, height: float) -> str:
    """The square with its markers above, the text below; names where there is room for them."""
    clear = square.kind == "clear"
    parts = [box(x, y, width, height, f"tile {colour(square.engines[0][0])}" if clear else "tile tie")]
    named = sum(32 + 8.2 * len(name) for _, name in square.engines) <= width
    place = x + 13
    for index, name in square.engines:
        parts.append(mark(index, place, y + 17, 5, "m"))
        if named:
            parts.append(words(place + 11, y + 21.5, name, "name bare"))
        place += 32 + 8.2 * len(name) if named else min(16.0, (width - 22) / max(1, len(square.engines) - 1))
    rate = square.rate.partition(" ")[0]
    said = f"{rate}/s" if clear else "no claim" if square.kind == "mute" else square.kind
    if width > 150 and square.kind in ("tie", "open"):
        said = f"{square.kind} at {rate}/s" if square.kind == "tie" else "not decided"
    parts.append(words(x + 8, y + 43, said, "tick bare"))
    return "".join(parts)
