"""The sections on validity: equal work, and no drift or noise that could fake a difference. Pure."""

from __future__ import annotations

from collections import Counter

from crawler.compare.cells import Cells
from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.numbers import conditions, full
from crawler.compare.html_report.panels import PanelMoment, gate_strip, timeline
from crawler.compare.records import Trial

CHECKS = {
    "G1": "every record as the oracle computed it, offline",
    "G2": "the same, read back from disk",
    "G3": "the server saw every request once",
    "G4": "order of arrival cannot change the result",
    "G5": "as many in flight as asked for, counted by the server",
    "G6": "the delay per host kept",
    "G7": "failures depend on URL and attempt only",
    "G8": "the server had room to spare",
    "G9": "the machine was quiet",
}
ON_SITE = {"G1": "the same URLs, reasons and statuses as the first valid arm of its block; there is no oracle"}
SHORT = {
    "G1": "oracle", "G2": "store", "G3": "referee", "G4": "order", "G5": "concurrency",
    "G6": "politeness", "G7": "failures", "G8": "server", "G9": "machine",
}  # fmt: skip
WARNING = "warning: "


def gates(book: Book) -> tuple[list[Figure], str]:
    """The section on equal work: trials that failed a gate are void, and listed."""
    trials = sorted(book.trials, key=lambda trial: trial.order)
    if not trials:
        return [], "no trial was run"
    site = book.session.site
    checks, equal = (CHECKS | ON_SITE, "agree with each other") if site else (CHECKS, "did provably equal work")
    names = sorted({gate.name for trial in trials for gate in trial.gates})
    failed = {
        name: [t.order for t in trials for gate in t.gates if gate.name == name and not gate.passed] for name in names
    }
    warned = Counter(
        gate.name for trial in trials for gate in trial.gates if gate.passed and gate.detail.startswith(WARNING)
    )
    counted = [trial for trial in trials if not trial.warm_up]
    void = [trial for trial in counted if not trial.valid]
    title = f"{len(counted) - len(void):,} of {len(counted):,} trials {equal}"
    if void:
        title += f"; {len(void):,} did not and are void"
    last = {gate.name: gate.detail for trial in counted if trial.valid for gate in trial.gates}
    rows = [
        [name, checks.get(name, ""), f"{len(failed[name]):,}", f"{warned[name]:,}", last.get(name, "")]
        for name in names
    ]
    rows += [
        [f"trial {trial.order}", f"{trial.arm}: {conditions(trial.condition)}", "void", "", _reason(trial)]
        for trial in void
    ]
    warm_up = sum(trial.warm_up for trial in trials)
    most = max(trial.order for trial in trials) + 1
    figure = Figure(
        title,
        "Did every engine do the same work?",
        [
            lambda width: gate_strip(
                width, {name: SHORT.get(name, "") for name in names}, failed, warned, warm_up, most, title
            )
        ],
        "One bar per gate over the whole run; a trial that failed it is marked where it happened. The pale start is "
        "the warm-up, which never counts. A void trial stays in the data and is never silently repeated.",
        Table(["gate", "what it proves", "failed", "warned", "as found (last valid trial, or the void one)"], rows),
        book.foot(sorted({trial.condition for trial in trials}, key=repr)[:1], whole=True),
    )
    return [figure], ""


def _reason(trial: Trial) -> str:
    said = [f"{gate.name}: {gate.detail or 'failed'}" for gate in trial.gates if not gate.passed]
    return "; ".join(said) or "it reported nothing"


def order(book: Book) -> tuple[list[Figure], str]:
    """The section on run order: whether drift, a burst or a bad order could fake a difference."""
    found = book.found
    if not found.audit.valid:
        return [], "no valid trial"
    cells = Cells(book.session, book.trials)
    residuals = cells.residuals()
    moments = [
        PanelMoment(trial.order, residuals.get(trial.order), book.index.get(trial.arm, -1))
        for trial in cells.trials
        if trial.order in residuals or not (trial.valid or trial.warm_up)
    ]
    if not moments:
        return [], "no condition has two blocks yet"
    seen = found.audit.drift
    ends = (-seen.total / 2, seen.total / 2) if seen else None
    out = found.audit.outliers
    rows = [["drift over the session (Theil-Sen)", findings.drift(found)]]
    rows.append(
        ["outliers (Tukey's fences, per cell)", f"{out.mild} mild, {out.severe} severe of {out.of}; none dropped"]
    )
    rows.append(["trials", f"{found.audit.valid} valid, {found.audit.void} void, {found.audit.warm_up} warm-up"])
    if found.headline and found.headline.twin:
        rows.append(["A/A ratio", full(found.headline.twin)])
        rows.append(["region of practical equivalence", f"± {100 * found.headline.rope:.2g} %"])
    title = findings.drift(found)
    figure = Figure(
        title,
        "Could the order of the trials, or a noisy neighbour, fake a difference?",
        [lambda width: timeline(width, moments, ends, title)],
        "Each mark is a trial against the mean of its own cell, in the order run (cells with two blocks or more); the "
        "band is ± 3 %, the line the drift. Within a block the order of the arms is random, so a drift meets all "
        "alike. Crosses are void trials.",
        Table(["question", "found"], rows),
        book.foot([trial.condition for trial in cells.trials][:1], whole=True),
        legend="both",
    )
    return [figure], ""
