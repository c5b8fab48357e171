"""The gates find in the evidence of a trial what only evidence can show: forged logs, wrong digests, a busy machine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from crawler.compare import gates
from crawler.compare.environment import Strangers
from crawler.compare.gates import Evidence
from crawler.compare.records import Gate
from crawler.testweb.log import Entry, RequestLog
from crawler.testweb.referee import judge as judge_log
from tests.live.trials import FLAT, failed, run

QUIET = Strangers(seconds=1.0, foreign=0.0, steal=0.0, swapped=0, throttled=0)


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


def relogged(evidence: Evidence, tmp_path: Path, entries: list[Entry]) -> Evidence:
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
    assert "G1" in failed(gates.judge(honest._replace(told=replace(honest.told, digest="0" * 32))))
    assert "G1" in failed(gates.judge(honest._replace(told=replace(honest.told, reasons={"ok": 120}))))
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
        assert failed(found) == {"G3"}
        assert f"1 {word}: http://" in next(gate.detail for gate in found if gate.name == "G3")


def test_a_server_without_headroom_is_found(honest: Evidence) -> None:
    assert "G8" in failed(gates.judge(honest._replace(server_cpu=100.0)))
    assert "G8" in failed(gates.judge(honest._replace(raw_rate=1.0)))
    warned = gates.judge(honest._replace(raw_rate=1.0), strict=False)
    assert not failed(warned)
    assert next(gate.detail for gate in warned if gate.name == "G8").startswith("warning: the raw loop got 1 pages/s")


@pytest.mark.parametrize(
    "unclean",
    [QUIET._replace(foreign=0.2), QUIET._replace(steal=0.02), QUIET._replace(swapped=1), QUIET._replace(throttled=1)],
)
def test_an_unclean_host_is_found(honest: Evidence, unclean: Strangers) -> None:
    assert "G9" in failed(gates.judge(honest._replace(machine=unclean)))


def test_empty_slots_are_a_fault_unless_the_cpu_is_busy(honest: Evidence) -> None:
    def seen(mean: float, most: int, latency: float = 0.05, cpu: float = 0.1, pages: int = 120) -> set[str]:
        steady = msgspec.structs.replace(honest.verdict.steady, mean_in_flight=mean)
        verdict = msgspec.structs.replace(honest.verdict, steady=steady, most_in_flight=most)
        condition = msgspec.structs.replace(FLAT, latency=latency, pages=pages)
        return failed(gates.judge(honest._replace(verdict=verdict, condition=condition, cpu=cpu, seconds=1.0)))

    assert seen(mean=7.5, most=8) == set()
    assert seen(mean=4.0, most=8) == {"G5"}
    assert seen(mean=4.0, most=8, cpu=0.95) == set()
    assert seen(mean=7.5, most=9, cpu=0.95) == {"G5"}
    assert seen(mean=4.0, most=8, latency=0.01) == set()
    assert seen(mean=4.0, most=4, latency=0.01) == {"G5"}
    assert seen(mean=0.1, most=2, latency=0.0) == set()
    assert seen(mean=4.0, most=4, pages=20) == set()
