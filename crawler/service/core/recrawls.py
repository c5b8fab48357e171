"""Which generation of a crawl directory a run works on.

Rules:
- A job with `recrawl` keeps one directory, and two runs never work in it at once (run_admission.py).
- The generation is decided when the first process of a run is about to start, because only then the run before has
  ended. It is the next one where that run brought its own to an end, also by a limit; where it was cancelled or failed
  on the way, it is that one, which goes on. So does the command `recrawl`.
- It is decided once. A run that is started again after a kill, and a retry, keep theirs. A retry that comes after a
  later generation was begun counts as a new run.
- Where there is no crawl (yet, or any more) the run begins with generation 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from crawler.service.core.states import RunReason, RunState


class EarlierRun(NamedTuple):
    """A run that has worked in the directory: on which generation, when it ended (Unix time) and how."""

    generation: int
    ended_at: float
    state: RunState
    reason: RunReason | None


_OVER = frozenset({RunState.SUCCEEDED, RunState.LIMITED})
_OVER_THOUGH_FAILED = frozenset({RunReason.NOTHING_FETCHED, RunReason.FAIL_ON, RunReason.EXPECTATION})


def generation_of(own: int | None, earlier: Iterable[EarlierRun], exists: bool) -> int:
    """The generation of a run that starts. `own`: what was decided for it before; `earlier`: the other runs that have
    worked in its directory; `exists`: whether there is a crawl in that."""
    if not exists:
        return 0
    last = max(earlier, key=lambda run: (run.generation, run.ended_at), default=None)
    if last is None:
        return own or 0
    if own is not None and own >= last.generation:
        return own
    return last.generation + _has_ended_its_crawl(last)


def _has_ended_its_crawl(run: EarlierRun) -> bool:
    """Whether the crawl came to its end. Otherwise its process was stopped, or failed on the way."""
    return run.state in _OVER or (run.state is RunState.FAILED and run.reason in _OVER_THOUGH_FAILED)
