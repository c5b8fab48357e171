"""What runs that crawl again have changed: the generations of a job, and the page of the changes of one run."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import NamedTuple

from crawler.service import diff_reader
from crawler.service.errors import Conflict, NotFound
from crawler.service.records import RunRecord
from crawler.service.web.crawl_facts import DiffRead
from crawler.service.web.kept_readings import WAIT
from crawler.service.web.run_states import ended
from crawler.service.web.templating import safe
from crawler.service.web.visits import Answer, Shown, Visit

LISTED = 10
LONGEST_URL = 4000
FIRST = DiffRead(None, "This run has made the first generation: there is none before it to compare with.")
LINES = {"+": "added", "-": "removed", "@": "place"}
"""The class of a line of a unified diff, by its first character."""


class GenerationRow(NamedTuple):
    """The last run that worked on a generation, and what that changed."""

    run: RunRecord
    read: DiffRead


async def generations(visit: Visit, runs: Iterable[RunRecord]) -> list[GenerationRow]:
    """The last generations that the runs of a job have made, newest first; what is not read in time is left out."""
    newest: dict[tuple[str, int], RunRecord] = {}
    for run in runs:
        if run.recrawl and run.generation is not None and run.started_at is not None and not run.removed:
            newest.setdefault((run.directory, run.generation), run)
    give_up_at = monotonic() + WAIT
    return [
        GenerationRow(run, await read_diff(visit, run, max(0.0, give_up_at - monotonic())))
        for run in list(newest.values())[:LISTED]
    ]


async def read_diff(visit: Visit, run: RunRecord, wait: float = WAIT) -> DiffRead:
    """What a run has changed, or why that cannot be told."""
    if run.removed:
        return DiffRead(None, "Its crawl directory was removed to save room; its summary is kept.")
    if run.started_at is None:
        return DiffRead(None, "It has not started yet.")
    if not run.generation:
        return FIRST
    if not ended(run):
        return DiffRead(None, "It has not ended yet.")
    return await visit.diffs.of(run.id, visit.service.directory(run.id), live=False, wait=wait)


async def diff_page(visit: Visit) -> Answer:
    """What a run has changed, or how the text of one page did."""
    run = await visit.service.run(visit.named("run"))
    url = visit.call.request.query.get("text", "")[:LONGEST_URL]
    if url:
        return await _text_page(visit, run, url)
    read = await read_diff(visit, run)
    context = {"run": run, "read": read, "state": safe(read.state), "tiles": safe(read.tiles)}
    return Shown("diff.html", context | {"sections": safe(read.sections)})


async def _text_page(visit: Visit, run: RunRecord, url: str) -> Answer:
    try:
        lines = await visit.call.read(diff_reader.text_diff, visit.service.directory(run.id), url)
        unread = "" if lines else "Its main text is the same in both."
    except (Conflict, NotFound) as error:
        lines, unread = [], str(error)
    shown = [(LINES.get(line[:1], ""), line) for line in lines[2:]]  # after the names of both
    return Shown("text_diff.html", {"run": run, "url": url, "lines": shown, "unread": unread})
