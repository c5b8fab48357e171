"""The page of modes side by side: one job started in several, and how its newest run in each of them did.

Rules:
- Runs of the same hosts wait for each other, so modes that are started together run one after another, as they should.
- Single runs rank nothing: the page says so, and whether they did the same work (equal digests).
"""

from __future__ import annotations

from typing import NamedTuple

from crawler.service.errors import Invalid
from crawler.service.job_settings import modes
from crawler.service.records import JobRecord, RunRecord
from crawler.service.web.run_states import ended, mode
from crawler.service.web.visits import NOT_REFUSED, Answer, Moved, Refused, Shown, Visit

RUNS = 100


class ModeColumn(NamedTuple):
    """The newest run in a mode; `share`: its rate as a share of the highest shown."""

    mode: str
    run: RunRecord
    share: float


async def compare_page(visit: Visit) -> Answer:
    """The form, and the runs of the job that was asked for."""
    return await _page(visit, visit.asked("job"), NOT_REFUSED, 200)


async def _page(visit: Visit, name: str, refused: Refused, status: int) -> Shown:
    jobs = (await visit.service.jobs(limit=200)).items
    job = next((one for one in jobs if name in (one.name, one.id)), jobs[0] if jobs else None)
    columns = await _columns(visit, job) if job else []
    context = {
        "jobs": jobs,
        "job": job,
        "columns": columns,
        "same": _same(columns),
        "modes": modes(),
        "refused": refused,
    }
    return Shown("parts/modes.html" if visit.fragment == "runs" else "compare.html", context, status)


async def _columns(visit: Visit, job: JobRecord) -> list[ModeColumn]:
    newest: dict[str, RunRecord] = {}
    for run in (await visit.service.runs(job=job.id, limit=RUNS)).items:
        newest.setdefault(mode(run), run)
    top = max((rate(run) for run in newest.values()), default=0.0)
    order = [*modes(), *(name for name in newest if name not in modes())]
    return [ModeColumn(name, newest[name], rate(newest[name]) / (top or 1)) for name in order if name in newest]


def rate(run: RunRecord) -> float:
    """Pages per second of a run that has ended, else 0."""
    return float(run.summary.get("pages_per_second", 0.0)) if run.summary else 0.0


def _same(columns: list[ModeColumn]) -> str:
    """Whether the runs did the same work, in words."""
    if len(columns) < 2:
        return ""
    over = [one.run for one in columns if ended(one.run) and one.run.summary]
    if len(over) < len(columns):
        return "Not all of them are over, or have brought something."
    digests = {run.summary.get("digest") for run in over if run.summary}
    if len(digests) == 1:
        return "All did the same work: equal digests, so the same URLs ended with the same statuses and bodies."
    return f"They did not do the same work: there are {len(digests)} different digests."


async def start_modes(visit: Visit) -> Answer:
    """Start one run in each mode that is ticked. Raises Invalid for a mode that does not exist."""
    name, wanted = visit.form.get("job", ""), visit.form.get("modes", "").split()
    if not wanted:
        return await _page(visit, name, Refused("choose at least one mode", "modes", visit.form), 422)
    if unknown := set(wanted) - set(modes()):
        raise Invalid("mode", f"there is no mode {min(unknown)!r} (there are: {', '.join(modes())})")
    job = await visit.service.job(name)
    for one in wanted:
        await visit.service.start(job.id, mode=one)
    return Moved(f"/compare?job={job.id}")
