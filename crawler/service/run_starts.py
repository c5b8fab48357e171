"""Makes new runs of jobs: with which settings, in which directory.

Rules:
- A run has the settings of its job, with its own on top, as they are when it is made. A job that changes later changes
  no run.
- A job that crawls again (`recrawl`) does so in the directory of its last run, as long as that is there and no run
  works in it; otherwise the run begins a new directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawler.service.core.states import FINAL, RunState
from crawler.service.records import JobRecord, RunRecord
from crawler.service.run_journal import RunJournal

USABLE = frozenset({RunState.SUCCEEDED, RunState.LIMITED})


class RunStarts:
    """New runs in one data folder. `create` is called within a transaction."""

    def __init__(self, journal: RunJournal, data: Path) -> None:
        self._journal = journal
        self._data = data

    def create(self, job: JobRecord, changes: Mapping[str, Any], **fields: Any) -> RunRecord:
        """A queued run of a job with `changes` of its settings; `fields` of the record."""
        settings = {**job.settings, **changes}
        mode = settings.get("mode", "")
        earlier = self._directory_of(job) if job.recrawl else None
        if earlier is not None:
            fields["directory"] = earlier
        return self._journal.create(job, settings=settings, mode=mode, recrawl=earlier is not None, **fields)

    def _directory_of(self, job: JobRecord) -> str | None:
        """The directory of the last run of a job that may be crawled again."""
        runs = self._journal.database.runs.where(job=job.id, removed=False)
        busy = {run.directory for run in runs if run.state not in FINAL}
        found = (run.directory for run in reversed(runs) if run.state in USABLE)
        return next((one for one in found if one not in busy and (self._data / one).is_dir()), None)
