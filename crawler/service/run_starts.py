"""Makes new runs of jobs: with which settings, in which directory, on which generation of it.

Rules:
- A run has the settings of its job, with its own on top, as they are when it is made. A job that changes later changes
  no run.
- A job that crawls again (`recrawl`) keeps one directory: that of its newest run that crawled the same. Where seeds,
  scope or the way of storing have changed, where that run was interrupted, and where retention has removed the
  directory, the run begins another one.
- core/recrawls.py decides the generation, when the first process of the run is about to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawler.service.core.recrawls import EarlierRun, generation_of
from crawler.service.core.states import RunState
from crawler.service.job_settings import crawls_the_same
from crawler.service.records import JobRecord, RunRecord
from crawler.service.run_journal import RunJournal
from crawler.storage.directory import CrawlDirectory

LOOKED_AT = 100
"""The newest runs of a job or directory, among which the one before is looked for."""


class RunStarts:
    """New runs in one data folder. `create` is called within a transaction."""

    def __init__(self, journal: RunJournal, data: Path) -> None:
        self._journal = journal
        self._data = data

    def create(self, job: JobRecord, changes: Mapping[str, Any], **fields: Any) -> RunRecord:
        """A queued run of a job with `changes` of its settings; `fields` of the record."""
        settings = {**job.settings, **changes}
        mode = settings.get("mode", "")
        earlier = self._directory_of(job, settings) if job.recrawl else None
        if earlier is not None:
            fields["directory"] = earlier
        return self._journal.create(job, settings=settings, mode=mode, **fields)

    def generation(self, key: str) -> int:
        """The generation of its directory that a run works on, which is about to start. Raises NotFound."""
        run = self._journal.get(key)
        runs = self._journal.database.runs.page(None, LOOKED_AT, directory=run.directory).items
        earlier = [
            EarlierRun(one.generation or 0, one.ended_at or 0.0, one.state, one.reason)
            for one in runs
            if one.id != key and one.started_at is not None
        ]
        return generation_of(run.generation, earlier, CrawlDirectory.exists(self._data / run.directory))

    def _directory_of(self, job: JobRecord, settings: Mapping[str, Any]) -> str | None:
        """The directory in which a job crawls this again."""
        runs = self._journal.database.runs.page(None, LOOKED_AT, job=job.id, removed=False).items
        found = (run for run in runs if run.recrawl and run.state is not RunState.INTERRUPTED)
        return next((run.directory for run in found if crawls_the_same(run.settings, settings)), None)
