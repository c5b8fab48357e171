"""The states of a host, and what changes them.

    NEW      its robots.txt must be asked for first (with robots off a host begins OPEN)
    ASKING   robots.txt, or a redirect of it, is in flight
    OPEN     pages may be asked for
    DOWN     it is away, or seems to be, and rests (see crawler/core/hosts/health.py)
    PROBING  the rest is over: one page at a time until one is answered well
    GONE     given up: whatever is owed or found later ends with `gone`

All moves are in `TRANSITIONS`; a trigger that has no entry for a state changes nothing (answers may land late).
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """The state of a host."""

    NEW = auto()
    ASKING = auto()
    OPEN = auto()
    DOWN = auto()
    PROBING = auto()
    GONE = auto()


class Trigger(Enum):
    """What changes the state of a host."""

    ASK = auto()
    READ = auto()
    ASK_AGAIN = auto()
    STALE = auto()
    TRIP = auto()
    DOUBT = auto()
    WAKE = auto()
    ANSWER = auto()
    GIVE_UP = auto()


TRANSITIONS: dict[tuple[State, Trigger], State] = {
    (State.NEW, Trigger.ASK): State.ASKING,
    (State.ASKING, Trigger.READ): State.OPEN,
    (State.ASKING, Trigger.ASK_AGAIN): State.NEW,
    (State.OPEN, Trigger.STALE): State.NEW,
    (State.OPEN, Trigger.TRIP): State.DOWN,
    (State.OPEN, Trigger.DOUBT): State.PROBING,
    (State.DOWN, Trigger.STALE): State.NEW,
    (State.DOWN, Trigger.WAKE): State.PROBING,
    (State.DOWN, Trigger.ANSWER): State.OPEN,
    (State.PROBING, Trigger.ANSWER): State.OPEN,
    (State.PROBING, Trigger.TRIP): State.DOWN,
    **{(state, Trigger.GIVE_UP): State.GONE for state in State},
}
