"""The section on validity: that all engines did equal work. Pure."""

from __future__ import annotations

from collections import Counter

from crawler.compare.gates import WARNING
from crawler.compare.html_report.book import Book, Figure, Table

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
    "G10": "speed: no faster than the server's answers allow",
    "G11": "durability: committed and synced as asked for, by the files themselves",
    "G12": "steadiness: both halves of the steady window alike, within 10 %",
}
ON_SITE = {"G1": "agreement: URLs, reasons and statuses as in the first valid arm of the block; there is no oracle"}


def gates(book: Book) -> tuple[list[Figure], str]:
    """Two tables: how many trials failed each gate, and how many trials of each arm are void."""
    trials, site = book.trials, book.session.site
    if not trials:
        return [], "no trial was run"
    checks, equal = (CHECKS | ON_SITE, "agree with each other") if site else (CHECKS, "did provably equal work")
    found = [(trial, gate) for trial in trials for gate in trial.gates]
    failed = Counter(gate.name for _, gate in found if not gate.passed)
    warned = Counter(gate.name for _, gate in found if gate.passed and gate.detail.startswith(WARNING))
    last = {gate.name: gate.detail for trial, gate in found if trial.valid}
    counted = [trial for trial in trials if not trial.warm_up]
    void = Counter(trial.arm for trial in counted if not trial.valid)
    title = f"{len(counted) - void.total():,} of {len(counted):,} trials {equal}"
    if void:
        title += f"; {void.total():,} did not and are void"
    by_gate = [
        [name, checks.get(name, ""), f"{failed[name]:,}", f"{warned[name]:,}", last.get(name, "")]
        for name in sorted({gate.name for _, gate in found}, key=lambda name: (len(name), name))
    ]
    run = Counter(trial.arm for trial in counted)
    warm = Counter(trial.arm for trial in trials if trial.warm_up)
    by_arm = [
        [arm.name, f"{run[arm.name]:,}", f"{void[arm.name]:,}", f"{warm[arm.name]:,}"] for arm in book.session.arms
    ]
    lost = ", ".join(f"{arm} {void[arm]:,}" for arm in run if void[arm])
    foot = book.foot([trials[0].condition], whole=True)
    figures = [
        Figure(
            title,
            "Did every engine do the same work?",
            (),
            "The number of trials that failed each gate, the warm-up included, and what the last valid trial showed.",
            Table(["gate", ":what it checks", "failed", "warned", ":last valid trial"], by_gate),
            foot,
        ),
        Figure(
            f"Void trials by engine: {lost}" if lost else "No trial of any engine is void",
            "Does an engine lose more trials than the others?",
            (),
            "An engine that loses many is judged by what is left of it. The reason of each is in the table of all "
            "trials.",
            Table(["engine", "trials", "void of them", "warm-up besides"], by_arm),
            foot,
        ),
    ]
    return figures, ""
