"""The lessons: every file has the required texts, verdicts follow from the numbers, and an error is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from crawler.compare.lessons import experiments, present
from crawler.compare.lessons.commands import lessons
from crawler.compare.lessons.experiments import load
from crawler.compare.lessons.lesson import (
    Lesson,
    Measure,
    Samples,
    above,
    below,
    between,
    decide,
    failed,
    interval,
    judge,
    number,
    together,
)
from crawler.compare.lessons.runner import teach

FILES = sorted(path.stem for path in Path(experiments.__file__).parent.glob("*.py") if path.stem != "__init__")


def example(**samples: list[float]) -> Lesson:
    """A lesson that claims that a > 1, and predicts that a < 1 and b > 5."""
    return Lesson(
        title="An example",
        claim="a is large",
        why="because",
        measures={
            "a": Measure("the first", claim=above(1), prediction=below(1)),
            "b": Measure("the second", prediction=above(5)),
        },
        run=lambda: samples,
    )


# ---- the files


def test_the_list_names_every_file() -> None:
    assert sorted(experiments.NAMES) == FILES and len(set(experiments.NAMES)) == len(FILES) >= 10


@pytest.mark.parametrize("name", experiments.NAMES)
def test_a_lesson_has_a_claim_a_prediction_and_a_reason(name: str) -> None:
    lesson = load(name)
    assert all(len(text) > 20 for text in (lesson.claim, lesson.why)) and lesson.title
    assert lesson.why.endswith(".") and lesson.claim.endswith(".")
    measures = lesson.measures.values()
    assert any(one.claim for one in measures) and any(one.prediction for one in measures)
    assert all(one.meaning for one in measures)


@pytest.mark.parametrize("name", experiments.NAMES)
def test_a_lesson_is_a_short_module(name: str) -> None:
    text = Path(experiments.__file__).with_name(f"{name}.py").read_text()
    assert len(text.splitlines()) < 190


# ---- the verdicts


def test_the_interval_of_few_samples_is_unbounded() -> None:
    assert interval([1.0] * 4) == (float("-inf"), float("inf"))
    assert interval([3.0, 1, 2, 5, 4]) == (1, 5)


def test_the_interval_is_that_of_the_sign_test() -> None:
    assert interval(range(8)) == (1, 6)  # (1 + 8) / 256 = 3.5 % at each end
    assert interval(range(7)) == (0, 6)  # (1 + 7) / 128 = 6.3 % would be too much
    assert interval(range(11)) == (2, 8)


@pytest.mark.parametrize(
    ("samples", "answer"),
    [([0.8, 0.9, 0.7, 0.9, 0.8], True), ([1.2, 1.3, 1.1, 1.4, 1.2], False), ([0.8, 0.9, 1.3, 0.9, 0.8], None)],
)
def test_a_bound_is_held_violated_or_inconclusive(samples: list[float], answer: bool | None) -> None:
    assert decide(below(1), samples) is answer


def test_the_bound_itself_does_not_satisfy_it() -> None:
    assert decide(above(0), [0.0] * 5) is False
    assert decide(below(1), [1.0] * 5) is False


def test_two_bounds() -> None:
    bounds = between(0.8, 1.25)
    assert decide(bounds, [1.0, 1.1, 0.9, 1.0, 1.2]) is True
    assert decide(bounds, [2.0, 2.1, 1.9, 2.0, 2.2]) is False
    assert decide(bounds, [1.0, 1.1, 0.7, 1.0, 1.2]) is None
    assert str(bounds) == "0.8 to 1.25"


def test_a_busy_machine_is_inconclusive_where_two_cores_are_needed() -> None:
    bounds = above(1.3, needs=1.6)
    assert decide(bounds, [1.0] * 5, free_cores=2.0) is False
    assert decide(bounds, [1.0] * 5, free_cores=0.9) is None
    assert decide(above(1.3), [1.0] * 5, free_cores=0.9) is False


def test_a_lesson_that_samples_free_cores_is_judged_by_its_own_samples() -> None:
    samples = {"a": [1.0] * 5, "free": [1.9, 1.7, 2.0, 1.8, 1.9]}
    bounds = above(1.3, needs=1.6)
    own = replace(example(), measures={"a": Measure("", bounds, bounds), "free": Measure("")}, control="free")
    assert judge("own", own, samples, free_cores=0.9).holds == "does not hold here"
    busy = {**samples, "free": [1.9, 1.5, 2.0, 1.8, 1.9]}
    assert judge("own", own, busy, free_cores=2.0).holds == "inconclusive"


def test_several_answers() -> None:
    assert together([True, True]) is True
    assert together([True, None, False]) is False
    assert together([True, None]) is None
    assert together([]) is None


@pytest.mark.parametrize(
    ("a", "b", "holds", "prediction"),
    [
        (0.5, 6.0, "does not hold here", "met"),
        (0.5, 4.0, "does not hold here", "not met"),
        (2.0, 6.0, "holds", "not met"),
    ],
)
def test_claim_and_prediction_are_judged_separately(a: float, b: float, holds: str, prediction: str) -> None:
    outcome = judge("example", example(), {"a": [a] * 5, "b": [b] * 5})
    assert (outcome.holds, outcome.prediction) == (holds, prediction)


def test_scattered_samples_are_inconclusive() -> None:
    outcome = judge("example", example(), {"a": [0.5, 1.5, 0.5, 1.5, 1.0], "b": [6.0] * 5})
    assert (outcome.holds, outcome.prediction) == ("inconclusive", "inconclusive")
    assert (outcome.figures[0].median, outcome.figures[0].low, outcome.figures[0].high) == (1.0, 0.5, 1.5)


def test_numbers_have_three_digits() -> None:
    assert [number(value) for value in (0, 0.01234, 1.254, 40, 1250.4)] == ["0", "0.0123", "1.25", "40", "1,250"]


# ---- the output


def test_the_markdown_has_claim_figures_verdicts_and_reason() -> None:
    fine = judge("example", example(), {"a": [0.5] * 5, "b": [6.0] * 5}, seconds=1.0, others=0.2)
    text = present.markdown([fine, failed("broken", None, "ValueError: a `tick`")], {"cores": "2"})
    assert "| the first | 0.5 | 0.5 to 0.5 | > 1: no | < 1: yes |" in text
    assert "The claim: **does not hold here**. Our prediction: **met**. Why: because" in text
    assert "This lesson failed: `ValueError: a 'tick'`" in text and "| broken | failed | failed |" in text


def test_the_reason_of_a_wrong_prediction_is_introduced_as_such() -> None:
    wrong = judge("example", example(), {"a": [2.0] * 5, "b": [6.0] * 5})
    assert present.because(wrong).startswith("We predicted something that is not so here")


# ---- the runs


BROKEN = {
    "crash": "def run():\n    raise ValueError('two\\nlines')\n",
    "kill": "def run():\n    import os\n    os.kill(os.getpid(), 9)\n",
    "hang": "def run():\n    import time\n    time.sleep(60)\n",
    "leak": (
        "def run():\n    import subprocess\n    child = subprocess.Popen(['sleep', '60'])\n"
        "    return {'pid': [float(child.pid)] * 5}\n"
    ),
}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of lessons that fail in different ways."""
    folder = tmp_path / "bad_lessons"
    folder.mkdir()
    (folder / "__init__.py").touch()
    lesson = (
        "from crawler.compare.lessons.lesson import Lesson, Measure, above\n\n\n{run}\n\n"
        "LESSON = Lesson(title='t', claim='c', why='w', measures={{'pid': Measure('p', above(0))}}, run=run)\n"
    )
    for name, run in BROKEN.items():
        (folder / f"{name}.py").write_text(lesson.format(run=run))
    (folder / "unreadable.py").write_text("this is no Python\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return folder.name


@pytest.mark.parametrize(
    ("name", "says"),
    [("crash", "lines"), ("kill", "ended with -9"), ("unreadable", "SyntaxError"), ("hang", "not done")],
)
def test_a_lesson_that_fails_is_reported_in_one_line(broken: str, name: str, says: str) -> None:
    outcome = teach(name, broken, patience=2.0 if name == "hang" else 20.0)
    assert says in outcome.trouble and "\n" not in outcome.trouble
    assert outcome.holds == outcome.prediction == "inconclusive" and not outcome.figures


def test_child_processes_of_a_lesson_are_killed(broken: str) -> None:
    outcome = teach("leak", broken)
    assert not outcome.trouble
    status = Path(f"/proc/{outcome.figures[0].median:.0f}/stat")
    until = monotonic() + 5
    while (alive := status.exists() and ") Z" not in status.read_text()) and monotonic() < until:
        sleep(0.01)
    assert not alive


def test_a_failing_lesson_does_not_end_the_set(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "NAMES", ("first", "second"))

    def taught(name: str) -> object:
        samples: Samples = {"a": [0.5] * 5, "b": [6.0] * 5}
        return teach("crash", broken) if name == "first" else judge(name, example(), samples)

    monkeypatch.setattr("crawler.compare.lessons.runner.teach", taught)
    result = CliRunner().invoke(lessons, [])
    assert result.exit_code == 1
    assert (
        "This lesson failed" in result.output and "The claim: does not hold here. Our prediction: met." in result.output
    )


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_quick_lessons_run(tmp_path: Path) -> None:
    document = tmp_path / "lessons.md"
    arguments = ["--json", "--only", "lost-update", "--only", "queue_and_pipe", "--markdown", str(document)]
    command = [sys.executable, "-m", "crawler", "compare", "lessons", *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    lost, queues = report["outcomes"]
    assert [lost["name"], queues["name"]] == ["lost_update", "queue_and_pipe"]
    figures = {one["name"]: one for one in lost["figures"]}
    assert figures["as_written"]["samples"] == [0.0] * 5 and lost["holds"] == "does not hold here"
    assert figures["lock_hasty"]["median"] == 0
    assert all(len(one["samples"]) >= 5 for outcome in report["outcomes"] for one in outcome["figures"])
    assert "python" in report["conditions"] and document.read_text().count("\n## ") == 2


def test_the_list_and_unknown_names() -> None:
    result = CliRunner().invoke(lessons, ["--list"])
    assert result.exit_code == 0 and len(result.output.splitlines()) == len(experiments.NAMES)
    result = CliRunner().invoke(lessons, ["--only", "gill"])
    assert result.exit_code == 2 and "did you mean 'gil'?" in result.output
