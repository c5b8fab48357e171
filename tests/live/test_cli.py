"""The contract of the command line: flags, exit codes, one line per mistake, one JSON object, signals.

Each test runs `python -m crawler` as its users do, against a small server on loopback.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from crawler.__main__ import _explain
from crawler.cli.present import present
from crawler.cli.progress import Pace, in_words
from crawler.core.messages import Actions, Fetch, Link, Settled
from crawler.core.reasons import Reason
from crawler.metrics.counters import InFlight, RunStats
from crawler.metrics.summary import Summary
from crawler.storage.directory import CrawlDirectory
from crawler.storage.manifest import FORMAT
from crawler.system.text import counts, duration, escape_unprintable, format_bytes, roughly
from tests.live.answers import Answers

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30
CONTRACT = {
    *("urls", "pages", "bytes", "statuses", "reasons", "digest", "out", "complete", "mode", "client", "seconds"),
    *("startup_seconds", "pages_per_second", "cpu_seconds", "peak_memory_bytes"),
}
FIRST_FIELDS = ["url", "status", "reason", "depth", "fetched_at", "content_type", "digest", "length"]
PAGES = 12
PAUSED = 16


class Site(Answers):
    """A page that lists PAGES others, one of them missing; /hang waits for `let_go`; /slow/N takes 0.1 s, or until
    `paused` is cleared from number PAUSED on."""

    protocol_version = "HTTP/1.1"
    let_go = threading.Event()
    paused = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/robots.txt":
            self._answer(404, b"")
        elif self.path == "/":
            self._answer(200, "".join(f"<a href='/page/{n}'>{n}</a>" for n in range(PAGES)).encode())
        elif self.path == "/page/3":
            self._answer(404, b"missing", "=cmd|' /C calc'!A0")
        elif self.path.startswith("/page/"):
            self._answer(200, f"<p>This is {self.path}.".encode() * 20)
        elif self.path == "/hang":
            self.let_go.wait(PATIENCE)
            self.close_connection = True
        elif self.path.startswith("/slow/"):
            time.sleep(0.1)
            number = int(self.path.removeprefix("/slow/"))
            while number >= PAUSED and self.paused.is_set() and not self.let_go.wait(0.02):
                pass
            links = "".join(f"<a href='/slow/{2 * number + n}'>n</a>" for n in (1, 2))
            self._answer(200, f"<p>{sha256(self.path.encode()).hexdigest()}</p>{links}".encode())
        else:
            self._answer(404, b"")


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The URL of a running Site, without a slash at its end."""
    Site.let_go = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Site.let_go.set()
    server.shutdown()
    server.server_close()
    thread.join()


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self
        return json.loads(self.out)


def start(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a crawler."""
    command = [sys.executable, "-m", "crawler", *map(str, arguments)]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("CRAWLER_")}
    environment = (inherited if env is None else env) | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


def finish(process: subprocess.Popen[str]) -> Ran:
    """Wait until a crawler has ended."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return Ran(process.returncode, out, err)


def run(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None) -> Ran:
    """Run a crawler to its end."""
    return finish(start(*arguments, cwd=cwd, env=env))


def crawl(site: str, cwd: Path, *more: str, out: str = "c") -> Ran:
    """Crawl the small site, fast, as JSON."""
    return run(
        f"{site}/", "--mode", "threads", "--delay", "0", "--per-host", "8", "--json", "--out", out, *more, cwd=cwd
    )


def wait_until_settled(path: Path, count: int) -> None:
    """Wait until a running crawl has started and settled so many URLs."""
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at:
        if CrawlDirectory.exists(path):
            crawl = CrawlDirectory.open_readonly(path)
            if crawl.manifest.runs and crawl.tally().settled >= count:
                return
        time.sleep(0.03)
    raise AssertionError(f"{count} URLs were not settled in time")


@pytest.fixture(scope="module")
def crawled(site: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A finished crawl for tests that only read it: the folder that it was started in (the crawl is `c` there), its
    summary."""
    folder = tmp_path_factory.mktemp("crawled")
    return folder, crawl(site, folder)


def test_without_its_dependencies_one_line_names_the_missing_module() -> None:
    command = [sys.executable, "-S", "-m", "crawler", "crawl"]  # -S: installed packages are not found
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: No module named '\w+': install the crawler for .+, see README\.md\n", done.stderr)


class TestCrawl:
    def test_json_has_all_documented_fields(self, site: str, crawled: tuple[Path, Ran]) -> None:
        _, ran = crawled
        assert (ran.code, ran.err) == (0, "")
        found = ran.json
        assert set(found) >= CONTRACT
        assert (found["urls"], found["pages"]) == (PAGES + 1, PAGES)
        assert found["statuses"] == {"200": PAGES, "404": 1}
        assert found["reasons"] == {"client_error": 1, "ok": PAGES}
        assert (found["complete"], found["out"], found["mode"], found["client"]) == (True, "c", "threads", "native")
        assert re.fullmatch("[0-9a-f]{32}", found["digest"])
        assert found["bytes"] > 0
        assert found["peak_memory_bytes"] > 1_000_000

    def test_every_mode_finds_the_same_pages(self, site: str, crawled: tuple[Path, Ran], tmp_path: Path) -> None:
        for mode in ("async", "processes"):
            ran = crawl(site, tmp_path, "--mode", mode, out=mode)
            assert ran.code == 0, ran
            assert ran.json["digest"] == crawled[1].json["digest"]

    def test_the_summary_for_people(self, site: str, tmp_path: Path) -> None:
        ran = run("--mode", "threads", "--delay", "0", f"{site}/", cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"complete: {PAGES + 1} URLs fetched, {PAGES} pages")
        (kept,) = (tmp_path / "crawls").iterdir()
        assert re.fullmatch(r"127\.0\.0\.1-\d+-\d{8}T\d{6}Z", kept.name)
        assert f"python -m crawler verify crawls/{kept.name}" in ran.out

    def test_two_crawls_started_in_the_same_second_get_different_directories(self, site: str, tmp_path: Path) -> None:
        first, second = (start("--mode", "threads", "--json", f"{site}/page/1", cwd=tmp_path) for _ in range(2))
        outs = {finish(first).json["out"], finish(second).json["out"]}
        assert len(outs) == 2

    def test_include_and_exclude(self, site: str, tmp_path: Path) -> None:
        ran = crawl(site, tmp_path, "--include", "^/page/1", "--include", "2$", "--exclude", "1$")
        assert ran.json["urls"] == 3  # the seed, /page/10 and /page/2

    def test_it_runs_in_any_directory_without_an_environment(self, site: str, tmp_path: Path) -> None:
        config = tmp_path / "my.toml"
        out = tmp_path / "kept"
        config.write_text(f'seeds = ["{site}/"]\nout = "{out}"\ndelay = 0.0\nmode = "threads"\n')
        ran = run("--config", config, "--json", cwd=Path("/"), env={})
        assert (ran.code, ran.json["out"]) == (0, str(out))

    def test_flags_beat_environment_beats_file(self, site: str, tmp_path: Path) -> None:
        (tmp_path / "my.toml").write_text('mode = "processes"\nmax_pages = 5\nmax_depth = 0\n')
        env = {"CRAWLER_MODE": "async", "CRAWLER_MAX_PAGES": "2", "CRAWLER_DELAY": "0"}
        ran = run(f"{site}/", "--config", "my.toml", "--mode", "threads", "--out", "c", "--json", cwd=tmp_path, env=env)
        assert ran.json["mode"] == "threads"
        kept = json.loads((tmp_path / "c/crawl.json").read_text())["settings"]
        assert (kept["max_pages"], kept["max_depth"], kept["delay"]) == (2, 0, 0.0)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:2/", "http://no-such-host.invalid/"])
    def test_nothing_could_be_fetched(self, url: str, tmp_path: Path) -> None:
        ran = run(url, "--config", "hasty.toml", "--mode", "threads", "--json", "--out", "c", cwd=hasty(tmp_path))
        assert (ran.code, ran.json["reasons"]) == (4, {"robots_unavailable": 1})
        assert re.fullmatch(r"error: nothing could be fetched: \S.*; retry: python -m crawler resume c\n", ran.err)

    def test_nothing_could_be_fetched_for_people(self, tmp_path: Path) -> None:
        ran = run(
            "http://127.0.0.1:2/", "--no-robots", "--config", "hasty.toml", "-q", "--out", "c", cwd=hasty(tmp_path)
        )
        assert (ran.code, ran.out.startswith("failed: nothing could be fetched (URLs given up: 1)\n")) == (4, True)
        assert re.fullmatch(r"error: nothing could be fetched: .*127\.0\.0\.1.*\n", ran.err)
        again = run("resume", "c", cwd=tmp_path)
        assert (again.code, again.err) == (4, f"note: fetching 1 URL again: connect 1\n{ran.err}")


def hasty(folder: Path) -> Path:
    """The folder, with a configuration that gives up quickly."""
    (folder / "hasty.toml").write_text("robots_backoff = 0.05\nbackoff = 0.05\ndelay = 0.0\nhost_patience = 0.5\n")
    return folder


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ("--mode asynk http://a.test/", 2, "did you mean 'async'"),
            ("--mode threads --client aiohttp http://a.test/", 2, "curl, urllib3"),
            ("--concurrency 0 http://a.test/", 2, "concurrency = 0"),
            ("--concurrency 10001 http://a.test/", 2, "a whole number <= 10000"),
            ("--processes 1025 http://a.test/", 2, "a whole number <= 1024"),
            ("-", 2, "standard input"),
            ("--concurrency many http://a.test/", 2, "--concurrency"),
            ("--concurency 3 http://a.test/", 2, "--concurrency"),
            ("ftp://a.test/", 2, "not ftp"),
            ("a.test", 2, "did you mean http://a.test"),
            ("statsu c", 2, "did you mean 'status'"),
            ("--include ( http://a.test/", 2, "not a valid regular expression"),
            ("--config none.toml", 2, "none.toml"),
            ("--config bad.toml", 2, "did you mean 'timeout'"),
            ("--profile fats http://a.test/", 2, "did you mean 'fast'"),
            ("--store mysql http://a.test/", 2, "sqlite, files"),
            ("--resume --fresh --out x http://a.test/", 2, "choose one"),
            ("--out bad.toml http://a.test/", 2, "not a directory"),
            ("--out strange http://a.test/", 2, "not a crawl"),
            ("--out bad.toml/x http://a.test/", 3, "cannot write"),
            ("resume none", 2, "not a crawl"),
            ("status .", 2, "not a crawl"),
            ("verify", 2, "DIR"),
            ("export . --format xml", 2, "jsonl"),
            ("testweb describe --seed x", 2, "--seed"),
            ("testweb serve --log none/l", 2, "cannot use none/l: No such file"),
        ],
    )
    def test_a_mistake_is_one_line_and_nothing_is_created(
        self, arguments: str, code: int, words: str, tmp_path: Path
    ) -> None:
        (tmp_path / "bad.toml").write_text("timeot = 3\n")
        (tmp_path / "strange").mkdir()
        (tmp_path / "strange/letter.txt").write_text("mine")
        ran = run(*arguments.split(), cwd=tmp_path)
        assert (ran.code, ran.out) == (code, "")
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1
        assert words in ran.err
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.toml", "letter.txt", "strange"]

    def test_a_bad_value_is_refused_though_a_flag_overrides_it(self, tmp_path: Path) -> None:
        (tmp_path / "my.toml").write_text("out = 5\nseeds = [1, 2]\n")
        ran = run("http://a.test/", "--config", "my.toml", "--out", "c", cwd=tmp_path)
        assert (ran.code, ran.out) == (2, "")
        assert "a whole number" in ran.err
        assert "`" not in ran.err

    def test_a_missing_authority_is_refused_before_anything_is_created(self, tmp_path: Path) -> None:
        (tmp_path / "my.toml").write_text("ca_file = 'none.pem'\n")
        ran = run("http://a.test/", "--config", "my.toml", "--out", "c", "--mode", "processes", cwd=tmp_path)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == "error: cannot use ca_file none.pem: No such file or directory\n"
        assert not (tmp_path / "c").exists()

    def test_a_directory_that_cannot_be_written(self, crawled: tuple[Path, Ran], tmp_path: Path) -> None:
        (tmp_path / "c").mkdir()
        (tmp_path / "c/crawl.json").write_text((crawled[0] / "c/crawl.json").read_text())
        (tmp_path / "c/lock").mkdir()  # root may write to any directory, but not to this one
        ran = run("resume", "c", cwd=tmp_path)
        assert (ran.code, ran.err.count("\n")) == (3, 1)
        assert "cannot write in c" in ran.err
        assert "--out" not in ran.err

    def test_an_internal_error_is_one_escaped_line(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert _explain(ValueError("two\nlines \x1b[31m")) == 3
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "\x1b" not in err
        assert "CRAWLER_DEBUG" in err

    @pytest.mark.parametrize("damage", [b"nonsense" * 1000, b""], ids=["nonsense", "empty"])
    def test_a_corrupt_frontier(self, site: str, tmp_path: Path, damage: bytes) -> None:
        crawl(site, tmp_path)
        frontier = tmp_path / "c/shard-0000/frontier.sqlite"
        frontier.write_bytes(damage)
        for arguments in (["resume", "c"], ["status", "c"], ["verify", "c"], ["export", "c"]):
            ran = run(*arguments, cwd=tmp_path)
            assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1), ran
            assert "frontier.sqlite is damaged" in ran.err

    def test_stdout_on_a_full_disk(self, crawled: tuple[Path, Ran]) -> None:
        with Path("/dev/full").open("w") as full:
            ran = subprocess.run(
                [sys.executable, "-m", "crawler", "status", "c"],
                cwd=crawled[0],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (ran.returncode, ran.stderr.count("\n")) == (3, 1)


class TestDirectory:
    def test_a_second_crawl_in_a_directory_needs_resume_or_fresh(self, site: str, tmp_path: Path) -> None:
        first = crawl(site, tmp_path, "--resume")
        assert first.code == 0
        refused = crawl(site, tmp_path)
        assert (refused.code, refused.out) == (2, "")
        assert "--resume" in refused.err
        again = crawl(site, tmp_path, "--resume")
        assert (again.code, again.json["urls_this_run"], again.json["digest"]) == (0, 0, first.json["digest"])
        (tmp_path / "c/mine.txt").write_text("a stranger's file")
        fresh = crawl(site, tmp_path, "--fresh")
        assert (fresh.code, fresh.json["urls_this_run"]) == (0, PAGES + 1)
        assert (tmp_path / "c/mine.txt").exists()

    def test_a_limit_can_be_raised_and_the_mode_changed(
        self, site: str, crawled: tuple[Path, Ran], tmp_path: Path
    ) -> None:
        limited = crawl(site, tmp_path, "--max-pages", "3", "--client", "urllib3", "--store", "files")
        assert (limited.code, limited.json["complete"], limited.json["urls"]) == (1, False, 3)
        assert run("resume", "c", "-q", cwd=tmp_path).code == 1  # the limit still holds
        ran = run("resume", "c", "--mode", "async", "--max-pages", "100", "--timeout", "90", "--json", cwd=tmp_path)
        assert (ran.code, ran.json["client"]) == (0, "aiohttp")
        assert ran.json["digest"] == crawled[1].json["digest"]
        assert (tmp_path / "c/bodies").is_dir()

    def test_settings_that_cannot_change_are_refused(self, site: str, tmp_path: Path) -> None:
        crawl(site, tmp_path, "--max-pages", "2")
        ran = crawl(site, tmp_path, "--resume", "--exclude", "page", "--store", "files", "--max-pages", "99")
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert "began with another exclude, store" in ran.err
        (tmp_path / "my.toml").write_text('seeds = ["http://other.test/"]\nout = "c"\n')
        from_file = run("--resume", "--config", "my.toml", "--json", cwd=tmp_path)
        assert (from_file.code, from_file.out, from_file.err.count("\n")) == (2, "", 1)
        assert "--add-seeds" in from_file.err
        assert crawl(site, tmp_path, "--resume", "--max-pages", "99").json["urls"] == PAGES + 1

    def test_seeds_are_added_to_a_finished_crawl(self, site: str, tmp_path: Path) -> None:
        first = crawl(site, tmp_path)
        assert "name at least one URL" in run("resume", "c", "--add-seeds", cwd=tmp_path).err
        assert "add --resume" in run(site, "--add-seeds", "--out", "c", cwd=tmp_path).err
        more = f"{site}/unlinked"
        ran = run("resume", "c", more, "--add-seeds", "--json", cwd=tmp_path)
        assert "note: 1 seed added to the crawl\n" in ran.err
        assert (ran.code, ran.json["urls_this_run"], ran.json["urls"]) == (0, 1, first.json["urls"] + 1)
        assert run("resume", "c", more, "-q", cwd=tmp_path).code == 2
        again = run("resume", "c", more, "--add-seeds", "--json", cwd=tmp_path)
        assert (again.json["urls_this_run"], again.json["digest"]) == (0, ran.json["digest"])
        assert run("verify", "c", cwd=tmp_path).code == 0

    def test_seeds_are_read_from_a_file(self, site: str, tmp_path: Path) -> None:
        (tmp_path / "seeds").write_text(f"# mine\n{site}/page/1\n{site}/page/2\n")
        ran = run("--seeds", "seeds", "--out", "c", "--delay", "0", "--json", cwd=tmp_path)
        assert (ran.code, ran.json["urls"]) == (0, 2)
        (tmp_path / "seeds").write_text(f"{site}/page/1\nmailto:me\n")
        refused = run("resume", "c", "--seeds", "seeds", "--add-seeds", cwd=tmp_path)
        assert (refused.code, refused.err.startswith("error: seeds, line 2: cannot crawl")) == (2, True)

    def test_a_crawl_killed_before_its_manifest_was_written(self, site: str, tmp_path: Path) -> None:
        (tmp_path / "c").mkdir()
        (tmp_path / "c/lock").write_text("1\n")
        (tmp_path / "c/.crawl.json").write_text("{")
        assert crawl(site, tmp_path, "--resume").code == 0

    def test_a_damaged_manifest(self, tmp_path: Path) -> None:
        (tmp_path / "c").mkdir()
        (tmp_path / "c/crawl.json").write_text(
            f'{{"format": {FORMAT}, "seed": 1, "runs": 0, "demo": false, "settings": {{"dely": 1}}}}'
        )
        ran = run("resume", "c", cwd=tmp_path)
        assert (ran.code, ran.err.count("\n")) == (3, 1)
        assert "damaged" in ran.err

    def test_a_read_only_crawl_can_be_read(self, crawled: tuple[Path, Ran], tmp_path: Path) -> None:
        place = tmp_path / "archive"
        place.mkdir()
        mounted = subprocess.run(["mount", "--bind", "-o", "ro", crawled[0] / "c", place], capture_output=True)
        if mounted.returncode:
            pytest.skip("no file system can be mounted here")
        try:
            for arguments in (["status"], ["verify"], ["export"]):
                ran = run(*arguments, "archive", cwd=tmp_path)
                assert ran.code == 0, ran
            refused = run("resume", "archive", cwd=tmp_path)
            assert (refused.code, refused.err.count("\n")) == (3, 1), refused
        finally:
            subprocess.run(["umount", "-l", place], check=True)


class TestRunning:
    def test_a_live_crawl_is_shown_locked_stopped_and_resumed(self, site: str, tmp_path: Path) -> None:
        arguments = ("--mode", "threads", "--delay", "0", "--per-host", "2", "--max-depth", "6", "--json", "--out", "c")
        Site.paused.set()
        live = start(f"{site}/slow/0", *arguments, cwd=tmp_path)
        try:
            wait_until_settled(tmp_path / "c", 4)
            status = run("status", "c", "--json", cwd=tmp_path).json
            assert (status["running"], status["complete"]) == (live.pid, False)
            assert 0 < status["settled"] < status["queued"] <= 127
            for flag in ("--resume", "--fresh"):
                refused = run(f"{site}/slow/0", "--out", "c", flag, cwd=tmp_path)
                assert (refused.code, refused.err.count("\n")) == (3, 1)
                assert f"in use by process {live.pid}" in refused.err
            assert run("verify", "c", cwd=tmp_path).code == 0
            live.send_signal(signal.SIGINT)
            assert live.stderr is not None
            stopping = live.stderr.readline()
        finally:
            Site.paused.clear()
            ran = finish(live)
        assert (ran.code, ran.json["ending"], ran.json["complete"]) == (130, "stopped", False)
        assert re.fullmatch(r"stopping: waiting for (\d+ fetches|what is) in flight; press Ctrl-C .*\n", stopping)
        assert ran.err == ""
        assert run("status", "c", "--json", cwd=tmp_path).json["running"] is None
        resumed = run("resume", "c", "--json", cwd=tmp_path)
        assert (resumed.code, resumed.json["urls"]) == (0, 127)
        assert resumed.json["urls_this_run"] == 127 - ran.json["urls"]

    @pytest.mark.parametrize(
        ("mode", "number", "code"),
        [("async", signal.SIGINT, 130), ("processes", signal.SIGTERM, 143), ("threads", signal.SIGHUP, 129)],
    )
    def test_signals_drain_in_every_mode(
        self, site: str, mode: str, number: signal.Signals, code: int, tmp_path: Path
    ) -> None:
        if signal.getsignal(number) is signal.SIG_IGN:
            pytest.skip("started under nohup, and so is the crawler: it must ignore this signal")
        live = start(f"{site}/slow/0", "--mode", mode, "--delay", "0", "--json", "--out", "c", "-q", cwd=tmp_path)
        wait_until_settled(tmp_path / "c", 1)
        live.send_signal(number)
        ran = finish(live)
        assert (ran.code, ran.json["complete"]) == (code, False), ran
        assert ("Ctrl-C" in ran.err, "a second signal" in ran.err) == (code == 130, code != 130)
        assert run("verify", "c", cwd=tmp_path).code == 0

    def test_a_condition_that_holds_is_also_reported_for_a_stopped_crawl(self, site: str, tmp_path: Path) -> None:
        words = ("--delay", "0", "--fail-on", "stopped", "--json", "--out", "c", "-q")
        live = start(f"{site}/slow/0", "--mode", "async", *words, cwd=tmp_path)
        wait_until_settled(tmp_path / "c", 1)
        live.send_signal(signal.SIGINT)
        ran = finish(live)
        assert (ran.code, ran.json["fail_on_held"]) == (4, ["stopped"])
        assert "error: fail_on stopped: " in ran.err

    @pytest.mark.parametrize("mode", ["async", "threads"])
    def test_a_second_signal_ends_at_once(self, site: str, mode: str, tmp_path: Path) -> None:
        live = start(f"{site}/hang", "--mode", mode, "--no-robots", "--delay", "0", "--out", "c", cwd=tmp_path)
        assert live.stderr is not None
        wait_until_settled(tmp_path / "c", 0)
        live.send_signal(signal.SIGINT)
        assert live.stderr.readline().startswith("stopping: ")
        told_at = time.monotonic()
        live.send_signal(signal.SIGTERM)
        assert live.wait(5) == 143
        assert time.monotonic() - told_at < 1.0
        finish(live)

    def test_a_signal_while_it_starts_is_no_traceback(self, site: str, tmp_path: Path) -> None:
        for number, wait in enumerate((0.1, 0.15, 0.25)):
            out = f"c{number}"
            live = start(f"{site}/slow/0", "--mode", "threads", "--delay", "0", "--out", out, "--json", cwd=tmp_path)
            time.sleep(wait)
            live.send_signal(signal.SIGTERM)
            ran = finish(live)
            assert ran.code in (143, -signal.SIGTERM), ran
            assert "Traceback" not in ran.err
            if ran.err:  # the crawl had started, so it prints its summary
                assert ran.json["complete"] is False

    def test_the_demo_needs_nothing_and_can_be_resumed(self, tmp_path: Path) -> None:
        first = run("--mode", "threads", "--max-pages", "60", "--json", cwd=tmp_path)
        assert (first.code, first.err) == (1, "")
        found = first.json
        assert re.fullmatch(r"crawls/demo-\d{8}T\d{6}Z", found["out"])
        assert found["urls"] == 60
        second = run("resume", found["out"], "--mode", "async", "--max-pages", "120", "--json", cwd=tmp_path)
        assert (second.code, second.json["urls"], second.json["urls_this_run"]) == (1, 120, 60)
        assert run("verify", found["out"], cwd=tmp_path).code == 0


class TestVerify:
    @pytest.mark.parametrize("store", ["sqlite", "files"])
    def test_damage_is_found(self, site: str, store: str, tmp_path: Path) -> None:
        digest = crawl(site, tmp_path, "--store", store).json["digest"]
        fine = run("verify", "c", cwd=tmp_path)
        assert (fine.code, fine.err) == (0, "")
        assert digest in fine.out
        part = next((tmp_path / "c/parts").glob("*.sqlite"))
        with closing(sqlite3.connect(part)) as connection, connection:
            connection.execute("DELETE FROM page WHERE position = 2")
            if store == "sqlite":
                body = connection.execute("SELECT body FROM page WHERE position = 4").fetchone()[0]
                flipped = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
                connection.execute("UPDATE page SET body = ? WHERE position = 4", (flipped,))
            else:
                name = connection.execute("SELECT file FROM page WHERE position = 4").fetchone()[0]
                file = tmp_path / "c/bodies" / name[:2] / name
                file.write_bytes(b"X" + file.read_bytes()[1:])
        ran = run("verify", "c", "--json", cwd=tmp_path)
        assert ran.code == 3
        assert re.fullmatch(r"error: c is damaged, problems found: \d+; .*\n", ran.err)
        assert len(set(ran.json["problems"])) == len(ran.json["problems"])
        problems = "\n".join(ran.json["problems"])
        assert re.search(r"record \d+-\d+:2 is missing", problems)
        assert re.search(r"record \d+-\d+:4 does not match its digest|record \d+-\d+:4 is missing or cannot", problems)
        assert ran.json["digest"] != digest
        for_people = run("verify", "c", cwd=tmp_path)
        assert (for_people.code, for_people.out.count("  problem  ")) == (3, ran.json["wrong"])

    def test_a_damaged_part_is_reported_with_its_urls(self, site: str, tmp_path: Path) -> None:
        crawl(site, tmp_path)
        for part in (tmp_path / "c/parts").glob("*.sqlite"):
            part.write_bytes(b"nonsense" * 1000)
        ran = run("verify", "c", "--json", cwd=tmp_path)
        missing = [problem for problem in ran.json["problems"] if "is missing or cannot be read" in problem]
        assert (ran.code, len(missing), len(set(missing))) == (3, PAGES, PAGES)
        assert "--fresh" not in ran.out + ran.err

    def test_a_changed_frontier_is_found(self, site: str, tmp_path: Path) -> None:
        crawl(site, tmp_path)
        with closing(sqlite3.connect(tmp_path / "c/shard-0000/frontier.sqlite")) as connection, connection:
            connection.execute("UPDATE url SET status = 200, reason = 'ok' WHERE status = 404")
        problems = "\n".join(run("verify", "c", "--json", cwd=tmp_path).json["problems"])
        assert "statuses: " in problems
        assert "reasons: " in problems
        assert "/page/3: its digest" in problems

    def test_records_that_no_row_names_are_counted(self, site: str, tmp_path: Path) -> None:
        crawl(site, tmp_path)
        part = next((tmp_path / "c/parts").glob("*.sqlite"))
        with closing(sqlite3.connect(part)) as connection, connection:
            columns = [row[1] for row in connection.execute("PRAGMA table_info(page)")][1:]
            names = ", ".join(columns)
            connection.execute(f"INSERT INTO page SELECT 900, {names} FROM page WHERE position = 1")
        ran = run("verify", "c", "--json", cwd=tmp_path)
        assert (ran.code, ran.json["orphans"], ran.json["problems"]) == (0, 1, [])


class TestExport:
    def test_json_lines(self, site: str, crawled: tuple[Path, Ran]) -> None:
        ran = run("export", "c", cwd=crawled[0])
        assert (ran.code, ran.err) == (0, "")
        rows = [json.loads(line) for line in ran.out.splitlines()]
        assert len(rows) == PAGES + 1
        assert all(list(row)[:8] == FIRST_FIELDS for row in rows)
        seed = rows[0]
        assert (seed["url"], seed["status"], seed["reason"], seed["depth"]) == (f"{site}/", 200, "ok", 0)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", seed["fetched_at"])
        assert sum(int(row["digest"], 16) for row in rows) % 2**128 == int(crawled[1].json["digest"], 16)
        assert sum(row["length"] for row in rows) == crawled[1].json["bytes"]

    def test_the_content_of_selected_rows(self, site: str, crawled: tuple[Path, Ran]) -> None:
        fields = ("--fields", "url,linked_from")
        ran = run("export", "c", *fields, "--where", "status>=400", cwd=crawled[0])
        assert (ran.code, ran.err) == (0, "")
        assert ran.json == {"url": f"{site}/page/3", "linked_from": [f"{site}/"]}
        refused = run("export", "c", "--where", "status=ok", "-o", "none.jsonl", cwd=crawled[0])
        assert (refused.code, refused.out, refused.err) == (2, "", "error: --where 'status=ok': status is a number\n")
        assert not (crawled[0] / "none.jsonl").exists()

    def test_a_stored_page_is_printed_byte_for_byte(self, site: str, crawled: tuple[Path, Ran]) -> None:
        ran = run("cat", "c", f"{site}/page/4", cwd=crawled[0])
        assert (ran.code, ran.out, ran.err) == (0, "<p>This is /page/4." * 20, "")
        head = run("cat", "c", f"{site}/page/4", "--headers", cwd=crawled[0])
        assert head.out.startswith("HTTP 200\n")
        assert "Content-Length: 380" in head.out

    @pytest.mark.parametrize(
        ("path", "words"),
        [("/page/3", "no stored page; it ended with client_error (status 404)"), ("/none", "was not found by this")],
    )
    def test_a_url_without_a_page_is_refused_with_what_became_of_it(
        self, site: str, crawled: tuple[Path, Ran], path: str, words: str
    ) -> None:
        ran = run("cat", "c", site + path, cwd=crawled[0])
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert words in ran.err

    def test_csv_cells_are_not_formulas(self, site: str, crawled: tuple[Path, Ran]) -> None:
        folder = crawled[0]
        ran = run("export", "c", "--format", "csv", "-o", "rows.csv", cwd=folder)
        assert (ran.code, ran.out, ran.err) == (0, "", "")
        rows = list(csv.DictReader(io.StringIO((folder / "rows.csv").read_text())))
        assert list(rows[0])[:8] == FIRST_FIELDS
        missing = next(row for row in rows if row["url"] == f"{site}/page/3")
        assert missing["content_type"] == "'=cmd|' /C calc'!A0"
        assert not [path for path in folder.iterdir() if path.name.startswith(".rows")]

    def test_a_reader_that_closes_the_pipe(self, crawled: tuple[Path, Ran]) -> None:
        live = start("export", "c", cwd=crawled[0])
        assert live.stdout is not None
        live.stdout.close()
        assert live.wait(PATIENCE) == 141
        assert live.stderr is not None
        assert live.stderr.read() == ""
        live.stderr.close()

    def test_closed_standard_streams(self, crawled: tuple[Path, Ran]) -> None:
        closed = f'"{sys.executable}" -m crawler export c -o closed.csv --format csv <&- >&- 2>&-'
        ran = subprocess.run(
            closed, shell=True, cwd=crawled[0], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
        )
        assert ran.returncode == 0
        assert (crawled[0] / "closed.csv").read_text().startswith("url,status")

    def test_an_output_file_that_cannot_be_written(self, crawled: tuple[Path, Ran]) -> None:
        ran = run("export", "c", "-o", "none/rows.csv", cwd=crawled[0])
        assert (ran.code, ran.err.count("\n")) == (3, 1)
        assert ran.err.startswith("error: cannot write none/rows.csv: No such file or directory; choose another")
        for place, words in (("/dev/full", "No space left"), ("c", "is a directory")):
            ran = run("export", "c", "-o", place, cwd=crawled[0])
            assert ran.code in (2, 3)
            assert f"cannot write {place}: " in ran.err
            assert words in ran.err

    def test_a_fifo_is_written_in_place(self, crawled: tuple[Path, Ran], tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        live = start("export", crawled[0] / "c", "-o", fifo, cwd=tmp_path)
        rows = fifo.read_text().splitlines()
        assert (finish(live).code, len(rows), fifo.is_fifo()) == (0, PAGES + 1, True)

    def test_behind_a_symlink_the_real_file_is_replaced(self, crawled: tuple[Path, Ran], tmp_path: Path) -> None:
        real, link = tmp_path / "real.jsonl", tmp_path / "link"
        real.write_text("old")
        real.chmod(0o600)
        link.symlink_to(real.name)
        assert run("export", crawled[0] / "c", "-o", link, cwd=tmp_path).code == 0
        assert (link.is_symlink(), real.read_text().count("\n"), real.stat().st_mode & 0o777) == (
            True,
            PAGES + 1,
            0o600,
        )
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real.jsonl"]


class TestSmallCommands:
    def test_version(self, tmp_path: Path) -> None:
        ran = run("--version", cwd=tmp_path)
        assert (ran.code, ran.err, ran.out.startswith("crawler")) == (0, "", True)

    def test_testweb_without_a_command_prints_its_help(self, tmp_path: Path) -> None:
        ran = run("testweb", cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert "describe" in ran.out

    @pytest.mark.parametrize("command", ["describe", "oracle"])
    def test_a_reader_of_testweb_closes_the_pipe(self, command: str, tmp_path: Path) -> None:
        live = start("testweb", command, "--hosts", "13", "--pages", "120", cwd=tmp_path)
        assert live.stdout is not None
        live.stdout.close()
        assert live.wait(PATIENCE) == 141
        assert live.stderr is not None
        assert live.stderr.read() == ""
        live.stderr.close()

    def test_the_summary_fits_a_terminal(self, crawled: tuple[Path, Ran], monkeypatch: pytest.MonkeyPatch) -> None:
        found = msgspec.convert(crawled[1].json, Summary)
        whole = present(found, RunStats(), as_json=False)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "50")
        folded = present(found, RunStats(), as_json=False)
        assert max(len(line) for line in folded.splitlines() if "python -m" not in line) <= 50
        assert folded.split() == whole.split()


class TestLightness:
    def test_help_imports_no_heavy_modules(self, tmp_path: Path) -> None:
        command = [sys.executable, "-X", "importtime", "-m", "crawler", "--help"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert "--max-pages" in ran.stdout
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
        assert not imported & {"aiohttp", "asyncio", "msgspec", "rich", "sqlite3", "structlog", "turbohtml", "uvloop"}

    def test_importing_the_main_module_as_workers_do_imports_no_heavy_modules(self) -> None:
        code = "import sys; before = set(sys.modules); import crawler.__main__; print(*(set(sys.modules) - before))"
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        imported = {name.partition(".")[0] for name in ran.stdout.split()}
        assert not imported & {"asyncio", "click", "msgspec", "signal", "sqlite3", "variants"}


class TestProgress:
    @staticmethod
    def settled(number: int) -> Settled:
        return Settled(number, f"http://a.test/{number}", Reason.OK, 200, 1, 10, b"", "p", number)

    def test_in_flight_counts_fetches_issued_and_not_finished(self) -> None:
        seen = InFlight()
        orders = [
            Fetch(1, "http://a.test/1"),
            Fetch(2, "http://b.test/2"),
            Fetch(3, "http://b.test/robots.txt", robots=True),
        ]
        seen.see(Actions(fetches=orders))
        assert (seen.pages, seen.hosts) == (2, 2)
        again = Fetch(4, "http://b.test/2", attempt=2)
        seen.see(Actions(settled=[self.settled(1)], retries=[Link(2, "http://b.test/2", 0)], fetches=[again]))
        assert (seen.pages, seen.hosts) == (1, 1)

    def test_pace_estimates_the_rate_and_the_remaining_time(self) -> None:
        stats = RunStats(queued=100)
        pace = Pace(stats, InFlight())
        now = time.monotonic()
        stats.add([self.settled(number) for number in range(20)])
        view = pace.look(now + 2.0)
        assert view.rate == pytest.approx(10.0, rel=0.05)
        assert view.eta == pytest.approx(8.0, rel=0.05)
        assert (view.queue, view.pages, view.bytes) == (80, 20, 200)
        resting = Pace(stats, InFlight(), delay=0.1)
        stats.add([self.settled(number) for number in range(20, 30)])
        polite = resting.look(time.monotonic() + 2.0)
        assert polite.rate > 0 and polite.eta is not None
        assert polite.eta == pytest.approx(70 * (0.1 + stats.hosts["http://a.test"].seconds / 30), abs=0.1)
        told = f"0.1 s between fetches of a host: about {roughly(polite.eta)} for the 70 URLs known"
        assert in_words(polite).endswith(told)
        stats.queued += 500
        growing = pace.look(now + 4.0)
        assert growing.eta is None
        assert "left" not in in_words(growing)
        for second in range(6, 30, 2):
            last = pace.look(now + second)
        assert last.rate == 0.0

    def test_the_text_of_the_progress_line(self) -> None:
        assert escape_unprintable("a\x1b[2J\u009b\n\u00e9") == "a\\x1b[2J\\x9b\\x0a\u00e9"
        assert [format_bytes(number) for number in (0, 999, 1000, 23_553_430, 5e12, 5e15)] == [
            *("0 B", "999 B", "1.0 kB", "23.6 MB", "5.0 TB", "5000.0 TB"),
        ]
        assert [duration(seconds) for seconds in (0.04, 59.94, 61, 3725)] == [
            "0.0 s",
            "59.9 s",
            "1:01 min",
            "1:02:05 h",
        ]
        assert [roughly(seconds) for seconds in (0.4, 59.4, 59.6, 892, 7500)] == [
            "0 s",
            "59 s",
            "1 min",
            "15 min",
            "2 h 5 min",
        ]
        assert counts({"a": 1, "b": 2000}) == "b: 2,000, a: 1"
        assert counts({}) == "none"
