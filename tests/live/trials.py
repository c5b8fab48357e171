"""One trial on loopback and the verdicts of its gates, shared by the tests of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crawler.compare import session, session_files, trial
from crawler.compare.design import Planned
from crawler.compare.records import Arm, Condition, Gate, Prediction, Session, Trial

ARM, TWIN = Arm("async", "async", "aiohttp"), Arm("async again", "async", "aiohttp", twin_of="async")
UNMEASURED = trial.Rates()
HERE = {"cpu": "a test", "cores": "2"}
FLAT = Condition(sweep="headline", pages=120, concurrency=8, latency=0.05, payload=2000)


def run(
    tmp_path: Path,
    condition: Condition = FLAT,
    *,
    strict: bool = False,
    rates: trial.Rates = UNMEASURED,
    arm: Arm = ARM,
) -> Trial:
    """Run a trial below an empty folder."""
    (tmp_path / "work").mkdir()
    one = Planned(0, 1, arm, condition)
    return trial.run_trial(one, tmp_path / "work", seed=1, rates=rates, strict=strict, stopped=lambda: False)


def failed(found: Trial | Sequence[Gate]) -> set[str]:
    """The gates that the trial did not pass."""
    return {gate.name for gate in (found.gates if isinstance(found, Trial) else found) if not gate.passed}


def tiny(gates_are: str = session.LENIENT, arms: tuple[Arm, ...] = (ARM, TWIN)) -> Session:
    """A session of three blocks, the warm-up included."""
    return Session(
        format=session_files.FORMAT,
        preset="smoke",
        seed=7,
        created_at=0.0,
        command="",
        arms=arms,
        conditions=(FLAT,),
        blocks={"headline": 2},
        environment=HERE | {session.GATES: gates_are},
        predictions=(Prediction(a="async again", b="async", expect="equivalent"),),
    )
