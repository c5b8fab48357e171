"""Damage to the files of crawls: `python -m tests.flips [--flips N] [--truncations N] [--seed N] [--keep FOLDER]`.

Crawls of every mode and store are made, complete, limited and killed. Then single bits are flipped in their files, or
files are truncated, each in its own copy. For each case the commands that read are run in this process:

- `content`: whether status, export, the frontier's rows, the digest, or the state that a resume starts with differs
  from before; and whether any of these fails.
- `found`: whether `verify` reports damage.
- A case is missed where content changed and was not found; a crash is any exception that is not a CrawlerError.

A sample goes through all steps: `repair`, which must succeed or refuse in one line; then `verify`, which must find
nothing; then `resume` against the served web, which must end complete with the digest of the oracle. Every case has a
time limit. Bits that change nothing (free space, padding, an index of a log) need not be found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from crawler.errors import CrawlerError
from crawler.runtime.recorder import resumption
from crawler.storage.directory import CrawlDirectory
from crawler.storage.export import as_jsonl, columns_of
from crawler.storage.repair import repair
from crawler.storage.verify import audit
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.web import Web
from tests.goldens import CONFIG, CRAWLS, WEB, Golden, command, make, serve

WATCHDOG = 60
HANG = "hang"
ENDS = ("repaired", "refused", "nothing to repair", "WRONG")
OFTEN = ("sqlite", "part sqlite", "sqlite-wal", "part sqlite-wal", "body", "json")
"""Kinds of files that are hit five times as often as others."""
MORE = (
    Golden("async-sqlite-complete", ("--mode", "async")),
    Golden("threads-complete", ("--mode", "threads", "--store", "files")),
    Golden("processes-complete", ("--mode", "processes", "--processes", "2")),
    Golden("processes-files-killed", ("--mode", "processes", "--store", "files", "--delay", "0.2"), killed=True),
    Golden("threads-killed", ("--mode", "threads", "--delay", "0.2"), killed=True),
    Golden("prefork-complete", ("--mode", "prefork", "--processes", "2")),
)


class Case(NamedTuple):
    """One piece of damage: a bit (`at` counts bits), or the length that a file is cut to."""

    crawl: str
    file: str
    kind: str
    at: int
    through: bool


class Outcome(NamedTuple):
    """The result of a case."""

    case: Case
    content: str
    found: bool
    crash: str
    after: str

    @property
    def bad(self) -> bool:
        """Whether the result violates an invariant."""
        return bool(self.crash or (self.content and not self.found) or self.after.startswith("WRONG"))


class Hang(BaseException):
    """A case took too long."""


@contextmanager
def watchdog(seconds: int) -> Iterator[None]:
    """Raises Hang after so many seconds."""

    def bark(number: int, frame: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, bark)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


# ---- output of commands ---------------------------------------------------------------------------------------------


def content(path: Path) -> dict[str, str]:
    """The output of the commands on a crawl, each as a hash, or as the error that it ends with."""
    return {name: _said(one, path) for name, one in READERS.items()}


def _said(reader: Callable[[CrawlDirectory], Any], path: Path) -> str:
    try:
        directory = CrawlDirectory.open_readonly(path)
        return sha256(repr(reader(directory)).encode("utf-8", "surrogatepass")).hexdigest()
    except CrawlerError as error:
        assert "\n" not in str(error)
        return f"error: {type(error).__name__}"


def _status(directory: CrawlDirectory) -> Any:
    manifest = msgspec.structs.replace(directory.manifest, boot="", to_unix=0.0)
    return directory.tally(), manifest, directory.settings


def _export(directory: CrawlDirectory) -> Any:
    with closing(directory.open_frontiers()) as frontier:
        return sorted(as_jsonl(map(columns_of, frontier.settled())))


def _resume(directory: CrawlDirectory) -> Any:
    """The state that a run would start with, and the links that it would fetch from each host."""
    begins: list[Any] = []
    for path in directory.frontier_files():
        with closing(directory.reader(path)) as frontier:
            begins.append(resumption(frontier, directory.manifest.seed, 10_000, 0.0))
            begins.append([(note, frontier.budgets(note.host)) for note in frontier.notes()])
            begins.append([frontier.pending(host, 0, 1000) for host in frontier.hosts("", 1000)])
            begins.append([frontier.retried(host) for host in frontier.hosts("", 1000)])
            begins.append(frontier.records())
    return begins


def _pages(directory: CrawlDirectory) -> Any:
    """Every page that a row names."""
    store, pages = directory.store(), []
    with closing(directory.open_frontiers()) as frontier:
        named = frontier.named(store.parts())
    for part in store.parts():
        pages += [(part, position, page) for position, page in store.pages(part) if position in named[part]]
    return pages


READERS: dict[str, Callable[[CrawlDirectory], Any]] = {
    "status": _status,
    "export": _export,
    "resume": _resume,
    "pages": _pages,
}


# ---- one case --------------------------------------------------------------------------------------------------------


def damage(path: Path, case: Case) -> None:
    """Apply the damage."""
    if case.kind == "cut":
        os.truncate(path, case.at)
        return
    with path.open("r+b") as file:
        file.seek(case.at // 8)
        (byte,) = file.read(1)
        file.seek(case.at // 8)
        file.write(bytes([byte ^ 1 << case.at % 8]))


def try_case(job: tuple[Case, str, dict[str, str], str]) -> Outcome:
    """Damage a copy and compare the output of the commands."""
    case, folder, before, digest = job
    with tempfile.TemporaryDirectory(prefix="flip-") as scratch:
        path = Path(scratch) / case.crawl
        shutil.copytree(Path(folder) / case.crawl, path)
        damage(path / case.file, case)
        changed, found, crash, after = "", False, "", ""
        try:
            with watchdog(WATCHDOG):
                found = _verify(path)
                now = content(path)
                changed = ",".join(name for name in now if now[name] != before[name])
                if case.through:
                    after = _through(path, Path(folder), digest, changed)
        except Hang:
            crash = HANG
        except Exception as error:
            crash = f"{type(error).__name__}: {error}"[:300]
        return Outcome(case, changed, found, crash, after)


def _verify(path: Path) -> bool:
    """Whether verify finds something."""
    try:
        return audit(CrawlDirectory.open_readonly(path)).wrong > 0
    except CrawlerError:
        return True


def _through(path: Path, folder: Path, digest: str, changed: str) -> str:
    """Repair, verify, resume: as text, beginning with WRONG if the result is not the required one."""
    resumed = _resumed(path, folder, "before repair")
    if resumed is not None and resumed != digest and changed:
        return f"WRONG: resumed with damage, to {resumed}"
    try:
        directory, lost = CrawlDirectory.rescue(path)
        with closing(directory):
            done = repair(directory, lost)
    except CrawlerError as error:
        return f"refused: {type(error).__name__}" if "\n" not in str(error) else f"WRONG: {error!r}"
    found = audit(CrawlDirectory.open_readonly(path))
    if found.wrong:
        return f"WRONG: after repair {found.problems[:2]}"
    resumed = _resumed(path, folder, "after repair")
    if resumed != digest:
        return f"WRONG: repaired, then resumed to {resumed}"
    return "repaired" if done.rebuilt else "nothing to repair"


def _resumed(path: Path, folder: Path, when: str) -> str | None:
    """The digest that a resume of the crawl (before a repair: of a copy) ends with; None where it refuses."""
    with tempfile.TemporaryDirectory(prefix="resumed-") as scratch:
        target = path
        if when == "before repair":
            target = Path(scratch) / path.name
            shutil.copytree(path, target)
        words = ("resume", str(target), "--config", str(folder / CONFIG), "--mode", "async", "--delay", "0")
        ended = command(folder, *words, "--max-pages", "9999", "--json", "-q")
        if "this is a bug" in ended.stderr or "Traceback" in ended.stderr:
            raise RuntimeError(ended.stderr[-300:])
        if ended.returncode in (2, 3):
            return None
        digest: str = json.loads(ended.stdout)["digest"]
        return digest


# ---- all cases -------------------------------------------------------------------------------------------------------


def files(path: Path) -> list[str]:
    """The files of a crawl that are not empty."""
    every = (file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
    return sorted(str(file.relative_to(path)) for file in every)


def cases(folder: Path, crawls: list[str], flips: int, cuts: int, sample: int, seed: int) -> list[Case]:
    """So many cases of each kind, drawn crawl by crawl, then file by file, so that small files are included."""
    dice, made = random.Random(seed), []
    kinds: dict[str, list[str]] = {}
    for number in range(flips + cuts):
        crawl = crawls[number % len(crawls)]
        groups: dict[str, list[str]] = {}
        for file in kinds.setdefault(crawl, files(folder / crawl)):
            groups.setdefault(_kind(file), []).append(file)
        of = dice.choices(sorted(groups), [5 if group in OFTEN else 1 for group in sorted(groups)])[0]
        file = dice.choice(groups[of])
        size = (folder / crawl / file).stat().st_size
        kind = "flip" if number < flips else "cut"
        at = dice.randrange(size * 8) if kind == "flip" else dice.randrange(size)
        made.append(Case(crawl, file, kind, at, through=False))
    for number in dice.sample(range(len(made)), min(sample, len(made))):
        made[number] = made[number]._replace(through=True)
    return made


def _kind(file: str) -> str:
    if file.startswith("bodies"):
        return "body"
    name = Path(file).name
    return f"{'part' if file.startswith('parts') else ''} {name.partition('.')[2] or name}".strip()


def run(folder: Path, crawls: list[str], flips: int, cuts: int, sample: int, seed: int) -> list[Outcome]:
    """Try all cases, two at a time."""
    digest = crawl_digest(expected(Web(**WEB)))
    before = {crawl: content(_copy(folder, crawl)) for crawl in crawls}
    for crawl, said in before.items():
        assert not any(word.startswith("error") for word in said.values()), (crawl, said)
    jobs = [
        (case, str(folder), before[case.crawl], digest) for case in cases(folder, crawls, flips, cuts, sample, seed)
    ]
    outcomes = []
    with get_context("forkserver").Pool(2) as pool:
        for outcome in pool.imap_unordered(try_case, jobs, chunksize=4):
            outcomes.append(outcome)
            if outcome.bad:
                print(outcome, flush=True)
        pool.close()  # terminating instead may wait forever for a worker that has just begun to end
        pool.join()
    return outcomes


def _copy(folder: Path, crawl: str) -> Path:
    """A copy to read from, because reading may create or remove the index of a log."""
    copy = folder / "copies" / crawl
    shutil.copytree(folder / crawl, copy)
    return copy


def table(outcomes: list[Outcome]) -> str:
    """Counts by kind of file."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for one in outcomes:
        row = rows.setdefault((one.case.kind, _kind(one.case.file)), Counter())
        row["cases"] += 1
        row["changed"] += bool(one.content)
        row["found"] += one.found
        row["missed"] += bool(one.content) and not one.found
        row["crashes"] += bool(one.crash) and one.crash != HANG
        row["hangs"] += one.crash == HANG
        if one.after:
            row[one.after.partition(":")[0]] += 1
    names = ("cases", "changed", "found", "missed", "crashes", "hangs", *ENDS)
    lines = [f"{'':28}" + "".join(f"{name:>18}" if len(name) > 9 else f"{name:>10}" for name in names)]
    total: Counter[str] = Counter()
    for (kind, file), row in sorted(rows.items()):
        total.update(row)
        lines.append(_line(f"{kind} {file}", row, names))
    return "\n".join([*lines, _line("all", total, names)])


def _line(name: str, row: Counter[str], names: tuple[str, ...]) -> str:
    return f"{name:28}" + "".join(f"{row[key]:>18}" if len(key) > 9 else f"{row[key]:>10}" for key in names)


def main() -> int:
    """Make the crawls, try the cases, print the table; returns 1 if an invariant is violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.flips", description=__doc__)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--truncations", type=int, default=500)
    parser.add_argument("--through", type=int, default=100, help="cases that are repaired and resumed")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flips-") as name:
        folder = Path(name)
        with serve(folder):
            crawls = []
            for golden in (*CRAWLS, *MORE):
                make(golden, folder)
                crawls.append(golden.name)
                print("made", golden.name, flush=True)
            outcomes = run(folder, crawls, asked.flips, asked.truncations, asked.through, asked.seed)
    print(table(outcomes))
    return 1 if any(outcome.bad for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
