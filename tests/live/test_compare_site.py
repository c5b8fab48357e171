"""A comparison on somebody's site: a web of ours on loopback that is treated as a stranger's, without its oracle."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

import variants
from crawler.cli.compare import compare
from crawler.cli.signals import Signals
from crawler.compare import gates, session_files, site
from crawler.compare.design import schedule
from crawler.compare.live import LiveTrials
from crawler.compare.records import Trial
from crawler.compare.verify import unchecked, verify
from crawler.errors import UsageError
from crawler.testweb.flat import NAME
from crawler.testweb.log import FLUSH_SECONDS, LogEntry, read_log
from crawler.testweb.process import StartedWeb, start_web

PAGES, LISTED = 60, 24
GATES = ["G1", "G2", "G4", "G9"]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StartedWeb, Path]]:
    """A site that has a page that is not there, and its log."""
    log = tmp_path_factory.mktemp("site") / "log"
    with start_web(flat=PAGES, latency=0.005, log=log) as started:
        yield started, log


@pytest.fixture
def configuration(web: tuple[StartedWeb, Path], tmp_path: Path) -> Path:
    """What the owner of the site would write: where it is, and that it may be asked fast."""
    (name, address), path = next(iter(web[0].settings.resolve.items())), tmp_path / "mine.toml"
    path.write_text(f'delay = 0.0\nper_host = 4\n[resolve]\n"{name}" = "{address}"\n')
    return path


def asked_since(web: tuple[StartedWeb, Path], began: int) -> list[LogEntry]:
    """What the site was asked since its log had so many entries, once it has written down the last of it."""
    time.sleep(5 * FLUSH_SECONDS)
    return read_log(web[1])[began:]


def told(*words: str) -> Result:
    """The outcome of `compare ...`."""
    return CliRunner().invoke(compare, words, obj=Signals(), standalone_mode=False)


@pytest.fixture
def on_a_list(configuration: Path, tmp_path: Path) -> list[str]:
    """A comparison of one block on a list of URLs, one of which is not there."""
    urls = tmp_path / "urls.txt"
    urls.write_text("# mine\n" + "".join(f"http://{NAME}/page-{n}.html\n" for n in [*range(LISTED), 999]))
    return ["--urls", str(urls), "--config", str(configuration), "--blocks", "1", "--lenient", "--concurrency", "4"]


def test_arms_that_agree_are_valid_and_the_report_says_what_is_not_known(on_a_list: list[str], tmp_path: Path) -> None:
    done = told(*on_a_list, "--out", str(tmp_path / "c"))
    assert (done.exception, done.return_value) == (None, 0), done.output
    trials = session_files.read_trials(tmp_path / "c")
    assert len(trials) == 2 * (len(variants.names()) + 1)
    assert all(one.valid for one in trials if not one.warm_up)
    assert all([gate.name for gate in one.gates] == GATES for one in trials)
    assert len({one.ends for one in trials}) == len({one.digest for one in trials}) == 1
    for one in trials:
        assert {"steady_rate", "cold_rate", "cpu_per_1000", "memory", "first_byte_p50"} <= one.metrics.keys()
        assert "in_flight" not in one.metrics, "nobody but the crawl could say"
        assert one.metrics["first_byte_p50"] > 3, "the site takes 5 ms, give or take the whole ms of its timers"
    for name in ("report.html", "report.md"):
        report = (tmp_path / "c" / name).read_text()
        assert "No oracle and no referee" in report
        assert "25 URLs" in report
        assert "provably equal" not in report and "Loopback" not in report
    assert not verify(tmp_path / "c")
    assert unchecked(tmp_path / "c") == ["site.toml: it configures the crawls"]
    trials[3].metrics["steady_rate"] *= 2
    (tmp_path / "c" / "trials.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(trials))
    assert verify(tmp_path / "c")[0].startswith("line 4: trial 3 has steady_rate")


def test_a_site_is_walked_once_and_each_arm_asks_for_that_list(
    web: tuple[StartedWeb, Path], configuration: Path, tmp_path: Path
) -> None:
    began = len(asked_since(web, 0))
    asked = ["--url", f"http://{NAME}/", "--pages", "12", "--config", str(configuration), "--blocks", "1"]
    done = told(*asked, "--modes", "async", "--lenient", "-q", "--out", str(tmp_path / "c"))
    assert (done.exception, done.return_value) == (None, 0), done.output
    plan = session_files.read_session(tmp_path / "c")
    assert plan.site and len(plan.site.urls) == 12
    paths = [entry.path for entry in asked_since(web, began) if entry.path != "/robots.txt"]
    assert len(paths) == 12 * (1 + 4), "the walk, then two arms in two blocks"
    assert {f"http://{NAME}{path}" for path in paths} == set(plan.site.urls)


def test_an_arm_that_comes_to_other_ends_is_void(
    on_a_list: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = site.command

    def faulty(arm, *rest):  # type: ignore[no-untyped-def]
        command = honest(arm, *rest)
        return command[:-1] if arm.twin_of else command

    monkeypatch.setattr(site, "command", faulty)
    done = told(*on_a_list, "--modes", "async", "--out", str(tmp_path / "c"))
    assert done.return_value == 1
    judged = [one for one in session_files.read_trials(tmp_path / "c") if one.block == 1]
    assert [one.valid for one in judged] == [True, False]
    assert "no oracle: other ends" in judged[1].failed[0]


def test_bodies_that_differ_only_warn(on_a_list: list[str], tmp_path: Path) -> None:
    told(*on_a_list, "--modes", "async", "--out", str(tmp_path / "c"))
    plan, trials = session_files.read_session(tmp_path / "c"), session_files.read_trials(tmp_path / "c")
    assert plan.site
    changed = [msgspec.structs.replace(one, digest="0" * 32) for one in trials if one.block == 1]
    again = LiveTrials(plan.site, tmp_path / "c", 0.0, plan.seed, strict=False)
    (tmp_path / "work").mkdir()
    planned = schedule(plan)[-1]
    found: Trial = again.run(planned, tmp_path / "work", changed, lambda: False)
    assert found.valid
    assert gates.warnings([found])[0].startswith("G1 in 1 trials: no oracle: the same ends as async")


def test_politeness_holds_within_and_between_trials(
    web: tuple[StartedWeb, Path], configuration: Path, tmp_path: Path
) -> None:
    delay, began = 0.4, len(asked_since(web, 0))
    configuration.write_text(configuration.read_text().replace("delay = 0.0", f"delay = {delay}"))
    (tmp_path / "urls").write_text(f"http://{NAME}/page-1.html\nhttp://{NAME}/page-2.html\n")
    asked = ["--urls", str(tmp_path / "urls"), "--config", str(configuration), "--blocks", "1", "--modes", "async"]
    done = told(*asked, "--lenient", "-q", "--out", str(tmp_path / "c"))
    assert done.return_value == 0, done.output
    entries = asked_since(web, began)
    assert len(entries) == 4 * 3
    assert min(second.at - first.end for first, second in pairwise(entries)) > delay - 0.002
    found = json.loads((tmp_path / "c" / "report.json").read_text())["results"]
    assert found["headline"]["ceilings"]["politeness"] == pytest.approx(1 / delay)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--pages", "5"], "either --url or --urls"),
        (["--url", "http://a.test/", "--urls", "x"], "either --url or --urls"),
        (["--urls", "/nowhere/urls"], "cannot read the URLs"),
        (["--url", "http://a.test/", "--profile", "rude"], "unknown profile"),
        (["--url", "http://127.0.0.1:8/"], "nothing to compare on"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_made(
    words: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = tmp_path / "quick.toml"
    quick.write_text("robots = false\nbackoff = 0.01\ndelay = 0.0\nhost_patience = 0.5\n")
    done = told(*words, "--config", str(quick), "--out", "c")
    assert isinstance(done.exception, UsageError)
    assert why in str(done.exception)
    assert not (tmp_path / "c").exists()


def test_a_limit_that_depends_on_order_is_refused(configuration: Path) -> None:
    configuration.write_text("max_pages = 100\n" + configuration.read_text())
    with pytest.raises(UsageError, match="must not depend on the order of pages: remove max_pages = 100"):
        site.manners("polite", configuration)


def test_lists_are_canonical_and_bounded() -> None:
    assert site.listed(["http://A.test", "  http://a.test/ ", "", "# no"]) == ("http://a.test/",)
    with pytest.raises(UsageError, match="no URL"):
        site.listed(["# nothing"])
    with pytest.raises(UsageError, match="at most 1000"):
        site.listed(f"http://a.test/{n}" for n in range(1001))
