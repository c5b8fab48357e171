"""The page of storage: what keeps how much, and what retention will remove next."""

from __future__ import annotations

from typing import NamedTuple

from crawler.service.records import RunRecord, StoredRun
from crawler.service.web.visits import Answer, Shown, Visit

LISTED = 100


class StoredRow(NamedTuple):
    """A run, what its directory keeps, and that as a share of the largest."""

    run: RunRecord
    kept: StoredRun
    share: float


async def storage_page(visit: Visit) -> Answer:
    """The largest runs, the sum, and what will go."""
    service = visit.service
    stored = sorted(await service.storage(), key=lambda one: -one.bytes)
    largest = stored[0].bytes if stored else 0
    told = await service.overview()
    rows = [StoredRow(await service.run(one.run), one, one.bytes / (largest or 1)) for one in stored[:LISTED]]
    going = [one for one in stored if one.removed_next]
    context = {
        "rows": rows,
        "count": len(stored),
        "bytes": sum(one.bytes for one in stored),
        "files": sum(one.files for one in stored),
        "going": len(going),
        "going_bytes": sum(one.bytes for one in going),
        "told": told,
    }
    return Shown("storage.html", context)
