"""The report of a comparison: whole, self-contained, safe against names from anywhere, and the same every time."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest
import turbohtml

from crawler.compare import report
from crawler.compare.html_report.book import KEYS, SPECIAL
from crawler.compare.html_report.figures import Lane, forest
from crawler.compare.html_report.method import WORDS
from crawler.compare.html_report.numbers import span
from crawler.compare.html_report.page import MANY
from crawler.compare.intervals import Estimate
from crawler.compare.records import Arm, Condition, Gate
from crawler.compare.results import results
from crawler.report.numbers import number, seconds, trimmed
from crawler.report.svg import Axis, escape, linear, logarithmic
from tests.contract import comparisons

FILES = ("report.html", "report.md", "report.json", "trials.csv")
HOSTILE = "<script>alert(1)</script>\"'&--><img src=http://evil.test/x onerror=alert(2)>|`*"


@pytest.fixture(scope="module", params=["smoke", "quick", "standard"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with its report."""
    made = tmp_path_factory.mktemp("session") / str(request.param)
    plan = comparisons.session(request.param)
    comparisons.write(made, plan, comparisons.trials(plan))
    report.write(made)
    return made


def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def text_of(part: turbohtml.Document | turbohtml.Element, selector: str) -> str:
    found = part.select_one(selector)
    assert found, selector
    return found.text


def test_it_needs_nothing_but_itself(folder: Path) -> None:
    document = turbohtml.parse(html(folder))
    policy = document.select("meta[http-equiv]")[0].attrs["content"]
    scripts = re.findall(r"<script>(.*?)</script>", html(folder), re.DOTALL)
    allowed = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    script = f" script-src 'sha256-{allowed[0]}';" if allowed else ""
    assert len(scripts) == len(document.select(".calculator")) <= 1
    assert policy == f"default-src 'none';{script} style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert not re.findall(r"https?://|//[a-z]|@import|url\(|<link|<iframe|\son\w+=|fetch\(|import\(", html(folder))
    assert (folder / "report.html").stat().st_size < 1_000_000


def test_every_figure_has_title_footer_drawings_and_table(folder: Path) -> None:
    figures = turbohtml.parse(html(folder)).select("figure")
    assert len(figures) >= 5
    for figure in figures:
        assert text_of(figure, "h3").strip()
        assert "data " in text_of(figure, "footer")
        drawings, tables = figure.select("svg.chart"), figure.select("table")
        assert len(tables) == 1 + len(figure.select(".calculator table"))
        assert all(drawing.attrs["aria-label"] for drawing in drawings)
        rows = tables[-1].select("tr")
        assert len(rows) >= 2
        assert bool(figure.select("details")) == (bool(drawings) or len(rows) > 1 + MANY)
        assert len({len(row.select("th, td")) for row in rows}) == 1


def test_only_what_is_drawn_is_explained(folder: Path) -> None:
    document = turbohtml.parse(html(folder))
    for figure in document.select("figure"):
        reading = " ".join(note.text for note in figure.select("p.note"))
        for name in ("Little's law", "raw client loop"):
            assert name not in reading or name in "".join(part.text for part in figure.select("svg.chart .named"))
        for kind, meaning in SPECIAL.items():
            assert (meaning in reading) == bool(figure.select(f"svg.chart .{kind}")), kind
        legend = {item.text.strip() for item in figure.select(".legend li")}
        assert legend <= {arm.name for arm in comparisons.ARMS}
    for kind, meaning in KEYS.items():
        assert (meaning in text_of(document, "main")) == bool(document.select(f"svg.chart .{kind}")), kind


def test_every_trial_is_in_a_table(folder: Path) -> None:
    session, trials, _ = report.read(folder)
    [table] = [one for one in turbohtml.parse(html(folder)).select("#order table") if "block" in text_of(one, "thead")]
    cells = [cell.text for row in table.select("tbody tr") for cell in row.select("td")[1:]]
    assert len(cells) == len(trials) and all(cells)
    assert sum("void (" in cell for cell in cells) == sum(not (one.valid or one.warm_up) for one in trials) == 3
    assert sum("warm-up" in cell for cell in cells) == len(session.arms)


def test_void_trials_are_counted_for_each_arm(folder: Path) -> None:
    _, trials, _ = report.read(folder)
    rows = [[cell.text for cell in row.select("th, td")] for row in turbohtml.parse(html(folder)).select("#work tr")]
    for arm in comparisons.ARMS:
        ours = [trial for trial in trials if trial.arm == arm.name and not trial.warm_up]
        assert [arm.name, f"{len(ours):,}", f"{sum(not one.valid for one in ours)}", "1"] in rows


def test_a_busy_machine_is_in_the_banner(folder: Path, tmp_path: Path) -> None:
    session, trials, _ = report.read(folder)
    noise = Gate("G9", True, "warning: other processes took 31.0% of all cores")
    loud = [msgspec.structs.replace(one, gates=(noise,)) if one.order in (3, 4) else one for one in trials]
    comparisons.write(tmp_path, session, loud)
    report.write(tmp_path)
    said = f"Other processes disturbed 2 of {len(trials):,} trials, the first so: other processes took 31.0% of all"
    assert said in text_of(turbohtml.parse(html(tmp_path)), "header")
    assert said in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "a busy machine" not in html(folder)


def test_an_interval_beyond_the_axis_ends_in_an_arrow() -> None:
    far = Lane(0, "a / b", [30.0, 40.0], Estimate(35.0, 25.0, 60.0, 5))
    near = Lane(0, "a / b", [1.0, 1.1], Estimate(1.05, 1.0, 1.1, 5))
    assert 'class="arrow"' in forest([far], 0.03, "") and 'class="arrow"' not in forest([near], 0.03, "")
    few = Lane(0, "a / b", [1.0, 90.0], Estimate(9.0, 1.0, 90.0, 2))
    assert not re.search('class="(arrow|ci)', forest([few], 0.03, ""))


def test_ids_are_unique_and_links_lead_somewhere(folder: Path) -> None:
    document = turbohtml.parse(html(folder))
    ids = [element.attrs["id"] for element in document.select("[id]")]
    assert len(ids) == len(set(ids))
    assert {link.attrs["href"] for link in document.select("a")} <= {f"#{found}" for found in ids}


def test_void_trials_and_the_watermark_are_shown(folder: Path) -> None:
    page = html(folder)
    assert "3 did not and are void" in page
    assert "exit 70 after 2.1 s" in page and "3,999 of 4,000 records: digest differs" in page
    exploratory = folder.name != "standard"
    assert ('class="mark">exploratory: no claims' in page) == exploratory
    assert ('<body class="draft">' in page) == exploratory


def test_sections_without_data_are_named(folder: Path) -> None:
    text = text_of(turbohtml.parse(html(folder)), "#method")
    assert ("Slow servers: this sweep was not run" in text) == (folder.name == "smoke")
    assert "Workers: this sweep was not run" in text


def test_the_numbers_are_those_of_the_analysis(folder: Path) -> None:
    session, trials, data = report.read(folder)
    told = json.loads((folder / "report.json").read_bytes())
    assert told["results"] == json.loads(msgspec.json.encode(results(session, trials)))
    assert told["data"] == data == hashlib.sha256((folder / "trials.jsonl").read_bytes()).hexdigest()
    found = results(session, trials).headline
    assert found
    page = html(folder)
    for row in found.rows:
        assert escape(number(row.levels["steady_rate"].value)) in page
        if row.ratio:
            assert f"{escape(number(row.ratio.value))}<small>{escape(span(row.ratio))}</small>" in page
    assert all(escape(sentence) in page for sentence in told["findings"])


def test_equal_trials_give_equal_files(folder: Path, tmp_path: Path) -> None:
    for name in ("session.json", "trials.jsonl"):
        shutil.copy(folder / name, tmp_path)
    report.write(tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_markdown_has_the_same_tables(folder: Path) -> None:
    written = (folder / "report.md").read_text(encoding="utf-8")
    figures = turbohtml.parse(html(folder)).select("figure")
    assert written.count("\n| --- |") == len(figures) + 1
    assert "## Method" in written and "void" in written


def test_csv_has_every_trial(folder: Path) -> None:
    session, trials, _ = report.read(folder)
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["order"]) for row in rows] == [trial.order for trial in trials]
    assert sum(row["valid"] == "True" for row in rows) == sum(trial.valid for trial in trials)
    rates = [trial.metrics.get("steady_rate") for trial in trials]
    assert [float(row["steady_rate"]) if row["steady_rate"] else None for row in rows] == rates
    assert session.conditions[0].sweep == rows[0]["sweep"]


def test_names_from_anywhere_stay_text(tmp_path: Path) -> None:
    arms = (
        Arm(HOSTILE, "async", HOSTILE),
        Arm("=cmd()", "threads", "curl"),
        Arm("again", "async", "x", twin_of=HOSTILE),
    )
    plan = comparisons.session("smoke", arms=arms)
    plan = msgspec.structs.replace(
        plan, command=HOSTILE, environment={HOSTILE: HOSTILE, "cpu": HOSTILE, "cores": "many"}
    )
    run = comparisons.trials(plan, invalid=False)
    gate = msgspec.structs.replace(run[4].gates[0], name=HOSTILE, passed=False, detail=HOSTILE)
    run[4] = msgspec.structs.replace(run[4], gates=(gate,))
    comparisons.write(tmp_path, plan, run)
    report.write(tmp_path)
    document = turbohtml.parse(html(tmp_path))
    assert not document.select("img, iframe, [onerror], script")
    assert HOSTILE in text_of(document, "#method")
    assert "<script>" not in html(tmp_path)
    written = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<(script|img)", written)
    assert ",'=cmd()," in (tmp_path / "trials.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_session_cut_short_still_has_a_report(tmp_path: Path, blocks: int) -> None:
    plan = comparisons.session("quick")
    run = [trial for trial in comparisons.trials(plan, invalid=False) if trial.order < 12 * blocks]
    comparisons.write(tmp_path, plan, run)
    with (tmp_path / "trials.jsonl").open("ab") as lines:
        lines.write(b'{"block":3,"order":')
    report.write(tmp_path)
    assert "exploratory: no claims" in html(tmp_path)
    assert len(report.read(tmp_path)[1]) == 12 * blocks


def test_a_live_site_without_steady_window_or_latency(tmp_path: Path) -> None:
    condition = Condition(sweep="headline", workload="site", latency=0.0, concurrency=2)
    plan = comparisons.session(
        "quick", conditions=(condition,), command="python -m crawler compare --url http://a.test/"
    )
    run = [
        msgspec.structs.replace(trial, metrics={"cold_rate": trial.metrics["cold_rate"]})
        for trial in comparisons.trials(plan, invalid=False)
    ]
    comparisons.write(tmp_path, plan, run)
    report.write(tmp_path)
    found = json.loads((tmp_path / "report.json").read_bytes())["results"]["headline"]
    assert found["rate"] == "cold_rate" and found["ceilings"] == {} and len(found["rows"]) == 5
    assert 'href="http' not in html(tmp_path) and 'src="http' not in html(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2183.4, "2,180"), (183.46, "183"), (18.346, "18.3"), (0.12345, "0.123"), (-0.5, "\N{MINUS SIGN}0.500")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_units() -> None:
    assert [seconds(value) for value in (0.0, 0.001, 0.05, 1.0)] == ["0 s", "1 ms", "50 ms", "1 s"]
    assert [trimmed(text) for text in ("50.0 MB", "1.50", "1,000", "0.300 s", "10")] == [
        "50 MB",
        "1.5",
        "1,000",
        "0.3 s",
        "10",
    ]


def test_axes_keep_order_and_a_slot_for_zero() -> None:
    axis = logarithmic([0.0, 0.001, 0.01, 1.0], 0, 100)
    places = [axis.at(value) for value in (0.0, 0.001, 0.01, 1.0)]
    assert places == sorted(places) and len(set(places)) == 4 and places[0] == 0
    assert linear([3.0, 7.0], 0, 100).at(0) == 0
    assert Axis(1, 1000, 0, 100, log=True).ticks(4) == [1, 10, 100, 1000]


def test_a_reader_is_told_the_command_as_it_was_called(tmp_path: Path) -> None:
    for command, program in (("/opt/x/crawler compare --preset quick", "/opt/x/crawler"), ("odd", "python -m crawler")):
        plan = comparisons.session("quick", command=command)
        comparisons.write(tmp_path, plan, comparisons.trials(plan))
        report.write(tmp_path)
        assert f"<code>{program} compare report DIR</code>" in html(tmp_path)


def test_the_words_of_the_report_are_explained_in_it(folder: Path) -> None:
    document = turbohtml.parse(html(folder))
    explained = [term.text for term in document.select("#method dl")[0].select("dt")]
    assert explained == list(WORDS)
    told = (folder / "report.md").read_text(encoding="utf-8")
    assert all(f"- {word}: " in told for word in ("arm", "gate", "PSS"))
