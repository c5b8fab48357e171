"""When a cron line is due: against cronsim over years, minute by minute around changes of the clock, and by example."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crawler.errors import UsageError
from crawler.service.core.schedules import (
    LONGEST_LINE,
    MOST_PREVIEWED,
    BadSchedule,
    Calendar,
    calendar_of,
    preview,
    validate,
)
from tests.effort import effort
from tests.sim.cron_oracle import ticks

BEGIN = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
DAY = 86_400
LINES = (
    *("0 3 * * *", "30 2 * * *", "0 2,3 * * *", "15 2 * * *", "45 1 * * *", "59 23 * * *", "0 0 * * *", "30 0 * * *"),
    *("30 23 * * *", "*/15 2 * * *", "*/20 0,1,23 * * *", "0 */2 * * *", "10 */6 * * *", "* 1-2 * * *"),
    *("0 * * * *", "*/15 * * * *", "7,37 * * * *", "0 12 1 * *", "0 4 L * *", "0 4 LW * *", "0 5 * * MON#2"),
    *("0 6 * * 5L", "0 6 13 * FRI", "0 7 29 2 *", "30 2 * 3,10 SUN", "0 1 */5 JAN-JUN 1-5", "* * 28 2 *"),
)
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Africa/Cairo", "Asia/Beirut", "America/Nuuk"),
    *("Atlantic/Azores", "America/Havana", "Asia/Kolkata", "Australia/Sydney", "Pacific/Chatham"),
)


def at(text: str) -> int:
    """An ISO time with its offset, as Unix seconds."""
    return int(datetime.fromisoformat(text).timestamp())


def dues(cron: str, zone: str, after: str, until: str) -> list[str]:
    """What is due in (after, until], in UTC, to the minute."""
    calendar, found, due = Calendar(cron, zone), list[str](), Calendar(cron, zone).after(at(after))
    while due is not None and due <= at(until):
        found.append(datetime.fromtimestamp(due, UTC).strftime("%m-%d %H:%M"))
        due = calendar.after(due)
    return found


def by_cronsim(cron: str, zone: str, after: int, number: int) -> list[int]:
    return list(itertools.islice(ticks(cron, zone, after), number))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", LINES)
def test_the_next_ticks_are_those_of_cronsim(cron: str, zone: str) -> None:
    for begin in (BEGIN, at("2026-03-27T12:00+00:00"), at("2026-10-23T20:00+00:00")):
        assert preview(cron, zone, begin, 20) == by_cronsim(cron, zone, begin, 20)


@given(
    st.sampled_from([line for line in LINES if line != "0 7 29 2 *"]),
    st.sampled_from(ZONES),
    st.integers(BEGIN, BEGIN + 12 * 365 * DAY),
)
def test_the_next_ticks_from_anywhere_are_those_of_cronsim(cron: str, zone: str, after: int) -> None:
    assert preview(cron, zone, after, 5) == by_cronsim(cron, zone, after, 5)


def _minutes(before: datetime, after: datetime) -> int:
    return (after.replace(fold=0) - before.replace(fold=0)) // timedelta(minutes=1)


def minute_by_minute(cron: str, zone: str, begin: int, end: int) -> list[int]:
    """What is due in (begin, end] by looking at the clock of the zone every minute. A line of two numbers or lists in
    the first two fields and stars in the others."""
    minutes, hours = (
        {int(one) for one in field.split(",")} if field != "*" else set(range(60)) for field in cron.split()[:2]
    )
    elapsed, found, place = cron.split()[1] == "*", set[int](), ZoneInfo(zone)
    for now in range(begin - begin % 60, end + 1, 60):
        wall, before = datetime.fromtimestamp(now, place), datetime.fromtimestamp(now - 60, place).replace(tzinfo=None)
        shown = wall.replace(tzinfo=None, fold=0)
        skipped = [shown - timedelta(minutes=number) for number in range(1, _minutes(before, shown))]
        matching = [one for one in [shown, *skipped] if one.minute in minutes and one.hour in hours]
        if elapsed and shown in matching:
            found.add(now)
        if not elapsed and matching and not wall.fold:
            found.add(now)
    return sorted(due for due in found if begin < due <= end)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", "2026-03-29T01:00+00:00"),
        ("Europe/Berlin", "2026-10-25T01:00+00:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:00+00:00"),
        ("Australia/Lord_Howe", "2026-10-03T15:30+00:00"),
        ("America/Nuuk", "2026-03-29T01:00+00:00"),
        ("America/Nuuk", "2026-10-25T01:00+00:00"),
        ("America/Santiago", "2026-09-06T04:00+00:00"),
        ("Pacific/Apia", "2011-12-30T10:00+00:00"),
        ("America/St_Johns", "2010-11-07T02:31+00:00"),
    ],
)
@pytest.mark.parametrize(
    "cron",
    [
        *("15 2 * * *", "0,30 1,2,3 * * *", "45 1 * * *", "10,50 23,0 * * *", "0 0 * * *"),
        *("0 * * * *", "20,40 * * * *", "* * * * *"),
    ],
)
def test_around_a_change_of_the_clock_ticks_are_those_seen_minute_by_minute(cron: str, zone: str, change: str) -> None:
    begin, end = at(change) - 30 * 3600, at(change) + 30 * 3600
    expected, calendar = minute_by_minute(cron, zone, begin, end), Calendar(cron, zone)
    found, due = list[int](), calendar.after(begin)
    while due is not None and due <= end:
        found.append(due)
        due = calendar.after(due)
    assert found == expected
    assert calendar.count(begin, end) == len(expected)
    assert calendar.latest(begin, end) == expected[-1]


def test_a_time_in_a_gap_is_due_right_after_it_and_the_next_day_as_usual() -> None:
    assert dues("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00+01:00", "2026-03-31T00:00+02:00") == [
        "03-28 01:30",
        "03-29 01:00",
        "03-30 00:30",
    ]


def test_a_time_that_is_repeated_is_due_once() -> None:
    assert dues("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00+02:00", "2026-10-27T00:00+01:00") == [
        "10-24 00:30",
        "10-25 00:30",
        "10-26 01:30",
    ]


def test_two_times_that_a_gap_makes_one_are_due_once() -> None:
    assert dues("0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00") == ["03-29 01:00"]
    assert dues("0 2,3 * * *", "Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00") == [
        "10-25 00:00",
        "10-25 02:00",
    ]


def test_half_an_hour_of_lord_howe() -> None:
    gap, fold = (
        ("2026-10-04T00:00+10:30", "2026-10-05T00:00+11:00"),
        ("2026-04-05T00:00+11:00", "2026-04-06T00:00+10:30"),
    )
    assert dues("15 2 * * *", "Australia/Lord_Howe", *gap) == ["10-03 15:30"]  # 02:15 does not exist, 02:30 does
    assert dues("45 2 * * *", "Australia/Lord_Howe", *gap) == ["10-03 15:45"]
    assert dues("45 1 * * *", "Australia/Lord_Howe", *fold) == ["04-04 14:45"]
    assert dues("0 2 * * *", "Australia/Lord_Howe", *fold) == ["04-04 15:30"]


def test_an_hourly_line_goes_on_through_every_change() -> None:
    begin = at("2026-01-01T00:00+00:00")
    hourly = preview("5 * * * *", "Europe/Berlin", begin, 1000)
    assert {after - before for before, after in itertools.pairwise(hourly)} == {3600}
    autumn = preview("5 * * * *", "Europe/Berlin", at("2026-10-24T00:00+00:00"), 50)
    assert {after - before for before, after in itertools.pairwise(autumn)} == {3600}


def test_a_repeated_hour_that_leads_back_over_midnight_loses_nothing() -> None:
    """St. John's, 2010: one minute after midnight clocks went back to 23:01 of the day before."""
    found = preview("*/10 * * * *", "America/St_Johns", at("2010-11-06T20:00-02:30"), 60)
    assert {after - before for before, after in itertools.pairwise(found)} == {600}


@given(st.sampled_from(LINES), st.sampled_from([*ZONES, "Australia/Lord_Howe"]), st.integers(0, 4000), st.data())
@examples(max_examples=40)
def test_counts_and_the_last_one_are_those_of_walking(cron: str, zone: str, day: int, data: st.DataObject) -> None:
    calendar, begin = Calendar(cron, zone), BEGIN + day * DAY + data.draw(st.integers(0, DAY))
    end = begin + data.draw(st.integers(-DAY, 5 * DAY))
    found, due = list[int](), calendar.after(begin)
    while due is not None and due <= end:
        found.append(due)
        due = calendar.after(due)
    assert calendar.count(begin, end) == len(found)
    assert calendar.latest(begin, end) == (found[-1] if found else None)


def test_ten_million_ticks_are_counted_in_a_moment() -> None:
    calendar, begin = Calendar("* * * * *", "Europe/Berlin"), BEGIN
    number, units = effort(lambda: calendar.count(begin, begin + 600_000_000))
    assert number == 10_000_000
    assert units < 4000  # a step for each would be 30,000
    assert calendar.latest(begin, begin + 600_000_000) == begin + 600_000_000


def test_the_end_of_the_calendar_is_the_end() -> None:
    assert Calendar("* * * * *", "UTC").after(10**15) is None
    assert Calendar("* * * * *", "UTC").after(249_999_999_990) == 250_000_000_020


def test_a_preview_has_a_limit() -> None:
    assert len(preview("* * * * *", "UTC", BEGIN, 10**9)) == MOST_PREVIEWED
    assert preview("* * * * *", "UTC", BEGIN, 0) == []
    assert preview("0 12 * * *", "UTC", BEGIN + 0.5, 2) == [BEGIN + DAY // 2, BEGIN + DAY * 3 // 2]


def test_a_valid_schedule_tells_when_it_is_due_first() -> None:
    assert validate("0 0 * * *", "UTC", BEGIN + 1.5) == BEGIN + DAY
    assert validate("0 0 * * *", "UTC", float(BEGIN)) == BEGIN + DAY


def test_calendars_are_kept() -> None:
    assert calendar_of("0 0 * * *", "UTC") is calendar_of("0 0 * * *", "UTC")


@pytest.mark.parametrize(
    ("cron", "zone", "key", "text"),
    [
        ("", "UTC", "cron", "cron line '' has 0 fields, not five"),
        ("@daily", "UTC", "cron", "has 1 fields, not five: minute hour day-of-month month day-of-week, as in"),
        ("0 0 3 * * *", "UTC", "cron", "has 6 fields, not five"),
        ("61 * * * *", "UTC", "cron", "cron line '61 * * * *': '61' is no minute (0-59)"),
        ("0 24 * * *", "UTC", "cron", "'24' is no hour (0-23)"),
        ("0 0 32 * *", "UTC", "cron", "'32' is no day-of-month (1-31)"),
        ("0 0 * 13 *", "UTC", "cron", "'13' is no month (1-12 or JAN-DEC)"),
        ("0 0 * * 8", "UTC", "cron", "'8' is no day-of-week (0-7 or SUN-SAT)"),
        ("*/0 * * * *", "UTC", "cron", "'*/0' is no minute"),
        ("5-1 * * * *", "UTC", "cron", "'5-1' is no minute"),
        ("-1 * * * *", "UTC", "cron", "'-1' is no minute"),
        ("¹ * * * *", "UTC", "cron", "'¹' is no minute"),
        ("0 0 * * ¹L", "UTC", "cron", "'¹L' is no day-of-week"),
        ("/// * * * *", "UTC", "cron", "'///' is no minute"),
        ("0 0 L/L * *", "UTC", "cron", "'L/L' is no day-of-month"),
        ("0 0 * * MON#6", "UTC", "cron", "'MON#6' is no day-of-week"),
        ("0 0 * * LLL", "UTC", "cron", "'LLL' is no day-of-week"),
        ("0 0 31 2 *", "UTC", "cron", "cron line '0 0 31 2 *' is never due: no such month has day 31"),
        ("0 0 30 2 */7", "UTC", "cron", "is never due"),
        ("0 0 */31 2 MON#5", "UTC", "cron", "is never due: no such day within 50 years"),
        ("1 " * 200, "UTC", "cron", "a cron line of 400 characters is too long; at most 200"),
        ("\x1b[31m * * * *", "UTC", "cron", r"'\x1b[31m' is no minute"),
        ("0 0 * * *", "Europe/Berln", "zone", "time zone 'Europe/Berln' is unknown; did you mean 'Europe/Berlin'?"),
        ("0 0 * * *", "", "zone", 'use a name like "Europe/Berlin" or "UTC"'),
        ("0 0 * * *", "Europe", "zone", "time zone 'Europe' is unknown"),
        ("0 0 * * *", "../../etc/passwd", "zone", "is unknown"),
        ("0 0 * * *", "/etc/localtime", "zone", "is unknown"),
        ("0 0 * * *", "localtime", "zone", "is unknown"),
        ("0 0 * * *", "right/Europe/Berlin", "zone", "is unknown"),
        ("0 0 * * *", "UTC\0", "zone", r"time zone 'UTC\x00' is unknown"),
        ("0 0 * * *", "Z" * 10_000, "zone", "is unknown"),
    ],
)
def test_bad_schedules_are_refused_in_a_line_that_says_what_is_wrong(cron: str, zone: str, key: str, text: str) -> None:
    with pytest.raises(BadSchedule) as error:
        validate(cron, zone, BEGIN)
    assert isinstance(error.value, UsageError)
    assert text in str(error.value)
    assert str(error.value).isprintable() and len(str(error.value)) < LONGEST_LINE + 150
    assert error.value.key == key


def test_a_zone_that_was_probably_meant_is_named() -> None:
    with pytest.raises(BadSchedule) as error:
        validate("0 0 * * *", "europe/berlin", BEGIN)
    assert error.value.nearest == "Europe/Berlin"


@given(st.text(alphabet="0123456789*/,-#LW \t MONSUJA¹٣", max_size=40), st.text(max_size=20))
def test_any_text_is_a_schedule_or_is_refused(cron: str, zone: str) -> None:
    for one, place in ((cron, "UTC"), ("0 0 * * *", zone)):
        try:
            assert validate(one, place, BEGIN) > BEGIN
        except BadSchedule as error:
            assert str(error).isprintable()
