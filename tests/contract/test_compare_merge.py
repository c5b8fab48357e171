"""What several machines agree on: synthetic sessions side by side."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import turbohtml

from crawler.compare.merge import contents
from crawler.compare.records import Session, Trial
from tests.contract import comparisons


def beside(folder: Path, *machines: list[Trial]) -> dict[str, bytes]:
    """A merged folder of sessions with these trials; its files."""
    for place, run in enumerate(machines, 1):
        plan = msgspec.structs.replace(design(), seed=place, environment={"machine": f"machine {place}", "cores": "2"})
        comparisons.write(folder / "machines" / str(place), plan, run)
    return contents(folder)


def design() -> Session:
    """One condition with enough blocks for words."""
    plan = comparisons.session("standard")
    return msgspec.structs.replace(plan, conditions=plan.conditions[:1])


def run(seed: int, **factors: float) -> list[Trial]:
    """The trials of the design on a machine where some arms have this many times their pages/s."""
    made = comparisons.trials(msgspec.structs.replace(design(), seed=seed), invalid=False)
    for one in made:
        one.metrics["steady_rate"] *= factors.get(one.arm, 1.0)
    return made


def outcomes(files: dict[str, bytes]) -> dict[str, str]:
    return {pair["arm"]: pair["outcome"] for pair in json.loads(files["merge.json"])["pairs"]}


def test_machines_agree_where_each_gives_the_same_word(tmp_path: Path) -> None:
    files = beside(tmp_path, run(1, threads=0.5), run(2, threads=0.6))
    told = files["merge.md"].decode()
    assert outcomes(files)["threads"] == "agree"
    assert "slower on all 2 machines, 0." in told
    assert "2 machines agree on" in told and "machine 1 · 2 cores" in told
    for arm in design().arms:
        assert f"| {arm.name} | {arm.client} |" in told
    page = turbohtml.parse(files["merge.html"].decode())
    rows = [[cell.text for cell in row.select("th, td")] for row in page.select("#rates tbody tr")]
    assert [row[:2] for row in rows] == [[arm.name, arm.client] for arm in design().arms]
    assert "slower on all 2 machines" in page.select("#ratios")[0].text


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [(0.5, 2.0, "disagree"), (2.5, 2.0, "agree"), (0.5, None, "open")],
)
def test_they_disagree_or_stay_open_otherwise(tmp_path: Path, first: float, second: float | None, outcome: str) -> None:
    other = run(2, threads=second or 1.0)
    if second is None:
        other = [one for one in other if one.arm != "threads"]
    assert outcomes(beside(tmp_path, run(1, threads=first), other))["threads"] == outcome


def test_equal_sessions_give_equal_files(tmp_path: Path) -> None:
    assert beside(tmp_path / "a", run(1), run(2)) == beside(tmp_path / "b", run(1), run(2))
