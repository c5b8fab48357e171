"""The report of a comparison: read the raw trials, write `report.html`, `report.md`, `report.json` and `trials.csv`.

`report.json` is for programs: its `format`, the design and the machine as in `session.json`, the SHA-256 of what was
fixed before (`preregistration`), of the trials (`data`) and of each raw log (`raw`, by order), then what was found.

Equal trials give equal files, byte for byte: no clock and no random numbers are used.
"""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import msgspec

from crawler.compare.html_report.book import Book
from crawler.compare.html_report.findings import summary
from crawler.compare.html_report.markdown import markdown
from crawler.compare.html_report.page import page
from crawler.compare.html_report.sections import sections
from crawler.compare.html_report.summary import ENGINE, heads
from crawler.compare.html_report.summary import summary as verdict_rows
from crawler.compare.predictions import verdict
from crawler.compare.records import METRICS, Condition, Session, Trial
from crawler.compare.results import results
from crawler.compare.session_files import read_session, read_trials, whole_lines
from crawler.system.text import csv_safe

FIELDS = Condition.__struct_fields__
ENDS = ("interval", "range")
"""The unit of a column whose values are shown with both ends."""
LEFT_OUT = frozenset({ENGINE, "Switches", "Overhead"})
"""Columns of the summary that a terminal has no room for; the engine comes first anyway."""


def write(folder: Path) -> None:
    """Write the reports of `folder` (with `session.json` and `trials.jsonl`) into it.

    Raises OSError where files cannot be written, UsageError and Corrupt where they are not of a comparison.
    """
    for name, content in contents(folder).items():
        (folder / name).write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    """The reports of a folder by name, as `write` writes them. Raises UsageError, Corrupt."""
    session, trials, data = read(folder)
    found = results(session, trials)
    book = Book(session, trials, found, data)
    parts = sections(book)
    design = {name: getattr(session, name) for name in session.__struct_fields__ if name != "environment"}
    raw = {str(trial.order): trial.raw for trial in trials}
    facts = design | {"machine": session.environment, "data": data, "raw": raw}
    facts |= {"findings": summary(found), "results": found}
    return {
        "report.html": page(book, parts).encode(),
        "report.md": markdown(book, parts).encode(),
        "report.json": msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n",
        "trials.csv": table(session, trials).encode(),
    }


def verdicts(folder: Path) -> list[str]:
    """The first table of the report as lines of text: a row per engine, with its client; then what came of each
    prediction. Empty without a headline. Raises UsageError, Corrupt."""
    session, trials, data = read(folder)
    found = results(session, trials)
    book = Book(session, trials, found, data)
    named = {name: unit for name, unit in heads(book).items() if name not in LEFT_OUT}
    spans = [name for name, unit in named.items() if unit.endswith(ENDS)]
    rows = [
        [*row[ENGINE], *(" ".join(row[name] if name in spans else row[name][:1]).strip() for name in named)]
        for row in verdict_rows(book)
    ]
    if not rows:
        return []
    lines = [[ENGINE, "Client", *named], ["", "", *named.values()], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return table + [": ".join(verdict(one)) for one in found.predictions]


def read(folder: Path) -> tuple[Session, list[Trial], str]:
    """The session, its trials, the SHA-256 of the trials' file. Raises UsageError, Corrupt."""
    return read_session(folder), read_trials(folder), hashlib.sha256(whole_lines(folder)).hexdigest()


def table(session: Session, trials: list[Trial]) -> str:
    """All trials as CSV, one row each: arm and its stack, condition, valid or not, every metric."""
    arms = {arm.name: (arm.mode, arm.client, arm.loop, arm.version) for arm in session.arms}
    metrics = [*METRICS, *sorted({name for trial in trials for name in trial.metrics} - METRICS.keys())]
    written = io.StringIO()
    rows = csv.writer(written)
    head = ("order", "block", "arm", "mode", "client", "loop", "python", *FIELDS)
    head = (*head, "started_at", "seconds", "warm_up", "valid", "failed")
    rows.writerow([*head, *(csv_safe(name) for name in metrics)])
    for trial in sorted(trials, key=lambda trial: trial.order):
        condition = (getattr(trial.condition, field) for field in FIELDS)
        failed = " ".join(gate.name for gate in trial.gates if not gate.passed)
        values = (
            trial.order,
            trial.block,
            trial.arm,
            *arms.get(trial.arm, ("",) * 4),
            *condition,
            trial.started_at,
            trial.seconds,
        )
        values = (*values, trial.warm_up, trial.valid, failed, *(trial.metrics.get(name, "") for name in metrics))
        rows.writerow([csv_safe(value) if isinstance(value, str) else value for value in values])
    return written.getvalue()
