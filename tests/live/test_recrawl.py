"""Re-crawls from the command line: the same result in every mode, whatever is killed, and what people and scripts see.

The site has layers of pages that take a moment each, so that a kill comes in the middle.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import variants
from crawler.storage.diff import Unchanged, diff
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import chosen
from crawler.storage.verify import audit
from tests.contract.changing_site import ChangingSite, changing_site, page
from tests.live.test_cli import Ran, run, start

MODES = variants.names()
PAGES = 40
EDITED, REMOVED, ADDED = range(5, 12), range(30, 33), ("a", "b")
UNLINKED = "old"
"""Home links to it at first."""
POINTS = ("store.flush=kill", "recorder.flushed=kill", "recorder.committed=kill", "frontier.commit=kill")


@pytest.fixture
def site() -> Iterator[ChangingSite]:
    links = [f"/{number}" for number in range(PAGES)]
    bodies = {f"/{number}": page(f"page {number}", *links[2 * number : 2 * number + 3]) for number in range(PAGES)}
    home = page("home", *links, UNLINKED)
    with changing_site({"/": home, f"/{UNLINKED}": page("old"), **bodies}) as served:
        yield served


def crawl(site: ChangingSite, cwd: Path, mode: str, *more: str) -> Ran:
    ran = run(site.url, *QUICK, "--mode", mode, "--out", "c", *more, cwd=cwd)
    assert ran.code == 0, ran
    return ran


QUICK = ("--delay", "0", "--per-host", "4", "--concurrency", "8", "--processes", "2", "--json", "-q")


def edit(site: ChangingSite) -> None:
    """Edit, remove and add some pages, and remove the only link to another."""
    for number in EDITED:
        site.pages[f"/{number}"] = page(f"edited {number}", "/")
    for number in REMOVED:
        site.pages[f"/{number}"] = 404
    site.pages |= {f"/{name}": page(f"added {name}") for name in ADDED}
    site.pages["/"] = page("home", *(f"/{number}" for number in range(PAGES)), *ADDED)


def check(site: ChangingSite, cwd: Path, summary: dict[str, object]) -> None:
    """The re-crawl after `edit` is whole, and its diff is exactly that."""
    assert (summary["generation"], summary["complete"], summary["out"]) == (1, True, "c"), summary
    same = PAGES - len(EDITED) - len(REMOVED) + 1
    assert (summary["not_modified"], summary["pages"]) == (same, same + len(EDITED) + len(ADDED) + 1)
    found = diff(cwd / "c")
    assert found.new == sorted(site.at(name) for name in ADDED)
    assert {(one.url, one.why) for one in found.gone} == {(site.at(str(number)), "404") for number in REMOVED}
    assert {one.url for one in found.changed} == {site.url, *(site.at(str(number)) for number in EDITED)}
    assert (found.moved, found.uncertain, found.unchanged) == ([], [], Unchanged(same))
    for number in (0, 1):
        read = audit(CrawlDirectory.open_readonly(chosen(cwd / "c", number)))
        assert (read.wrong, read.orphans) == (0, 0), read


def test_a_re_crawl_is_the_same_in_every_mode(site: ChangingSite, tmp_path: Path) -> None:
    crawl(site, tmp_path, "prefork")
    edit(site)
    digests = set()
    for mode in MODES:
        shutil.copytree(tmp_path / "c", tmp_path / mode / "c")
        ran = run("recrawl", "c", "--mode", mode, "--json", "-q", cwd=tmp_path / mode)
        assert (ran.code, ran.json["mode"]) == (0, mode), ran
        check(site, tmp_path / mode, ran.json)
        digests.add(ran.json["digest"])
    assert len(digests) == 1


@pytest.mark.parametrize(("mode", "client"), [("async", "aiohttp"), ("threads", "curl"), ("threads", "urllib3")])
def test_every_client_sends_both_validators(site: ChangingSite, tmp_path: Path, mode: str, client: str) -> None:
    crawl(site, tmp_path, mode, "--client", client)
    site.asked = []
    ran = run("recrawl", "c", "--json", "-q", cwd=tmp_path)
    assert (ran.json["client"], ran.json["not_modified"]) == (client, PAGES + 2)
    assert all(one.if_none_match and one.if_modified_since for one in site.take_asked().values())


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_re_crawl_is_continued_by_another_in_another_mode(
    site: ChangingSite, tmp_path: Path, point: str
) -> None:
    mode, other = random.Random(point).sample(MODES, 2)
    crawl(site, tmp_path, "threads")
    edit(site)
    environment = {**os.environ, "CRAWLER_FAILPOINTS": f"{point} log={tmp_path / 'fired'}"}
    ran = run("recrawl", "c", "--mode", mode, "--json", "-q", cwd=tmp_path, env=environment)
    assert (tmp_path / "fired").read_text()
    if ran.code:  # where a worker was killed, the crawl went on
        ran = run("recrawl", "c", "--mode", other, "--json", "-q", cwd=tmp_path)
    assert ran.code == 0, ran
    check(site, tmp_path, ran.json)


def test_re_crawls_that_are_killed_again_and_again_lose_nothing(site: ChangingSite, tmp_path: Path) -> None:
    crawl(site, tmp_path, "threads")
    edit(site)
    site.pace = 0.02
    dice, kills = random.Random(7), 0
    for mode in MODES:
        site.asked = []
        process = start("recrawl", "c", "--mode", mode, *QUICK, cwd=tmp_path)
        struck_after = dice.randrange(2, 15)
        while process.poll() is None and len(site.asked) < struck_after:
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills == len(MODES) and not (tmp_path / "c/generations/2").exists()
    ran = run("resume", "c", "--json", "-q", cwd=tmp_path)
    assert ran.code == 0, ran
    check(site, tmp_path, ran.json)


def test_a_generation_that_was_killed_before_its_manifest_is_made_again(site: ChangingSite, tmp_path: Path) -> None:
    crawl(site, tmp_path, "threads")
    for point in ("directory.made=kill", "manifest.replace=kill@1"):
        ran = run("recrawl", "c", "--json", cwd=tmp_path, env={**os.environ, "CRAWLER_FAILPOINTS": point})
        assert ran.code == -signal.SIGKILL
        assert run("status", "c", "--json", cwd=tmp_path).json["generations"] == [0]
    assert run("recrawl", "c", "--json", "-q", cwd=tmp_path).json["generation"] == 1


def test_generations_are_known_by_all_commands(site: ChangingSite, tmp_path: Path) -> None:
    crawl(site, tmp_path, "threads")
    edit(site)
    again = run("recrawl", "c", "-q", cwd=tmp_path)
    assert again.code == 0 and again.out.startswith("complete, generation 1: "), again
    assert (tmp_path / "c/generations/1/diff.html").exists()
    status = run("status", "c", "--json", cwd=tmp_path).json
    assert (status["generation"], status["generations"], status["complete"]) == (1, [0, 1], True)
    assert run("status", "c", "--generation", "0", "--json", cwd=tmp_path).json["generation"] == 0
    refused = run("verify", "c", "--generation", "5", cwd=tmp_path)
    assert (refused.code, refused.err) == (2, "error: c has no generation 5 (there are: 0, 1)\n")
    for number in ("0", "1"):
        assert run("verify", "c", "--generation", number, cwd=tmp_path).code == 0
    rows = run("export", "c", "--fields", "url,title", cwd=tmp_path).out.splitlines()
    assert len(rows) == PAGES + len(ADDED) + 2 and json.loads(rows[0])["title"] == "home"
    older = run("cat", "c", site.at("5"), "--generation", "0", cwd=tmp_path)
    assert "page 5" in older.out and "edited 5" in run("cat", "c", site.at("5"), cwd=tmp_path).out
    assert run("report", "c", "-o", "r.html", cwd=tmp_path).code == 0
    listed = run("list", ".", "--json", cwd=tmp_path).json
    assert (listed["out"], listed["generation"], listed["pages"]) == ("c", 1, PAGES + 2 - len(REMOVED) + len(ADDED))
    assert run("resume", "c", "--json", "-q", cwd=tmp_path).json["generation"] == 1


def test_the_diff_for_people_is_read_in_a_minute(site: ChangingSite, tmp_path: Path) -> None:
    crawl(site, tmp_path, "threads")
    edit(site)
    run("recrawl", "c", "-q", "--json", cwd=tmp_path)
    told = run("diff", "c", "-o", "d.html", cwd=tmp_path)
    assert told.code == 0
    first, *lines = told.out.splitlines()
    assert first == "generation 0 to 1: 2 new, 3 gone, 8 changed, 0 moved, 0 uncertain"
    assert f"  {site.at('30')}  (404)" in lines and f"  {site.at('5')}  (main_text, title, outlinks)" in lines
    assert (tmp_path / "d.html").read_text().count("<section") == 4
    text = run("diff", "c", "--text", site.at("5"), cwd=tmp_path).out.splitlines()
    assert text[0] == "--- generation 0" and "+edited 5. /" in text
    found = run("diff", "c", "--json", cwd=tmp_path).json
    assert {"from", "to", "new", "gone", "changed", "moved", "unchanged", "uncertain"} <= found.keys()
    assert found["gone"][0] == {"url": site.at("30"), "why": "404"} and (found["from"], found["to"]) == (0, 1)
    assert found["unchanged"] == {"not_modified": 31, "same_digest": 0, "same_content": 0}
    refused = run("diff", "c", "--text", site.at("none"), cwd=tmp_path)
    assert refused.code == 2 and "has no page of" in refused.err


def test_a_directory_without_a_crawl_is_refused(tmp_path: Path) -> None:
    for command in ("recrawl", "diff"):
        ran = run(command, "nothing", cwd=tmp_path)
        assert (ran.code, ran.err) == (2, "error: nothing is not a crawl (no crawl.json in it)\n")


def test_the_demo_web_can_be_crawled_again(tmp_path: Path) -> None:
    first = run("--out", "c", "--json", "-q", "--max-pages", "60", cwd=tmp_path)
    assert first.code == 1
    again = run("recrawl", "c", "--json", "-q", cwd=tmp_path)
    assert (again.code, again.json["generation"], again.json["urls"]) == (1, 1, 60), again
