"""The pages of jobs: all of them, one with its runs and settings, a new one; and their forms."""

from __future__ import annotations

import msgspec

from crawler.report.numbers import counted
from crawler.service.core.states import RunState
from crawler.service.errors import Conflict, Invalid, ServiceError
from crawler.service.job_settings import modes
from crawler.service.merge_patch import patch_between
from crawler.service.records import JobRecord, JobSpec, RunRecord
from crawler.service.web.charts import Column, columns
from crawler.service.web.diffs import generations
from crawler.service.web.effective import explained_settings
from crawler.service.web.job_forms import field_of, read_job, typed_from
from crawler.service.web.overview import job_rows
from crawler.service.web.run_states import ended, shown
from crawler.service.web.templating import safe
from crawler.service.web.visits import NOT_REFUSED, Answer, Form, Moved, Refused, Shown, Visit, onward
from crawler.settings.layers import PROFILES

RUNS = 40
DEMO = {"name": "demo", "profile": "demo"}
"""What the form of a new job holds at first: the built-in test web, which needs no network."""


async def jobs_page(visit: Visit) -> Answer:
    """All jobs, or those with a tag."""
    tag = visit.asked("tag") or None
    template = "parts/job_rows.html" if visit.fragment == "jobs" else "jobs.html"
    return Shown(template, {"jobs": await job_rows(visit, tag), "tag": tag})


async def new_job(visit: Visit) -> Answer:
    """The form of a new job."""
    first = not (await visit.service.jobs(limit=1)).items
    return _form(NOT_REFUSED, DEMO if first else {})


async def add_job(visit: Visit) -> Answer:
    """A new job; with the button "Add and start" also its first run."""
    try:
        job = await visit.service.add_job(read_job(visit.form))
    except (Invalid, Conflict) as error:
        return _form(refusal(error, visit), visit.form, 422 if isinstance(error, Invalid) else 409)
    if "start" in visit.form:
        return Moved(f"/runs/{(await visit.service.start(job.id)).id}")
    return Moved(f"/jobs/{job.id}")


def refusal(error: ServiceError, visit: Visit) -> Refused:
    """Why the form of a job was refused."""
    if not isinstance(error, Invalid):
        return Refused(str(error), "name", visit.form)
    nearest = f" Did you mean {error.nearest}?" if error.nearest and error.nearest not in str(error) else ""
    return Refused(f"{error}{nearest}", field_of(error.key), visit.form)


def _form(refused: Refused, typed: Form, status: int = 200) -> Shown:
    context = {"refused": refused, "typed": typed, "profiles": PROFILES, "modes": modes()}
    return Shown("new_job.html", context, status)


async def job_page(visit: Visit) -> Answer:
    """One job."""
    job = await visit.service.job(visit.named("job"))
    if visit.fragment == "runs":
        return Shown("parts/job_runs.html", await _runs(visit, job))
    if visit.fragment == "generations":
        return Shown("parts/job_generations.html", await _generations(visit, job))
    return await whole_job(visit, job, NOT_REFUSED, 200)


async def whole_job(visit: Visit, job: JobRecord, refused: Refused, status: int) -> Shown:
    """The whole page of a job; `refused`: why its change was not accepted."""
    schedules = [one for one in (await visit.service.schedules(limit=500)).items if one.job == job.id]
    context = {
        **await _runs(visit, job),
        **await _generations(visit, job),
        "schedules": schedules,
        "effective": explained_settings(job.settings, job.settings),
        "typed": refused.typed or typed_from(job),
        "refused": refused,
        "profiles": PROFILES,
        "modes": modes(),
    }
    return Shown("job.html", context, status)


async def _runs(visit: Visit, job: JobRecord) -> dict[str, object]:
    runs = (await visit.service.runs(job=job.id, limit=RUNS)).items
    return {"job": job, "runs": runs, "figure": safe(_figure(runs))}


async def _generations(visit: Visit, job: JobRecord) -> dict[str, object]:
    runs = (await visit.service.runs(job=job.id, limit=RUNS)).items
    return {"job": job, "generations": await generations(visit, runs)}


def _figure(runs: list[RunRecord]) -> str:
    """Pages of the ended runs, the oldest at the left."""
    over = [run for run in reversed(runs) if ended(run) and run.summary and run.state is not RunState.SKIPPED]
    bars = [
        Column(
            float(run.summary.get("pages", 0)),
            "fine" if shown(run).kind == "good" else "other",
            f"{counted(run.summary.get('pages', 0), 'page')}, {shown(run).word}",
        )
        for run in over
        if run.summary
    ]
    return columns(bars, f"Pages stored by the last {counted(len(bars), 'run')}") if len(bars) > 1 else ""


async def change_job(visit: Visit) -> Answer:
    """The form of an existing job. Runs that have begun keep the settings that they began with."""
    job = await visit.service.job(visit.named("job"))
    try:
        described = read_job(visit.form)
        changed = await visit.service.change_job(job.id, _patch(job, described))
    except (Invalid, Conflict) as error:
        return await whole_job(visit, job, refusal(error, visit), 422 if isinstance(error, Invalid) else 409)
    return Moved(f"/jobs/{changed.id}")


def _patch(job: JobRecord, described: JobSpec) -> dict[str, object]:
    """What changes, as a merge patch: what is left out of the form is removed."""
    before = {key: getattr(job, key) for key in JobSpec.__struct_fields__}
    return patch_between(msgspec.to_builtins(before), msgspec.to_builtins(described))


async def start_job(visit: Visit) -> Answer:
    """Start a run, in the mode that was chosen or that of the settings."""
    run = await visit.service.start(visit.named("job"), mode=visit.form.get("mode") or None)
    return onward(visit.form, f"/runs/{run.id}")


async def remove_job(visit: Visit) -> Answer:
    """Remove a job; its runs stay until retention removes them."""
    await visit.service.remove_job(visit.named("job"))
    return Moved("/jobs")
