"""A sample of what `python -m tests.flips` tries on crawls of every mode and store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flips import run, table
from tests.goldens import CRAWLS, make, serve

SAMPLE = ("async-complete", "prefork-killed", "threads-limit")


@pytest.mark.timeout(900)
def test_damage_that_changes_content_is_detected_and_none_crashes(tmp_path: Path) -> None:
    with serve(tmp_path):
        for golden in CRAWLS:
            if golden.name in SAMPLE:
                make(golden, tmp_path)
        outcomes = run(tmp_path, list(SAMPLE), flips=90, cuts=30, sample=3, seed=3)
    print(table(outcomes))
    assert [outcome for outcome in outcomes if outcome.bad] == []
    assert sum(bool(outcome.content) for outcome in outcomes) >= 20
    through = {outcome.after.partition(":")[0] for outcome in outcomes if outcome.case.through}
    assert through <= {"repaired", "refused", "nothing to repair"}
