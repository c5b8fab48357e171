"""The states of a run as a table: every change that there is; any other is refused.

Rules:
- A run is queued, starting, running, paused or stopping until it ends. A final state is never left: to try again is
  another run, in the same crawl directory.
- What the crawl says of its own end counts for more than what was asked of it: a run that completes while it is being
  stopped has succeeded.
- A crawl survives the death of its process. So a child that dies, or that drains although nobody asked it to (a signal
  from outside), puts its run back into the queue, and the next child goes on. After MOST_CRASHES such ends in a row
  without a page in between the run has failed.
- Children die with the service. When it starts, what was starting or running is queued, what was paused stays paused
  without a child, what was stopping is cancelled.
- `interrupted` is for a run whose crawl directory is gone or cannot be read: it can never go on.
- A pause for the disk ends when there is room; that of a person ends only when a person says so.
- The reason says why a run is in its state. A change without a reason of its own keeps the one before only from
  `stopping`: who asked for the stop is why the run is cancelled.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from crawler.core.reasons import Ending

MOST_CRASHES = 5
DRAINED_EXITS = frozenset({129, 130, 143})
"""Exit codes of a crawl that was interrupted by a signal and has drained."""


class RunState(StrEnum):
    """Where a run is. The last six are final."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    LIMITED = "limited"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"


class RunReason(StrEnum):
    """Why a run is in its state, or why a tick has no run. A closed list: the API, metrics and scripts rely on it.

    How the crawl ended: `COMPLETE`, `INCOMPLETE` (something was missed), `DEGRADED` (an expectation is not met),
    `LIMIT`, `NOTHING_FETCHED`, `FAIL_ON` (a condition of that key holds), `EXPECTATION` (one that fails the run).
    What became of the child: `CRASHED` (a signal of its own making), `KILLED` (SIGKILL or SIGTERM), `EXIT_CODE` (it
    ended with an error), `DRAINED` (it ended early, unasked), `LOST` (its directory is gone or damaged), `RESTART` (the
    service was started anew). Who wanted it: `USER`; `DISK`: room is short; `OVERLAP`: the run before has not ended.
    Of ticks: `OVERLAP`, `QUEUE_FULL`, `CATCHUP` (later than the catch-up window), `COALESCED` (a later tick of the same
    window runs for it), `PAUSED_SCHEDULE`.
    """

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    DEGRADED = "degraded"
    LIMIT = "limit"
    NOTHING_FETCHED = "nothing_fetched"
    FAIL_ON = "fail_on"
    EXPECTATION = "expectation"
    CRASHED = "crashed"
    KILLED = "killed"
    EXIT_CODE = "exit_code"
    DRAINED = "drained"
    LOST = "lost"
    RESTART = "restart"
    USER = "user"
    DISK = "disk"
    OVERLAP = "overlap"
    QUEUE_FULL = "queue_full"
    CATCHUP = "catchup"
    COALESCED = "coalesced"
    PAUSED_SCHEDULE = "paused_schedule"


class RunEvent(StrEnum):
    """What happens to a run.

    `START`: a child is being spawned. `STARTED`: it crawls. `STOP` lets it drain, `CANCEL` does not; both may come from
    a person or from a tick that cancels the run before. `SKIP`: a queued run is not wanted any more. `COMPLETED`,
    `LIMIT_REACHED`, `FAILED`, `DRAINED`, `DIED`: how the child ended, see `event_of`. `LOST`: the directory is gone.
    """

    START = "start"
    STARTED = "started"
    PAUSE = "pause"
    RESUME = "resume"
    DISK_FULL = "disk_full"
    DISK_FREE = "disk_free"
    STOP = "stop"
    CANCEL = "cancel"
    SKIP = "skip"
    COMPLETED = "completed"
    LIMIT_REACHED = "limit_reached"
    FAILED = "failed"
    DRAINED = "drained"
    DIED = "died"
    SERVICE_STARTED = "service_started"
    LOST = "lost"


FINAL = frozenset(
    {
        *(RunState.SUCCEEDED, RunState.LIMITED, RunState.FAILED),
        *(RunState.CANCELLED, RunState.INTERRUPTED, RunState.SKIPPED),
    }
)
ACTIVE = frozenset(RunState) - FINAL
WITH_CHILD = ACTIVE - {RunState.QUEUED}
"""The states in which a run has a child; one that is paused has none after a restart of the service."""

_ENDS = {
    RunEvent.COMPLETED: RunState.SUCCEEDED,
    RunEvent.LIMIT_REACHED: RunState.LIMITED,
    RunEvent.FAILED: RunState.FAILED,
    RunEvent.LOST: RunState.INTERRUPTED,
}
TABLE: dict[RunState, dict[RunEvent, RunState]] = {
    RunState.QUEUED: {
        RunEvent.START: RunState.STARTING,
        RunEvent.STOP: RunState.CANCELLED,
        RunEvent.CANCEL: RunState.CANCELLED,
        RunEvent.SKIP: RunState.SKIPPED,
        RunEvent.FAILED: RunState.FAILED,
        RunEvent.SERVICE_STARTED: RunState.QUEUED,
        RunEvent.LOST: RunState.INTERRUPTED,
    },
    RunState.STARTING: {
        **_ENDS,
        RunEvent.STARTED: RunState.RUNNING,
        RunEvent.STOP: RunState.STOPPING,
        RunEvent.CANCEL: RunState.STOPPING,
        RunEvent.DRAINED: RunState.QUEUED,
        RunEvent.DIED: RunState.QUEUED,
        RunEvent.SERVICE_STARTED: RunState.QUEUED,
    },
    RunState.RUNNING: {
        **_ENDS,
        RunEvent.PAUSE: RunState.PAUSED,
        RunEvent.DISK_FULL: RunState.PAUSED,
        RunEvent.STOP: RunState.STOPPING,
        RunEvent.CANCEL: RunState.STOPPING,
        RunEvent.DRAINED: RunState.QUEUED,
        RunEvent.DIED: RunState.QUEUED,
        RunEvent.SERVICE_STARTED: RunState.QUEUED,
    },
    RunState.PAUSED: {
        **_ENDS,
        RunEvent.PAUSE: RunState.PAUSED,
        RunEvent.RESUME: RunState.RUNNING,
        RunEvent.DISK_FREE: RunState.RUNNING,
        RunEvent.STOP: RunState.STOPPING,
        RunEvent.CANCEL: RunState.STOPPING,
        RunEvent.DRAINED: RunState.PAUSED,
        RunEvent.DIED: RunState.PAUSED,
        RunEvent.SERVICE_STARTED: RunState.PAUSED,
    },
    RunState.STOPPING: {
        **_ENDS,
        RunEvent.STARTED: RunState.STOPPING,
        RunEvent.CANCEL: RunState.STOPPING,
        RunEvent.DRAINED: RunState.CANCELLED,
        RunEvent.DIED: RunState.CANCELLED,
        RunEvent.SERVICE_STARTED: RunState.CANCELLED,
    },
}
"""state -> event -> next state. What is not here is refused."""
_WITHOUT_CHILD = {
    RunEvent.RESUME: RunState.QUEUED,
    RunEvent.DISK_FREE: RunState.QUEUED,
    RunEvent.STOP: RunState.CANCELLED,
    RunEvent.CANCEL: RunState.CANCELLED,
}
"""Where these events lead from `paused` when no child is alive."""
_REASONS = {
    RunEvent.PAUSE: RunReason.USER,
    RunEvent.STOP: RunReason.USER,
    RunEvent.CANCEL: RunReason.USER,
    RunEvent.SKIP: RunReason.OVERLAP,
    RunEvent.DISK_FULL: RunReason.DISK,
    RunEvent.COMPLETED: RunReason.COMPLETE,
    RunEvent.LIMIT_REACHED: RunReason.LIMIT,
    RunEvent.FAILED: RunReason.EXIT_CODE,
    RunEvent.DRAINED: RunReason.DRAINED,
    RunEvent.DIED: RunReason.CRASHED,
    RunEvent.SERVICE_STARTED: RunReason.RESTART,
    RunEvent.LOST: RunReason.LOST,
}
"""The reason of an event that comes without one."""
_KEEPING = frozenset({RunEvent.STARTED, RunEvent.DRAINED, RunEvent.DIED, RunEvent.SERVICE_STARTED})
"""Events that leave the reason of a run that is paused or stopping as it is."""


class StateChange(NamedTuple):
    """The state that a run goes into, and why; no reason where there is nothing to say."""

    state: RunState
    reason: RunReason | None


class TransitionRefused(NamedTuple):
    """The state does not allow it: HTTP 409."""

    state: RunState
    event: RunEvent

    def __str__(self) -> str:
        allowed = [event.value for event in TABLE.get(self.state, ()) if event in REQUESTS]
        rest = f"possible: {', '.join(allowed)}" if allowed else "it has ended; retry starts another run"
        return f"a run that is {self.state} cannot {self.event}; {rest}"


REQUESTS = (RunEvent.PAUSE, RunEvent.RESUME, RunEvent.STOP, RunEvent.CANCEL)
"""What a person may ask for."""


def transition(
    state: RunState,
    event: RunEvent,
    reason: RunReason | None = None,
    *,
    before: RunReason | None = None,
    child: bool = True,
    crashes: int = 0,
) -> StateChange | TransitionRefused:
    """The change that an event brings. `reason`: that of the event, if not the usual one; `before`: the reason of the
    state that the run is in; `child`: whether a child is alive, which matters only where the run is paused;
    `crashes`: how many children of the run in a row ended without being asked and without a page, this one included."""
    following = TABLE.get(state, {}).get(event)
    if following is None or (event is RunEvent.DISK_FREE and before is not RunReason.DISK):
        return TransitionRefused(state, event)
    if state is RunState.PAUSED and not child:
        following = _WITHOUT_CHILD.get(event, following)
    if event in _KEEPING and state in (RunState.PAUSED, RunState.STOPPING):
        return StateChange(following, before)
    if state is RunState.QUEUED and event is RunEvent.SERVICE_STARTED:
        return StateChange(following, before)
    if event in (RunEvent.DRAINED, RunEvent.DIED) and crashes >= MOST_CRASHES and following is RunState.QUEUED:
        following = RunState.FAILED
    return StateChange(following, reason or _REASONS.get(event))


class ChildEnd(NamedTuple):
    """How a child ended. `ending`: of its summary, None where it told none; `fail_on`: whether one of those conditions
    holds; `signal`: that killed it."""

    ending: Ending | None = None
    exit_code: int | None = None
    signal: int | None = None
    fail_on: bool = False


_TOLD = {
    Ending.COMPLETE: (RunEvent.COMPLETED, RunReason.COMPLETE),
    Ending.INCOMPLETE: (RunEvent.COMPLETED, RunReason.INCOMPLETE),
    Ending.LIMIT: (RunEvent.LIMIT_REACHED, RunReason.LIMIT),
    Ending.FAILED: (RunEvent.FAILED, RunReason.NOTHING_FETCHED),
    Ending.STOPPED: (RunEvent.DRAINED, RunReason.DRAINED),
}
_FROM_OUTSIDE = frozenset({9, 15})  # SIGKILL, also of the kernel when memory is out; SIGTERM


def event_of(end: ChildEnd) -> tuple[RunEvent, RunReason]:
    """What the end of a child means for its run. Expectations may change a success afterwards, see
    crawler/service/core/expectations.py."""
    if end.ending is not None:
        event, reason = _TOLD[end.ending]
        if end.fail_on and event is not RunEvent.DRAINED:
            return RunEvent.FAILED, RunReason.FAIL_ON
        return event, reason
    if end.signal is None and end.exit_code in DRAINED_EXITS:
        return RunEvent.DRAINED, RunReason.DRAINED
    if end.signal is None:
        return RunEvent.FAILED, RunReason.EXIT_CODE
    reason = RunReason.KILLED if end.signal in _FROM_OUTSIDE else RunReason.CRASHED
    return RunEvent.DIED, reason
