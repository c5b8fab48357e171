"""The page of storage: what keeps how much, and what retention will remove next."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from crawler.service.records import RunRecord, StoredRun
from crawler.service.web.visits import Answer, Shown, Visit

LISTED = 100


class StoredRow(NamedTuple):
    """The newest run of a directory, what that keeps, also as a share of the largest, and how many runs share it."""

    run: RunRecord
    kept: StoredRun
    share: float
    runs: int


async def storage_page(visit: Visit) -> Answer:
    """The largest directories, the sum, and what will go."""
    service = visit.service
    every = await service.storage()  # the newest runs first
    runs = Counter(one.directory for one in every)
    newest: dict[str, StoredRun] = {}
    for one in every:
        newest.setdefault(one.directory, one)
    stored = sorted(newest.values(), key=lambda one: -one.bytes)
    largest = stored[0].bytes if stored else 0
    told = await service.overview()
    rows = [
        StoredRow(await service.run(one.run), one, one.bytes / (largest or 1), runs[one.directory])
        for one in stored[:LISTED]
    ]
    going = [one for one in stored if one.removed_next]
    context = {
        "rows": rows,
        "count": len(stored),
        "runs": len(every),
        "bytes": sum(one.bytes for one in stored),
        "files": sum(one.files for one in stored),
        "going": sum(runs[one.directory] for one in going),
        "going_bytes": sum(one.bytes for one in going),
        "told": told,
    }
    return Shown("storage.html", context)
