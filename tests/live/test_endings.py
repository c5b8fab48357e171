"""How a crawl reports missed URLs, and that a resume fetches them, in each mode on a small site.

The test sets between runs how the site answers, so that it can fail in one run and work in the next.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from crawler.core.page.digest import add, in_hex, term
from crawler.storage.directory import CrawlDirectory
from tests.live.answers import Answers
from tests.live.test_cli import Ran, run

MODES = ("async", "threads", "processes", "prefork")
PAGES = 6
ROOT_PAGE = "".join(f"<a href='/page/{n}'>{n}</a>" for n in range(PAGES)).encode()
IMPATIENT = """
attempts = 1
backoff = 0.01
host_patience = 0.0
delay = 0.0
per_host = 4
processes = 2
max_hold = 30.0
"""


class Site(ThreadingHTTPServer):
    """A page that lists PAGES others. `ill` has the status of failing paths; a negative one truncates the body."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Page)
        self.ill: dict[str, int] = {}
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def digest(self, *paths: str) -> str:
        """The digest of a complete crawl of these pages."""
        return in_hex(add(0, [term(f"{self.url}{path}", 200, body(path)) for path in paths]))


def body(path: str) -> bytes:
    return ROOT_PAGE if path == "/" else f"<p>This is {path}.".encode() * 20


class Page(Answers):
    server: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status = self.server.ill.get(self.path, self.server.ill.get("*", 200))
        if self.path == "/robots.txt" and self.path not in self.server.ill:
            self._answer(404, b"")
        elif status < 0:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body(self.path))))
            self.end_headers()
            self.wfile.write(body(self.path)[:50])
            self.close_connection = True
        elif status != 200:
            self.send_response(status)
            for name, value in self.server.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer(200, body(self.path))


ALL = ("/", *(f"/page/{n}" for n in range(PAGES)))


@pytest.fixture
def site() -> Iterator[Site]:
    with closing_site(Site()) as server:
        yield server


@contextmanager
def closing_site(server: Site) -> Iterator[Site]:
    """The site, until the block ends."""
    yield server
    server.shutdown()
    server.server_close()


def crawl(cwd: Path, mode: str, *more: str, env: dict[str, str] | None = None) -> Ran:
    """Start or resume a crawl, as a batch job does."""
    config = cwd / "job.toml"
    config.write_text(IMPATIENT)
    return run("--config", config, "--mode", mode, "--out", "c", "--resume", "--json", *more, cwd=cwd, env=env)


def said(ran: Ran) -> list[str]:
    """The lines on stderr except progress, which appears on a slow machine."""
    return [line for line in ran.err.splitlines() if not line.startswith("{")]


def agree(cwd: Path, summary: dict[str, Any]) -> None:
    """All commands report the same about the crawl, and verify finds nothing."""
    for command in ("status", "verify"):
        said = run(command, "c", "--json", cwd=cwd)
        assert said.code == 0, said
        for key in ("ending", "complete", "incomplete_because", "digest", "pages"):
            assert said.json[key] == summary[key], (command, key)
        assert summary["ending"] in run(command, "c", cwd=cwd).out
    assert summary["ending"] in (cwd / "c" / "report.html").read_text()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [500, 503, 429, 408, 403, 404, 401, 410])
def test_a_crawl_whose_only_seed_fails_is_failed_and_complete_after_a_resume(
    site: Site, tmp_path: Path, mode: str, status: int
) -> None:
    site.ill["/"] = status
    first = crawl(tmp_path, mode, f"{site.url}/")
    assert first.code == 4, first
    assert (first.json["ending"], first.json["complete"], first.json["pages"]) == ("failed", False, 0)
    assert len(said(first)) == 1 and "nothing could be fetched" in first.err, first.err
    agree(tmp_path, first.json)
    site.ill.clear()
    second = crawl(tmp_path, mode)
    assert second.code == 0, second
    assert (second.json["ending"], second.json["complete"]) == ("complete", True)
    assert (second.json["digest"], second.json["pages"]) == (site.digest(*ALL), PAGES + 1)
    assert sum(second.json["asked_again"].values()) == 1
    assert "fetching 1 URL again: " in second.err
    agree(tmp_path, second.json)
    third = crawl(tmp_path, mode)
    assert (third.code, third.json["urls_this_run"], third.json["asked_again"], said(third)) == (0, 0, {}, [])


@pytest.mark.parametrize("mode", MODES)
def test_an_unavailable_robots_txt_fails_a_crawl_and_is_retried_by_a_resume(
    site: Site, tmp_path: Path, mode: str
) -> None:
    site.ill["/robots.txt"] = 503
    first = crawl(tmp_path, mode, f"{site.url}/")
    assert (first.code, first.json["ending"], first.json["reasons"]) == (4, "failed", {"robots_unavailable": 1}), first
    site.ill.clear()
    second = crawl(tmp_path, mode)
    assert (second.code, second.json["digest"]) == (0, site.digest(*ALL)), second
    agree(tmp_path, second.json)


@pytest.mark.parametrize("mode", MODES)
def test_a_crawl_whose_seed_refuses_connections_is_failed_and_complete_after_a_resume(
    tmp_path: Path, mode: str
) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = crawl(tmp_path, mode, f"http://127.0.0.1:{port}/")
    assert (first.code, first.json["ending"], first.json["complete"]) == (4, "failed", False), first
    agree(tmp_path, first.json)
    with closing_site(Site(port)) as site:
        second = crawl(tmp_path, mode)
        assert (second.code, second.json["digest"], second.json["complete"]) == (0, site.digest(*ALL), True), second
    agree(tmp_path, second.json)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("store", ["sqlite", "files"])
def test_missed_urls_are_named_and_a_resume_fetches_exactly_those(
    site: Site, tmp_path: Path, mode: str, store: str
) -> None:
    site.ill |= {"/page/1": 500, "/page/2": 429, "/page/3": -1, "/page/4": 404}
    first = crawl(tmp_path, mode, f"{site.url}/", "--store", store)
    assert (first.code, first.json["ending"], first.json["complete"]) == (0, "incomplete", False), first
    assert first.json["incomplete_because"] == {"rate_limited": 1, "server_error": 1, "truncated": 1}
    assert "warning: incomplete: missed rate_limited 1, server_error 1, truncated 1" in first.err
    assert "resume c" in first.err and len(said(first)) == 1
    agree(tmp_path, first.json)
    site.ill = {"/page/4": 404}
    site.asked.clear()
    second = crawl(tmp_path, mode)
    assert sorted(set(site.asked) - {"/robots.txt"}) == ["/page/1", "/page/2", "/page/3"]
    assert (second.code, second.json["ending"], second.json["urls"]) == (0, "complete", PAGES + 1)
    assert second.json["asked_again"] == {"rate_limited": 1, "server_error": 1, "truncated": 1}
    assert second.json["reasons"] == {"client_error": 1, "ok": PAGES}
    agree(tmp_path, second.json)
    assert run("verify", "c", "--json", cwd=tmp_path).json["orphans"] == 0, "the truncated page is still stored"
    named = crawl(tmp_path, mode, "--retry-reason", "client_error")
    assert (named.json["asked_again"], named.json["reasons"]) == ({"client_error": 1}, {"client_error": 1, "ok": PAGES})


@pytest.mark.parametrize("mode", MODES)
def test_a_truncated_page_that_fails_on_a_resume_is_dropped_and_reported_as_missed(
    site: Site, tmp_path: Path, mode: str
) -> None:
    site.ill["/page/3"] = -1
    first = crawl(tmp_path, mode, f"{site.url}/").json
    assert (first["pages"], first["truncated"]) == (PAGES + 1, 1)
    site.ill["/page/3"] = 500
    second = crawl(tmp_path, mode).json
    assert (second["pages"], second["truncated"], second["ending"]) == (PAGES, 0, "incomplete")
    assert second["incomplete_because"] == {"server_error": 1}
    agree(tmp_path, second)


def test_any_mode_retries_urls_that_another_has_missed(site: Site, tmp_path: Path) -> None:
    site.ill["*"] = 500
    site.ill["/"] = 200
    for number, mode in enumerate(("prefork", "threads", "processes", "prefork", "async")):
        summary = crawl(tmp_path, mode, *([f"{site.url}/"] if not number else [])).json
        assert summary["incomplete_because"] == {"server_error": PAGES - number}
        assert (summary["urls"], summary["pages"]) == (PAGES + 1, 1 + number)
        agree(tmp_path, summary)
        site.ill[f"/page/{number}"] = 200
    site.ill.clear()
    assert crawl(tmp_path, "prefork").json["digest"] == site.digest(*ALL)


@pytest.mark.parametrize("mode", MODES)
def test_urls_of_one_unreachable_host_are_retried(site: Site, tmp_path: Path, mode: str) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = crawl(tmp_path, mode, f"{site.url}/", f"http://127.0.0.1:{port}/")
    assert (first.code, first.json["ending"], first.json["pages"]) == (0, "incomplete", PAGES + 1), first
    with closing_site(Site(port)) as other:
        site.asked.clear()
        second = crawl(tmp_path, mode)
        assert (second.code, second.json["complete"], second.json["pages"]) == (0, True, 2 * (PAGES + 1))
        assert not site.asked and set(other.asked) == {"/robots.txt", *ALL}
    agree(tmp_path, second.json)


@pytest.mark.parametrize("mode", ["threads", "prefork"])
def test_in_an_unfinished_crawl_only_given_reasons_are_retried(site: Site, tmp_path: Path, mode: str) -> None:
    site.ill["/"] = 500
    others = [f"{site.url}/page/{n}" for n in range(PAGES)]
    crawl(tmp_path, mode, f"{site.url}/", *others, "--max-pages", "3")
    with closing(CrawlDirectory.open_readonly(tmp_path / "c").open_frontiers()) as frontier:
        troubled = {row.url for row in frontier.settled() if row.reason == "server_error"}
    site.ill.clear()
    plain = crawl(tmp_path, mode, "--max-pages", "4")
    assert (plain.code, plain.json["asked_again"], plain.json["urls"]) == (1, {}, 4)
    asked = crawl(tmp_path, mode, "--max-pages", "4", "--retry-failed")
    assert asked.json["asked_again"] == ({"server_error": len(troubled)} if troubled else {})
    assert asked.json["urls"] == 4, "a retried URL counts once"
    agree_limit = run("status", "c", "--json", cwd=tmp_path).json
    assert (agree_limit["ending"], agree_limit["complete"]) == ("limit", False)
    assert "stopped by a limit" in run("status", "c", cwd=tmp_path).out


@pytest.mark.parametrize("mode", MODES)
def test_a_hold_requested_by_the_server_is_obeyed_on_a_retry(site: Site, tmp_path: Path, mode: str) -> None:
    site.ill["/page/1"] = 503
    site.headers["Retry-After"] = "3600"
    alone = {"CRAWLER_PER_HOST": "1"}
    first = crawl(tmp_path, mode, f"{site.url}/", env=alone)
    assert first.json["reasons"] == {"ok": 2, "held": PAGES - 1}, first
    site.asked.clear()
    second = crawl(tmp_path, mode, env=alone)
    assert (second.json["reasons"], second.json["ending"]) == ({"ok": 2, "held": PAGES - 1}, "incomplete")
    assert not site.asked
    agree(tmp_path, second.json)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("point", ["frontier.reopen=kill@1", "frontier.reopen=kill@2", "asking.reopened=kill@1"])
def test_a_kill_while_reopening_loses_and_duplicates_nothing(site: Site, tmp_path: Path, mode: str, point: str) -> None:
    site.ill |= {"*": 500, "/": 200, "/page/0": -1}
    crawl(tmp_path, mode, f"{site.url}/")
    site.ill.clear()
    crawl(tmp_path, mode, env={"CRAWLER_FAILPOINTS": point})
    assert run("verify", "c", "--json", cwd=tmp_path).code == 0
    crawl(tmp_path, mode)
    last = crawl(tmp_path, mode)
    assert (last.code, last.json["complete"], last.json["digest"]) == (0, True, site.digest(*ALL)), last
    assert last.json["urls_this_run"] == 0
    assert run("verify", "c", "--json", cwd=tmp_path).json["orphans"] == 0
    agree(tmp_path, last.json)


@pytest.mark.parametrize("mode", MODES)
def test_a_kill_during_the_retries_leaves_the_rest_owed(site: Site, tmp_path: Path, mode: str) -> None:
    site.ill |= {"*": 500, "/": 200}
    crawl(tmp_path, mode, f"{site.url}/")
    site.ill.clear()
    crawl(tmp_path, mode, env={"CRAWLER_FAILPOINTS": "store.put=kill@2"})
    assert run("verify", "c", "--json", cwd=tmp_path).code == 0
    last = crawl(tmp_path, mode)
    assert (last.code, last.json["complete"], last.json["digest"]) == (0, True, site.digest(*ALL)), last
    agree(tmp_path, last.json)


# ---- conditions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("incomplete", "the crawl ended as incomplete"),
        ("errors>5%", "errors 1 of 7 URLs asked for (14.3 %)"),
        ("pages<7", "pages 6"),
        ("server_error >= 1", "server_error 1"),
    ],
)
def test_a_condition_that_holds_is_exit_4_and_one_line(site: Site, tmp_path: Path, condition: str, why: str) -> None:
    site.ill["/page/1"] = 500
    ran = crawl(tmp_path, "threads", f"{site.url}/", "--fail-on", condition, "--fail-on", "pages<2")
    assert (ran.code, ran.json["fail_on_held"]) == (4, [condition.replace(" ", "")]), ran
    assert f"error: fail_on {condition.replace(' ', '')}: {why}\n" in ran.err
    site.ill.clear()
    healed = crawl(tmp_path, "threads")
    assert (healed.code, healed.json["fail_on_held"]) == (0, []), "the condition that held is stored with the crawl"


def test_conditions_may_stand_in_the_configuration_and_hold_for_a_crawl_that_was_over(
    site: Site, tmp_path: Path
) -> None:
    assert crawl(tmp_path, "threads", f"{site.url}/").code == 0
    ran = crawl(tmp_path, "threads", env={"CRAWLER_FAIL_ON": "pages<10 errors>5%"})
    assert (ran.code, ran.json["fail_on_held"], ran.json["urls_this_run"]) == (4, ["pages<10"], 0)


@pytest.mark.parametrize("condition", ["errors>", "eror>5", "complete", ""])
def test_an_invalid_condition_is_refused_before_anything_starts(site: Site, tmp_path: Path, condition: str) -> None:
    ran = crawl(tmp_path, "async", f"{site.url}/", "--fail-on", condition)
    assert (ran.code, ran.out, ran.err.count("\n"), site.asked) == (2, "", 1, []), ran
    assert not (tmp_path / "c").exists()


def test_an_unknown_reason_is_refused_with_the_list_of_reasons(site: Site, tmp_path: Path) -> None:
    crawl(tmp_path, "async", f"{site.url}/")
    site.asked.clear()
    for name in ("ok", "redirect", "conect"):
        ran = crawl(tmp_path, "async", "--retry-reason", name)
        assert (ran.code, ran.out, ran.err.count("\n"), site.asked) == (2, "", 1, []), ran
        assert "connect" in ran.err and "links_cut" in ran.err
    begun = run(f"{site.url}/", "--out", "d", "--retry-failed", cwd=tmp_path)
    assert (begun.code, begun.err.count("\n")) == (2, 1)


def test_cut_links_are_reported_with_the_option_that_fetches_them(site: Site, tmp_path: Path) -> None:
    first = crawl(tmp_path, "threads", f"{site.url}/", env={"CRAWLER_MAX_LINKS": "4"})
    assert first.json["incomplete_because"] == {"links_cut": 2}
    assert "resume c --retry-reason links_cut" in first.err
    again = crawl(tmp_path, "threads", "--retry-reason", "links_cut")
    assert (again.json["links_cut"], again.json["asked_again"]) == (2, {"links_cut": 1}), (
        "max_links cannot be changed by a resume"
    )
    agree(tmp_path, again.json)


def test_the_summary_as_text(site: Site, tmp_path: Path) -> None:
    site.ill["/page/1"] = 500
    crawl(tmp_path, "threads", f"{site.url}/")
    config = tmp_path / "job.toml"
    said = run("resume", "c", "--config", config, cwd=tmp_path)
    lines = [line.split(None, 1) for line in said.out.splitlines()]
    assert said.out.startswith("incomplete: 7 URLs fetched, 6 pages"), said
    assert ["missed", "server_error 1"] in lines and any(
        line[:2] == ["ask", "again"] or "resume c" in line[-1] for line in lines
    )
    assert "note: fetching 1 URL again: server_error 1" in said.err
    assert json.loads(run("status", "c", "--json", cwd=tmp_path).out)["incomplete_because"] == {"server_error": 1}
