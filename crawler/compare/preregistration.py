"""What is fixed before the first trial: the design, the rules of the analysis, the predictions.

Rules, and why:
- `preregistration.json` is written with the session. Its SHA-256 is printed before the first trial, and kept in the
  session and in every report: whoever noted it knows that nothing was chosen after the results were seen.
- A comparison is neither continued nor passed by `compare verify` where the file, the session or the rules of this
  version differ from what was fixed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from crawler.compare import analysis, gates, intervals, stored_rate
from crawler.compare.records import Session
from crawler.errors import Corrupt
from crawler.runtime.recorder import MAX_UNCOMMITTED

FILE = "preregistration.json"

RULES: dict[str, float | str] = {
    "unit": "log-ratios within blocks, void trials left out",
    "interval": "Student's t",
    "interval: nominal share that misses": intervals.MISS,
    "words: blocks at least": intervals.LEAST,
    "words: region of equivalence": analysis.ROPE,
    "words: correction over a figure": "Holm",
    "steady window: one part in so many cut at each end": stored_rate.EDGE,
    "G5: share of the slots that must be filled": gates.FILLED,
    "G5: pages a slot at least": gates.SHORTEST,
    "G5: cores busy that excuse empty slots": gates.CPU_ROOF,
    "G8: share of its core that the server may use": gates.SERVER_SHARE,
    "G8: capacity of the server to the rate of a trial": gates.HEADROOM,
    "G8: raw loop to the rate of a trial": gates.RAW_SLACK,
    "G8: lateness at p99, seconds, or half the latency": gates.LATE,
    "G9: steal": gates.STEAL,
    "G9: other processes": gates.FOREIGN,
    "G10: beyond what is possible": gates.BEYOND,
    "G11: pages that a kill may cost, and two a slot": MAX_UNCOMMITTED,
    "G12: drift that is warned of": gates.DRIFT,
}
"""The rules of the analysis in this version, by name."""


class Preregistration(msgspec.Struct, frozen=True):
    """The content of the file; `design` is the session without the hash of this file."""

    design: Session
    rules: dict[str, float | str]


def encoded(session: Session) -> bytes:
    """The content of the file of a session."""
    design = msgspec.structs.replace(session, preregistration="")
    return msgspec.json.format(msgspec.json.encode(Preregistration(design, RULES)), indent=1) + b"\n"


def registered(session: Session) -> Session:
    """The session with the SHA-256 of its file."""
    return msgspec.structs.replace(session, preregistration=hashlib.sha256(encoded(session)).hexdigest())


def faults(folder: Path, session: Session) -> list[str]:
    """Where the folder of a session is not as it was fixed, one line each. Raises Corrupt where the file cannot be
    read."""
    path = folder / FILE
    try:
        content = path.read_bytes()
        fixed = msgspec.json.decode(content, type=Preregistration)
    except (OSError, msgspec.MsgspecError) as error:
        raise Corrupt(f"{path} cannot be read: {error}") from error
    found = [] if hashlib.sha256(content).hexdigest() == session.preregistration else [f"{FILE} was changed"]
    ours = msgspec.structs.replace(session, preregistration="")
    changed = [name for name in ours.__struct_fields__ if getattr(ours, name) != getattr(fixed.design, name)]
    found += [f"{name} of the session is not what was fixed in {FILE}" for name in changed]
    names = sorted(fixed.rules.keys() | RULES.keys())
    return found + [
        f"the rule {name!r} was {fixed.rules.get(name)}, and is {RULES.get(name)} in this version"
        for name in names
        if fixed.rules.get(name) != RULES.get(name)
    ]
