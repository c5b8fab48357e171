"""What a report may say: a finding where the data show it, and none where they do not.

The synthetic sessions are spoilt on purpose: an A/A arm that differs, too few blocks, engines that are all alike.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import msgspec
import pytest

from crawler.compare.html_report.book import Book
from crawler.compare.html_report.choice import BestMode, finding
from crawler.compare.html_report.findings import summary
from crawler.compare.html_report.phrases import NO_CLAIM, stretch
from crawler.compare.html_report.sections import sections
from crawler.compare.html_report.summary import title
from crawler.compare.records import Session, Trial
from crawler.compare.results import results
from crawler.report.numbers import seconds
from tests.contract import comparisons

Spoil = Callable[[Trial], dict[str, float]]

MODES = ("async", "threads", "prefork")
COMPARING = re.compile(
    r"times|\bties?\b|\bbeats?|change places|helps up to|slows? down|caught up|grows|shown to be fastest: [^n]"
)
"""Words with which a title compares engines; "no engine in any" does not."""


def told(plan: Session, run: list[Trial]) -> dict[str, list[str]]:
    """The titles of all figures, by section."""
    book = Book(plan, run, results(plan, run), "0" * 64)
    return {part.key: [figure.title for figure in part.figures] for part in sections(book)}


def spoilt(plan: Session, spoil: Spoil) -> list[Trial]:
    """A whole session with other metrics."""
    return [
        msgspec.structs.replace(trial, metrics=trial.metrics | spoil(trial))
        for trial in comparisons.trials(plan, invalid=False)
    ]


@pytest.fixture(scope="module")
def plan() -> Session:
    return comparisons.session("standard")


def test_what_the_data_show_is_said_with_its_interval(plan: Session) -> None:
    titles = told(plan, comparisons.trials(plan))
    measured = r"\d[\d.,]* \[\d[\d.,]*, \d[\d.,]*\]"
    assert re.fullmatch(f"processes stores {measured} times as many pages a second as async", titles["headline"][0])
    assert re.search(f"threads\\+urllib3 takes {measured} times the CPU per page of async", titles["cost"][0])
    assert re.search(
        f"in flight, CPU per page over that of async grows {measured} times for threads", titles["sweep-concurrency"][1]
    )
    assert "beyond that threads, threads+urllib3 and processes slow down" in titles["sweep-concurrency"][0]
    assert re.search(f"At .* processes reaches {measured} times the pages/s of async", titles["sweep-cpu"][0])
    assert "has caught up with async after" in titles["start"][0]
    assert titles["politeness"][0].endswith("every engine ties within 3 %, at 100 % of what that allows")
    assert re.search(r"engines reach \d+ % to \d+ % of what the graph allows; no difference", titles["graph"][0])
    assert "processes in" in titles["map"][0] and "not decided in" in titles["map"][0]


def test_every_title_has_a_number_or_says_what_is_not_shown(plan: Session) -> None:
    for titles in told(plan, comparisons.trials(plan)).values():
        assert all(re.search(r"\d|\bnot? |nothing|open", title, re.I) for title in titles)


def test_where_the_headlines_twin_differs_no_title_compares_engines(plan: Session) -> None:
    def better_twin(trial: Trial) -> dict[str, float]:
        gain = 1.2 if trial.arm == "async again" and trial.condition.sweep == "headline" else 1.0
        return {"steady_rate": trial.metrics["steady_rate"] * gain}

    titles = told(plan, spoilt(plan, better_twin))
    for key in ("headline", "pairs", "start", "cost", "politeness", "sweep-concurrency", "sweep-latency", "sweep-cpu"):
        assert set(titles[key]) == {NO_CLAIM}, key
    assert titles["map"] == ["Of 15 kinds of job, shown to be fastest: no engine in any; no claim in 15"]
    assert not [title for part in titles.values() for title in part if COMPARING.search(title)]


def test_a_level_whose_twin_differs_is_mute_and_the_others_speak(plan: Session) -> None:
    def better_twin(trial: Trial) -> dict[str, float]:
        cell = trial.condition
        gain = 1.3 if trial.arm == "async again" and (cell.sweep, cell.latency) == ("latency", 0.0) else 1.0
        return {"steady_rate": trial.metrics["steady_rate"] * gain}

    title = told(plan, spoilt(plan, better_twin))["sweep-latency"][0]
    assert "At 0 ms of latency" not in title and "processes reaches" in title


def test_a_twin_that_differs_in_a_cost_silences_that_cost_only(plan: Session) -> None:
    def dear_twin(trial: Trial) -> dict[str, float]:
        return {"memory": trial.metrics["memory"] * (1.5 if trial.arm == "async again" else 1.0)}

    title = told(plan, spoilt(plan, dear_twin))["cost"][0]
    assert "times the CPU per page" in title and "no difference in memory is shown" in title


def test_engines_that_are_all_alike_are_not_told_apart(plan: Session) -> None:
    def alike(trial: Trial) -> dict[str, float]:
        dice = random.Random(f"{trial.order}")
        cell = msgspec.structs.replace(trial.condition, delay=0.0)
        return comparisons.measure(cell, "async", dice, dice.gauss(0, 0.004)) | {"startup": dice.gauss(0.3, 0.01)}

    titles = told(plan, spoilt(plan, alike))
    assert not re.search(r"stores|beats", titles["headline"][0])
    assert titles["cost"][0].startswith(("Every engine takes as much CPU", "No difference in CPU"))
    assert titles["start"] == ["No engine is shown to buy speed over async with a later start"]
    assert "not shown to grow" in titles["sweep-concurrency"][1] or titles["sweep-concurrency"][1] == NO_CLAIM


def test_too_few_blocks_say_nothing_about_engines() -> None:
    plan = comparisons.session("smoke")
    titles = told(plan, comparisons.trials(plan))
    observed = r"threads\+urllib3 stored 0\.\d+ times .* async: observed, but too few blocks to claim"
    assert re.fullmatch(observed, titles["headline"][0])
    assert re.fullmatch(r"0 of (\d) pairs differ by more than the noise, \1 stay open", titles["pairs"][0])


def test_the_map_counts_kinds_of_findings() -> None:
    choices = [*[BestMode("clear", ["async"], "9")] * 2, BestMode("tie", ["async", "threads"], "9")]
    assert finding(choices) == "Of 3 kinds of job, shown to be fastest: async in 2; a tie in 1"
    assert [str(choice) for choice in choices[1:]] == ["async: 9", "tie of async and threads: 9"]
    undecided = [BestMode("open", ["async", "threads"], "9"), BestMode("mute", [], "")]
    assert finding(undecided).endswith("no engine in any; not decided in 1; no claim in 1")
    assert [str(choice) for choice in undecided] == [
        "open between async and threads: 9",
        "no claim: the A/A arm differs",
    ]


def test_a_concurrency_from_few_blocks_helps_nobody() -> None:
    plan = comparisons.session("quick")
    few = [trial for trial in comparisons.trials(plan, invalid=False) if trial.block < 3]
    assert told(plan, few)["sweep-concurrency"][0] == "No gain from more in flight is shown for any engine"


def test_the_summary_names_the_latency_where_two_sweeps_differ_in_it_alone(plan: Session) -> None:
    found = results(plan, comparisons.trials(plan))
    said = [text for text in summary(found) if "ms of CPU per page" in text]
    by_latency = sorted({one.fields[0].condition.latency for one in found.sweeps if one.name == "cpu"})
    assert len(by_latency) > 1
    assert [text.partition(": ")[0] for text in said] == [f"With a latency of {seconds(at)}" for at in by_latency]


def test_the_title_names_a_few_arms_and_counts_many(plan: Session) -> None:
    many = [msgspec.structs.replace(plan.arms[0], name=f"{mode} {n}", mode=mode) for mode in MODES for n in (1, 2)]
    assert title(msgspec.structs.replace(plan, arms=tuple(many))) == "6 arms compared: async, threads and prefork"
    few = msgspec.structs.replace(plan, arms=tuple(arm for arm in plan.arms if arm.name in ("async", "threads")))
    assert title(few) == "async and threads, compared"


def test_neighbouring_levels_are_a_range() -> None:
    assert stretch([1, 2, 8], [1, 2, 4, 8], "{:g}".format) == "1 to 2 and 8"
