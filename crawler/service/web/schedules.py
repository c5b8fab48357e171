"""The pages of schedules: when each is due next, what became of its last ticks, and their forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from crawler.service.errors import Invalid, NotFound
from crawler.service.records import ScheduleRecord, ScheduleSpec, TickRecord
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
        **_fields(refused, names, {"job": visit.asked("job"), "zone": "UTC"}),
    }
    return Shown("parts/schedule_rows.html" if visit.fragment == "rows" else "schedules.html", context, status)


def _fields(refused: Refused, names: dict[str, str], typed: Form) -> dict[str, object]:
    """What the form needs; `typed` is what it holds at first."""
    return {"names": names, "refused": refused, "typed": refused.typed or typed, "examples": EXAMPLES}


async def schedule_page(visit: Visit) -> Answer:
    """One schedule, with the form that changes it."""
    return await _one(visit, NOT_REFUSED, 200)


async def _one(visit: Visit, refused: Refused, status: int) -> Shown:
    schedule = await visit.service.schedule(visit.named("schedule"))
    job = await visit.service.job(schedule.job)
    names = {job.id: job.name} | await job_names(visit)
    context = {"row": await _row(visit, schedule), **_fields(refused, names, typed_from(schedule))}
    return Shown("schedule.html", context, status)


async def change_schedule(visit: Visit) -> Answer:
    """The form of an existing schedule. Whether it is paused stays."""
    key = visit.named("schedule")
    try:
        described = msgspec.to_builtins(read_schedule(visit.form))
        await visit.service.change_schedule(key, {name: described[name] for name in FIELDS})
    except (Invalid, NotFound) as error:
        await visit.service.schedule(key)  # where it is gone there is no form to show again
        return await _one(visit, _refusal(error, visit), 422)
    return Moved(f"/schedules#{key}")


def _refusal(error: Invalid | NotFound, visit: Visit) -> Refused:
    return Refused(str(error), error.key if isinstance(error, Invalid) else "job", visit.form)


def typed_from(schedule: ScheduleRecord) -> dict[str, str]:
    """The fields of a schedule, as somebody would have typed them."""
    values = {name: getattr(schedule, name) for name in FIELDS}
    return {name: f"{one:.12g}" if isinstance(one, float) else one for name, one in values.items()}


async def _row(visit: Visit, schedule: ScheduleRecord) -> ScheduleRow:
    due = [] if schedule.paused else await visit.service.next_due(schedule.id, NEXT)
    return ScheduleRow(schedule, due, (await visit.service.ticks(schedule.id, limit=TICKS)).items)


async def add_schedule(visit: Visit) -> Answer:
    """A new schedule."""
    try:
        await visit.service.add_schedule(read_schedule(visit.form))
    except (Invalid, NotFound) as error:
        return await _page(visit, _refusal(error, visit), 422)
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
