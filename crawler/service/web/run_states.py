"""How a run's state is shown: a word, a kind that sets its colour, a shape, and what can be done with it. Pure.

Rules:
- Word and shape tell everything that the colour tells: pages are read in grey, and by people who see few colours.
- A success that missed something is shown as such. Only a clean one is plain green.
- Buttons are those that the state allows. The service refuses the others too, as a state may change meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

from crawler.core.endings import PAUSES
from crawler.service.core.states import FINAL, RunReason, RunState
from crawler.service.records import RunRecord
from crawler.settings import Settings


class StateShown(NamedTuple):
    """A state as a page shows it; `kind` and `shape` are classes of the style sheet and symbols of the page."""

    word: str
    kind: str
    shape: str


SHOWN = {
    RunState.QUEUED: StateShown("queued", "wait", "ring"),
    RunState.STARTING: StateShown("starting", "live", "ring"),
    RunState.RUNNING: StateShown("running", "live", "play"),
    RunState.PAUSED: StateShown("paused", "warn", "bars"),
    RunState.STOPPING: StateShown("stopping", "warn", "square"),
    RunState.SUCCEEDED: StateShown("succeeded", "good", "check"),
    RunState.LIMITED: StateShown("stopped by a limit", "good", "check"),
    RunState.FAILED: StateShown("failed", "bad", "cross"),
    RunState.CANCELLED: StateShown("cancelled", "wait", "square"),
    RunState.INTERRUPTED: StateShown("interrupted", "bad", "cross"),
    RunState.SKIPPED: StateShown("skipped", "wait", "dash"),
}
IMPERFECT = {
    RunReason.DEGRADED: StateShown("degraded", "warn", "triangle"),
    RunReason.INCOMPLETE: StateShown("incomplete", "warn", "triangle"),
}
"""What a success with this reason is called instead."""
WHY = {
    RunReason.COMPLETE: "every URL was fetched",
    RunReason.INCOMPLETE: "some URLs were missed",
    RunReason.DEGRADED: "an expectation is not met",
    RunReason.LIMIT: "a limit of its settings was reached",
    RunReason.NOTHING_FETCHED: "nothing could be fetched",
    RunReason.FAIL_ON: "a condition of fail_on holds",
    RunReason.EXPECTATION: "an expectation is not met",
    RunReason.CRASHED: "its process crashed",
    RunReason.KILLED: "its process was killed from outside",
    RunReason.EXIT_CODE: "its process ended with an error",
    RunReason.DRAINED: "its process was stopped from outside",
    RunReason.LOST: "its crawl directory is gone or damaged",
    RunReason.RESTART: "the service was started anew",
    RunReason.USER: "somebody asked for it",
    RunReason.DISK: "the disk is nearly full",
    RunReason.OVERLAP: "the run before had not ended",
    RunReason.QUEUE_FULL: "the queue was full",
    RunReason.CATCHUP: "it was found too late",
    RunReason.COALESCED: "a later tick ran for it",
    RunReason.PAUSED_SCHEDULE: "the schedule was paused",
}
"""Each reason, for people."""


class RunAction(NamedTuple):
    """A button: its word, the end of its URL, whether it cannot be taken back, and what it does, in a sentence."""

    word: str
    name: str
    harsh: bool
    does: str


PAUSE = RunAction("Pause", "pause", False, "Fetches under way end, no new one begins.")
RESUME = RunAction("Resume", "resume", False, "Goes on where it paused.")
STOP = RunAction("Stop", "stop", False, "Fetches under way end, then the run does. It can be run again from there.")
CANCEL = RunAction("Cancel", "cancel", True, "Ends at once. What was committed stays.")
FORCE = RunAction("Kill", "force", True, "Kills its processes at once. What was committed stays.")
RETRY = RunAction("Run again", "retry", False, "A new run that goes on with what this one missed.")
ACTIONS = {
    RunState.QUEUED: (CANCEL,),
    RunState.STARTING: (STOP, CANCEL),
    RunState.RUNNING: (PAUSE, STOP, CANCEL),
    RunState.PAUSED: (RESUME, STOP, CANCEL),
    RunState.STOPPING: (FORCE,),
    RunState.SKIPPED: (),
}


def shown(run: RunRecord) -> StateShown:
    """How the state of a run is shown."""
    if run.state is RunState.SUCCEEDED and run.reason is not None:
        return IMPERFECT.get(run.reason, SHOWN[run.state])
    return SHOWN[run.state]


def why(reason: RunReason | None) -> str:
    """A reason in words, "" where there is none."""
    return WHY[reason] if reason is not None else ""


def paused(cause: str) -> str:
    """Why a run pauses, in words."""
    return PAUSES.get(cause, cause)


def actions(run: RunRecord) -> tuple[RunAction, ...]:
    """What can be done with a run now."""
    return ACTIONS.get(run.state, (RETRY,))


def ended(run: RunRecord) -> bool:
    """Whether a run is over."""
    return run.state in FINAL


def mode(run: RunRecord) -> str:
    """The mode of a run: that of its process, or before there is one, of its settings."""
    return run.mode or str(run.settings.get("mode") or Settings().mode)
