"""What the calculator answers: a forecast for each engine with its interval, and which engine to choose. Pure.

Rules, and why:
- The errors of the fit are those of the engine; politeness and Little's law are exact. So the interval is put around
  what the engine could do, and then cut at what no engine can exceed.
- Engines whose interval overlaps that of the fastest are tied with it. Of tied engines the one that takes the least CPU
  a page is advised, because it leaves the most for everything else.
- A job outside the measured ranges is an extrapolation, and is said to be one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from crawler.compare.advise.fit import LEAST
from crawler.compare.advise.fitted import ENOUGH_ERRORS, SHARE, CostModel, FittedEngine, Measured
from crawler.compare.advise.model import LIMITS, EngineCosts, Work, forecast
from crawler.compare.html_report.phrases import listed
from crawler.report.numbers import Show, number, seconds, share, short
from crawler.system.text import duration, format_bytes

FACTORS: dict[str, tuple[str, Show]] = {
    "latency": ("latency", seconds),
    "cpu": ("CPU a page", seconds),
    "payload": ("bytes a page", format_bytes),
    "slots": ("in flight", short),
    "cores": ("cores", short),
}
"""The factors of a job that have a measured range: name, format."""


class EngineForecast(msgspec.Struct, frozen=True, kw_only=True):
    """Pages/s of an engine with the ends of their interval, what limits it (a key of advise.model.LIMITS), its own CPU
    seconds a page, the seconds of a job. Without a fit `rate` is what no engine can exceed, and so are both ends."""

    name: str
    fitted: bool
    rate: float
    low: float
    high: float
    limit: str
    cpu: float
    seconds: float


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """The `chosen` engine ("" where nothing was fitted), those tied with it, and why."""

    chosen: str
    tied: tuple[str, ...]
    why: str


def forecasts(model: CostModel, work: Work, pages: int) -> list[EngineForecast]:
    """Every engine's forecast, in the order of the comparison; `pages` is the size of the job."""
    return [_forecast(engine, work, pages) for engine in model.engines]


def _forecast(engine: FittedEngine, work: Work, pages: int) -> EngineForecast:
    found = forecast(engine.costs, work)
    low = high = found.rate
    if engine.fitted:
        alone = forecast(engine.costs, msgspec.structs.replace(work, delay=0.0)).rate
        most = forecast(EngineCosts(mode=engine.costs.mode), work).rate
        low, high = min(alone / engine.reach, most), min(alone * engine.reach, most)
    return EngineForecast(
        name=engine.name,
        fitted=engine.fitted,
        rate=found.rate,
        low=low,
        high=high,
        limit=found.limit,
        cpu=engine.costs.own(work),
        seconds=engine.costs.start + pages / found.rate,
    )


def advice(found: Sequence[EngineForecast]) -> Advice:
    """Which engine to choose."""
    fitted = [one for one in found if one.fitted]
    if not fitted:
        return Advice(chosen="", tied=(), why="too few conditions were measured to tell the engines apart")
    best = max(fitted, key=lambda one: one.rate)
    tied = [one for one in fitted if one.high >= best.low]
    if len(tied) == 1:
        others = [one for one in fitted if one is not best]
        times = best.rate / max((one.rate for one in others), default=best.rate)
        why = f"{times:.1f} times the pages/s of the next" if others else "the only mode that was measured"
        return Advice(chosen=best.name, tied=(), why=why)
    chosen = min(tied, key=lambda one: one.cpu)
    rest = tuple(one.name for one in tied if one is not chosen)
    if all(one.limit == "politeness" for one in tied):
        why = f"hosts and delay limit {listed(rest)} just as well, and it takes the least CPU a page"
    else:
        why = f"{listed(rest)} cannot be told from it, and it takes the least CPU a page"
    return Advice(chosen=chosen.name, tied=rest, why=why)


def lines(model: CostModel, work: Work, pages: int) -> list[str]:
    """The answer as text: where the model is from, the job, a line for each engine, the advice."""
    found = forecasts(model, work, pages)
    advised = advice(found)
    rows = [("mode", f"pages/s [{share(SHARE)}]", f"{pages:,} pages in", "limited by")]
    rows += [(one.name, rate_of(one), duration(one.seconds), LIMITS[one.limit]) for one in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    name = advised.chosen or "none"
    return [
        f"model   {source(model)}",
        f"job     {job(work)}",
        *(f"note    {note}" for note in notes(model, work)),
        *table,
        f"advice  {name}: {advised.why}",
    ]


def as_fields(model: CostModel, work: Work, pages: int) -> dict[str, object]:
    """The answer for programs; a rate without a bound is null."""
    found = forecasts(model, work, pages)
    return {
        "measured": model.measured,
        "error": model.error,
        "job_error": model.job_error,
        "job": work,
        "pages": pages,
        "notes": notes(model, work),
        "modes": found,
        "advice": advice(found),
    }


def rate_of(one: EngineForecast) -> str:
    """Pages/s with the interval, or that they are an upper bound."""
    if math.isinf(one.rate):
        return "no bound known"
    if not one.fitted:
        return f"at most {number(one.rate)}"
    return f"{number(one.rate)} [{number(one.low)}, {number(one.high)}]"


def source(model: CostModel) -> str:
    """Where a model is from and how good it is, in one line."""
    measured = model.measured
    points = max((engine.points for engine in model.engines), default=0)
    error = f"median error {share(model.error)} on conditions left out of the fit" if model.error is not None else ""
    jobs = f"{share(model.job_error)} on the time of whole jobs" if model.job_error is not None else ""
    facts = [f"{points} conditions", f"{measured.blocks} blocks" if measured.blocks > 1 else "1 block", error, jobs]
    return f"{origin(measured)}: {', '.join(filter(None, facts))}"


def origin(measured: Measured) -> str:
    """The comparison, its date, its machine."""
    day = datetime.fromtimestamp(measured.created_at, UTC).strftime("%Y-%m-%d")
    cores = "1 core" if measured.cores == 1 else f"{measured.cores} cores"
    return f"{measured.preset} comparison of {day}, {measured.cpu}, {cores}, {measured.python}"


def job(work: Work) -> str:
    """The job in one line, what was not asked for included."""
    polite = f"{seconds(work.delay)} between two fetches of a host" if work.delay else "no delay"
    hosts, cores = ("1 host" if work.hosts == 1 else f"{work.hosts:,} hosts"), f"{work.cores} cores"
    return ", ".join(
        [
            f"latency {seconds(work.latency)}",
            f"{seconds(work.cpu)} of CPU a page besides the crawler's",
            f"{format_bytes(work.payload)} a page",
            f"{work.slots:,} in flight",
            "1 core" if work.cores == 1 else cores,
            hosts,
            polite,
        ]
    )


def notes(model: CostModel, work: Work) -> list[str]:
    """What a reader must know about the answer: no fit, no full interval, an extrapolation."""
    unfitted = [engine for engine in model.engines if not engine.fitted]
    short = [engine.name for engine in model.engines if engine.fitted and len(engine.errors) < ENOUGH_ERRORS]
    said = []
    if unfitted:
        counts = listed([f"{engine.name} {engine.points}" for engine in unfitted])
        said.append(f"too few conditions for a fit, which takes {LEAST} ({counts}): only what no engine can exceed")
    if short:
        said.append(f"too few conditions for {share(SHARE)} intervals ({listed(short)}): the largest error instead")
    if beyond := extrapolated(model.measured, work):
        said.append(f"beyond what was measured: {listed(beyond)}")
    return said


def extrapolated(measured: Measured, work: Work) -> list[str]:
    """The factors of a job that are outside the measured ranges, in words."""
    return [
        f"{FACTORS[name][0]} ({' to '.join(dict.fromkeys(map(FACTORS[name][1], ends)))})"
        for name, ends in measured.factor_ranges.items()
        if not ends[0] <= getattr(work, name) <= ends[1]
    ]
