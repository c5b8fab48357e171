"""When a cron line is due, by cronsim alone: what crawler/service/core/schedules.py is checked against."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
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
