"""When a schedule is due: a cron line in a time zone, as Unix seconds.

Rules:
- The line has the five fields of cron. cronsim reads them and matches days, as Debian's cron does: where both day
  fields are restricted, either is enough; "L", "LW" and "MON#2" are known.
- Lines that restrict the hour name times of the day. One that daylight saving time skips is due right after the gap,
  one that it repeats is due the first time only. So a daily job runs once on every day.
- Lines that do not restrict the hour ("*/15 * * * *") go on by elapsed time: they are due in both passes of a repeated
  hour, and nothing is due in a gap.
- A line that is not due within YEARS is refused: it never will be.
- Zones are names of the IANA database. "localtime" depends on the machine and "right/..." counts leap seconds: refused.

The days on which a zone changes its offset are worked out minute by minute. On all others a due time is the start of
the day plus a minute of the day, so ten million missed ticks are counted day by day. The database of time zones is
reference data; it is read once for each zone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from crawler.errors import UsageError

YEARS = 50
MOST_PREVIEWED = 1000
LONGEST_LINE = 200
_DAY = 86_400
_ONE = timedelta(days=1)
_END = 250_000_000_000  # in the year 9892; nothing is due afterwards, because dates end soon
FIELDS = (
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day-of-month", "1-31"),
    ("month", "1-12 or JAN-DEC"),
    ("day-of-week", "0-7 or SUN-SAT"),
)
EXAMPLE = 'as in "30 4 * * MON-FRI"'


class BadSchedule(UsageError):
    """A cron line or a zone that cannot be used. `key`: "cron" or "zone"; `nearest`: the zone that was probably
    meant."""

    def __init__(self, key: str, text: str, nearest: str | None = None) -> None:
        super().__init__(text)
        self.key = key
        self.nearest = nearest


class Calendar:
    """The due times of a cron line in a zone, in ascending order. Raises BadSchedule, see `validate`."""

    def __init__(self, cron: str, zone: str) -> None:
        line = _parsed(cron)
        self._zone = _zone(zone)
        self._months = sorted(line.months)
        self._day_fields = (cron.split()[2], cron.split()[4])
        self._minutes, self._hours = frozenset(line.minutes), frozenset(line.hours)
        self._times = _times(self._minutes, self._hours)

    def after(self, instant: int) -> int | None:
        """The first due time later than `instant`; None where there is none within YEARS.

        It looks from the day before on, because a repeated hour may lead back over midnight, and for the same reason
        after an odd day at the next one.
        """
        if instant >= _END:
            return None
        found: int | None = None
        following = date.min  # the day after the one looked at before
        for day in self._days(datetime.fromtimestamp(instant, self._zone).date() - _ONE):
            if found is not None and day != following:
                break
            following = day + _ONE
            start, ordinary = _begin(self._zone, day)
            due = _first(start, self._times, instant) if ordinary else self._first_on_odd_day(day, instant)
            if due is not None and (found is None or due < found):
                found = due
            if found is not None and ordinary:
                return found
        return found

    def count(self, after: int, until: int) -> int:
        """How many due times are later than `after` and not later than `until`."""
        number = 0
        while (due := self._between(after, until)) is not None:
            day = datetime.fromtimestamp(due, self._zone).date()
            start, ordinary = _begin(self._zone, day)
            whole = ordinary and due == start + 60 * self._times[0] and start + _DAY <= until
            number += len(self._times) if whole else 1
            after = start + 60 * self._times[-1] if whole else due
        return number

    def latest(self, after: int, until: int) -> int | None:
        """The last due time that is later than `after` and not later than `until`."""
        span, due = 3600, None
        while due is None:
            start = max(after, until - span)
            due = self._between(start, until)
            if due is None and start == after:
                return None
            span *= 2
        while (following := self._between(due, until)) is not None:
            due = following
        return due

    def _between(self, after: int, until: int) -> int | None:
        due = self.after(after)
        return due if due is not None and due <= until else None

    def _days(self, begin: date) -> Iterator[date]:
        """The days from `begin` on that the line names, at most YEARS."""
        for year in range(begin.year, begin.year + YEARS + 1):
            for month in self._months:
                if (year, month) >= (begin.year, begin.month):
                    days = _days_of(self._day_fields, year, month)
                    yield from days[bisect_left(days, begin) :]

    def _first_on_odd_day(self, day: date, instant: int) -> int | None:
        dues = _on_odd_day(self._zone, self._minutes, self._hours, day)
        place = bisect_right(dues, instant)
        return dues[place] if place < len(dues) else None


@lru_cache(maxsize=16_384)
def calendar_of(cron: str, zone: str) -> Calendar:
    """The calendar of a line and a zone, kept for the next time. Raises BadSchedule, see `validate`."""
    return Calendar(cron, zone)


def validate(cron: str, zone: str, now: float) -> int:
    """When a schedule is due for the first time after `now`. Raises BadSchedule, in one line that says what is wrong,
    for a line or a zone that cannot be used."""
    due = calendar_of(cron, zone).after(int(now))
    if due is None:
        raise BadSchedule("cron", f"cron line {cron!r} is never due: no such day within {YEARS} years")
    return due


def preview(cron: str, zone: str, after: float, number: int) -> list[int]:
    """The next due times, at most MOST_PREVIEWED; without jitter. Raises BadSchedule, see `validate`."""
    calendar, dues = calendar_of(cron, zone), list[int]()
    due = calendar.after(int(after))
    while due is not None and len(dues) < min(number, MOST_PREVIEWED):
        dues.append(due)
        due = calendar.after(due)
    return dues


@lru_cache(maxsize=4096)
def _days_of(fields: tuple[str, str], year: int, month: int) -> tuple[date, ...]:
    """The days of a month that the day fields of a line name. Kept for the next schedule that has the same."""
    line = CronSim(f"0 0 {fields[0]} * {fields[1]}", datetime(2000, 1, 1, tzinfo=UTC))
    first = date(year, month, 1)
    days = (first + timedelta(number) for number in range(monthrange(year, month)[1]))
    return tuple(filter(line.match_day, days))


@lru_cache(maxsize=4096)
def _begin(zone: ZoneInfo, day: date) -> tuple[int, bool]:
    """The start of a day, and whether it has 24 hours up to the last time that clocks show midnight. Kept for the next
    schedule of the same zone."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
    day += _ONE
    end = datetime(day.year, day.month, day.day, tzinfo=zone, fold=1).timestamp()
    return int(start), end - start == _DAY


def _first(start: int, times: tuple[int, ...], instant: int) -> int | None:
    """The first due time later than `instant` of a day that starts at `start` and has 24 hours."""
    place = bisect_right(times, (instant - start) // 60)
    return start + 60 * times[place] if place < len(times) else None


@lru_cache(maxsize=256)
def _on_odd_day(zone: ZoneInfo, minutes: frozenset[int], hours: frozenset[int], day: date) -> list[int]:
    """The due times of a day on which the offset of a zone changes."""
    midnight = datetime(day.year, day.month, day.day)
    walls = (midnight + timedelta(minutes=time) for time in _times(minutes, hours))
    elapsed = len(hours) == 24
    return sorted({due for wall in walls for due in _instants(zone, elapsed, wall)})


def _instants(zone: ZoneInfo, elapsed: bool, wall: datetime) -> tuple[int, ...]:
    """When a line is due that names this time: never, once or twice. In a gap the offset that ends gives the later
    instant (PEP 495)."""
    first, second = _both(zone, wall)
    if first > second and elapsed:
        return ()
    while first > second:
        wall += timedelta(minutes=1)
        first, second = _both(zone, wall)
    return (first, second) if elapsed else (first,)


def _both(zone: ZoneInfo, wall: datetime) -> tuple[int, int]:
    first, second = (wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return int(first), int(second)


@lru_cache(maxsize=1024)
def _times(minutes: frozenset[int], hours: frozenset[int]) -> tuple[int, ...]:
    """The minutes of the day, shared by all calendars that have the same."""
    return tuple(sorted(60 * hour + minute for hour in hours for minute in minutes))


def _parsed(cron: str) -> CronSim:
    fields = cron.split() if len(cron) <= LONGEST_LINE else []
    if len(cron) > LONGEST_LINE:
        raise BadSchedule("cron", f"a cron line of {len(cron)} characters is too long; at most {LONGEST_LINE}")
    if len(fields) != len(FIELDS):
        names = " ".join(name for name, _ in FIELDS)
        raise BadSchedule("cron", f"cron line {cron!r} has {len(fields)} fields, not five: {names}, {EXAMPLE}")
    for place, (name, allowed) in enumerate(FIELDS):
        alone = ["*"] * len(FIELDS)
        alone[place] = fields[place]
        if _cronsim(alone) is None:
            raise BadSchedule("cron", f"cron line {cron!r}: {fields[place]!r} is no {name} ({allowed}), {EXAMPLE}")
    line = _cronsim(fields)
    if line is None:  # each field is fine
        raise BadSchedule("cron", f"cron line {cron!r} is never due: no such month has day {fields[2]}")
    return line


def _cronsim(fields: list[str]) -> CronSim | None:
    try:
        return CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError, AssertionError):
        return None


def _zone(name: str) -> ZoneInfo:
    if name != "localtime" and not name.startswith(("right/", "posix/")):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            pass
    near = get_close_matches(name[:64], _zones(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else 'use a name like "Europe/Berlin" or "UTC"'
    raise BadSchedule("zone", f"time zone {name[:64]!r} is unknown; {hint}", near[0] if near else None)


@cache
def _zones() -> list[str]:
    return sorted(available_timezones())
