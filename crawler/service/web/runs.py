"""The page of a run: how far it is, what it met, its log, its settings; and its buttons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import time

import msgspec

from crawler.report.page import sections
from crawler.service.core.states import RunState
from crawler.service.errors import Invalid, NotFound
from crawler.service.log_reader import last_lines
from crawler.service.records import RunLimits, RunProgress, RunRecord
from crawler.service.web.charts import curves
from crawler.service.web.crawl_facts import FactsRead
from crawler.service.web.effective import effective
from crawler.service.web.run_states import FORCE, ended
from crawler.service.web.templating import safe
from crawler.service.web.visits import NOT_REFUSED, Answer, Moved, Refused, Shown, Visit, onward

SHOWN_AT_ONCE = 50
LOG_LINES = 200
LIMITS = ("delay", "concurrency", "per_host")


async def run_page(visit: Visit) -> Answer:
    """A run, or the part of its page that the script asks for."""
    run = await visit.service.run(visit.named("run"))
    match visit.fragment:
        case "live":
            return Shown("parts/live.html", await live(visit, run))
        case "facts":
            return Shown("parts/facts.html", await read_facts(visit, run))
        case "log":
            return Shown("parts/log.html", await log(visit, run))
    return await whole_run(visit, run, NOT_REFUSED, 200)


async def whole_run(visit: Visit, run: RunRecord, refused: Refused, status: int) -> Shown:
    """The whole page of a run; `refused`: why its limits were not accepted."""
    context = {
        **await live(visit, run),
        **await read_facts(visit, run),
        **await log(visit, run),
        "effective": effective(run, await settings_of_job(visit, run)),
        "transitions": await visit.service.transitions(run.id),
        "refused": refused,
        "typed": refused.typed or limits_of(run),
    }
    return Shown("run.html", context, status)


def limits_of(run: RunRecord) -> dict[str, str]:
    """The limits that were set while the run ran, as somebody would have typed them."""
    values = {key: getattr(run.limits, key) for key in LIMITS}
    return {key: f"{value:.12g}" for key, value in values.items() if value is not None}


async def settings_of_job(visit: Visit, run: RunRecord) -> dict[str, object]:
    """The settings that the job has now; none where it is gone."""
    try:
        return (await visit.service.job(run.job)).settings
    except NotFound:
        return {}


async def live(visit: Visit, run: RunRecord) -> dict[str, object]:
    """What changes from second to second."""
    history = await visit.service.history(run.id)
    progress = None if ended(run) else await visit.service.progress(run.id)
    return {
        "run": run,
        "progress": progress or (history[-1] if history else None),
        "curves": [(name, safe(drawn)) for name, drawn in curves(history)],
        "share": _share(progress),
        "lasted": (run.ended_at or time()) - run.started_at if run.started_at else None,
    }


def _share(progress: RunProgress | None) -> float | None:
    """How much of what is known is done; None where nothing is known."""
    known = progress.settled + progress.queue if progress else 0
    return progress.settled / known if progress and known else None


async def read_facts(visit: Visit, run: RunRecord) -> dict[str, object]:
    """What the crawl directory says: the sections of its report."""
    if run.removed:
        read = FactsRead(None, "Its crawl directory was removed to save room; its summary is kept.")
    elif run.started_at is None:
        read = FactsRead(None, "It has not started yet.")
    else:
        read = await visit.facts.of(run.id, visit.service.directory(run.id), live=not ended(run))
    shown = sections(read.facts) if read.facts else {}
    return {"run": run, "read": read, "sections": {key: safe(text) for key, text in shown.items()}}


async def log(visit: Visit, run: RunRecord) -> dict[str, object]:
    """The end of the log."""
    path = visit.service.log_file(run.id)
    return {"run": run, "log": await visit.call.read(last_lines, path, LOG_LINES)}


async def runs_page(visit: Visit) -> Answer:
    """All runs, newest first, a page at a time, with a filter."""
    job, state = visit.asked("job") or None, visit.asked("state")
    wanted = RunState(state) if state in frozenset(RunState) else None
    cursor = visit.asked("after") or None
    found = await visit.service.runs(job=job, state=wanted, cursor=cursor, limit=SHOWN_AT_ONCE)
    jobs = (await visit.service.jobs(limit=200)).items
    context = {"runs": found, "jobs": jobs, "job": job, "state": wanted, "states": list(RunState)}
    return Shown("parts/run_rows.html" if visit.fragment == "rows" else "runs.html", context)


async def act(visit: Visit) -> Answer:
    """A button of a run. Raises NotFound where there is no such button."""
    service, run = visit.service, visit.named("run")
    does: dict[str, Callable[[str], Awaitable[object]]] = {
        "pause": service.pause,
        "resume": service.resume,
        "stop": service.stop,
        "cancel": service.cancel,
    }
    match visit.named("action"):
        case "retry":
            again = await service.retry(run)
            return Moved(f"/runs/{again.id}")
        case FORCE.name:
            await service.cancel(run, force=True)
        case name if name in does:
            await does[name](run)
        case name:
            raise NotFound("action", name)
    return onward(visit.form, f"/runs/{run}")


async def change_limits(visit: Visit) -> Answer:
    """The form of the live limits. An empty field leaves a limit as the settings have it."""
    run = await visit.service.run(visit.named("run"))
    typed = {key: visit.form.get(key, "").strip() for key in LIMITS}
    try:
        limits = msgspec.convert({key: text for key, text in typed.items() if text}, RunLimits, strict=False)
        await visit.service.set_limits(run.id, limits)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        return await whole_run(visit, run, Refused(text, path.rstrip("`"), typed), 422)
    except Invalid as error:
        return await whole_run(visit, run, Refused(str(error), error.key.rpartition(".")[2], typed), 422)
    return Moved(f"/runs/{run.id}#limits")
