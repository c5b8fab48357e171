"""Predictions: read from a file before a comparison, judged by its intervals afterwards."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from crawler.compare.arms import Asked, arms_for
from crawler.compare.cells import Cells
from crawler.compare.design import PRESETS
from crawler.compare.predictions import in_words, judged, read, shipped, tally
from crawler.compare.records import Condition, Gate, Prediction, Session, Trial
from crawler.errors import UsageError
from tests.contract import comparisons

FLAT = Condition(sweep="headline", pages=100, concurrency=8)
ARMS = comparisons.ARMS
FINE = "[[prediction]]\na = 'threads'\nb = 'async'\nexpect = 'slower'\n"


def trials(ratio: float, blocks: int = 6, noise: float = 0.001) -> list[Trial]:
    """Blocks in which threads have this share of the pages/s of async."""
    made: list[Trial] = []
    for block in range(1, blocks + 1):
        for arm, rate in (("async", 100.0), ("threads", 100.0 * ratio * (1 + noise * (-1) ** block))):
            metrics = {"steady_rate": rate}
            one = Trial(
                block=block,
                order=len(made),
                arm=arm,
                condition=FLAT,
                started_at=0.0,
                seconds=1.0,
                warm_up=False,
                gates=(Gate("G1", True),),
                metrics=metrics,
            )
            made.append(one)
    return made


def planned(*predictions: Prediction) -> Session:
    return comparisons.session(conditions=(FLAT,), blocks={"headline": 6}, predictions=predictions)


@pytest.mark.parametrize(
    ("ratio", "outcomes"),
    [
        (0.7, ["failed", "held", "failed", "held"]),
        (0.85, ["failed", "held", "failed", "failed"]),
        (1.0, ["failed", "failed", "held", "failed"]),
        (1.2, ["held", "failed", "failed", "failed"]),
        (1 / 1.03, ["failed", "open", "open", "failed"]),
    ],
)
def test_a_prediction_is_judged_by_the_interval(ratio: float, outcomes: list[str]) -> None:
    words = [Prediction(a="threads", b="async", expect=word) for word in ("faster", "slower", "equivalent")]
    plan = planned(*words, Prediction(a="threads", b="async", between=(0.6, 0.8)))
    assert [one.outcome for one in judged(Cells(plan, trials(ratio)), claims=True)] == outcomes


def test_without_enough_blocks_or_claims_it_is_open() -> None:
    slower = Prediction(a="threads", b="async", expect="slower")
    for run, claims in ((trials(0.5, blocks=4), True), (trials(0.5), False), ([], True)):
        (found,) = judged(Cells(planned(slower), run), claims=claims)
        assert found.outcome == "open"
    assert tally(judged(Cells(planned(slower), trials(0.5)), claims=True)) == {"held": 1}


@pytest.mark.parametrize("preset", PRESETS)
def test_those_of_the_package_are_about_its_presets(preset: str) -> None:
    arms, conditions = arms_for(Asked(["async", "threads", "processes", "prefork"])), PRESETS[preset].conditions
    found = shipped(arms, conditions)
    assert len(found) >= 3
    assert shipped(arms_for(Asked(["async"])), conditions) == ()
    if preset == "standard":
        file = msgspec.toml.decode(Path("crawler/compare/predictions.toml").read_bytes())
        assert len(found) == len(file["prediction"]), "each fits some condition"


def test_a_file_of_predictions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[prediction]]\na = "threads"\nb = "async"\nbetween = [0.6, 0.9]\nwhere = { concurrency = 8 }\n')
    (one,) = read(path, ARMS, (FLAT,))
    assert in_words(one) == "threads between 0.6 and 0.9 times async (headline, concurrency 8)"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[prediction]\n", "no valid predictions"),
        ("[other]\n", "no valid predictions"),
        ("[[other]]\na = 'threads'\nb = 'async'\n", "nothing but"),
        ("[[prediction]]\na = 'threads'\n", "missing required field `b`"),
        ("[[prediction]]\na = 'threads'\nb = 'async'\n", "either `expect` or `between`"),
        ("[[prediction]]\na = 'threads'\nb = 'async'\nexpect = 'best'\n", "Invalid enum value"),
        ("[[prediction]]\na = 'threads'\nb = 'async'\nexpect = 'slower'\nwhere = { size = 3 }\n", "factors in"),
        (
            f"{FINE}[[prediction]]\na = 'threads'\nb = 'async'\nexpect = 'slower'\nwhere = {{ size = 3 }}\n",
            "factors in",
        ),
        ("[[prediction]]\na = 'fibers'\nb = 'async'\nexpect = 'slower'\n", "has not"),
        ("[[prediction]]\na = 'threads'\nb = 'async'\nexpect = 'slower'\nsweep = 'cpu'\n", "has not"),
    ],
)
def test_a_file_that_says_nothing_usable_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=why):
        read(tmp_path / "mine.toml", ARMS, (FLAT,))
    with pytest.raises(UsageError, match="cannot read the predictions"):
        read(tmp_path / "nothing.toml", ARMS, (FLAT,))
