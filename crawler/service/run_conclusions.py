"""What the end of a process means for its run: core/states.py and core/expectations.py decide, this writes it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from crawler.core.reasons import Ending
from crawler.errors import CrawlerError
from crawler.service.child import ChildExit
from crawler.service.core.expectations import judged, unmet
from crawler.service.core.states import FINAL, ChildEnd, RunState, event_of
from crawler.service.protocol import ChildEnded
from crawler.service.records import JobRecord, RunRecord
from crawler.service.run_file import read_run_file, run_file, write_run_file
from crawler.service.run_journal import RunJournal


class RunConclusions:
    """For the runs of one data folder."""

    def __init__(self, journal: RunJournal, data: Path) -> None:
        self._journal = journal
        self._data = data

    def write(self, key: str, found: ChildExit, told: ChildEnded | None, pages: int) -> RunRecord:
        """A process has ended so, after it had told so much and fetched so many pages. Returns the run as it is then.
        Raises StorageError."""
        run = self._journal.get(key)
        summary = None if told is None else {**told.summary, "out": run.directory}
        ending = Ending(summary["ending"]) if summary else None
        held = bool(summary and summary.get("fail_on_held"))
        event, reason = event_of(ChildEnd(ending, found.exit_code, found.signal, held))
        fields: dict[str, Any] = {"exit_code": found.exit_code, "signal": found.signal, "stderr": found.stderr}
        job = self._journal.database.jobs.get(run.job)
        if summary:
            missed = self._unmet(run, job, summary)
            event, reason = judged(event, reason, missed, job is not None and job.expect.fail)
            fields |= {"summary": summary, "mode": summary["mode"], "unmet": missed}
            fields["generation"] = summary["generation"]
        was_asked = run.state is RunState.STOPPING
        fields["crashes"] = 0 if was_asked or pages else run.crashes + 1
        with self._journal.transaction():
            run = self._journal.apply(key, event, reason, **fields)
        if run.state in FINAL:
            self._write_file(run)
        return run

    def _unmet(self, run: RunRecord, job: JobRecord | None, summary: dict[str, Any]) -> tuple[str, ...]:
        if job is None:
            return ()
        before = None
        if job.expect.max_drop is not None:
            before = next(
                (
                    one.summary["pages"]
                    for one in reversed(self._journal.database.runs.where(job=run.job, state=RunState.SUCCEEDED))
                    if one.summary
                ),
                None,
            )
        return unmet(
            summary["pages"],
            summary["reasons"],
            before,
            min_pages=job.expect.min_pages,
            max_error_share=job.expect.max_error_share,
            max_drop=job.expect.max_drop,
        )

    def _write_file(self, run: RunRecord) -> None:
        """Bring the file beside the directory up to date. Where that fails a rebuild resumes the run, and finds that it
        has ended."""
        path = run_file(self._data, run.id)
        before = read_run_file(path)
        if before is not None:
            with suppress(CrawlerError):
                write_run_file(path, replace(before, run=run))
