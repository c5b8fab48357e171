"""Draws the next fault of a crawl: which process is killed, at which failpoint or call, in which mode."""

from __future__ import annotations

import random

import variants
from crawler.system.failpoints import DISK, POINTS
from tests.faults.calls import ERRORS, Fault
from tests.faults.trial import Blow

STORES = ("sqlite", "files")
HAVE_WORKERS = ("processes", "prefork")
OFTEN = {"group": 3.0, "parent": 3.0, "point": 6.0, "call": 6.0}
OFTEN_TO_WORKERS = {"worker": 4.0, "stop": 0.3}
SELDOM_PASSED = {
    *("store.close", "frontier.close", "directory.made", "directory.removed", "manifest.replace", "layout.copied"),
}
MOST_PASSES = 25
USUAL_CALLS = {
    **{"write": 150, "pwrite": 600, "fsync": 3, "fdatasync": 25, "ftruncate": 18, "rename": 150, "open": 150},
    **{"mkdir": 150, "unlink": 12, "connect": 100, "fork": 2, "thread": 15},
}
"""How often a crawl of the small web calls each, at least in one mode and store."""
NOT_FOR_EVER = ("connect",)  # URLs would settle as failed for lack of a network, as they should


def draw(dice: random.Random, shim: bool) -> Blow:
    """The next fault; `shim`: whether calls can be made to fail on this machine."""
    mode = dice.choice(variants.names())
    kinds = OFTEN | (OFTEN_TO_WORKERS if mode in HAVE_WORKERS else {})
    kind = dice.choices(list(kinds), list(kinds.values()))[0]
    if kind == "point" or (kind == "call" and not shim):
        return Blow(f"point:{point(dice)}", mode)
    return Blow(kind, mode, call(dice) if kind == "call" else None)


def point(dice: random.Random) -> str:
    """A failpoint and its rule."""
    name = dice.choice(list(POINTS))
    actions = ["kill", "kill", "kill~0.001", *(("ENOSPC", "EIO") if name in DISK else ())]
    return f"{name}={dice.choice(actions)}@{1 if name in SELDOM_PASSED else dice.randint(1, MOST_PASSES)}"


def call(dice: random.Random) -> Fault:
    """A call that fails; the first ones are as likely as the many later ones."""
    name = dice.choice(list(ERRORS))
    most = USUAL_CALLS[name]
    nth = round(most ** dice.random()) if dice.random() < 0.5 else dice.randint(1, most)
    if dice.random() < 0.3:
        return Fault(name, nth)
    return Fault(name, nth, dice.choice(ERRORS[name]), name not in NOT_FOR_EVER and dice.random() < 0.3)
