"""When a cron line is due, by cronsim alone: what crawler/service/core/schedules.py is checked against."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from zoneinfo import ZoneInfo

from cronsim import CronSim


def ticks(cron: str, zone: str, after: int) -> Iterator[int]:
    """The due times after that instant, in order.

    cronsim takes a line for one that goes on by elapsed time where a star begins its minute or its hour, as Debian's
    cron does; here that is so where every hour is allowed. After an hour that is repeated it may begin too early.
    """
    fields = cron.split()
    if len(CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)).hours) == 24:
        fields[1] = "*"
    else:
        fields[:2] = fields[0].replace("*", "0-59"), fields[1].replace("*", "0-23")
    found = CronSim(" ".join(fields), datetime.fromtimestamp(after, ZoneInfo(zone)))
    for due, _ in groupby(int(tick.timestamp()) for tick in found):
        if due > after:
            yield due


class TickList:
    """The due times of a line in a zone after an instant, as a list that grows as it is read. Many schedules read the
    same one, because cronsim takes long."""

    def __init__(self, cron: str, zone: str, begin: int) -> None:
        self._begin = begin
        self._known = array("q")
        self._more = ticks(cron, zone, begin)

    def place_after(self, instant: int) -> int:
        """The index of the first due time later than `instant`, which is not before the beginning of the list."""
        assert instant >= self._begin
        while not self._known or self._known[-1] <= instant:
            if not self._grow():
                break
        return bisect_right(self._known, instant)

    def at(self, place: int) -> int | None:
        """The due time with this index; None where there are not so many."""
        while place >= len(self._known):
            if not self._grow():
                return None
        return self._known[place]

    def _grow(self) -> bool:
        due = next(self._more, None)
        if due is not None:
            self._known.append(due)
        return due is not None


@cache
def tick_list(cron: str, zone: str, begin: int) -> TickList:
    """The list of a line and a zone, made once in this process."""
    return TickList(cron, zone, begin)
