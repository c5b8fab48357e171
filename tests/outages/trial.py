"""One crawl while hosts are faulty, and its invariants.

- Faults that end within the patience: the crawl ends complete, every URL as the oracle says, with the oracle's digest.
- Faults that stay: the crawl ends incomplete (or failed, where no page was stored). Each row that differs from the
  oracle has the reason of a failure or a truncated body, and belongs to a faulty host. Every URL linked by a stored
  page has a row, and nothing is owed. The summary names exactly these rows as missed. Healed and resumed, perhaps more
  than
  once, the crawl is complete, with the oracle's digest.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec

from crawler.core.reasons import Reason
from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.verify import audit
from crawler.testweb.oracle import Expected, crawl_digest, expected, split
from crawler.testweb.settings import to_toml
from tests.contract.webs import rows
from tests.outages.plan import Plan
from tests.outages.server import FaultyWeb

HANGS = 100.0
RESUMES = 3
NO_TROUBLE = frozenset({Reason.OK, Reason.REDIRECT, Reason.CLIENT_ERROR, Reason.ROBOTS})
KEYS = {
    **{"attempts": 4, "backoff": 0.1, "backoff_cap": 1.0, "robots_backoff": 0.1, "breaker_rest": 1.0},
    **{"connect_timeout": 1.0, "first_byte_timeout": 1.0, "idle_timeout": 1.0, "timeout": 3.0, "per_host": 2},
    **{"concurrency": 12, "processes": 2, "report": False},
}


class Result(msgspec.Struct):
    """The result of a trial: seconds of the crawl, URLs missed at its end, resumes, faults met per faulty host."""

    seconds: float = 0.0
    missed: int = 0
    resumes: int = 0
    most_contacts: int = 0


def run(plan: Plan, folder: Path) -> Result:
    """Run one trial in a folder. Raises AssertionError if an invariant is violated."""
    web = plan.web
    ends = expected(web)
    result = Result()
    with FaultyWeb(web, plan.windows) as served:
        (folder / "web.toml").write_text(_config(plan, served))
        began = monotonic()
        code, summary = _crawl(plan, folder, served)
        result.seconds = monotonic() - began
        result.most_contacts = max(served.contacts.values(), default=0)
        if plan.heals:
            assert code == 0, (code, summary)
        elif not _is_complete(summary):  # the hosts that stayed away may not have been needed
            result.missed = _check_missed(plan, folder, ends, code, summary)
            served.heal()
            while not _is_complete(summary) and result.resumes < RESUMES:
                result.resumes += 1
                code, summary = _crawl(plan, folder, served)
            assert code == 0, (code, summary)
        _check_complete(folder, ends, summary)
    return result


def _config(plan: Plan, served: FaultyWeb) -> str:
    keys: dict[str, Any] = {**KEYS, "delay": plan.delay, "store": plan.store, "scope": "domain"}
    if "host_patience" in Settings.__struct_fields__:
        keys["host_patience"] = plan.patience
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items()) + to_toml(served.settings)


def _crawl(plan: Plan, folder: Path, served: FaultyWeb) -> tuple[int, dict[str, Any]]:
    """One run of the crawler. Raises AssertionError if it hangs or prints a traceback."""
    command = [sys.executable, "-m", "crawler", "--mode", plan.mode, "--json", "-q", "--resume"]
    process = subprocess.Popen(
        [*command, "--config", str(folder / "web.toml"), "--out", str(folder / "out")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while process.poll() is None and not list((folder / "out").glob("shard-*/frontier.sqlite")):
            sleep(0.01)
        served.begin()
        out, err = process.communicate(timeout=HANGS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it hangs; {CrawlDirectory.open_readonly(folder / 'out').tally()}") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert b"Traceback" not in err and b"bug of the crawler" not in err, err.decode()
    assert out.count(b"\n") == 1, (process.returncode, out, err.decode())
    return process.returncode, json.loads(out)


def _is_complete(summary: dict[str, Any]) -> bool:
    return summary["complete"] is True and summary["ending"] == "complete"


def _check_complete(folder: Path, ends: dict[str, Expected], summary: dict[str, Any]) -> None:
    found = {url: (row.reason.value, row.status) for url, row in rows(folder / "out").items()}
    wanted = {url: (end.reason.value, end.status) for url, end in ends.items()}
    wrong = {url: (found.get(url), wanted.get(url)) for url in {*found, *wanted} if found.get(url) != wanted.get(url)}
    assert not wrong, f"{len(wrong)} of {len(wanted)} URLs: {dict(list(wrong.items())[:5])}; {summary}"
    assert _is_complete(summary), summary
    assert summary["digest"] == crawl_digest(ends), summary
    checked = audit(CrawlDirectory.open_readonly(folder / "out"))
    assert (checked.wrong, checked.orphans, checked.digest) == (0, 0, crawl_digest(ends)), checked


def _check_missed(plan: Plan, folder: Path, ends: dict[str, Expected], code: int, summary: dict[str, Any]) -> int:
    """The rows of an incomplete crawl; how many of them were missed."""
    found = rows(folder / "out")
    assert not found.keys() - ends.keys(), f"nobody links to {found.keys() - ends.keys()}"
    missed = {url: row for url, row in found.items() if not _is_as(row, ends[url])}
    hosts = set(plan.windows)
    for url, row in missed.items():
        assert row.reason not in NO_TROUBLE or row.truncated, f"{url} ended as {row}"
        assert split(url)[0] in hosts, f"{url} of a host without faults ended as {row}"
    web = plan.web
    for url in found.keys() - missed.keys():
        links = web.document(*split(url)).links if found[url].reason is Reason.OK else ()
        lost = [link for link in links if link not in found]
        assert not lost, f"{url} links to {lost}, which have no row"
    assert summary["owed"] == 0, summary
    stored = any(row.part for row in found.values())
    assert missed, f"nothing was missed, and yet: {summary}"
    assert summary["ending"] == ("incomplete" if stored else "failed"), summary
    assert code == (0 if stored else 4), (code, summary)
    because = Counter("truncated" if row.reason in NO_TROUBLE else row.reason.value for row in missed.values())
    assert sum(summary["incomplete_because"].values()) >= len(missed), (because, summary)
    named = {reason: count for reason, count in summary["incomplete_because"].items() if reason != "truncated"}
    wanted = {reason: count for reason, count in because.items() if reason != "truncated"}
    assert named == wanted, (because, summary)
    return len(missed)


def _is_as(row: SettledRow, end: Expected) -> bool:
    if (row.reason, row.status) != (end.reason, end.status) or row.truncated:
        return False
    return not row.digest or row.digest == end.digest
