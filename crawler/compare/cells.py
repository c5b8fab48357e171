"""The valid trials of a session, by condition, arm and metric. Pure.

Valid means: all gates passed, no warm-up. The base of every ratio is the arm that the A/A arm repeats, else the first
one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from crawler.compare.analysis import Blocks
from crawler.compare.records import Condition, Session, Trial


class Cells:
    """`session.arms` that are engines by name, those that take part `everywhere`, the A/A arm's name ("" without one),
    the base; values by cell."""

    def __init__(self, session: Session, trials: Sequence[Trial]) -> None:
        twin = next((arm for arm in session.arms if arm.twin_of), None)
        self.session = session
        self.trials = sorted(trials, key=lambda trial: trial.order)
        self.twin = twin.name if twin else ""
        self.base = twin.twin_of if twin else session.arms[0].name if session.arms else ""
        self.engines = tuple(arm.name for arm in session.arms if not arm.twin_of)
        self.everywhere = frozenset(arm.name for arm in session.arms if not arm.sweeps)
        self.arms = tuple(arm.name for arm in session.arms)
        self._values: dict[tuple[Condition, str], dict[int, dict[str, float]]] = {}
        for trial in self.trials:
            if trial.valid:
                self._values.setdefault((trial.condition, trial.arm), {}).setdefault(trial.block, trial.metrics)
        steady = any("steady_rate" in trial.metrics for trial in self.trials if trial.valid)
        self.rate = "steady_rate" if steady else "cold_rate"
        """The metric shown as throughput: jobs too short for a steady window have only the cold one."""
        first = (session.environment.get("placement") or session.environment.get("cores", "")).split()[:1]
        self.cores = int(first[0]) if first and first[0].isdecimal() else 0
        """The cores that the engines have; 0 where the session has no record of them."""

    def blocks(self, condition: Condition, arm: str, metric: str) -> Blocks:
        """The metric in every block in which the arm was valid."""
        found = self._values.get((condition, arm), {})
        return {
            block: metrics[metric]
            for block, metrics in sorted(found.items())
            if math.isfinite(metrics.get(metric, math.nan))
        }

    def cores_of(self, arm: str) -> int:
        """The cores that an arm can use, one for a single event loop; 0 where the session has no record of them."""
        mode = next((known.mode for known in self.session.arms if known.name == arm), "")
        return 1 if mode == "async" else self.cores

    def engines_with(self, condition: Condition, metric: str) -> dict[str, Blocks]:
        """The metric of every engine that has it, in the order of the session, without the A/A arm."""
        found = {arm: self.blocks(condition, arm, metric) for arm in self.engines}
        return {arm: blocks for arm, blocks in found.items() if blocks}

    def shared(self, condition: Condition, metric: str) -> Blocks:
        """A metric of the condition rather than of an arm (the raw loop, the politeness limit): by block, the best of
        the trials that have it."""
        best: dict[int, float] = {}
        for arm in self.arms:
            for block, rate in self.blocks(condition, arm, metric).items():
                best[block] = max(rate, best.get(block, 0.0))
        return best

    def residuals(self) -> dict[int, float]:
        """By order, log throughput of every valid trial against the mean of its cell, if that has two blocks."""
        means: dict[tuple[Condition, str], float] = {}
        for cell, found in self._values.items():
            logs = [math.log(metrics[self.rate]) for metrics in found.values() if metrics.get(self.rate, 0.0) > 0]
            if len(logs) > 1:
                means[cell] = math.fsum(logs) / len(logs)
        return {
            trial.order: math.log(trial.metrics[self.rate]) - means[trial.condition, trial.arm]
            for trial in self.trials
            if trial.valid and (trial.condition, trial.arm) in means and trial.metrics.get(self.rate, 0.0) > 0
        }
