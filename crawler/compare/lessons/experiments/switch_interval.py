"""How often do threads take turns? The tutorials say every 100 bytecodes, which was true of Python 2.

Two threads run the same loop and note who was there last. Each change of that is a switch, and the passes between two
switches, of about ten bytecodes each, show how long a turn is.
"""

from __future__ import annotations

import sys
from threading import Thread
from time import perf_counter
from typing import NamedTuple

from crawler.compare.lessons.lesson import Lesson, Samples, below, fact, level, ratio
from crawler.compare.lessons.rounds import alternate, in_parallel, ratios

SECONDS = 0.3
ROUNDS = 6
USUAL, SHORT = 5e-3, 1e-3  # switch intervals in seconds


class TurnLength(NamedTuple):
    """Passes of the loop in one turn, and seconds that a turn lasts."""

    passes: float
    seconds: float


def turns(interval: float) -> TurnLength:
    """Let two threads run for SECONDS."""
    last, passes, switches = 0, [0, 0], [0, 0]
    sys.setswitchinterval(interval)
    until = perf_counter() + SECONDS

    def thread(me: int) -> None:
        nonlocal last
        while perf_counter() < until:
            passes[me] += 1
            if last != me:
                last = me
                switches[me] += 1

    in_parallel([Thread(target=thread, args=(me,)) for me in (0, 1)])
    sys.setswitchinterval(USUAL)
    count = max(1, sum(switches))
    return TurnLength(sum(passes) / count, SECONDS / count)


def run() -> Samples:
    """The usual interval and a short one, in turn."""
    found = alternate(ROUNDS, usual=lambda: turns(USUAL), short=lambda: turns(SHORT))
    seconds = {arm: [one.seconds for one in repeated] for arm, repeated in found.items()}
    return {
        "setting": [float(hasattr(sys, "setcheckinterval"))] * ROUNDS,
        "passes": [one.passes for one in found["usual"]],
        "milliseconds": [1000 * one for one in seconds["usual"]],
        "interval": ratios(seconds["usual"], seconds["short"]),
    }


LESSON = Lesson(
    title="The interpreter that yields every 100 bytecodes",
    claim="Every 100 bytecodes the interpreter lets go of the GIL, so that other threads get a chance to run.",
    measures={
        "setting": fact("the setting of that number, sys.setcheckinterval, is there", claim=True),
        "passes": level("passes of a loop (about ten bytecodes) in one turn", claim=below(100)),
        "milliseconds": level("milliseconds in one turn, at the usual interval of 5 ms"),
        "interval": ratio("switches/s, interval of 1 ms : of 5 ms"),
    },
    why=(
        "Since CPython 3.2 turns are measured in time: a thread that waits asks for the GIL after the switch interval, "
        "and the running one lets go at its next call or jump back, tens of thousands of bytecodes later. Without the "
        "GIL there are no turns, and the interval means nothing."
    ),
    run=run,
)
