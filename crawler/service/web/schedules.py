"""The page of schedules: when each is due next, what became of its last ticks, and its forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, get_args

import msgspec

from crawler.service.errors import Invalid, NotFound
from crawler.service.records import Overlap, ScheduleRecord, ScheduleSpec, TickRecord
from crawler.service.web.overview import due_first, job_names
from crawler.service.web.visits import NOT_REFUSED, Answer, Form, Moved, Refused, Shown, Visit, onward

SHOWN_AT_ONCE = 50
NEXT = 10
TICKS = 20
FIELDS = ("job", "cron", "zone", "overlap", "catchup", "jitter")
EXAMPLES = (
    ("0 3 * * *", "every night at 3"),
    ("30 6 * * MON-FRI", "on working days at 6:30"),
    ("*/15 * * * *", "every 15 minutes"),
    ("0 0 1 * *", "on the first of each month"),
)


class ScheduleRow(NamedTuple):
    """A schedule with its next ticks and its last ones."""

    schedule: ScheduleRecord
    due: list[float]
    ticks: list[TickRecord]


async def schedules_page(visit: Visit) -> Answer:
    """All schedules, the next due first."""
    return await _page(visit, NOT_REFUSED, 200)


async def _page(visit: Visit, refused: Refused, status: int) -> Shown:
    found = await visit.service.schedules(cursor=visit.asked("after") or None, limit=SHOWN_AT_ONCE)
    names = await job_names(visit)
    context = {
        "rows": [await _row(visit, one) for one in due_first(found.items)],
        "next": found.next,
        "names": names,
        "refused": refused,
        "typed": refused.typed or {"job": visit.asked("job"), "zone": "UTC"},
        "overlaps": get_args(Overlap),
        "examples": EXAMPLES,
    }
    return Shown("parts/schedule_rows.html" if visit.fragment == "rows" else "schedules.html", context, status)


async def _row(visit: Visit, schedule: ScheduleRecord) -> ScheduleRow:
    due = [] if schedule.paused else await visit.service.next_due(schedule.id, NEXT)
    return ScheduleRow(schedule, due, (await visit.service.ticks(schedule.id, limit=TICKS)).items)


async def add_schedule(visit: Visit) -> Answer:
    """A new schedule."""
    try:
        await visit.service.add_schedule(read_schedule(visit.form))
    except Invalid as error:
        return await _page(visit, Refused(str(error), error.key, visit.form), 422)
    except NotFound as error:
        return await _page(visit, Refused(str(error), "job", visit.form), 422)
    return Moved("/schedules")


def read_schedule(form: Form) -> ScheduleSpec:
    """The schedule that a form describes. Raises Invalid."""
    typed = {key: form[key].strip() for key in FIELDS if form.get(key, "").strip()}
    try:
        return msgspec.convert(typed, ScheduleSpec, strict=False)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        missing = next((key for key in ("job", "cron") if key not in typed), "cron")
        raise Invalid(path.rstrip("`") or missing, text) from None


async def act(visit: Visit) -> Answer:
    """A button of a schedule. Raises NotFound where there is no such button."""
    service, schedule = visit.service, visit.named("schedule")
    does: dict[str, Callable[[str], Awaitable[object]]] = {
        "pause": service.pause_schedule,
        "resume": service.resume_schedule,
        "remove": service.remove_schedule,
    }
    action = visit.named("action")
    if action == "run":
        return onward(visit.form, f"/runs/{(await service.run_schedule(schedule)).id}")
    if action not in does:
        raise NotFound("action", action)
    await does[action](schedule)
    return onward(visit.form, "/schedules")
