"""The findings, in sentences that the intervals allow. Pure.

Rules, and why:
- A sentence states a number with its interval, and says "faster" or "tie" only where the word of the analysis does.
- Where the A/A interval excludes 1 no sentence compares engines: the machine told two equal ones apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from crawler.compare import analysis
from crawler.compare.intervals import Estimate
from crawler.compare.models import Crossing
from crawler.compare.paper.numbers import LEVELS, SHOWN, Show, full, number, percent, seconds
from crawler.compare.results import Field, Results, Row, Sweep

NO_CLAIM = "The A/A arm shows a difference where there is none: nothing is claimed."


def summary(found: Results) -> list[str]:
    """What to know first, at most seven sentences."""
    said = []
    if found.headline:
        said.append(noise_floor(found))
        said += [against_base(found.headline, found.base), costs(found.headline)]
    said += [sentence(sweep(one, found.base)[:3]) for one in found.sweeps if one.name in ("concurrency", "latency")]
    said += [polite(field) for field in found.polite[:1] if field.engines]
    if found.audit.void:
        counted = found.audit.void + found.audit.valid
        said.append(f"{found.audit.void:,} of {counted:,} trials failed a gate: shown, not counted.")
    return [sentence if sentence.endswith(".") else f"{sentence}." for sentence in said if sentence]


def noise_floor(found: Results) -> str:
    """What two equal engines seem to differ by."""
    field = found.headline
    if not field or not field.twin:
        return f"There is no A/A arm: differences below {percent(1 + analysis.FLOOR)} are taken as noise."
    twin = field.twin
    ends = f" [{percent(twin.low)}, {percent(twin.high)}]" if twin.known else " (one block: no interval)"
    measured = f"The same engine under two names differs by {percent(twin.value)}{ends}"
    if not field.claims:
        return f"{measured}: the machine told two equal engines apart, so no difference is claimed."
    return f"{measured}; what differs by less than {100 * field.rope:.2g} % counts as equal."


def against_base(field: Field, base: str) -> str:
    """The headline: every engine against the base."""
    if not field.claims:
        return NO_CLAIM
    parts = []
    for word in ("faster", "equivalent", "inconclusive", "slower"):
        rows = [row for row in field.engines if row.word == word]
        named = _listed([f"{row.arm} {full(row.ratio)}" for row in rows if row.ratio])
        if named:
            parts.append(f"{word}: {named}")
    return f"Pages/s as a multiple of {base}'s. " + _capital("; ".join(parts)) + "." if parts else ""


def headline(field: Field, base: str) -> str:
    """The title of the headline figure."""
    rows = [row for row in field.engines if row.ratio]
    if not field.claims:
        return NO_CLAIM
    faster = sorted((row for row in rows if row.word == "faster"), key=_ratio, reverse=True)
    slower = sorted((row for row in rows if row.word == "slower"), key=_ratio)
    if faster:
        return f"{faster[0].arm} stores {number(_ratio(faster[0]))} times as many pages a second as {base}"
    if rows and all(row.word == "equivalent" for row in rows):
        return f"All engines tie with {base}"
    still = [row.arm for row in rows if row.word == "inconclusive"]
    if slower:
        least = f"{slower[0].arm} reaches {number(_ratio(slower[0]))} of {base}'s pages a second"
        return f"{least}; {_listed(still)} stays open" if still else f"Nothing beats {base}; {least}"
    return f"No engine is shown to differ from {base}"


def forest(field: Field) -> str:
    """The title of the forest of pairs."""
    real = sum(pair.word in ("faster", "slower") for pair in field.pairs)
    ties = sum(pair.word == "equivalent" for pair in field.pairs)
    if not field.claims:
        return NO_CLAIM
    rest = len(field.pairs) - real - ties
    parts = [f"{real} of {len(field.pairs)} pairs differ by more than the noise"]
    parts += [f"{ties} {'tie' if ties > 1 else 'ties'}"] if ties else []
    parts += [f"{rest} {'stay' if rest > 1 else 'stays'} open"] if rest else []
    return ", ".join(parts)


def costs(field: Field) -> str:
    """The cheapest and the dearest in CPU and memory."""
    parts = []
    for metric, what, unit in (("cpu_per_1000", "CPU", " s per 1,000 pages"), ("memory", "memory", "")):
        ranked = sorted(
            (row for row in field.engines if metric in row.levels), key=lambda row: row.levels[metric].value
        )
        if len(ranked) > 1:
            low, high = (
                f"{row.arm} {SHOWN[metric][2](row.levels[metric].value)}{unit}" for row in (ranked[0], ranked[-1])
            )
            parts.append(f"least {what}: {low}, most: {high}")
    return _capital("; ".join(parts))


def sweep(one: Sweep, base: str) -> list[str]:
    """What a sweep shows, the most telling first: the first two make the title."""
    show = LEVELS[one.factor][2]
    if one.name == "concurrency":
        return _knees(one)
    parts = [
        f"{arm} and {base} change places at {crossing_at(found, show)}" for arm, found in sorted(one.crossings.items())
    ]
    largest = _largest(one)
    if largest:
        level, row = largest
        assert row.ratio
        parts.append(f"at {show(level)} {row.arm} reaches {full(row.ratio)} times the pages/s of {base}")
    paired = list(zip(one.levels, one.fields, strict=True))
    ties = [level for level in one.levels if one.ties and all(level in levels for levels in one.ties.values())]
    open_words = {"equivalent", "inconclusive", None}
    blurred = [
        x for x, field in paired if field.claims and x not in ties and {r.word for r in field.engines} <= open_words
    ]
    mute = [level for level, field in paired if not field.claims]
    if ties:
        parts.append(f"every engine ties with {base} at {stretch(ties, one.levels, show)}")
    if blurred:
        parts.append(f"no difference from {base} is shown at {stretch(blurred, one.levels, show)}")
    if mute:
        parts.append(f"no claim at {stretch(mute, one.levels, show)}, where the A/A arm differs")
    return parts or [f"no difference from {base} is shown at any level"]


def sentence(parts: Sequence[str]) -> str:
    """Findings in a row, the first letter large unless it is an arm's name."""
    return _capital("; ".join(parts))


def crossing_at(found: Crossing, show: Show) -> str:
    """Where, with its interval, to two digits: an axis is not read more closely."""
    at, low, high = (show(float(f"{place:.2g}")) for place in (found.at, found.low, found.high))
    return f"{at} [{low}, {high}]"


def _largest(one: Sweep) -> tuple[float, Row] | None:
    """Where an engine is most ahead of the base; where none is, where one is furthest behind."""
    found = [
        (level, row)
        for level, field in zip(one.levels, one.fields, strict=True)
        for row in field.engines
        if row.word in ("faster", "slower")
    ]
    ahead = [pair for pair in found if pair[1].word == "faster"]
    if ahead:
        return max(ahead, key=lambda pair: _ratio(pair[1]))
    return min(found, key=lambda pair: _ratio(pair[1]), default=None)


def _knees(one: Sweep) -> list[str]:
    """Up to which concurrency each engine gains: the first level within 5 % of its best."""
    knees: dict[float, list[str]] = {}
    falls = []
    for arm in dict.fromkeys(row.arm for field in one.fields for row in field.engines):
        levels = {
            level: row.levels[field.rate]
            for level, field in zip(one.levels, one.fields, strict=True)
            for row in field.engines
            if row.arm == arm and field.rate in row.levels
        }
        best = max(levels.values(), key=lambda level: level.value)
        knees.setdefault(min(x for x, level in levels.items() if level.value >= 0.95 * best.value), []).append(arm)
        if levels[max(levels)].high < best.low:
            falls.append(arm)
    parts = [f"{number_of(level)} ({', '.join(arms)})" for level, arms in sorted(knees.items())]
    said = [f"more in flight helps up to {_listed(parts)}"] if parts else []
    if falls:
        slowed = "all engines slow" if len(falls) == sum(map(len, knees.values())) else f"{_listed(falls)} slow"
        said.append(f"beyond that {slowed}{'s' if len(falls) == 1 else ''} down")
    return said or ["no engine has a valid trial here"]


def number_of(level: float) -> str:
    """A count."""
    return f"{level:,.0f}"


def scaling_cost(one: Sweep, base: str) -> str:
    """The title of the cost side of a concurrency sweep: CPU per page against the base at the first and the last level.
    Only arms at one level are compared: jobs may grow with the level, and starting up is part of their cost."""
    first, last = (_cpu_ratios(one.fields[end], base) for end in (0, -1))
    parts = [f"{number(first[arm].value)} to {full(ratio)} for {arm}" for arm, ratio in last.items() if arm in first]
    if not parts:
        return "What more in flight costs"
    ends = f"{number_of(one.levels[0])} to {number_of(one.levels[-1])} in flight"
    return f"From {ends}, CPU per page goes from {_listed(parts)} times that of {base}"


def _cpu_ratios(field: Field, base: str) -> dict[str, Estimate]:
    metric = "cpu_per_1000"
    values = {row.arm: row.values[metric] for row in field.engines if metric in row.values}
    found = {arm: analysis.ratio(own, values[base]) for arm, own in values.items() if arm != base and base in values}
    return {arm: ratio for arm, ratio in found.items() if ratio}


def polite(field: Field) -> str:
    """The title of the politeness figure."""
    rows = [row for row in field.engines if row.ratio]
    share = next((row.share for row in field.engines if row.share is not None), None)
    bound = field.ceilings.get("politeness", math.inf)
    asked = f"One request per {seconds(field.condition.delay)} and host"
    if not field.claims:
        return NO_CLAIM
    if rows and all(row.word == "equivalent" for row in rows):
        reached = f", at {100 * share:.0f} % of what that allows" if share is not None else ""
        return f"{asked}: every engine ties{reached}"
    return f"{asked} allows {number(bound)} pages/s; a tie of all engines is not shown"


def drift(found: Results) -> str:
    """The title of the run-order figure."""
    seen = found.audit.drift
    if seen is None:
        return "Too few trials to see a drift"
    low, high = sorted((seen.low * seen.steps, seen.high * seen.steps))
    change = f"{percent(math.exp(seen.total))} [{percent(math.exp(low))}, {percent(math.exp(high))}]"
    if seen.shown:
        return f"The machine drifted by {change} over the session; ratios within blocks carry little of it"
    return f"No drift over the session: {change}"


def break_even(found: Results) -> str:
    """The title of the start-up figure."""
    parts = []
    for arm, even in found.even.items():
        late, early = (found.base, arm) if even.rising else (arm, found.base)
        parts.append(
            f"{late} has caught up with {early} after {number(even.at)} pages [{number(even.low)}, {number(even.high)}]"
        )
    return (
        _capital("; ".join(parts)) if parts else f"No engine is shown to buy speed over {found.base} with a later start"
    )


def stretch(levels: Sequence[float], every: Sequence[float], show: Show) -> str:
    """Levels in words; neighbours become a range."""
    runs: list[list[float]] = []
    for level in every:
        if level in levels:
            if runs and every.index(runs[-1][-1]) + 1 == every.index(level):
                runs[-1].append(level)
            else:
                runs.append([level])
    return _listed([show(run[0]) if len(run) == 1 else f"{show(run[0])} to {show(run[-1])}" for run in runs])


def _ratio(row: Row) -> float:
    return row.ratio.value if row.ratio else 1.0


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def _capital(text: str) -> str:
    """A sentence starts with a capital, unless it starts with the name of an arm."""
    return (
        text[:1].upper() + text[1:]
        if text.startswith(
            ("every", "at ", "no ", "more ", "least", "faster:", "slower:", "equivalent:", "inconclusive:")
        )
        else text
    )
