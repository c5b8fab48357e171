"""`bench`: everybody does the same work on one site, ratios are told, and unequal work is told louder.

Each test runs `python -m crawler bench` as its users do, on small webs on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

import variants
from crawler.bench.budget import LINES
from crawler.bench.web import BenchWeb, served
from crawler.metrics.process_tree import descendants
from crawler.system.invocation import pip_install
from crawler.testweb.certificates import server_context, write_certificates
from crawler.testweb.oracle import crawl_digest, expected
from tests.live.answers import Answers

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 100
PAGES = 300
CLIENTS = ["raw aiohttp", "raw pycurl, threads", "raw native", "raw native, threads"]
TLS_LOOPS = ["raw aiohttp", "raw native", "raw native, threads"]
STAGES = ["parse only", "store only", "frontier only, per row"]
NUMBER = count()
LINKS = b"".join(b'<a href="%b">it</a>' % path for path in (b"/steady/", b"/steady/a", b"/steady/b", b"/moody"))


class Site(Answers):
    """Four pages; /moody says something else each time, and so makes every crawl another crawl."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/robots.txt":
            self._answer(404, b"")
        elif self.path == "/moody":
            self._answer(200, b"<p>%d" % next(NUMBER))
        elif self.path in ("/", "/steady/", "/steady/a", "/steady/b"):
            self._answer(200, LINKS)
        else:
            self._answer(404, b"missing")


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serving() as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The site; yields its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def bench(*words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it; `path` is searched for peers before all else."""
    known = os.environ | {"PYTHONPATH": str(ROOT)}
    known |= {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} if path else {}
    command = [sys.executable, "-m", "crawler", "bench", *words]
    return subprocess.run(command, env=known, capture_output=True, text=True, timeout=PATIENCE)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object on stdout."""
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_everybody_is_measured_and_does_the_work_of_the_oracle(tmp_path: Path) -> None:
    html = tmp_path / "bench.html"
    words = ("--pages", str(PAGES), "--rounds", "1", "--concurrency", "4", "--peers", "none", "--json", "-q")
    done = bench(*words, "--html", str(html))
    found = told(done)
    assert (done.returncode, done.stderr, found["equal"], found["urls"]) == (0, "", True, PAGES)
    assert [one["name"] for one in found["entrants"]] == [*CLIENTS, *STAGES, *variants.names()]
    for one in found["entrants"]:
        assert one["equal"] and not one["wrong"]
        assert 0 < one["rate"]["least"] <= one["rate"]["median"] <= one["rate"]["most"]
        assert one["cpu"]["median"] > 0
    text = html.read_text(encoding="utf-8")
    assert "equal work: same URLs, answers and digests" in text and "python -m crawler bench --pages" in text
    modes = {one["name"]: one for one in found["entrants"] if one["kind"] == "mode"}
    assert all(one["memory"] > 10_000_000 for one in modes.values()), "no Python process is smaller"
    assert all(one["rate"]["median"] < 1 for one in modes.values()), "no crawl is faster than its client alone"


def test_the_budget_measures_every_stage_of_a_page() -> None:
    done = bench("--budget", "--pages", str(PAGES), "--rounds", "1", "--concurrency", "4", "--json", "-q")
    assert done.returncode in (0, 1), done.stderr  # pages of another kind may take more than those of the budget
    found = json.loads(done.stdout)
    assert list(found) == list(LINES)
    assert all(one["spent"] > 0 for name, one in found.items() if name != "rest")


def test_the_raw_loops_are_measured_over_https_and_the_server_counts_the_same() -> None:
    done = bench("--tls", "--pages", "60", "--rounds", "1", "--concurrency", "4", "--json", "-q")
    found = told(done)
    assert (done.returncode, done.stderr, found["equal"], found["urls"], found["counted"]) == (0, "", True, 60, True)
    assert found["url"].startswith("https://127.") and found["tls"].startswith("TLSv1.3 ")
    kept, closing = found["entrants"][:3], found["entrants"][3:]
    assert [one["name"] for one in kept] == TLS_LOOPS
    assert [one["name"] for one in closing] == [f"{name}, closing" for name in TLS_LOOPS]
    assert all(one["equal"] and one["rate"]["median"] > 0 and one["cpu"]["median"] > 0 for one in found["entrants"])
    assert all(1 <= one["connections"] <= 4 for one in kept) and {one["connections"] for one in closing} == {60}
    assert all(one["cpu"]["median"] > 1.2 for one in closing), "a handshake for each page is not for nothing"


def test_a_site_of_https_is_measured_with_the_authority_that_it_needs(tmp_path: Path) -> None:
    authority, certificate = tmp_path / "authority.pem", tmp_path / "server.pem"
    write_certificates(("127.0.0.1",), authority, certificate)
    with serving(server_context(certificate)) as port:
        words = ("--tls", "--url", f"https://127.0.0.1:{port}/", "--exclude", "^/moody$", "--rounds", "1", "-q")
        done, refused = bench(*words, "--ca-file", str(authority)), bench(*words)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"https://127.0.0.1:{port}/: 4 URLs, ") and ", TLSv1.3 " in lines[0]
    assert lines[-1].endswith("the server's own count is not known")
    assert refused.returncode == 2 and "certificate" in refused.stderr


def test_the_web_of_our_own_is_found_by_its_address_and_is_what_its_oracle_says(tmp_path: Path) -> None:
    with served(PAGES) as site:
        command = [sys.executable, "-m", "crawler", "--profile", "fast", "-q", "--json", "--out", str(tmp_path / "c")]
        done = subprocess.run([*command, site.url], capture_output=True, timeout=PATIENCE, check=True)
    crawled, ends = json.loads(done.stdout), expected(BenchWeb(PAGES))
    assert crawled["urls"] == len(ends) == PAGES
    assert crawled["bytes"] == sum(end.size for end in ends.values())
    assert crawled["digest"] != crawl_digest(ends), "the port is part of every URL"


def test_a_site_is_measured_with_its_excludes_and_told_in_ratios(site: str) -> None:
    done = bench("--url", site, "--exclude", "^/moody$", "--modes", "async,threads+urllib3", "--rounds", "2", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{site}: 4 URLs, ")
    assert "geometric means of 2 alternating rounds (range: an interval needs 5 rounds)" in lines[1]
    assert lines[-1] == "equal work: same URLs, answers and digests"
    assert {"async", "threads+urllib3"} <= {line.split(" ")[0] for line in lines}


def test_modes_that_do_unequal_work_are_wrong(site: str) -> None:
    done = bench("--url", site, "--modes", "async", "--rounds", "1", "--peers", "none", "-q")
    assert done.returncode == 1
    assert "UNLIKE: another digest" in done.stdout
    assert done.stdout.splitlines()[-1] == "WRONG: unequal work by async"


def test_a_peer_that_did_other_work_is_shown_and_marked_but_nobody_elses_fault(site: str, tmp_path: Path) -> None:
    """It asks for one page of three, and for one that is not there, twice."""
    program = tmp_path / "wget2"
    rows = f"ID,URL,Status\n1,{site},200\n2,{site}nowhere,404\n3,{site}nowhere#top,404\n"
    program.write_text(f"#!{sys.executable}\nimport sys\n" + f"rows = {rows!r}\n" + PEER)
    program.chmod(0o755)
    words = ("--url", site, "--exclude", "^/moody$", "--modes", "async", "--peers", "wget2", "--rounds", "1")
    done = bench(*words, "-q", path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert next(line for line in done.stdout.splitlines() if line.startswith("wget2")).endswith(
        "UNLIKE: 3 URLs missing, 1 more"
    )
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no luck today')\n")
    peer = told(bench(*words, "--json", path=tmp_path))["entrants"][-1]
    assert (peer["name"], peer["rate"], peer["equal"]) == ("wget2", None, False)
    assert peer["wrong"] == "failed: ended with exit code 1: no luck today"


PEER = """
for word in sys.argv:
    if word.startswith("--stats-site=csv:"):
        open(word.partition(":")[2], "w").write(rows)
"""


@pytest.mark.skipif(not shutil.which("wget2"), reason="wget2 is not installed")
def test_wget2_asks_for_the_same_pages(site: str) -> None:
    words = ("--url", site, "--exclude", "^/moody$|/moody$", "--modes", "async", "--peers", "wget2", "--rounds", "1")
    peer = told(bench(*words, "--json", "-q"))["entrants"][-1]
    assert (peer["kind"], peer["equal"], peer["missing"], peer["extra"]) == ("peer", True, 0, 0)


@pytest.mark.parametrize("peer", ["scrapy", "crawlee"])
def test_a_peer_of_the_extra_asks_for_the_same_pages_or_is_named_as_absent(site: str, peer: str) -> None:
    words = ("--url", site, "--exclude", "^/moody$", "--modes", "async", "--peers", peer, "--rounds", "1")
    found = told(bench(*words, "--json", "-q"))
    if found["absent"]:
        assert found["absent"] == [{"name": peer, "how": pip_install("peers")}]
    else:
        one = found["entrants"][-1]
        assert (one["name"], one["equal"], one["wrong"]) == (peer, True, "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--modes", "asink"], "unknown mode 'asink'; did you mean 'async'?"),
        (["--modes", "async+curl"], "cannot use the client 'curl'"),
        (["--peers", "curl"], "unknown peer 'curl'"),
        (["--url", "ftp://127.0.0.1/"], "only http and https URLs"),
        (["--url", "https://example.org/"], "say --mine if it is yours"),
        (["--url", "http://127.0.0.1:8/"], "does not answer"),
        (["--url", "http://127.0.0.1:8/", "--pages", "10"], "--pages is for the site that is served"),
        (["--tls", "--budget"], "choose one"),
        (["--html", "/"], "cannot write /: it is a directory"),
        (["--tls", "--url", "http://127.0.0.1:8/"], "--tls needs a --url of https"),
        (["--tls", "--url", "https://127.0.0.1:8/"], "no TLS with https://127.0.0.1:8/: "),
        (["--ca-file", "a.pem"], "--ca-file is for --tls with --url"),
        (["--tls", "--url", "https://127.0.0.1:8/", "--ca-file", "/nowhere.pem"], "cannot use ca_file /nowhere.pem"),
        (["--exclude", "("], "regular expression"),
        (["--config", "/nowhere.toml"], "cannot read configuration"),
        (["--rounds", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_exit_code_2(words: list[str], why: str) -> None:
    done = bench(*words, "-q")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert why in done.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("delay = 0.5", "delay = 0.5 would be what is measured"),
        ("max_pages = 5", "know nothing of max_pages = 5"),
        ('[resolve]\n"a.test" = "127.0.0.1:80"', "know nothing of resolve"),
    ],
)
def test_a_configuration_that_would_be_measured_itself_is_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    done = bench("--config", str(tmp_path / "mine.toml"), "-q")
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_and_leaves_no_process_behind(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "crawler", "bench", "--pages", "300", "--peers", "none"]
    known = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=known, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stderr
        line = b""
        while b"round 1" not in line:
            line = process.stderr.readline()
            assert line, "it ended before it was interrupted"
        while len(children := descendants(process.pid)) < 3:  # the web, a launcher, what it launched
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + number, b"")
    assert b"stopping: " in err
    give_up_at = monotonic() + 10
    while any(Path("/proc", str(pid)).exists() for pid in children):
        assert monotonic() < give_up_at, "it left a process behind"
        sleep(0.02)
    assert not list(tmp_path.iterdir()), "it left files behind"
