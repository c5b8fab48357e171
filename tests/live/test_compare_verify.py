"""`compare verify` finds a figure that was changed afterwards, in any file, and tells what it did not check."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from crawler.cli.compare import compare
from crawler.cli.signals import Signals
from crawler.compare import preregistration, raw_logs, report, session, session_files
from crawler.compare.merge import merge
from crawler.compare.records import Gate, Trial
from crawler.compare.verify import unchecked, verify
from crawler.errors import Corrupt, UsageError
from tests.live.trials import HERE, tiny

FILES = (
    *("session.json", "preregistration.json", "trials.jsonl", "raw/00003.zst"),
    *("report.html", "report.md", "report.json", "trials.csv"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny comparison with its reports."""
    folder = tmp_path_factory.mktemp("finished") / "c"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "environment", lambda: dict(HERE))
        session_files.begin(folder, tiny())
        assert session.conduct(folder)
    report.write(folder)
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(finished, tmp_path / "c"))


def command(*words: str) -> tuple[int, str]:
    """Exit code and output of `compare ...`."""
    done = CliRunner().invoke(compare, words, obj=Signals(), standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


def record(folder: Path, trials: Sequence[Trial]) -> None:
    """Write other trials, and reports that fit them."""
    (folder / "trials.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(trials))
    report.write(folder)


def test_a_comparison_that_nobody_touched_is_fine(finished: Path) -> None:
    assert (verify(finished), unchecked(finished)) == ([], [])
    code, told = command("verify", str(finished))
    assert (code, told.splitlines()[0]) == (0, "fine: 6 trials, 0 of them void")


@pytest.mark.parametrize("name", FILES)
def test_a_digit_that_was_changed_in_any_file_is_found(copy: Path, name: str) -> None:
    honest, dice = (copy / name).read_bytes(), random.Random(name)
    digits = [place for place, byte in enumerate(honest) if chr(byte).isdigit()]
    for place in dice.sample(digits, 5):
        other = b"0" if honest[place : place + 1] == b"9" else b"9"
        (copy / name).write_bytes(honest[:place] + other + honest[place + 1 :])
        try:
            found = verify(copy)
        except (Corrupt, UsageError) as error:
            found = [str(error)]
        assert found, f"byte {place} of {name}"


@pytest.mark.parametrize("metric", ["steady_rate", "crawl_rate", "cpu_per_1000", "memory", "overhead_p50", "commits"])
def test_a_figure_that_was_changed_with_all_reports_is_found(copy: Path, metric: str) -> None:
    trials = session_files.read_trials(copy)
    trials[3].metrics[metric] += 1
    record(copy, trials)
    found = verify(copy)
    assert len(found) == 1 and found[0].startswith(f"line 4: trial 3 has {metric} {trials[3].metrics[metric]}")
    assert command("verify", str(copy))[0] == 1


def test_a_trial_that_was_made_valid_or_void_and_a_lost_raw_log_are_found(copy: Path) -> None:
    trials, replace = session_files.read_trials(copy), msgspec.structs.replace
    trials[2] = replace(trials[2], gates=tuple(Gate(one.name, False) for one in trials[2].gates))
    trials[3] = replace(trials[3], gates=(Gate("G1", False, "it hung"),), metrics={}, raw="")
    record(copy, trials)
    raw_logs.path_of(copy, 4).write_bytes(b"no log")
    raw_logs.path_of(copy, 5).unlink()
    found = verify(copy)
    assert found[0] == "line 3: trial 2 has other gates than its raw log gives"
    assert found[1] == "line 4: trial 3 is recorded without the digest of its raw log"
    assert "00004.zst is not the raw log that was recorded" in found[2]
    assert "00005.zst cannot be read" in found[3] and len(found) == 4


def test_another_log_cannot_take_the_place_of_a_raw_log(copy: Path) -> None:
    shutil.copy(raw_logs.path_of(copy, 2), raw_logs.path_of(copy, 3))
    assert "00003.zst is not the raw log" in verify(copy)[0]


def test_what_is_not_checked_is_told(copy: Path) -> None:
    (copy / "report.md").rename(copy / "copy.md")
    (copy / "report.csv").write_text("threads,9999\n")
    (copy / "report.html").unlink()
    assert verify(copy) == []
    assert unchecked(copy) == ["report.html: it is not there", "report.md: it is not there", "report.csv: not ours"]
    code, told = command("verify", str(copy))
    assert code == 0 and "  unchecked  report.csv: not ours" in told


def test_what_was_fixed_before_cannot_be_changed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = json.loads((copy / "preregistration.json").read_bytes())
    fixed["design"]["predictions"][0]["expect"] = "faster"
    (copy / "preregistration.json").write_text(json.dumps(fixed))
    assert verify(copy) == [
        "preregistration.json was changed",
        "predictions of the session is not what was fixed in preregistration.json",
    ]
    monkeypatch.setattr(session, "environment", lambda: dict(HERE))
    with pytest.raises(UsageError, match=r"fixed before its first trial: preregistration\.json was"):
        session.conduct(copy)
    (copy / "preregistration.json").unlink()
    with pytest.raises(Corrupt, match=r"preregistration\.json cannot be read"):
        verify(copy)


def test_other_rules_than_those_fixed_before_are_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(preregistration.RULES, "words: region of equivalence", 0.1)
    assert verify(copy) == ["the rule 'words: region of equivalence' was 0.03, and is 0.1 in this version"]


def test_the_report_for_programs_names_its_sources(finished: Path) -> None:
    told = json.loads((finished / "report.json").read_bytes())
    fixed = session_files.read_session(finished).preregistration
    assert (told["format"], told["machine"]["cpu"], told["preregistration"]) == (3, "a test", fixed)
    assert told["raw"] == {str(one.order): one.raw for one in session_files.read_trials(finished)}
    assert told["conditions"][0]["concurrency"] == 8
    assert "Of 1 prediction made before the first trial: 0 held, 0 failed, 1 open." in told["findings"]
    assert report.verdicts(finished)[-1].startswith("predicted: async again equivalent to async (headline): open, ")
    for name in ("report.html", "report.md"):
        written = (finished / name).read_text()
        assert fixed in written and "predicted: async again equivalent to async (headline)" in written


# ---- several machines ------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(finished: Path, tmp_path: Path) -> Path:
    """The same comparison, with the same trials, on a machine that is called another."""
    folder = tmp_path / "elsewhere"
    session_files.begin(folder, msgspec.structs.replace(tiny(), environment=tiny().environment | {"cpu": "another"}))
    shutil.copy(finished / "trials.jsonl", folder)
    shutil.copytree(finished / "raw", folder / "raw")
    return folder


def test_a_merge_is_verified_down_to_the_raw_logs(finished: Path, elsewhere: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    assert command("merge", str(finished), str(elsewhere), "--out", str(out)) == (0, f"  merged     {out}/merge.html\n")
    assert command("verify", str(out)) == (0, "fine: a merge of comparisons\n")
    for name in ("merge.json", "merge.md", "machines/2/trials.jsonl", "machines/1/raw/00002.zst"):
        honest = (out / name).read_bytes()
        place = max(place for place, byte in enumerate(honest[:-100]) if chr(byte).isdigit())
        (out / name).write_bytes(honest[:place] + (b"0" if honest[place] == 57 else b"9") + honest[place + 1 :])
        assert command("verify", str(out))[0] == 1, name
        (out / name).write_bytes(honest)
    (out / "merge.md").unlink()
    assert command("verify", str(out)) == (0, "fine: a merge of comparisons\n  unchecked  merge.md: it is not there\n")


def test_what_is_not_one_design_is_not_merged(finished: Path, elsewhere: Path, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        merge([finished], tmp_path / "merged")
    with pytest.raises(UsageError, match="is the same comparison as"):
        merge([finished, copy], tmp_path / "merged")
    session_files.begin(tmp_path / "other", msgspec.structs.replace(tiny(), blocks={"headline": 1}))
    with pytest.raises(UsageError, match="are not of one design: other blocks"):
        merge([finished, tmp_path / "other"], tmp_path / "merged")
    trials = session_files.read_trials(copy)
    trials[3].metrics["steady_rate"] *= 2
    record(copy, trials)
    with pytest.raises(UsageError, match="cannot be merged: line 4: trial 3 has steady_rate"):
        merge([elsewhere, copy], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    with pytest.raises(UsageError, match="is there already"):
        merge([finished, elsewhere], copy)
