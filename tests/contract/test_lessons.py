"""The lessons: every file has the required texts, verdicts follow from the numbers, and an error is one line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from crawler.cli.compare import compare
from crawler.compare.lessons import experiments, present
from crawler.compare.lessons.experiments import load
from crawler.compare.lessons.interpreter import Build, LessonPython, interpreter
from crawler.compare.lessons.judge import decide, failed, interval, judge, together, within, word_of
from crawler.compare.lessons.lesson import (
    Expected,
    ExpectedRange,
    Lesson,
    Samples,
    above,
    below,
    between,
    fact,
    level,
    number,
    ratio,
)
from crawler.compare.lessons.pages import LoopSession, connect, fetch, get, page_server
from crawler.compare.lessons.predictions import Predictions, choose, parse, read
from crawler.compare.lessons.rounds import answer_of
from crawler.compare.lessons.runner import teach

FILES = sorted(path.stem for path in Path(experiments.__file__).parent.glob("*.py") if path.stem != "__init__")
BUILDS = [Build((3, minor), gil) for minor in (11, 12, 13, 14) for gil in (True, False) if gil or minor >= 13]
HERE, NOTHING = interpreter(), Predictions("", {})
PREDICTED: dict[str, Expected] = {"a": ExpectedRange(high=0.97, word="slower"), "b": above(5), "c": True}


def example(**samples: list[float]) -> Lesson:
    """A lesson that claims that a > 1."""
    measures = {"a": ratio("the first", claim=above(1)), "b": level("the second"), "c": fact("the third")}
    return Lesson(title="An example", claim="a is large", why="because", measures=measures, run=lambda: samples)


def taught(a: float = 0.5, b: float = 6.0, c: float = 1.0) -> Samples:
    """Five equal samples of each figure."""
    return {"a": [a] * 5, "b": [b] * 5, "c": [c] * 5}


# ---- the files


def test_the_list_names_every_file() -> None:
    assert sorted(experiments.NAMES) == FILES and len(set(experiments.NAMES)) == len(FILES) >= 23


@pytest.mark.parametrize("name", experiments.NAMES)
def test_a_lesson_has_a_claim_and_a_reason(name: str) -> None:
    lesson = load(name)
    assert all(len(text) > 20 for text in (lesson.claim, lesson.why)) and lesson.title
    assert lesson.why.endswith(".") and lesson.claim.endswith(".")
    assert any(one.claim is not None for one in lesson.measures.values())
    assert all(one.meaning for one in lesson.measures.values())


@pytest.mark.parametrize("name", experiments.NAMES)
def test_a_lesson_is_a_short_module(name: str) -> None:
    text = Path(experiments.__file__).with_name(f"{name}.py").read_text()
    assert len(text.splitlines()) < 160


def test_experiments_import_only_the_standard_library() -> None:
    root = Path(experiments.__file__).parents[4]
    imports = ", ".join(f"{experiments.__name__}.{name}" for name in experiments.NAMES)
    code = f"import sys; sys.path.append({str(root)!r}); import {imports}; print('fine')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


# ---- the predictions


@pytest.mark.parametrize("build", BUILDS, ids=str)
@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_lesson_is_predicted_on_every_build(name: str, build: Build) -> None:
    measures, predictions = load(name).measures, read()
    predicted = predictions.of(name, build)
    assert predicted and predicted.keys() == predictions.texts[name].keys() <= measures.keys()
    for key, expected in predicted.items():
        assert isinstance(expected, bool) is (measures[key].kind == "fact")
        assert isinstance(expected, bool) or not expected.word or measures[key].kind == "ratio"


def test_nothing_else_is_predicted() -> None:
    assert set(read().texts) == set(experiments.NAMES)


def test_builds_differ_where_the_gil_matters() -> None:
    predictions = read()
    with_gil, without = (predictions.of("gil", Build((3, 13), gil))["threads"] for gil in (True, False))
    assert (with_gil, without) == (below(1.1), ExpectedRange(1.3, word="faster"))
    named = [predictions.of("thread_identity", Build((3, minor), True))["kernel"] for minor in (13, 14, 15)]
    assert named == [False, True, True]


def test_the_first_condition_that_applies_counts() -> None:
    text = {"free-threaded 3.13": "a", "3.13": "b", "3.14+ gil": "c", "else": "d"}
    chosen = [choose(text, Build((3, minor), gil)) for minor in (12, 13, 14) for gil in (True, False)]
    assert chosen == ["d", "d", "b", "a", "c", "d"]
    assert choose({"3.12": "x"}, Build((3, 13), True)) == ""


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("held", True),
        ("did not hold", False),
        ("> 1.3", above(1.3)),
        ("< 0.5", below(0.5)),
        ("0.9 to 1.1", between(0.9, 1.1)),
        ("equivalent", ExpectedRange(word="equivalent")),
        ("faster, > 2", ExpectedRange(2, word="faster")),
    ],
)
def test_a_prediction_is_read_as_it_is_shown(text: str, means: Expected) -> None:
    assert parse(text) == means
    if isinstance(means, ExpectedRange):
        assert str(means) == text


@pytest.mark.parametrize("text", ["", "quicker", "faster, very", "1.3", "> x"])
def test_other_text_is_no_prediction(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    for text in ("[a]\nb = '> 1'\n", "[a]\nb = '> 2'\n"):
        (tmp_path / "p.toml").write_text(text)
        digest = subprocess.run(["sha256sum", tmp_path / "p.toml"], capture_output=True, text=True, check=True)
        assert read(tmp_path / "p.toml").sha256 == digest.stdout.split()[0]


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


@given(st.lists(st.floats(0.01, 100), min_size=5, max_size=20), st.floats(0.1, 10))
def test_an_answer_for_one_side_is_the_opposite_for_the_other(samples: list[float], bound: float) -> None:
    answers = within(above(bound), samples), within(below(bound), samples)
    assert answers in {(True, False), (False, True), (None, None), (False, None), (None, False), (False, False)}


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        ([1.5, 1.4, 1.6, 1.5, 1.5], "faster"),
        ([0.5, 0.6, 0.5, 0.4, 0.5], "slower"),
        ([1.0, 1.01, 0.99, 1.0, 1.02], "equivalent"),
        ([1.5, 0.8, 1.2, 1.1, 1.0], "inconclusive"),
        ([1.5, 1.5], "too few blocks"),
    ],
)
def test_a_ratio_has_the_words_of_the_comparison(samples: list[float], word: str) -> None:
    assert word_of(ratio("r"), samples) == word


def test_a_fact_holds_if_every_round_says_so() -> None:
    assert [word_of(fact("f"), samples) for samples in ([1.0], [1.0, 0.0])] == ["held", "did not hold"]
    assert [decide(True, samples) for samples in ([1.0, 1.0], [0.0], [1.0, 0.0])] == [True, False, None]
    assert [decide(False, samples) for samples in ([1.0, 1.0], [0.0], [1.0, 0.0])] == [False, True, None]


def test_a_predicted_word_must_be_said() -> None:
    expected = ExpectedRange(word="faster")
    assert [decide(expected, [1.5] * 5, word) for word in ("faster", "slower", "inconclusive")] == [True, False, None]


def test_a_busy_machine_is_inconclusive_where_two_cores_are_needed() -> None:
    lesson = Lesson(title="t", claim="c", why="w", run=dict, measures={"a": ratio("r", above(1.3), needs=1.6)})
    predicted: dict[str, Expected] = {"a": below(1.1)}
    quiet, busy = (judge("t", lesson, predicted, {"a": [1.0] * 5}, free_cores=free) for free in (2.0, 0.9))
    assert (quiet.holds, quiet.prediction, quiet.figures[0].word) == ("did not hold", "held", "equivalent")
    assert (busy.holds, busy.prediction, busy.figures[0].word) == ("inconclusive",) * 3
    assert busy.reasons == ["r: it takes 1.6 free cores, and other processes left 0.9"]


def test_a_lesson_that_samples_free_cores_is_judged_by_its_own_samples() -> None:
    measures = {"a": level("", above(1.3), needs=1.6), "free": level("")}
    own = Lesson(title="t", claim="c", why="w", run=dict, measures=measures, control="free")
    samples = {"a": [1.0] * 5, "free": [1.9, 1.7, 2.0, 1.8, 1.9]}
    assert judge("own", own, {}, samples, free_cores=0.9).holds == "did not hold"
    busy = {**samples, "free": [1.9, 1.5, 2.0, 1.8, 1.9]}
    assert judge("own", own, {}, busy, free_cores=2.0).holds == "inconclusive"


def test_several_answers() -> None:
    assert together([True, True]) is True
    assert together([True, None, False]) is False
    assert together([True, None]) is None
    assert together([]) is None


@pytest.mark.parametrize(
    ("samples", "holds", "prediction"),
    [
        (taught(), "did not hold", "held"),
        (taught(b=4.0), "did not hold", "did not hold"),
        (taught(a=2.0), "held", "did not hold"),
        (taught(c=0.0), "did not hold", "did not hold"),
        ({**taught(), "a": [0.5, 1.5, 0.5, 1.5, 1.0]}, "inconclusive", "inconclusive"),
    ],
)
def test_claim_and_prediction_are_judged_separately(samples: Samples, holds: str, prediction: str) -> None:
    outcome = judge("example", example(), PREDICTED, samples)
    assert (outcome.holds, outcome.prediction) == (holds, prediction)
    assert bool(outcome.reasons) is (prediction != "held")


def test_what_did_not_hold_says_why_not() -> None:
    reasons = judge("example", example(), PREDICTED, taught(a=2.0, b=4.0, c=0.0)).reasons
    assert reasons == [
        "the first: predicted slower, < 0.97, found faster, 2, interval 2 to 2",
        "the second: predicted > 5, found 4, interval 4 to 4",
        "the third: predicted held, found did not hold, true in 0 of 5 rounds",
    ]


def test_numbers_have_three_digits() -> None:
    assert [number(value) for value in (0, 0.01234, 1.254, 40, 1250.4)] == ["0", "0.0123", "1.25", "40", "1,250"]


# ---- the output


def test_the_page_has_claim_figures_verdicts_and_reason() -> None:
    fine = judge("example", example(), PREDICTED, taught(), seconds=1.0, others=0.2)
    where = {"python": "CPython 3.13.0", "predictions": "sha256 abc"}
    text = present.page([fine, failed("broken", None, "ValueError: <b>")], where)
    assert "<td>0.5</td><td>0.5 to 0.5</td><td class=text>slower</td>" in text
    assert "&gt; 1: no</td><td class=text>slower, &lt; 0.97: yes" in text
    assert "The claim: <b>did not hold</b>. Our prediction: <b>held</b>." in text and "Why: because" in text
    assert "<code>ValueError: &lt;b&gt;</code>" in text and "sha256 abc" in text and "<script" not in text


def test_the_row_of_a_verdict_is_followed_by_its_reasons() -> None:
    row, *reasons = present.verdict(judge("example", example(), PREDICTED, taught(a=2.0))).splitlines()
    assert row.split()[:4] == ["example", "held", "did", "not"] and len(reasons) == 1
    assert present.total([judge("example", example(), PREDICTED, taught())]).startswith("1 of 1 predictions held")


# ---- the interpreters


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo '[[3, 9, 1], true, \"CPython\", 0.005]'", "it is Python 3.9.1; name one from 3.11 on"),
        ("echo hello", "it is no Python from 3.11 on"),
        ("echo no such thing >&2; exit 3", "it is no Python from 3.11 on: no such thing"),
    ],
)
def test_a_program_that_cannot_run_lessons_is_refused_in_one_line(tmp_path: Path, script: str, says: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    result = run("--python", str(program))
    assert isinstance(result.exception, Exception) and says in str(result.exception)
    assert getattr(result.exception, "exit_code", 0) == 2 and "\n" not in str(result.exception)


def test_a_path_without_a_program_is_refused() -> None:
    assert "no such program" in str(run("--python", "/nowhere/python").exception)


def test_a_build_is_named_by_its_lock(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho '[[3, 14, 0], false, \"CPython\", 0.005]'\n")
    program.chmod(0o755)
    found = interpreter(str(program))
    assert (found.build, found.name) == (Build((3, 14), False), "CPython 3.14.0, free-threaded")


# ---- the runs


def run(*arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(compare, ["lessons", *arguments])


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
        "from crawler.compare.lessons.lesson import Lesson, above, level\n\n\n{run}\n\n"
        "LESSON = Lesson(title='t', claim='c', why='w', measures={{'pid': level('p', above(0))}}, run=run)\n"
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
    outcome = teach(name, HERE, NOTHING, broken, patience=2.0 if name == "hang" else 20.0)
    assert says in outcome.trouble and "\n" not in outcome.trouble
    assert outcome.holds == outcome.prediction == "inconclusive" and not outcome.figures


def test_child_processes_of_a_lesson_are_killed(broken: str) -> None:
    outcome = teach("leak", HERE, NOTHING, broken)
    assert not outcome.trouble
    status = Path(f"/proc/{outcome.figures[0].median:.0f}/stat")
    until = monotonic() + 5
    while (alive := status.exists() and ") Z" not in status.read_text()) and monotonic() < until:
        sleep(0.01)
    assert not alive


def test_a_failing_lesson_does_not_end_the_set(broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(experiments, "NAMES", ("first", "second"))

    def one(name: str, python: LessonPython, predictions: Predictions) -> object:
        if name == "first":
            return teach("crash", python, predictions, broken)
        return judge(name, example(), PREDICTED, taught())

    monkeypatch.setattr("crawler.compare.lessons.runner.teach", one)
    result = run("--out", str(tmp_path))
    assert result.exit_code == 1
    digest, _, first, trouble, second, total, report = result.output.splitlines()
    assert read().sha256 in digest and first.startswith("crash") and "lines" in trouble
    assert second.split()[:5] == ["second", "did", "not", "hold", "held"] and total.startswith("1 of 2 predictions")
    assert report == f"report: {tmp_path / 'report.html'}" and read().sha256 in (tmp_path / "report.html").read_text()


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_quick_lessons_run(tmp_path: Path) -> None:
    arguments = ["--json", "--only", "lost-update", "--only", "queue_and_pipe", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "crawler", "compare", "lessons", *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    lost, queues = report["outcomes"]
    assert [lost["name"], queues["name"]] == ["lost_update", "queue_and_pipe"]
    figures = {one["name"]: one for one in lost["figures"]}
    assert figures["as_written"]["samples"] == [0.0] * 5 and lost["holds"] == "did not hold"
    assert figures["lock_hasty"]["median"] == 0
    assert all(len(one["samples"]) >= 5 for outcome in report["outcomes"] for one in outcome["figures"])
    assert json.loads((tmp_path / "outcomes.json").read_bytes()) == report and (tmp_path / "report.html").exists()


@pytest.mark.timeout(90)
@pytest.mark.slow
@pytest.mark.parametrize("name", ["deadlock", "pickle_failures", "local_isolation", "thread_identity"])
def test_facts_are_as_predicted(name: str) -> None:
    outcome = teach(name, HERE, read())
    assert outcome.prediction == "held", outcome.reasons


def test_a_case_that_hangs_or_ends_silently_has_no_answer() -> None:
    began = monotonic()
    assert answer_of(lambda tell: sleep(60), patience=0.2) is None
    assert answer_of(lambda tell: None, patience=60) is None
    assert answer_of(lambda tell, number: tell.send(number + 1), 1, patience=60) == 2
    assert monotonic() - began < 30


def test_a_page_is_the_number_of_its_connection() -> None:
    async def twice(port: int) -> list[int]:
        session = LoopSession(port)
        found = [await session.get(), await session.get()]
        session.close()
        return found

    with page_server(0.01) as port:
        began = monotonic()
        with closing(connect(port)) as one, closing(connect(port)) as other:
            assert [get(one), get(other), get(one)] == [1, 2, 1]
        assert asyncio.run(twice(port)) == [3, 3]
        assert fetch(port) == fetch(port) == 4
        assert monotonic() - began >= 0.07


def test_the_list_and_unknown_names() -> None:
    result = run("--list")
    assert result.exit_code == 0 and len(result.output.splitlines()) == len(experiments.NAMES)
    assert "did you mean 'gil'?" in str(run("--only", "gill").exception)
