"""The trials and their order: presets as data, randomised complete blocks in an order that depends only on the seed.

Rules, and why:
- A block is one pass over all arms that take part in a condition. Drift (a neighbour, the temperature) affects all arms
  of a block alike, so arms are compared only within blocks.
- The order of arms is drawn anew for each block, and so is the order of conditions in each round: with a fixed order
  drift would be confounded with the arm.
- Every block has an A/A arm: an engine a second time under another name. The difference is noise.
- The first block is a warm-up (page cache, .pyc files) and is not counted.
- Where politeness is to be the limit, the largest host must last clearly longer than any chain of back-offs, which are
  random in each crawl. At a delay of 0.1 s whole crawls of the demo web differ by 0.1 %, at 0.02 s by 4 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple, TypeVar

import msgspec

from crawler.compare.intervals import LEAST
from crawler.compare.open_loop import SWEEP
from crawler.compare.records import BOTH, SAME, Arm, Condition, Gate, Session, Trial
from crawler.compare.workload import FLAT, GRAPH, POLITE
from crawler.errors import UsageError
from crawler.testweb.certificates import check_tls
from crawler.testweb.draw import SeededRandom

T = TypeVar("T")
WARM_UP = 0
LIVE = "live"
SECONDS, RATE, PAGES_PER_SLOT = 1.0, 1000.0, 10
"""Of a trial in a sweep: how long, if it stores as many pages/s as possible and at most so many; the least of them."""
SHARE_OF_PEAK = 0.7
OPEN_PAGES = 2000
"""Enough for a 99th percentile."""


class Preset(msgspec.Struct, frozen=True):
    """A design without its arms, but for the track that they are of. `blocks` is per sweep. Without `strict` the gates
    of the machine only warn."""

    summary: str
    conditions: tuple[Condition, ...]
    blocks: dict[str, int]
    strict: bool = True
    track: str = SAME


class Planned(NamedTuple):
    """One trial to be run. `order` counts over the whole session, `block` within the condition (0: warm-up)."""

    order: int
    block: int
    arm: Arm
    condition: Condition

    @property
    def warm_up(self) -> bool:
        """Whether it is not counted."""
        return self.block == WARM_UP

    def planned(self, trial: Trial) -> bool:
        """Whether a trial was recorded for this plan."""
        ours = (self.order, self.block, self.arm.name, self.condition, self.warm_up)
        return ours == (trial.order, trial.block, trial.arm, trial.condition, trial.warm_up)

    def recorded(
        self,
        gates: tuple[Gate, ...],
        metrics: dict[str, float],
        *,
        started_at: float,
        seconds: float,
        ends: str = "",
        digest: str = "",
        raw: str = "",
    ) -> Trial:
        """The record of this trial."""
        return Trial(
            block=self.block,
            order=self.order,
            arm=self.arm.name,
            condition=self.condition,
            started_at=started_at,
            seconds=round(seconds, 4),
            warm_up=self.warm_up,
            gates=gates,
            metrics=rounded(metrics),
            ends=ends,
            digest=digest,
            raw=raw,
        )


def rounded(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics as they are recorded."""
    return {name: round(value, 6) for name, value in metrics.items()}


def _sweep(name: str, centre: Condition, **levels: Sequence[float]) -> tuple[Condition, ...]:
    """`centre` with every combination of the levels."""
    return tuple(
        msgspec.structs.replace(centre, sweep=name, **dict(zip(levels, chosen, strict=True)))
        for chosen in product(*levels.values())
    )


def _timed(*conditions: Condition) -> tuple[Condition, ...]:
    """Conditions with enough pages for SECONDS at the possible rate, at most RATE, and for each slot: then one burst of
    answers more or less at the edge of the steady window does not matter."""
    return tuple(
        msgspec.structs.replace(
            one, pages=round(max(PAGES_PER_SLOT * one.concurrency, SECONDS * min(RATE, possible(one))))
        )
        for one in conditions
    )


def possible(condition: Condition) -> float:
    """Pages/s that one core and the latency allow (Little's law)."""
    waiting, burning = condition.latency / condition.concurrency, condition.cpu_ms / 1000
    return 1 / max(waiting, burning) if waiting or burning else float("inf")


def _preset(
    summary: str,
    *conditions: Condition,
    blocks: int = LEAST,
    headline: int = LEAST,
    strict: bool = True,
    track: str = SAME,
) -> Preset:
    """A preset with the same number of blocks for every sweep but the headline."""
    of_sweeps = dict.fromkeys((one.sweep for one in conditions), blocks)
    return Preset(summary, conditions, of_sweeps | {"headline": headline}, strict, track)


def _opened(headline: Condition, pages: int = OPEN_PAGES) -> Condition:
    """The headline condition in an open loop."""
    return msgspec.structs.replace(headline, sweep=SWEEP, arrivals=SHARE_OF_PEAK, pages=pages)


_QUICK = Condition(sweep="headline", pages=1000, concurrency=32)
_FIRM = Condition(sweep="headline", pages=2000, concurrency=64, payload=32_768)
_DEAR = msgspec.structs.replace(_QUICK, cpu_ms=2.0, latency=0.01)
_DEMO = Condition(sweep="graph", workload=GRAPH, pages=150, hosts=13, concurrency=16, latency=0.0, payload=0)
_TIE = msgspec.structs.replace(_DEMO, sweep="politeness", workload=POLITE, delay=0.1)

PRESETS = {
    "smoke": _preset(
        "do all engines still do the same work? 90 s, no claims",
        msgspec.structs.replace(_QUICK, pages=300, concurrency=16),
        msgspec.structs.replace(_TIE, delay=0.02),
        blocks=1,
        headline=2,
        strict=False,
    ),
    "quick": _preset(
        "a first picture in about 10 minutes",
        _QUICK,
        *_timed(*_sweep("concurrency", _QUICK, concurrency=(4, 64))),
        *_timed(*_sweep("latency", _QUICK, latency=(0.0, 0.2))),
        msgspec.structs.replace(_TIE, delay=0.05),
    ),
    "standard": _preset(
        "less than an hour, on a quiet machine",
        _FIRM,
        *_timed(*_sweep("concurrency", _FIRM, concurrency=(1, 4, 16, 64, 256))),
        *_timed(*_sweep("latency", _FIRM, latency=(0.0, 0.01, 0.2))),
        *_timed(*_sweep("cpu", _QUICK, latency=(0.01, 0.05, 0.2), cpu_ms=(0.0, 2.0, 6.0))),
        *_timed(*_sweep("workers", _DEAR, workers=(1, 2, 4))),
        *_timed(*_sweep("payload", _FIRM, payload=(1024, 16_384, 131_072))),
        *_timed(*_sweep("errors", _FIRM, errors=(0.0, 0.2))),
        *_sweep("job size", _FIRM, pages=(10, 100, 1000)),
        *_timed(*_sweep("spread", _FIRM, spread=(0.0, 0.5))),
        _DEMO,
        _TIE,
        _opened(_FIRM),
        headline=10,
        track=BOTH,
    ),
}


def preset_of(name: str, *, tls: bool = False, open_loop: bool = False) -> Preset:
    """A preset by its name. `tls`: over https, without the conditions on the demo web, which has none. `open_loop`:
    the headline condition in an open loop, too. Raises UsageError."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r} (there are: {', '.join(PRESETS)})")
    preset = PRESETS[name]
    conditions, blocks = preset.conditions, dict(preset.blocks)
    if open_loop and SWEEP not in blocks:
        conditions = (*conditions, _opened(conditions[0], OPEN_PAGES if preset.strict else conditions[0].pages))
        blocks[SWEEP] = min(blocks.values())
    if tls:
        check_tls()
        conditions = tuple(msgspec.structs.replace(one, tls=True) for one in conditions if one.workload == FLAT)
        blocks = {one.sweep: blocks[one.sweep] for one in conditions}
    return msgspec.structs.replace(preset, conditions=conditions, blocks=blocks)


def schedule(session: Session) -> tuple[Planned, ...]:
    """Every trial of a session in its order: the warm-up, then round by round one block of each condition; those in an
    open loop last, because they need the peaks of the others."""
    blocks = [(WARM_UP, session.conditions[0])]
    for opened in (False, True):
        conditions = [condition for condition in session.conditions if bool(condition.arrivals) is opened]
        for number in range(1, max((session.blocks[one.sweep] for one in conditions), default=0) + 1):
            owed = [condition for condition in conditions if session.blocks[condition.sweep] >= number]
            dice = SeededRandom(session.seed, "conditions", number)
            blocks += [(number, condition) for condition in shuffled(owed, dice)]
    trials = [
        (number, arm, condition)
        for place, (number, condition) in enumerate(blocks)
        for arm in shuffled(
            [arm for arm in session.arms if arm.takes_part(condition, number)],
            SeededRandom(session.seed, "arms", place),
        )
    ]
    return tuple(Planned(order, *trial) for order, trial in enumerate(trials))


def shuffled(members: Sequence[T], dice: SeededRandom) -> list[T]:
    """The members in a random order (Fisher and Yates), the same on every Python for equal dice."""
    row = list(members)
    for last in range(len(row) - 1, 0, -1):
        other = dice.below(last + 1)
        row[last], row[other] = row[other], row[last]
    return row
