"""The gates find in the evidence of a trial what only evidence can show: forged logs, wrong digests, a busy machine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from crawler.compare import gates
from crawler.compare.durability import Look
from crawler.compare.environment import OtherLoad
from crawler.compare.gates import Evidence
from crawler.compare.records import Gate
from crawler.testweb.log import LogEntry, RequestLog
from crawler.testweb.referee import judge as judge_log
from tests.live.trials import FLAT, failed, run

QUIET = OtherLoad(foreign=0.0, steal=0.0, swapped=0, throttled=0)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The evidence of one honest trial, on a machine that is made to look quiet."""
    seen = list[Evidence]()

    def keep(evidence: Evidence, *, strict: bool) -> tuple[Gate, ...]:
        seen.append(evidence)
        return ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "judge", keep)
        run(tmp_path_factory.mktemp("honest"))
    return seen[0]._replace(machine=QUIET, server_cpu=0.01, raw_rate=1000.0)


def relogged(evidence: Evidence, tmp_path: Path, entries: list[LogEntry]) -> Evidence:
    """The evidence with another server's log."""
    with RequestLog(tmp_path / "forged") as log:
        for entry in entries:
            log.add(entry)
    verdict = judge_log(tmp_path / "forged", evidence.oracle.web, 0.0, evidence.condition.concurrency)
    return evidence._replace(entries=entries, verdict=verdict)


def test_honest_evidence_passes(honest: Evidence) -> None:
    assert failed(gates.judge(honest)) <= {"G5"}  # others may use this machine too
    assert not failed(gates.judge(honest, strict=False))


def test_a_wrong_digest_or_reason_is_found(honest: Evidence) -> None:
    replace = msgspec.structs.replace
    assert "G1" in failed(gates.judge(honest._replace(summary=replace(honest.summary, digest="0" * 32))))
    assert "G1" in failed(gates.judge(honest._replace(summary=replace(honest.summary, reasons={"ok": 120}))))
    assert "G2" in failed(gates.judge(honest._replace(audit=replace(honest.audit, digest="0" * 32))))
    assert "G2" in failed(gates.judge(honest._replace(audit=replace(honest.audit, problems=["a page is damaged"]))))


def test_a_forged_log_is_found(honest: Evidence, tmp_path: Path) -> None:
    entries = list(honest.entries)
    late = msgspec.structs.replace(entries[5], at=entries[-1].end + 1, end=entries[-1].end + 2)
    for forged, word in (
        ([*entries, late], "twice"),
        ([*entries, msgspec.structs.replace(late, attempt=2)], "unexpected"),
        ([*entries, msgspec.structs.replace(late, host="elsewhere.test")], "unexpected"),
        ([entry for entry in entries if entry.path != "/page-3.html"], "missing"),
    ):
        found = gates.judge(relogged(honest, tmp_path, forged), strict=False)
        (tmp_path / "forged").unlink()
        assert "G3" in failed(found) <= {"G3", "G7"}
        assert f"1 {word}: http://" in next(gate.detail for gate in found if gate.name == "G3")


def test_a_limit_that_depends_on_order_is_found(honest: Evidence) -> None:
    replace = msgspec.structs.replace

    def found(**settings: int) -> set[str]:
        return failed(gates.judge(honest._replace(settings=replace(honest.settings, **settings)), strict=False))

    assert found(max_pages=1_000_000) == found(max_bytes=10**12) == found(max_depth=50) == {"G4"}
    assert found(max_depth=0) == set(), "nothing but the seeds: the same in any order"
    for told in ({"links_cut": 1}, {"too_deep": 1}, {"complete": False, "ending": "limit"}):
        seen = honest._replace(summary=replace(honest.summary, **told))
        assert failed(gates.judge(seen, strict=False)) == {"G4"}, told
    assert failed(gates.judge(honest._replace(cut=1), strict=False)) == {"G4"}


def test_failures_that_are_not_the_webs_are_found(honest: Evidence) -> None:
    entries = list(honest.entries)
    replace = msgspec.structs.replace

    def found(*forged: LogEntry) -> set[str]:
        kept = [entry for entry in entries if entry.path != forged[0].path]
        return failed(gates.judge(honest._replace(entries=[*kept, *forged]), strict=False))

    page = next(entry for entry in entries if entry.path == "/page-5.html")
    assert found(page) == set()
    assert found(replace(page, status=503)) == {"G7"}, "the web never fails there"
    assert found(replace(page, status=0)) == {"G7"}, "somebody hung up"
    assert found(replace(page, attempt=2)) == {"G3", "G7"}, "where is the first attempt?"
    assert found(page, page) == {"G3", "G7"}, "the second does not say that it is one"


def test_a_server_without_headroom_is_found(honest: Evidence) -> None:
    assert "G8" in failed(gates.judge(honest._replace(server_cpu=100.0)))
    assert "G8" in failed(gates.judge(honest._replace(raw_rate=1.0)))
    assert "G8" in failed(gates.judge(honest._replace(server_rate=2 * honest.verdict.steady.throughput)))
    assert "G8" not in failed(gates.judge(honest._replace(server_rate=4 * honest.verdict.steady.throughput)))
    warned = gates.judge(honest._replace(raw_rate=1.0), strict=False)
    assert not failed(warned)
    assert next(gate.detail for gate in warned if gate.name == "G8").startswith("warning: the raw loop got 1 pages/s")


def test_fewer_workers_than_asked_for_are_found(honest: Evidence) -> None:
    forked = honest._replace(settings=msgspec.structs.replace(honest.settings, processes=4))
    for alive, expected in ((4, {"G5"}), (2, {"G5"}), (5, set()), (0, set())):
        assert failed(gates.judge(forked._replace(processes=alive))) == expected, alive


def test_answers_that_came_early_are_found(honest: Evidence) -> None:
    entries = [msgspec.structs.replace(entry, end=entry.at + 0.001) for entry in honest.entries]
    found = gates.judge(honest._replace(entries=entries, stored_at={}))
    assert "G8" in failed(found)
    assert "ms early" in next(gate.detail for gate in found if gate.name == "G8")


@pytest.mark.parametrize(
    ("made", "word"),
    [
        ({"unsynced": 8192}, "8192 bytes were left to be synced"),
        ({"other_journal": ("frontier.sqlite",)}, "frontier.sqlite is not in WAL mode"),
        ({"looks": tuple(Look(at, 1.0) for at in (1e9, 2e9))}, "commits are stated for times"),
    ],
)
def test_less_durability_is_found(honest: Evidence, made: dict[str, object], word: str) -> None:
    less = msgspec.structs.replace(honest.durability, **made)
    found = gates.judge(honest._replace(durability=less), strict=False)
    assert failed(found) == {"G11"} and word in found[10].detail


def test_drift_only_warns(honest: Evidence) -> None:
    for drift, warned in ((0.2, True), (-0.2, True), (0.05, False), (None, False)):
        found = gates.judge(honest._replace(rates=honest.rates._replace(drift=drift)))
        assert "G12" not in failed(found)
        assert found[11].detail.startswith(gates.WARNING) == warned


@pytest.mark.parametrize(
    "unclean",
    [QUIET._replace(foreign=0.2), QUIET._replace(steal=0.02), QUIET._replace(swapped=1), QUIET._replace(throttled=1)],
)
def test_an_unclean_host_is_found(honest: Evidence, unclean: OtherLoad) -> None:
    assert "G9" in failed(gates.judge(honest._replace(machine=unclean)))


def test_links_that_no_page_was_parsed_for_are_missed(honest: Evidence) -> None:
    fewer = msgspec.structs.replace(honest.summary, not_followed={"out_of_scope": 3})
    found = gates.judge(honest._replace(summary=fewer), strict=False)
    assert failed(found) == {"G1"} and "were all pages parsed?" in found[0].detail


def test_what_is_faster_than_possible_is_void(honest: Evidence) -> None:
    rates, least = honest.rates, honest.oracle.seconds
    assert rates.seconds > least and rates.steady <= rates.possible * 1.05
    for impossible in (rates._replace(seconds=least / 2), rates._replace(steady=rates.possible * 1.2)):
        assert failed(gates.judge(honest._replace(rates=impossible), strict=False)) == {"G10"}


def test_empty_slots_are_a_fault_unless_the_cpu_is_busy(honest: Evidence) -> None:
    def seen(mean: float, most: int, latency: float = 0.05, cpu: float = 0.1, **more: float) -> set[str]:
        steady = msgspec.structs.replace(honest.verdict.steady, mean_in_flight=mean)
        verdict = msgspec.structs.replace(honest.verdict, steady=steady, most_in_flight=most)
        condition = msgspec.structs.replace(FLAT, latency=latency, **more)
        return failed(gates.judge(honest._replace(verdict=verdict, condition=condition, cpu=cpu)))

    assert seen(mean=7.5, most=8) == set()
    assert seen(mean=4.0, most=8) == set(), "an engine that stalls is slow, not void"
    assert seen(mean=4.0, most=4) == {"G5"}, "but one that never asks for more has a hidden limit"
    assert seen(mean=4.0, most=4, cpu=0.95) == set()
    assert seen(mean=7.5, most=9, cpu=0.95) == {"G5"}
    assert seen(mean=4.0, most=4, latency=0.01) == {"G5"}
    assert seen(mean=0.1, most=2, latency=0.0) == set()
    assert seen(mean=4.0, most=4, pages=20) == set()
    assert seen(mean=4.0, most=8, cpu_ms=2.0) == set()
    assert seen(mean=4.0, most=4, cpu_ms=2.0) == {"G5"}
