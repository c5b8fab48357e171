"""Jobs: what is crawled, under which settings; and the start of a run."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field

from crawler.service.idempotency import idempotency_key
from crawler.service.records import Expect, JobName, JobRecord, JobSpec, Listing, OnEnd, Retry, RunRecord, Sent, Tag
from crawler.service.routes.queries import PageQuery
from crawler.service.routing import API, Call, Route


class JobsQuery(PageQuery, frozen=True, kw_only=True):
    """A page of the jobs, or of those with a tag."""

    tag: Tag | None = None


class JobPatch(Sent, frozen=True):
    """What changes of a job (RFC 7396): what is left out stays as it is, null takes it back to its default."""

    name: JobName | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType | None = UNSET
    tags: Annotated[tuple[Tag, ...], Meta(max_length=20)] | UnsetType | None = UNSET
    expect: Expect | UnsetType | None = UNSET
    retry: Retry | UnsetType | None = UNSET
    recrawl: bool | UnsetType | None = UNSET
    on_end: OnEnd | UnsetType | None = UNSET


class RunStart(Sent, frozen=True):
    """How a run differs from its job: another mode, other settings on top."""

    mode: Annotated[str, Meta(max_length=50)] | None = None
    settings: dict[str, Any] = field(default_factory=dict)


async def list_jobs(call: Call) -> Listing[JobRecord]:
    """The jobs, by name."""
    return await call.service.jobs(tag=call.query.tag, cursor=call.query.cursor, limit=call.query.limit)


async def add_job(call: Call) -> JobRecord:
    """A new job."""
    job = await call.service.add_job(call.body)
    call.location = f"{API}/jobs/{job.id}"
    return job


async def one_job(call: Call) -> JobRecord:
    """One job."""
    return await call.service.job(call.path["job"])


async def change_job(call: Call) -> JobRecord:
    """A job with some keys changed."""
    return await call.service.change_job(call.path["job"], call.sent)


async def remove_job(call: Call) -> None:
    """Remove a job."""
    await call.service.remove_job(call.path["job"])


async def start_run(call: Call) -> RunRecord:
    """A new run of a job."""
    run = await call.service.start(
        call.path["job"],
        mode=call.body.mode,
        idempotency_key=idempotency_key(call.request),
        settings=call.body.settings,
    )
    call.location = f"{API}/runs/{run.id}"
    return run


ROUTES = (
    Route("GET", f"{API}/jobs", list_jobs, "List jobs", query=JobsQuery, answer=Listing[JobRecord]),
    Route(
        "POST",
        f"{API}/jobs",
        add_job,
        "Add a job",
        scope="admin",
        body=JobSpec,
        answer=JobRecord,
        status=201,
        refusals=(409,),
    ),
    Route("GET", f"{API}/jobs/{{job}}", one_job, "Show a job, by its id or name", answer=JobRecord),
    Route(
        "PATCH",
        f"{API}/jobs/{{job}}",
        change_job,
        "Change a job; its next run has the new settings",
        scope="admin",
        body=JobPatch,
        answer=JobRecord,
        refusals=(409,),
    ),
    Route(
        "DELETE",
        f"{API}/jobs/{{job}}",
        remove_job,
        "Remove a job and its schedules; refused while a run of it is active",
        scope="admin",
        status=204,
        refusals=(409,),
    ),
    Route(
        "POST",
        f"{API}/jobs/{{job}}/runs",
        start_run,
        "Start a run of a job",
        scope="admin",
        body=RunStart,
        answer=RunRecord,
        status=202,
        refusals=(409, 429),
    ),
)
