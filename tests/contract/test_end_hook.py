"""What `on_end` calls: a command or a webhook, with the summary and the diff, and never at the cost of the crawl."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import crawler
from crawler.runtime.end_hook import call_end_hook
from tests.contract.changing_site import ChangingSite, changing_site, page
from tests.contract.recrawls import FAST


class Hook(BaseHTTPRequestHandler):
    """A webhook: /fine takes the object, any other path redirects there."""

    taken: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append((self.headers["Content-Type"], body))
        self.send_response(204 if self.path == "/fine" else 307)
        self.send_header("Location", "/fine")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.taken = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def site() -> Iterator[ChangingSite]:
    with changing_site({"/": page("home", "one"), "/one": page("one")}) as served:
        yield served


def writing(path: Path) -> str:
    """A command that writes its input to a file."""
    program = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    return shlex.join([sys.executable, "-c", program, str(path)])


def test_a_command_gets_the_summary_and_the_diff(site: ChangingSite, tmp_path: Path) -> None:
    out, told = tmp_path / "c", tmp_path / "told.json"
    first = crawler.crawl(site.url, out=out, on_end=writing(told), **FAST)
    assert json.loads(told.read_text())["summary"]["digest"] == first.digest
    assert json.loads(told.read_text())["diff"] is None
    told.unlink()
    site.pages["/one"] = page("edited")
    crawler.recrawl(out)
    assert not told.exists()  # a directory keeps no command
    crawler.recrawl(out, on_end=writing(told))
    found = json.loads(told.read_text())
    assert (found["summary"]["generation"], found["diff"]["from"], found["diff"]["changed"]) == (2, 1, [])


def test_a_webhook_gets_a_post(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", f"{hook}/fine")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    call_end_hook("env:HOOK", b"{}")
    assert Hook.taken == [("application/json", b"{}")]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("{hook}/elsewhere", "HTTPError: HTTP Error 307"),
        ("http://127.0.0.1:9/", "URLError"),
        ("http://127.0.0.1:x/", "InvalidURL"),
        ("env:NOWHERE", "environment variable NOWHERE is not set"),
        ("no-such-command", "FileNotFoundError"),
        ("false", "CalledProcessError"),
        ("'unbalanced", "ValueError"),
    ],
)
def test_a_failure_is_a_line_in_the_log(hook: str, what: str, why: str, capfd: pytest.CaptureFixture[str]) -> None:
    call_end_hook(what.format(hook=hook), b"{}")
    (line,) = capfd.readouterr().err.splitlines()
    assert why in json.loads(line)["why"]
    assert len(Hook.taken) == ("elsewhere" in what)
