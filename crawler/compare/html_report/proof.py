"""The sections on validity: equal work, and no drift or noise that could fake a difference. Pure."""

from __future__ import annotations

from collections import Counter

from crawler.compare.cells import Cells
from crawler.compare.gates import WARNING
from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.numbers import conditions, full
from crawler.compare.html_report.timeline import OrderedTrial, timeline
from crawler.compare.predictions import verdict

CHECKS = {
    "G1": "oracle: every record as computed without crawling",
    "G2": "store: the same, read back from disk",
    "G3": "referee: the server saw every request once",
    "G4": "order: the order of arrival cannot change the result",
    "G5": "concurrency: as many in flight as asked for, counted by the server",
    "G6": "politeness: the delay of each host was kept",
    "G7": "failures: they depend on URL and attempt only",
    "G8": "server: it had capacity to spare",
    "G9": "machine: it was quiet",
    "G10": "limits: nothing was faster than the web and the slots allow",
    "G11": "durability: committed and synced as asked for, by the files themselves",
    "G12": "steadiness: both halves of the steady window alike, within 10 %",
}
ON_SITE = {"G1": "agreement: URLs, reasons and statuses as in the first valid arm of the block; there is no oracle"}


def gates(book: Book) -> tuple[list[Figure], str]:
    """The section on equal work, a table: trials that failed a gate are void, and listed."""
    trials = sorted(book.trials, key=lambda trial: trial.order)
    if not trials:
        return [], "no trial was run"
    site = book.session.site
    checks, equal = (CHECKS | ON_SITE, "agree with each other") if site else (CHECKS, "did provably equal work")
    found = [(trial, gate) for trial in trials for gate in trial.gates]
    failed = Counter(gate.name for _, gate in found if not gate.passed)
    warned = Counter(gate.name for _, gate in found if gate.passed and gate.detail.startswith(WARNING))
    last = {gate.name: gate.detail for trial, gate in found if trial.valid}
    counted = [trial for trial in trials if not trial.warm_up]
    void = [trial for trial in counted if not trial.valid]
    title = f"{len(counted) - len(void):,} of {len(counted):,} trials {equal}"
    if void:
        title += f"; {len(void):,} did not and are void"
    rows = [
        [name, checks.get(name, ""), f"{failed[name]:,}", f"{warned[name]:,}", last.get(name, "")]
        for name in sorted({gate.name for _, gate in found}, key=lambda name: (len(name), name))
    ]
    for arm in book.session.arms:
        ours = [trial for trial in counted if trial.arm == arm.name]
        void_here = sum(not trial.valid for trial in ours)
        rows.append(
            [arm.name, "trials that are void, of all that were to count", f"{void_here:,} of {len(ours):,}", "", ""]
        )
    for trial in void:
        where, why = f"{trial.arm}: {conditions(trial.condition)}", "; ".join(trial.failed) or "it reported nothing"
        rows.append([f"trial {trial.order}", where, "void", "", why])
    figure = Figure(
        title,
        "Did every engine do the same work?",
        (),
        "One row per gate, with the number of trials that failed it, the warm-up included; then one per arm, and one "
        "per void trial. A void trial stays in the data and is never silently repeated.",
        Table(["gate", ":what it proves", "failed", "warned", ":as found (last valid trial, or the void one)"], rows),
        book.foot(sorted({trial.condition for trial in trials}, key=repr)[:1], whole=True),
    )
    return [figure], ""


def order(book: Book) -> tuple[list[Figure], str]:
    """The section on run order: whether drift, a burst or a bad order could fake a difference."""
    audit, field = book.found.audit, book.found.headline
    if not audit.valid:
        return [], "no valid trial"
    cells = Cells(book.session, book.trials)
    residuals = cells.residuals()
    trials = [
        OrderedTrial(trial.order, residuals.get(trial.order), book.index.get(trial.arm, -1))
        for trial in cells.trials
        if trial.order in residuals or not (trial.valid or trial.warm_up)
    ]
    if not trials:
        return [], "no condition has two blocks yet"
    ends = (-audit.drift.total / 2, audit.drift.total / 2) if audit.drift else None
    out, title = audit.outliers, findings.drift(book.found)
    rows = [
        ["outliers (Tukey's fences, per cell)", f"{out.mild} mild, {out.severe} severe of {out.of}; none dropped"],
        ["trials", f"{audit.valid} valid, {audit.void} void, {audit.warm_up} warm-up"],
    ]
    if field and field.twin:
        rows.append(["A/A ratio", full(field.twin)])
        rows.append(["what counts as a difference", f"more than {100 * field.margin:.2g} %"])
    rows += [list(verdict(one)) for one in book.found.predictions]
    figure = Figure(
        title,
        "Could the order of the trials, or other processes, fake a difference?",
        [lambda width: timeline(width, trials, ends, title)],
        "Each mark is a trial against the mean of its own cell, in the order run (cells with two blocks or more); the "
        "band is ± 3 %, the line the drift (Theil-Sen). Within a block the order of the arms is random, so a drift "
        "affects all alike. Crosses are void trials.",
        Table(["question", "found"], rows),
        book.foot([trial.condition for trial in cells.trials][:1], whole=True),
        legend="both",
    )
    return [figure], ""
