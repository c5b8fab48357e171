"""One comparison on several machines: their sessions side by side, and what all of them agree on.

Rules, and why:
- Merged are whole sessions that `compare verify` passes, of one design: the same arms, conditions, blocks, predictions
  and rules of the analysis. Only machine, seed and time may differ.
- Nothing is pooled: two or three machines are no sample of all machines, so an average over them would promise what it
  cannot. Machines agree where each of them gives the same word (faster, slower, equivalent), and disagree where they
  give different ones; the range of their ratios is told. Anything else is open.
- The folder holds a copy of each session without its reports (`machines/NUMBER`), `merge.json`, `merge.md` and
  `merge.html`. These are computed from the copies alone: `compare verify` checks the copies and computes them again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from crawler.compare import preregistration, raw_logs, report, verify
from crawler.compare.fields import Field
from crawler.compare.html_report.book import Table
from crawler.compare.html_report.numbers import conditions, full
from crawler.compare.html_report.summary import machine
from crawler.compare.intervals import Estimate
from crawler.compare.merge_report import MergeReport, markdown, page
from crawler.compare.records import Condition, Session
from crawler.compare.results import Results, results
from crawler.compare.session_files import FORMAT, SESSION, TRIALS, read_session, read_trials, whole_lines
from crawler.errors import UsageError
from crawler.report.numbers import number
from crawler.system.invocation import called

MACHINES = "machines"
COPIED = (SESSION, preregistration.FILE, TRIALS)
SAME = ("format", "preset", "arms", "conditions", "blocks", "site", "predictions")
"""The fields of a session that must be the same."""
Outcome = Literal["agree", "disagree", "open"]


class OneMachine(NamedTuple):
    """A session, what it gave, the SHA-256 of its trials."""

    session: Session
    found: Results
    data: str


class MergedPair(msgspec.Struct, frozen=True):
    """An arm against the base under a condition: the ratio and the word of each machine (None where it has no valid
    trials), and whether they agree."""

    arm: str
    base: str
    condition: Condition
    ratios: list[Estimate | None]
    words: Sequence[str]
    outcome: Outcome


def merge(folders: Sequence[Path], out: Path) -> None:
    """Merge sessions into a new folder. Raises UsageError where they cannot be merged, Corrupt, OSError."""
    _check(folders)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already")
    for place, folder in enumerate(folders, 1):
        copy = out / MACHINES / f"{place}"
        copy.mkdir(parents=True)
        for name in COPIED:
            shutil.copyfile(folder / name, copy / name)
        if (folder / raw_logs.FOLDER).is_dir():
            shutil.copytree(folder / raw_logs.FOLDER, copy / raw_logs.FOLDER)
    for name, content in contents(out).items():
        (out / name).write_bytes(content)


def _check(folders: Sequence[Path]) -> None:
    """Raises UsageError for sessions that cannot be merged, Corrupt."""
    if len(folders) < 2:
        raise UsageError("a merge needs at least two comparisons")
    first = read_session(folders[0])
    seen: dict[str, Path] = {}
    for folder in folders:
        session = read_session(folder)
        if unlike := [name for name in SAME if getattr(session, name) != getattr(first, name)]:
            raise UsageError(f"{folder} and {folders[0]} are not of one design: other {', '.join(unlike)}")
        if seen.setdefault(session.preregistration, folder) != folder or folders.count(folder) > 1:
            raise UsageError(f"{folder} is the same comparison as {seen[session.preregistration]}")
        if problems := verify.verify(folder):
            raise UsageError(f"{folder} cannot be merged: {problems[0]} ({called()} compare verify {folder})")


def is_merged(folder: Path) -> bool:
    """Whether a folder holds several sessions."""
    return (folder / MACHINES).is_dir()


def verify_merged(folder: Path) -> tuple[list[str], list[str]]:
    """The faults of a merged folder, and what was not checked, one line each. Raises UsageError, Corrupt."""
    problems, unchecked = [], []
    for copy in _copies(folder):
        problems += [f"machine {copy.name}: {problem}" for problem in verify.verify(copy)]
        reports = report.contents(copy)
        told = (line for line in verify.unchecked(copy) if line.partition(":")[0] not in reports)
        unchecked += [f"machine {copy.name}: {line}" for line in told]
    for name, content in contents(folder).items():
        if not (folder / name).exists():
            unchecked.append(f"{name}: it is not there")
        elif (folder / name).read_bytes() != content:
            problems.append(f"{name} is not what the sessions say")
    return problems, unchecked


def contents(folder: Path) -> dict[str, bytes]:
    """The reports of a merged folder, by name. Raises UsageError, Corrupt."""
    machines = [_read(copy) for copy in _copies(folder)]
    pairs = _pairs(machines)
    told = _told(machines, pairs)
    facts = {
        "format": FORMAT,
        "machines": [
            {"machine": one.session.environment, "preregistration": one.session.preregistration, "data": one.data}
            for one in machines
        ],
        "pairs": pairs,
    }
    return {
        "merge.json": msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n",
        "merge.md": markdown(told).encode(),
        "merge.html": page(told).encode(),
    }


def _copies(folder: Path) -> list[Path]:
    return sorted((folder / MACHINES).iterdir(), key=lambda path: (len(path.name), path.name))


def _read(copy: Path) -> OneMachine:
    session, trials = read_session(copy), read_trials(copy)
    return OneMachine(session, results(session, trials), hashlib.sha256(whole_lines(copy)).hexdigest())


def _fields(found: Results) -> list[Field]:
    swept = [field for sweep in found.sweeps for field in sweep.fields]
    return [*([found.headline] if found.headline else []), *swept, *found.polite, *found.graph]


def _pairs(machines: Sequence[OneMachine]) -> list[MergedPair]:
    """Every engine against the base, under every condition that any machine has results of."""
    here = [{(f.condition, row.arm): row for f in _fields(one.found) for row in f.engines} for one in machines]
    keys = dict.fromkeys(key for rows in here for key, row in rows.items() if row.ratio)
    made = []
    for condition, arm in keys:
        rows = [found.get((condition, arm)) for found in here]
        words = [row.word or "" if row else "" for row in rows]
        ratios = [row.ratio if row else None for row in rows]
        made.append(MergedPair(arm, machines[0].found.base, condition, ratios, words, _outcome(words)))
    return made


def _outcome(words: Sequence[str]) -> Outcome:
    if not set(words) <= {"faster", "slower", "equivalent"}:
        return "disagree" if {"faster", "slower"} <= set(words) else "open"
    return "agree" if len(set(words)) == 1 else "disagree"


def _statement(pair: MergedPair) -> str:
    if pair.outcome == "open":
        return "open"
    if pair.outcome == "disagree":
        return "the machines disagree"
    values = [ratio.value for ratio in pair.ratios if ratio]
    return f"{pair.words[0]} on all {len(values)} machines, {number(min(values))} to {number(max(values))}"


def _told(machines: Sequence[OneMachine], pairs: Sequence[MergedPair]) -> MergeReport:
    session, heads = machines[0].session, [f"machine {place}" for place in range(1, len(machines) + 1)]
    shown = [
        [
            f"{pair.arm} / {pair.base}",
            f"{pair.condition.sweep}: {conditions(pair.condition)}",
            *(f"{full(ratio)} {word}" if ratio else "" for ratio, word in zip(pair.ratios, pair.words, strict=True)),
            _statement(pair),
        ]
        for pair in pairs
    ]
    rates = [[arm.name, arm.client, *(_rate(one.found.headline, arm.name) for one in machines)] for arm in session.arms]
    named = [f"{head}: {machine(one.session)}" for head, one in zip(heads, machines, strict=True)]
    agreed, against = (sum(pair.outcome == wanted for pair in pairs) for wanted in ("agree", "disagree"))
    said = f"{len(machines)} machines agree on {agreed} of {len(pairs)} ratios and disagree on {against}."
    return MergeReport(
        said,
        named,
        Table(["engine", "client", *heads], rates),
        Table(["pair", "condition", *heads, "all machines"], shown),
    )


def _rate(field: Field | None, arm: str) -> str:
    row = field.row(arm) if field else None
    return full(row.levels[field.rate]) if field and row else ""
