"""The arms of a comparison: mode, client, event loop and interpreter, in two tracks.

Rules, and why:
- In the track "same" every engine has the same client, `native`: so arms differ by their engine alone. `async` is there
  on uvloop and on asyncio, because the loop is the one part of its stack that the others do not have.
- In the track "idiomatic" each engine has the clients that people use with it: aiohttp, curl, urllib3. There a
  difference may be the client's.
- With both tracks the arms of the second, and `async` on asyncio, take part in the headline condition alone, and in as
  many blocks as a claim needs: that answers what client and loop are worth. All sweeps with twice the arms would take
  twice the time.
- Every arm of another interpreter takes part wherever its like on this one does.
- The first arm is there twice (A/A): the difference is noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from crawler.compare.interpreters import able, located, this_version
from crawler.compare.intervals import LEAST
from crawler.compare.records import BOTH, IDIOMATIC, SAME, Arm
from crawler.errors import UsageError
from crawler.fetch import check_client

TRACKS = (SAME, IDIOMATIC, BOTH)
SAME_CLIENTS = ("native",)
LOOPS = ("uvloop", "asyncio")
HEADLINE = ("headline",)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be compared. Empty `clients`: those of the track; empty `loops`: uvloop, in the track "same" `async`
    on asyncio too. `pythons`: paths of interpreters beside this one."""

    modes: Sequence[str]
    clients: Sequence[str] = ()
    loops: Sequence[str] = ()
    pythons: Sequence[str] = ()
    track: str = SAME


def arms_for(asked: Asked) -> tuple[Arm, ...]:
    """The arms, the base first and once more at the end.

    Raises UsageError for a mode, loop or track that does not exist, a mode that can use none of the clients, a package
    that is not installed, an interpreter that cannot run the crawler.
    """
    import variants

    if asked.track not in TRACKS:
        raise UsageError(f"unknown track {asked.track!r} (there are: {', '.join(TRACKS)})")
    if unknown := [loop for loop in asked.loops if loop not in LOOPS]:
        raise UsageError(f"unknown loop {unknown[0]!r} (there are: {', '.join(LOOPS)})")
    arms = _on_this(asked)
    if not arms:
        raise UsageError("nothing to compare: name at least one mode")
    for arm in arms:
        check_client(arm.client, "--track same")
        variants.check_loop(arm.mode, arm.loop)
    for path in map(located, dict.fromkeys(asked.pythons)):
        arms += _on_other(arms, path)
    return (*arms, msgspec.structs.replace(arms[0], name=f"{arms[0].name} again", twin_of=arms[0].name))


def _on_this(asked: Asked) -> list[Arm]:
    modes = tuple(dict.fromkeys(asked.modes))
    if asked.clients:
        return [arm for mode in modes for arm in _arms(mode, _usable(mode, asked.clients), asked.loops or LOOPS[:1])]
    same: list[Arm] = []
    if asked.track != IDIOMATIC:
        same = [arm for mode in modes for arm in _arms(mode, _usable(mode, SAME_CLIENTS), asked.loops or LOOPS[:1])]
        if "async" in modes and not asked.loops:
            same += _arms("async", SAME_CLIENTS, LOOPS[1:], HEADLINE)
    if asked.track == SAME:
        return same
    usual = {mode: [client for client in _clients_of(mode) if client not in SAME_CLIENTS] for mode in modes}
    apart = HEADLINE if same else ()
    return same + [arm for mode in modes for arm in _arms(mode, usual[mode], asked.loops or LOOPS[:1], apart)]


def _arms(mode: str, clients: Sequence[str], loops: Sequence[str], sweeps: tuple[str, ...] = ()) -> list[Arm]:
    """One arm for each client, on each loop where the mode has one."""
    import variants

    version, blocks = this_version(), LEAST if sweeps else 0
    return [
        Arm(_name(mode, client, loop), mode, client, loop=loop, version=version, sweeps=sweeps, blocks=blocks)
        for client in clients
        for loop in (dict.fromkeys(loops) if mode in variants.ON_LOOP else ("",))
    ]


def _on_other(arms: Sequence[Arm], path: str) -> list[Arm]:
    """The same arms, run by another interpreter. Raises UsageError."""
    version = able(path, arms).name
    made = [
        msgspec.structs.replace(arm, name=_name(arm.mode, arm.client, arm.loop, version), python=path, version=version)
        for arm in arms
        if not arm.python
    ]
    if taken := {arm.name for arm in arms} & {arm.name for arm in made}:
        raise UsageError(f"--python {path} is the second of version {version}: {min(taken)} is there already")
    return made


def _name(mode: str, client: str, loop: str, version: str = "") -> str:
    """Names what is not usual."""
    where = " ".join(filter(None, [loop if loop == LOOPS[1] else "", version]))
    return " on ".join(filter(None, [mode if client in SAME_CLIENTS else f"{mode}+{client}", where]))


def _usable(mode: str, clients: Sequence[str]) -> list[str]:
    """Those of the clients that a mode can use. Raises UsageError where it can use none."""
    usable = _clients_of(mode)
    chosen = [client for client in dict.fromkeys(clients) if client in usable]
    if not chosen:
        raise UsageError(f"--mode {mode} can use none of the clients {', '.join(clients)}, only {', '.join(usable)}")
    return chosen


def _clients_of(mode: str) -> tuple[str, ...]:
    import variants

    return variants.load(mode).CLIENTS
