"""The trials and their order: presets as data, randomised complete blocks in an order that depends only on the seed.

Rules, and why:
- A block is one pass over all arms of one condition. Drift (a neighbour, the temperature) affects all arms of a block
  alike, so arms are compared only within blocks.
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

from crawler.compare.records import Arm, Condition, Gate, Session, Trial
from crawler.compare.workload import GRAPH, POLITE
from crawler.errors import UsageError
from crawler.fetch import check_client
from crawler.testweb.draw import SeededRandom

T = TypeVar("T")
WARM_UP = 0
LIVE = "live"


class Preset(msgspec.Struct, frozen=True):
    """A design without its arms. `blocks` is per sweep. Without `strict` the gates of the machine only warn."""

    summary: str
    conditions: tuple[Condition, ...]
    blocks: dict[str, int]
    strict: bool = True


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


def _timed(seconds: float, *conditions: Condition, least: int = 20) -> tuple[Condition, ...]:
    """Conditions with enough pages for `seconds` at the possible rate, at most 1,000 a second, and at least `least` per
    slot: then one burst of answers more or less at the edge of the steady window does not matter."""
    return tuple(
        msgspec.structs.replace(one, pages=round(max(least * one.concurrency, seconds * min(1000, _possible(one)))))
        for one in conditions
    )


def _possible(condition: Condition) -> float:
    """Pages/s that one core and the latency allow (Little's law)."""
    waiting, burning = condition.latency / condition.concurrency, condition.cpu_ms / 1000
    return 1 / max(waiting, burning) if waiting or burning else float("inf")


def _blocks(headline: int, others: int, *sweeps: str) -> dict[str, int]:
    """The number of blocks of each sweep."""
    return {"headline": headline} | dict.fromkeys(sweeps, others)


_SWEEPS = ("concurrency", "latency", "cpu", "workers", "payload", "errors", "job size", "spread", "graph", "politeness")
_QUICK = Condition(sweep="headline", pages=1000, concurrency=32)
_FIRM = Condition(sweep="headline", pages=5000, concurrency=64, payload=32_768)
_DEAR = msgspec.structs.replace(_QUICK, cpu_ms=2.0, latency=0.01)
_DEMO = Condition(sweep="graph", workload=GRAPH, pages=150, hosts=13, concurrency=16, latency=0.0, payload=0)
_TIE = msgspec.structs.replace(_DEMO, sweep="politeness", workload=POLITE, delay=0.1)

PRESETS = {
    "smoke": Preset(
        "do all engines still do the same work? 90 s, no claims",
        (
            *_sweep("headline", msgspec.structs.replace(_QUICK, pages=300, concurrency=16), latency=(0.05, 0.0)),
            msgspec.structs.replace(_TIE, delay=0.05),
        ),
        {"headline": 2, "politeness": 1},
        strict=False,
    ),
    "quick": Preset(
        "a first picture in about 10 minutes",
        (
            _QUICK,
            *_timed(2, *_sweep("concurrency", _QUICK, concurrency=(4, 16, 64))),
            *_timed(2, *_sweep("latency", _QUICK, latency=(0.0, 0.01, 0.1))),
            _TIE,
        ),
        _blocks(5, 5, "concurrency", "latency", "politeness"),
    ),
    "standard": Preset(
        "about an hour, on a quiet machine",
        (
            _FIRM,
            *_timed(2, *_sweep("concurrency", _FIRM, concurrency=(1, 4, 16, 64, 256, 512))),
            *_timed(2, *_sweep("latency", _FIRM, latency=(0.0, 0.001, 0.01, 0.05, 0.2))),
            *_timed(2, *_sweep("cpu", _QUICK, latency=(0.01, 0.05, 0.2), cpu_ms=(0.0, 2.0, 10.0)), least=10),
            *_timed(2, *_sweep("workers", _DEAR, workers=(1, 2, 4))),
            *_timed(2, *_sweep("payload", _FIRM, payload=(1024, 16_384, 131_072))),
            *_timed(2, *_sweep("errors", _FIRM, errors=(0.0, 0.05, 0.2))),
            *_sweep("job size", _FIRM, pages=(10, 100, 1000, 4000)),
            *_sweep("spread", _FIRM, spread=(0.0, 0.5)),
            _DEMO,
            _TIE,
        ),
        _blocks(10, 5, *_SWEEPS),
    ),
}


SAME_CLIENT = "native"
"""The client of every arm that names none: so arms differ by their engine alone."""


def arms_for(modes: Sequence[str], clients: Sequence[str] = ()) -> tuple[Arm, ...]:
    """One arm for each mode with the same client, or with each of `clients` that it can use; the first one twice.

    Raises UsageError for a mode that does not exist, one that can use none of the clients, or a client whose package is
    not installed.
    """
    import variants

    arms: list[Arm] = []
    for mode in dict.fromkeys(modes):
        usable = variants.load(mode).CLIENTS
        chosen = [client for client in dict.fromkeys(clients) if client in usable] if clients else [SAME_CLIENT]
        if not chosen:
            raise UsageError(
                f"--mode {mode} can use none of the clients {', '.join(clients)}, only {', '.join(usable)}"
            )
        for client in chosen:
            check_client(client)
        arms += [Arm(mode if client == SAME_CLIENT else f"{mode}+{client}", mode, client) for client in chosen]
    if not arms:
        raise UsageError("nothing to compare: name at least one mode")
    first = arms[0]
    return (*arms, Arm(f"{first.name} again", first.mode, first.client, twin_of=first.name))


def schedule(session: Session) -> tuple[Planned, ...]:
    """Every trial of a session in its order: the warm-up, then round by round one block of each condition."""
    blocks = [(WARM_UP, session.conditions[0])]
    for number in range(1, max(session.blocks.values()) + 1):
        owed = [condition for condition in session.conditions if session.blocks[condition.sweep] >= number]
        blocks += [
            (number, condition) for condition in shuffled(owed, SeededRandom(session.seed, "conditions", number))
        ]
    trials = [
        (number, arm, condition)
        for place, (number, condition) in enumerate(blocks)
        for arm in shuffled(session.arms, SeededRandom(session.seed, "arms", place))
    ]
    return tuple(Planned(order, *trial) for order, trial in enumerate(trials))


def shuffled(members: Sequence[T], dice: SeededRandom) -> list[T]:
    """The members in a random order (Fisher and Yates), the same on every Python for equal dice."""
    row = list(members)
    for last in range(len(row) - 1, 0, -1):
        other = dice.below(last + 1)
        row[last], row[other] = row[other], row[last]
    return row
