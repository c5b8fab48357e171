"""The referee finds every violation that is planted in a log, and none in a clean one."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.testweb.hosts import Part
from crawler.testweb.log import LogEntry, RequestLog, read_log
from crawler.testweb.referee import Verdict, judge
from crawler.testweb.web import Web

WEB = Web(1, 15, 250)
HOST, OPEN = WEB.names[0], WEB.names[1]


def host_with(part: Part) -> str:
    return next(name for name, host in WEB.hosts.items() if host.part is part)


def entry(
    path: str, at: float, lasts: float = 0.1, *, host: str = OPEN, attempt: int = 1, hold: float = 0.0
) -> LogEntry:
    return LogEntry(at, 1e9 + at, at + lasts, host, path, attempt, 200, 1, 1, hold)


def write(path: Path, entries: list[LogEntry]) -> Path:
    with RequestLog(path) as log:
        for line in entries:
            log.add(line)
    return path


def verdict_on(
    tmp_path: Path, *entries: LogEntry, delay: float = 1.0, per_host: int = 1, kills: tuple[float, ...] = ()
) -> Verdict:
    tmp_path.mkdir(exist_ok=True)
    return judge(write(tmp_path / "log", list(entries)), WEB, delay, per_host, kills=kills)


def test_a_polite_crawl_is_clean(tmp_path: Path) -> None:
    slow = host_with(Part.SLOW)
    rest = WEB.crawl_delay(slow)
    verdict = verdict_on(
        tmp_path,
        entry("/robots.txt", 0.0),
        entry("/", 1.1),
        entry("/a.html", 2.2, hold=5.0),
        entry("/b.html", 7.3),
        entry("/robots.txt", 0.0, host=slow),
        entry("/", 0.1 + rest, host=slow),
        entry("/", 0.2 + 2 * rest, host=slow, attempt=2),
        delay=rest / 2 if rest < 1 else 1.0,
    )
    assert verdict.clean
    assert (verdict.requests, verdict.unique) == (7, 7)
    assert verdict.hosts[OPEN].smallest_gap == pytest.approx(1.0)
    assert verdict.hosts[slow].required_gap == rest


def test_duplicates_are_found_and_kills_excuse_some(tmp_path: Path) -> None:
    log = (entry("/", 10.0), entry("/", 20.0), entry("/x", 30.0), entry("/x", 40.0), entry("/robots.txt", 50.0))
    verdict = verdict_on(tmp_path, *log, entry("/robots.txt", 60.0), kills=(11.0, 35.0))
    assert [(found.url, found.attempt, found.times) for found in verdict.duplicates] == [
        (f"http://{OPEN}/x", 1, (30.0, 40.0))
    ]
    assert [found.times for found in verdict.excused] == [(10.0, 20.0)]
    assert verdict.robots_repeats == 1
    assert not verdict.clean


def test_a_kill_excuses_what_was_in_flight(tmp_path: Path) -> None:
    log = entry("/", 10.0, lasts=9.0), entry("/", 30.0)
    assert verdict_on(tmp_path, *log, kills=(12.0,)).clean
    (tmp_path / "log").unlink()
    assert len(verdict_on(tmp_path, *log, kills=(9.0, 31.0)).duplicates) == 1


def test_forbidden_closed_and_unknown_requests_are_found(tmp_path: Path) -> None:
    closed = host_with(Part.CLOSED)
    verdict = verdict_on(
        tmp_path,
        entry("/private/note-1.html", 0.0, host=HOST),
        entry("/private/note-1.html", 0.0),
        entry("/robots.txt", 0.0, host=closed),
        entry("/", 5.0, host=closed),
        entry("/", 0.0, host="elsewhere.test"),
    )
    assert verdict.disallowed == [f"http://{HOST}/private/note-1.html"]
    assert verdict.closed == [f"http://{closed}/"]
    assert verdict.strangers == ["http://elsewhere.test/"]
    assert not verdict.clean


def test_early_requests_are_found(tmp_path: Path) -> None:
    slow = host_with(Part.SLOW)
    log = entry("/", 0.0), entry("/a", 1.05), entry("/b", 1.1), entry("/", 0.0, host=slow), entry("/a", 0.12, host=slow)
    verdict = verdict_on(tmp_path, *log)
    assert [(breach.url, round(breach.had, 3), breach.required) for breach in verdict.gaps] == [
        (f"http://{OPEN}/a", 0.95, 1.0),
        (f"http://{slow}/a", 0.02, 1.0),
    ]
    assert [(breach.url, breach.had, breach.required) for breach in verdict.overlaps] == [(f"http://{OPEN}/b", 2, 1)]
    (tmp_path / "log").unlink()
    easy = verdict_on(tmp_path, *log, delay=0.0, per_host=2)
    assert easy.clean
    (tmp_path / "log").unlink()
    assert [breach.required for breach in verdict_on(tmp_path, *log[3:], delay=0.0).gaps] == [WEB.crawl_delay(slow)]


def test_a_violated_retry_after_is_found(tmp_path: Path) -> None:
    verdict = verdict_on(tmp_path, entry("/", 0.0, hold=4.0), entry("/a", 2.0), entry("/b", 4.09), entry("/c", 5.2))
    assert [(breach.url, round(breach.had, 3), round(breach.required, 3)) for breach in verdict.holds] == [
        (f"http://{OPEN}/a", 1.9, 4.0),
        (f"http://{OPEN}/b", 3.99, 4.0),
    ]


def test_requests_in_flight_during_a_retry_after_are_no_violation(tmp_path: Path) -> None:
    log = [entry("/", 0.0, hold=4.0), entry("/a", 0.15), entry("/b", 0.3)]
    assert [breach.url for breach in verdict_on(tmp_path, *log, delay=0.0, per_host=9).holds] == [f"http://{OPEN}/b"]
    (tmp_path / "log").unlink()
    alone = verdict_on(tmp_path, *log, delay=0.0)
    assert [breach.url for breach in alone.holds] == [f"http://{OPEN}/a", f"http://{OPEN}/b"]


def test_flow_through_the_steady_window(tmp_path: Path) -> None:
    # ten at a time, staggered, each taking a second; the slow start and the slow end must not count
    busy = [entry(f"/{n}", n / 10, 1.0) for n in range(1000)]
    slow = [entry(f"/slow-{n}", at, 0.1) for at in (-9.0, 200.0) for n in range(9)]
    verdict = verdict_on(tmp_path, *slow, *busy, per_host=10)
    assert verdict.most_in_flight == 10
    assert verdict.steady.seconds == pytest.approx(81.5, abs=0.5)
    assert verdict.steady.throughput == pytest.approx(10.0)
    assert verdict.steady.mean_in_flight == pytest.approx(10.0, rel=0.01)


def test_only_the_given_time_range_is_judged(tmp_path: Path) -> None:
    log = write(tmp_path / "log", [entry("/", 1.0), entry("/", 2.5), entry("/", 4.0)])
    assert judge(log, WEB, 1.0, since=2.0, until=3.0).requests == 1


def test_a_half_written_line_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "log", [entry("/", 1.0)])
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"at": 2.0, "wal')
    assert [found.at for found in read_log(tmp_path / "log")] == [1.0]


def test_the_delay_after_a_kill_does_not_wait_for_the_answer_to_the_killed_client(tmp_path: Path) -> None:
    asked = entry("/", 10.0, lasts=0.9), entry("/1", 11.5)
    assert len(verdict_on(tmp_path / "early", *asked).gaps) == 1
    assert verdict_on(tmp_path / "killed", *asked, kills=(10.4,)).clean
    assert len(verdict_on(tmp_path / "rested", *asked, kills=(10.6,)).gaps) == 1, "the delay starts at the kill"
