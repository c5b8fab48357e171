"""The report of a comparison: read the raw trials, write `report.html`, `report.md`, `report.json` and `trials.csv`.

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
from crawler.compare.records import METRICS, Session, Trial
from crawler.compare.results import results
from crawler.system.text import csv_safe

FIELDS = (
    "sweep",
    "workload",
    "pages",
    "concurrency",
    "latency",
    "payload",
    "cpu_ms",
    "errors",
    "hosts",
    "delay",
    "workers",
)


def write(folder: Path) -> None:
    """Write the reports of `folder` (with `session.json` and `trials.jsonl`) into it.

    Raises OSError where files cannot be read or written, msgspec.DecodeError where they are not of a comparison.
    """
    session, trials, data = read(folder)
    found = results(session, trials)
    book = Book(session, trials, found, data)
    told = sections(book)
    (folder / "report.html").write_text(page(book, told), encoding="utf-8")
    (folder / "report.md").write_text(markdown(book, told), encoding="utf-8")
    facts = {"data": data, "session": session, "findings": summary(found), "results": found}
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")
    (folder / "trials.csv").write_text(table(trials), encoding="utf-8", newline="")


def read(folder: Path) -> tuple[Session, list[Trial], str]:
    """The session, its trials, the SHA-256 of the trials' file. An incomplete last line is ignored; any other invalid
    line raises msgspec.DecodeError."""
    session = msgspec.json.decode((folder / "session.json").read_bytes(), type=Session)
    raw = (folder / "trials.jsonl").read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    return session, msgspec.json.Decoder(Trial).decode_lines(whole), hashlib.sha256(whole).hexdigest()


def table(trials: list[Trial]) -> str:
    """All trials as CSV, one row each: arm, condition, valid or not, every metric."""
    extra = sorted({name for trial in trials for name in trial.metrics} - METRICS.keys())
    metrics = [*METRICS, *extra]
    written = io.StringIO()
    rows = csv.writer(written)
    head = ("order", "block", "arm", *FIELDS, "started_at", "seconds", "warm_up", "valid", "failed")
    rows.writerow([*head, *(csv_safe(name) for name in metrics)])
    for trial in sorted(trials, key=lambda trial: trial.order):
        failed = " ".join(gate.name for gate in trial.gates if not gate.passed)
        where = [getattr(trial.condition, field) for field in FIELDS]
        what = [trial.started_at, trial.seconds, trial.warm_up, trial.valid, failed]
        values = [
            trial.order,
            trial.block,
            trial.arm,
            *where,
            *what,
            *(trial.metrics.get(name, "") for name in metrics),
        ]
        rows.writerow([csv_safe(value) if isinstance(value, str) else value for value in values])
    return written.getvalue()
