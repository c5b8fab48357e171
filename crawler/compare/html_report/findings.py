"""The findings, in sentences that the intervals allow. Pure.

Rules, and why:
- A sentence states a number with its interval, and says "faster" or "tie" only where the word of the analysis does.
- Where the A/A interval excludes 1 no sentence compares engines, because the measurement separates two equal ones.
"""

from __future__ import annotations

import math

from crawler.compare import analysis
from crawler.compare.fields import Field, Row
from crawler.compare.html_report.numbers import full
from crawler.compare.html_report.phrases import NO_CLAIM, listed, sentence
from crawler.compare.html_report.scaling import sweep
from crawler.compare.predictions import OUTCOMES, tally
from crawler.compare.results import Results, Sweep
from crawler.compare.verdicts import costs_against
from crawler.report.numbers import counted, number, percent, seconds, share


def summary(found: Results) -> list[str]:
    """The main findings, a sentence each, without repetition."""
    said = []
    if found.headline:
        said.append(noise_floor(found))
        said += [headline(found.headline, found.base), costs(found.headline, found.base)]
    said += [
        _swept(one, found) for name in ("concurrency", "latency", "cpu") for one in found.sweeps if one.name == name
    ]
    said += [polite(field) for field in found.polite[:1] if field.engines]
    if found.predictions:
        came = tally(found.predictions)
        outcomes = ", ".join(f"{came[outcome]} {outcome}" for outcome in OUTCOMES)
        said.append(f"Of {counted(len(found.predictions), 'prediction')} made before the first trial: {outcomes}.")
    if found.audit.void:
        judged = found.audit.void + found.audit.valid
        said.append(f"{found.audit.void:,} of {judged:,} trials failed a gate: shown, not counted.")
    return [text if text.endswith(".") else f"{text}." for text in dict.fromkeys(said) if text]


def _swept(one: Sweep, found: Results) -> str:
    """What a sweep has found, with the latency where another sweep differs in that alone."""
    said = sweep(one, found.base)[:3]
    if sum(other.name == one.name for other in found.sweeps) > 1:
        said = [f"with a latency of {seconds(one.fields[0].condition.latency)}: {said[0]}", *said[1:]]
    return sentence(said)


def noise_floor(found: Results) -> str:
    """The apparent difference between two equal engines."""
    field = found.headline
    if not field or not field.twin:
        return f"There is no A/A arm: differences below {percent(1 + analysis.ROPE)} are taken as noise."
    twin = field.twin
    measured = f"The same engine under two names differs by {percent(twin.value)}"
    if not twin.known:
        return f"{measured} in {counted(twin.n, 'block')}: too few to tell how far noise reaches."
    measured += f" [{percent(twin.low)}, {percent(twin.high)}]"
    if not field.claims:
        return f"{measured}: the measurement separates two equal engines, so no difference is claimed."
    if field.margin > analysis.ROPE:
        return (
            f"{measured}: differences below {100 * field.margin:.2g} % may be noise, and nothing is called equivalent."
        )
    return f"{measured}; what differs by less than {100 * analysis.ROPE:.2g} % counts as equal."


def headline(field: Field, base: str) -> str:
    """The title of the headline figure."""
    rows = [row for row in field.engines if row.ratio]
    if not field.claims:
        return NO_CLAIM
    faster = sorted((row for row in rows if row.word == "faster"), key=_ratio, reverse=True)
    slower = sorted((row for row in rows if row.word == "slower"), key=_ratio)
    if faster:
        return f"{faster[0].arm} stores {_measured(faster[0])} times as many pages a second as {base}"
    if rows and all(row.word == "equivalent" for row in rows):
        return f"All engines tie with {base}, within {100 * analysis.ROPE:.2g} %"
    if few := [row for row in rows if row.word == analysis.TOO_FEW]:
        farthest = max(few, key=lambda row: abs(math.log(_ratio(row))))
        seen = f"{farthest.arm} stored {number(_ratio(farthest))} times as many pages a second as {base}"
        return f"{seen}: observed, but too few blocks to claim"
    still = [row.arm for row in rows if row.word == "inconclusive"]
    if slower:
        least = f"{slower[0].arm} reaches {_measured(slower[0])} of {base}'s pages a second"
        rest = f"{listed(still)} {'stay' if len(still) > 1 else 'stays'} open"
        return f"{least}; {rest}" if still else f"Nothing beats {base}; {least}"
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


def costs(field: Field, base: str) -> str:
    """CPU and memory of the engines against the base: the highest and the lowest that is significant."""
    if not field.claims:
        return NO_CLAIM
    parts = []
    for metric, what in (("cpu_per_1000", "CPU per page"), ("memory", "memory")):
        found = costs_against(field, base, metric)
        more = {arm: ratio for arm, (ratio, word) in found.items() if word == "faster"}
        less = {arm: ratio for arm, (ratio, word) in found.items() if word == "slower"}
        ends = [max(more, key=lambda arm: more[arm].value)] if more else []
        ends += [min(less, key=lambda arm: less[arm].value)] if less else []
        said = [f"{arm} takes {full((more | less)[arm])} times the {what} of {base}" for arm in ends]
        if found and not said:
            said_of = {word for _, word in found.values()}
            if analysis.TOO_FEW in said_of:
                said = [f"too few blocks to compare {what}"]
            elif said_of == {"equivalent"}:
                said = [f"every engine takes as much {what} as {base}"]
            else:
                said = [f"no difference in {what} is shown"]
        parts += said
    return sentence(parts)


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
        return f"{asked}: every engine ties within {100 * analysis.ROPE:.2g} %{reached}"
    few = any(row.word == analysis.TOO_FEW for row in rows)
    tie = "too few blocks to claim a tie" if few else "a tie of all engines is not shown"
    return f"{asked} allows {number(bound)} pages/s; {tie}"


def graph(field: Field, base: str) -> str:
    """The title of the figure of a graph crawl: how near each engine comes to the limit of the graph."""
    if not field.claims:
        return NO_CLAIM
    bound = field.ceilings.get("the graph")
    rates = {row.arm: row.levels[field.rate].value for row in field.engines if field.rate in row.levels}
    parts = []
    if bound and rates:
        least, most = min(rates.values()) / bound, max(rates.values()) / bound
        reached = f"{share(least)} to {share(most)} of what the graph allows"
        parts.append(f"finding every page by its links, engines reach {reached}")
    words = {row.word for row in field.engines if row.word}
    different = [row for row in field.engines if row.word in ("faster", "slower")]
    parts += [f"{row.arm} reaches {_measured(row)} times the pages/s of {base}" for row in different]
    if words == {"equivalent"}:
        parts.append(f"every engine ties with {base}")
    elif not different:
        parts.append(f"no difference from {base} is shown")
    return sentence(parts)


def drift(found: Results) -> str:
    """The title of the run-order figure."""
    seen = found.audit.drift
    if seen is None:
        return "Too few trials to see a drift"
    low, high = sorted((seen.low * seen.steps, seen.high * seen.steps))
    change = f"{percent(math.exp(seen.total))} [{percent(math.exp(low))}, {percent(math.exp(high))}]"
    if seen.shown:
        return f"The machine drifted by {change} over the session; ratios within blocks carry little of it"
    return f"No drift is shown over the session: {change}"


def break_even(found: Results) -> str:
    """The title of the start-up figure."""
    if not found.claims:
        return NO_CLAIM
    parts = []
    for arm, even in found.even.items():
        late, early = (found.base, arm) if even.rising else (arm, found.base)
        parts.append(
            f"{late} has caught up with {early} after {number(even.at)} pages [{number(even.low)}, {number(even.high)}]"
        )
    return sentence(parts) or f"No engine is shown to buy speed over {found.base} with a later start"


def _measured(row: Row) -> str:
    return full(row.ratio) if row.ratio else ""


def _ratio(row: Row) -> float:
    return row.ratio.value if row.ratio else 1.0
