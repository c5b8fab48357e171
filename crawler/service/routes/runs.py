"""Runs: what they do now, and the verbs that change it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from crawler.service.core.states import RunState
from crawler.service.records import Listing, RunLimits, RunProgress, RunRecord, Sent, Transition
from crawler.service.routes.queries import PageQuery
from crawler.service.routing import API, Call, Query, Route

RUN = f"{API}/runs/{{run}}"


class RunsQuery(PageQuery, frozen=True, kw_only=True):
    """A page of the runs, newest first, or of those of a job or in a state."""

    job: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    state: RunState | None = None


class CancelQuery(Query, frozen=True):
    """`force`: kill it, without waiting for fetches in flight."""

    force: bool = False


class Cancel(Sent, frozen=True):
    """`force`: kill it, without waiting for fetches in flight."""

    force: bool = False


async def list_runs(call: Call) -> Listing[RunRecord]:
    """The runs."""
    query = call.query
    return await call.service.runs(job=query.job, state=query.state, cursor=query.cursor, limit=query.limit)


async def one_run(call: Call) -> RunRecord:
    """One run."""
    return await call.service.run(call.path["run"])


async def pause(call: Call) -> RunRecord:
    """Pause a run."""
    return await call.service.pause(call.path["run"])


async def resume(call: Call) -> RunRecord:
    """Let a paused run go on."""
    return await call.service.resume(call.path["run"])


async def stop(call: Call) -> RunRecord:
    """Let a run end after the fetches in flight."""
    return await call.service.stop(call.path["run"])


async def cancel(call: Call) -> RunRecord:
    """End a run."""
    return await call.service.cancel(call.path["run"], force=call.query.force or call.body.force)


async def retry(call: Call) -> RunRecord:
    """A new run in the directory of one that has ended."""
    run = await call.service.retry(call.path["run"])
    call.location = f"{API}/runs/{run.id}"
    return run


async def set_limits(call: Call) -> RunLimits:
    """Other limits for a run."""
    return await call.service.set_limits(call.path["run"], call.body)


async def transitions(call: Call) -> Listing[Transition]:
    """The states of a run with their times."""
    return Listing(await call.service.transitions(call.path["run"]))


async def progress(call: Call) -> RunProgress | None:
    """How far a run is."""
    await call.service.run(call.path["run"])
    return await call.service.progress(call.path["run"])


async def history(call: Call) -> Listing[RunProgress]:
    """How far a run was, now and then."""
    await call.service.run(call.path["run"])
    return Listing(await call.service.history(call.path["run"]))


ROUTES = (
    Route(
        "GET",
        f"{API}/runs",
        list_runs,
        "List runs, newest first",
        query=RunsQuery,
        answer=Listing[RunRecord],
        refusals=(404,),
    ),
    Route("GET", RUN, one_run, "Show a run", answer=RunRecord),
    Route(
        "POST",
        f"{RUN}/pause",
        pause,
        "Pause a run: fetches in flight end, none starts",
        scope="admin",
        answer=RunRecord,
        status=202,
        refusals=(409,),
    ),
    Route(
        "POST",
        f"{RUN}/resume",
        resume,
        "Let a paused run go on",
        scope="admin",
        answer=RunRecord,
        status=202,
        refusals=(409,),
    ),
    Route(
        "POST",
        f"{RUN}/stop",
        stop,
        "Stop a run: fetches in flight end, then it is over",
        scope="admin",
        answer=RunRecord,
        status=202,
        refusals=(409,),
    ),
    Route(
        "POST",
        f"{RUN}/cancel",
        cancel,
        "Cancel a run, also one that waits; `force` kills it",
        scope="admin",
        body=Cancel,
        query=CancelQuery,
        answer=RunRecord,
        status=202,
        refusals=(409,),
    ),
    Route(
        "POST",
        f"{RUN}/retry",
        retry,
        "Go on with a run that has ended, as a new run in the same directory",
        scope="admin",
        answer=RunRecord,
        status=202,
        refusals=(409, 429),
    ),
    Route(
        "PATCH",
        f"{RUN}/limits",
        set_limits,
        "Change the limits of a run while it runs; null takes one back",
        scope="admin",
        body=RunLimits,
        answer=RunLimits,
        refusals=(409,),
    ),
    Route("GET", f"{RUN}/transitions", transitions, "List the states of a run", answer=Listing[Transition]),
    Route(
        "GET",
        f"{RUN}/progress",
        progress,
        "Show how far a run is; null where it does not run",
        answer=RunProgress | None,
    ),
    Route("GET", f"{RUN}/history", history, "List how far a run was over time", answer=Listing[RunProgress]),
)
