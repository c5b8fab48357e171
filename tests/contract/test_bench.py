"""The pieces of `bench`: what counts as equal work, what a table says, which peers are there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import turbohtml

from crawler.bench import budget, peers, task
from crawler.bench.child_result import ChildResult
from crawler.bench.entrants import RAW, Mode, Outcome
from crawler.bench.page import page
from crawler.bench.present import as_json, ratios, table
from crawler.bench.race import Score
from crawler.bench.tls import TlsLoop
from crawler.bench.web import BenchSite, ServerCounts
from crawler.compare import analysis
from crawler.compare.launch import Cost
from crawler.compare.run_process import Crashed
from crawler.errors import UsageError
from crawler.system.invocation import pip_install
from tests.contract.written import check_page

URLS = frozenset(f"http://127.0.0.1/{n}" for n in range(4))
REFERENCE = task.Reference(URLS, {"200": 3, "404": 1}, "d1", 4_000)
COST = Cost(
    exit_code=0,
    started_at=1.0,
    ended_at=3.0,
    cpu=0.5,
    switches=0,
    memory=7_000_000,
    threads=1,
    processes=1,
    descriptors=1,
    own_cpu=0.0,
)
TASK = task.Task("http://127.0.0.1/", 8, (r"\.png$", r"\.gif$"), None, Path("crawl"), Path("urls"))
BASELINE = Outcome(rate=100.0, cpu=0.001, memory=0)


@pytest.mark.parametrize(
    ("outcome", "equal", "missing", "extra", "wrong"),
    [
        (Outcome(1, 1, 0), True, 0, 0, ""),
        (Outcome(1, 1, 0, urls=URLS, digest="d1", statuses=REFERENCE.statuses), True, 0, 0, ""),
        (Outcome(1, 1, 0, urls=URLS | {"http://127.0.0.1/x"}), False, 0, 1, ""),
        (Outcome(1, 1, 0, urls=frozenset()), False, 4, 0, ""),
        (Outcome(1, 1, 0, digest="d2"), False, 0, 0, "another digest: d2 instead of d1"),
        (Outcome(1, 1, 0, size=4_000), True, 0, 0, ""),
        (Outcome(1, 1, 0, size=3_999), False, 0, 0, "other bodies: 3,999 bytes instead of 4,000"),
        (Outcome(1, 1, 0, size=3_999, wrong="it lies"), False, 0, 0, "it lies"),
        (Outcome(1, 1, 0, statuses={"503": 4}), False, 0, 0, "other answers: 503: 4 instead of 200: 3, 404: 1"),
    ],
)
def test_work_is_equal_if_all_that_an_entrant_tells_is_as_the_first_crawl_found_it(
    outcome: Outcome, equal: bool, missing: int, extra: int, wrong: str
) -> None:
    score = Score(RAW)
    score.judge(outcome, REFERENCE)
    assert (score.equal, score.missing, score.extra, score.wrong) == (equal, missing, extra, wrong)


def test_a_later_round_that_is_equal_does_not_make_up_for_an_earlier_one() -> None:
    score = Score(RAW)
    score.judge(Outcome(1, 1, 0, urls=frozenset()), REFERENCE)
    score.judge(Outcome(1, 1, 0, urls=URLS), REFERENCE)
    assert not score.equal


def scores() -> list[Score]:
    """A mode over three rounds, and a peer that failed."""
    mode, peer = Score(Mode("async")), Score(peers.Wget2("wget2"), wrong="failed: no luck")
    for rate, cpu in ((20.0, 0.004), (30.0, 0.005), (10.0, 0.003)):
        mode.add(Outcome(rate, cpu, 50_000_000), BASELINE)
    return [mode, peer]


def test_the_table_has_means_ranges_and_who_is_absent() -> None:
    lines = table(TASK, REFERENCE, scores(), [peers.Absent("scrapy", "pip install it")]).lines
    assert lines[0] == "http://127.0.0.1/: 4 URLs, 4.0 kB, 8 in flight"
    assert " ".join(lines[5].split()) == "async 0.182 (0.1, 0.3) 3.91 (3, 5) 50 MB equal"
    assert " ".join(lines[6].split()) == "wget2 failed: no luck"
    assert " ".join(lines[7].split()) == "scrapy not here; to measure it too: pip install it"
    assert lines[-1] == "equal work: same URLs, answers and digests", "a peer is nobody of ours"


def test_the_json_object_says_the_same() -> None:
    told = as_json(TASK, REFERENCE, scores(), [])
    mode, peer = told["entrants"]
    assert told["equal"] and mode["equal"] and not peer["equal"]
    assert mode["rate"] == {"median": 0.2, "least": 0.1, "most": 0.3, "mean": 0.1817, "low": None, "high": None}
    assert (peer["rate"], peer["cpu"], peer["wrong"]) == (None, None, "failed: no luck")


def test_the_page_has_the_cells_of_the_table_and_needs_nothing_else() -> None:
    hostile = peers.Absent("scrapy", "<script>alert(1)</script>")
    shown = table(TASK, REFERENCE, scores(), [hostile])
    text = page(shown, {"by": "crawler bench '<b>'"})
    check_page(text)
    rows = [[cell.text for cell in row.select("th, td")] for row in turbohtml.parse(text).select("tr")]
    assert rows[0] == ["Entrant", "pages/s : raw", "CPU/page : raw", "PSS", "work"]
    assert rows[1] == ["async", "0.182 (0.1, 0.3)", "3.91 (3, 5)", "50 MB", "equal"]
    assert rows[2] == ["wget2", "", "", "", "failed: no luck"]
    assert rows[3][-1] == "not here; to measure it too: <script>alert(1)</script>"
    assert shown.verdict in text and "http://127.0.0.1/: 4 URLs, 4.0 kB, 8 in flight" in text
    wrong = Score(Mode("async"), wrong="another digest")
    assert "<b class=bad>WRONG: unequal work by async</b>" in page(table(TASK, REFERENCE, [wrong], []), {})
    over = budget.as_table([*spent(decide=9.0).values()])
    heads = [head.text for head in turbohtml.parse(page(over, {})).select("thead th")]
    assert heads == ["CPU per page : raw loop", "spent", "today", "target", "verdict"]


def test_five_rounds_have_the_interval_of_a_comparison_instead_of_the_range() -> None:
    found = [0.19, 0.2, 0.2, 0.2, 0.21]
    mean = analysis.level(dict(enumerate(found)))
    assert mean is not None and mean.known
    assert ratios(found) == f"0.2 [{mean.low:.3g}, {mean.high:.3g}]"
    score = Score(Mode("async"), rates=found, cpus=found)
    told = as_json(TASK, REFERENCE, [score], [])["entrants"][0]["rate"]
    assert (told["low"], told["high"]) == (round(mean.low, 4), round(mean.high, 4))
    assert "[95 % interval]" in table(TASK, REFERENCE, [score], []).lines[1]


def test_cpu_that_start_up_alone_takes_has_no_ratio() -> None:
    score = Score(Mode("async"), rates=[0.2, 0.3], cpus=[0.4, -0.1])
    assert "too little to tell" in table(TASK, REFERENCE, [score], []).lines[-2]
    told = as_json(TASK, REFERENCE, [score], [])["entrants"][0]
    assert told["cpu"] is None and told["rate"] is not None


def test_a_mode_is_asked_for_by_its_word_and_says_why_it_failed(tmp_path: Path) -> None:
    mode = Mode("threads+urllib3")
    told = mode.command(TASK, tmp_path)
    assert told[told.index("--mode") + 1] == "threads" and told[told.index("--client") + 1] == "urllib3"
    assert [told[at + 1] for at, word in enumerate(told) if word == "--exclude"] == list(TASK.exclude)
    (tmp_path / "out").write_text("{}")
    (tmp_path / "err").write_text("error: no such thing\n")
    with pytest.raises(Crashed, match="no such thing"):
        mode.outcome(COST, tmp_path)


def test_peers_that_are_not_there_are_named_with_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    there, absent = peers.find(("scrapy", "wget2"))
    assert (there, [one.name for one in absent]) == ([], ["scrapy", "wget2"])
    assert absent[0].how == pip_install("peers")
    program = tmp_path / "scrapy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (found,), _ = peers.find(("scrapy",))
    assert str(program) in found.command(TASK, tmp_path)


def test_wget2_is_told_what_to_leave_out_and_tells_what_it_fetched(tmp_path: Path) -> None:
    wget2 = peers.Wget2("wget2")
    assert r"--reject-regex=\.png$|\.gif$" in wget2.command(TASK, tmp_path)
    rows = "ID,URL,Status\n1,http://127.0.0.1/0,200\n2,http://127.0.0.1/0#top,200\n3,http://127.0.0.1/1,404\n"
    (tmp_path / peers.RESULT).write_text(rows)
    found = wget2.outcome(COST, tmp_path)
    assert found.urls is not None and set(found.urls) == {"http://127.0.0.1/0", "http://127.0.0.1/1"}
    assert (found.rate, found.cpu, found.memory) == (1.0, 0.25, 7_000_000)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://127.16.0.1:80/", "http://[::1]/", "http://localhost:8000/"]
)
def test_a_site_on_this_machine_needs_no_word(url: str) -> None:
    assert task.check(url, (), None, mine=False).seeds == (url.replace(":80/", "/"),)


@pytest.mark.parametrize("url", ["http://example.org/", "http://10.0.0.1/", "http://localhost.example.org/"])
def test_a_site_elsewhere_needs_its_owners_word(url: str) -> None:
    with pytest.raises(UsageError, match="say --mine"):
        task.check(url, (), None, mine=False)
    assert task.check(url, (), None, mine=True).seeds == (url,)


# ---- the budget of a page --------------------------------------------------------------------------------------------


def spent(**cpus: float) -> dict[str, budget.Spent]:
    found = {entrant.name: Score(entrant) for entrant in budget.ENTRANTS}
    for name, cpu in cpus.items():
        found[name].cpus.append(cpu)
    return {one.name: one for one in budget.spent_by([*found.values(), Score(RAW)])}


def test_stages_that_are_measured_together_are_told_apart_and_the_rest_is_what_no_stage_took() -> None:
    found = spent(fetch=0.3, tree=1.0, links=1.5, fingerprint=2.5, decide=0.5, **{budget.WHOLE: 6.0})
    assert {name: pytest.approx(one.spent) for name, one in found.items()} == {
        "fetch": 0.3,
        "tree": 1.0,
        "links": 0.5,
        "fingerprint": 1.0,
        "decide": 0.5,
        "rest": 6.0 - 3.3,
        budget.WHOLE: 6.0,
    }


def test_a_stage_is_over_its_budget_where_it_takes_clearly_more_than_the_last_time() -> None:
    line = budget.LINES["decide"].today
    assert not spent(decide=line * 1.2)["decide"].is_over
    over = spent(decide=line * 1.4)
    assert over["decide"].is_over
    shown = budget.as_table([*over.values()])
    assert shown.lines[1].endswith(" OVER") and shown.lines[-1] == "over the budget: decide"
    assert budget.as_fields([*over.values()])["decide"]["over"] is True


def test_every_line_of_the_budget_has_a_target_below_what_is_spent_today() -> None:
    assert all(0 < line.target <= line.today for line in budget.LINES.values())
    stages = sum(line.today for name, line in budget.LINES.items() if name != budget.WHOLE)
    assert stages == pytest.approx(budget.LINES[budget.WHOLE].today, abs=0.1)


# ---- over https ------------------------------------------------------------------------------------------------------

PATHS = ("/0", "/1", "/2", "/3")


def result(connections: int, statuses: dict[str, int] = REFERENCE.statuses, size: int = 4_000) -> ChildResult:
    return ChildResult(4, 1.0, 0.5, statuses, size=size, connections=connections)


def counts(
    connections: int, paths: tuple[str, ...] = PATHS, handshakes: int | None = None, resumed: int = 0
) -> ServerCounts:
    made = connections if handshakes is None else handshakes
    return ServerCounts(paths, REFERENCE.statuses, 4_000, connections, made, resumed)


@pytest.mark.parametrize(
    ("closing", "told", "counted", "wrong"),
    [
        (False, result(2), counts(2), ""),
        (False, result(1), counts(1), ""),
        (True, result(4), counts(4), ""),
        (True, result(4), None, ""),
        (False, result(3), None, ""),  # a server may end connections when it likes to
        (False, result(4), None, "4 connections, though 2 kept ones are enough"),
        (False, result(3), counts(3), "3 connections, though 2 kept ones are enough"),
        (True, result(2), counts(2), "2 connections for 4 pages"),
        (True, result(5), None, "5 connections for 4 pages"),
        (True, result(4), counts(3), "began 4 connections, the server accepted 3"),
        (False, result(2), counts(4), "began 2 connections, the server accepted 4"),
        (True, result(4), counts(4, handshakes=3), "4 connections had 3 handshakes, 0 of them resumed"),
        (True, result(4), counts(4, resumed=1), "4 connections had 4 handshakes, 1 of them resumed"),
        (False, result(2), counts(2, PATHS[:3]), "4 pages took 3 requests"),
        (False, result(2), counts(2, (*PATHS, "/0")), "4 pages took 5 requests"),
        (False, result(2, {"200": 4}), counts(2), "says 200: 4, the server 200: 3, 404: 1"),
        (False, result(2, size=9), counts(2), "received 9 bytes of bodies, the server sent 4,000"),
    ],
)
def test_a_loop_over_https_must_agree_with_what_the_server_counted(
    closing: bool, told: ChildResult, counted: ServerCounts | None, wrong: str
) -> None:
    loop = TlsLoop(RAW, BenchSite("https://127.0.0.1/"), 2, closing=closing)
    assert loop.difference(told, counted) == wrong


def test_the_urls_of_a_loop_over_https_are_those_that_the_server_was_asked_for(tmp_path: Path) -> None:
    left = [counts(9), counts(2, ("/0", "/1", "/0", "/1"))]
    loop = TlsLoop(RAW, BenchSite("https://127.0.0.1/", "ca.pem", lambda: left.pop(0)), 2, closing=False)
    assert loop.command(TASK, tmp_path)[-2:] == ["ca.pem", "Accept-Encoding=identity"]
    (tmp_path / "out").write_bytes(msgspec.json.encode(result(2)))
    outcome = loop.outcome(COST, tmp_path)
    assert outcome.urls == frozenset({"https://127.0.0.1/0", "https://127.0.0.1/1"}), (
        "what it did before was not for the loop"
    )
