"""A site with hostile text in every place, crawled by real processes; then all output about it is checked as a
terminal, a browser, a spreadsheet and a log reader would interpret it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import pytest
import turbohtml

from tests.contract.raw_server import RawServer, Step, response
from tests.contract.test_text import starts_a_formula
from tests.hostile_text import all_of_them

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60
TEXTS = all_of_them()
TAME = [f"tame {number}" for number in range(len(TEXTS))]
WAYS = ("page", "missing", "status", "field", "value", "away", "chunk", "type")
DRAWN = re.compile(rb"\x1b\[(?:\?25[lh]|[0-9;]*[mKA]|1?G)|\r")  # the control sequences of the progress line itself


def site(texts: list[str]) -> Callable[[str], list[Step]]:
    """Sends each text in every place: title, link text, path, query, header, status line, redirect, broken framing."""
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]

    def reply(path: str) -> list[Step]:
        way, _, number = path.strip("/").partition("/")
        if way == "robots.txt":
            return [response(status="404 Not Found"), "keep"]
        if not number.isdigit():
            return [response(listing() if path == "/" else b"quiet", "Content-Type: text/html"), "keep"]
        said = raw[int(number)]
        line = b" ".join(said.split(b"\n")).replace(b"\r", b" ")
        match way:
            case "page":
                body = b"<title>" + said + b"</title><a href='/linked'>" + said + b"</a>"
                return [response(body, "Content-Type: text/html"), "keep"]
            case "missing":
                return [response(said, f"X-Odd: {line.decode('latin-1')}", status="404 Not Found"), "keep"]
            case "status":
                return [b"HTTP/1.1 2" + said + b"\r\n\r\n", "close"]
            case "field":
                return [b"HTTP/1.1 200 OK\r\n" + said + b"\r\nContent-Length: 0\r\n\r\n", "close"]
            case "value":
                return [b"HTTP/1.1 200 OK\r\nX-Odd: " + said + b"\r\nContent-Length: 0\r\n\r\n", "close"]
            case "away":
                return [b"HTTP/1.1 302 Found\r\nLocation: " + line + b"\r\nContent-Length: 0\r\n\r\n", "close"]
            case "chunk":
                return [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + said + b"\r\n", "close"]
        return [b"HTTP/1.1 200 OK\r\nContent-Type: " + line + b"\r\nContent-Length: 4\r\n\r\nbody", "close"]

    def listing() -> bytes:
        links = [f'<a href="/{way}/{number}">w</a>'.encode() for way in WAYS for number in range(len(texts))]
        links += [f'<a href="/path/x{quote(text, safe="", errors="replace")}">p</a>'.encode() for text in texts]
        links += [f'<a href="/?q={quote(text, safe="<>={}()", errors="replace")}">q</a>'.encode() for text in texts]
        return b"\n".join(links)

    return reply


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    """The URLs of the site and of one of the same shape with ordinary text."""
    with RawServer(site(TEXTS)) as hostile, RawServer(site(TAME)) as tame:
        yield hostile.url, tame.url


def command(url: str, out: Path, mode: str, client: str) -> list[str]:
    config = out.with_suffix(".toml")
    config.write_text("attempts = 1\nbreaker_failures = 1000000\nmax_redirects = 1\nscope = 'host'\n")
    options = ["--delay", "0", "--per-host", "8", "--concurrency", "8", "--processes", "2", "--timeout", "5"]
    chosen = ["--mode", mode, "--client", client, "--out", str(out), "--config", str(config)]
    return [sys.executable, "-m", "crawler", *chosen, *options, f"{url}/"]


def run(*arguments: str) -> tuple[bytes, bytes]:
    done = subprocess.run(arguments, capture_output=True, cwd=ROOT, timeout=PATIENCE)
    assert done.returncode in (0, 1, 3), done.stderr
    return done.stdout, done.stderr


def check_lines(written: bytes) -> None:
    """Check that lines of text contain no control characters."""
    for line in written.decode().split("\n"):
        assert line.isprintable(), line


CLIENTS = [
    ("async", "aiohttp"),
    ("threads", "native"),
    ("threads", "urllib3"),
    ("processes", "native"),
    ("prefork", "aiohttp"),
]


@pytest.mark.parametrize(("mode", "client"), CLIENTS, ids=str)
def test_no_control_sequence_reaches_stdout_stderr_or_a_log(
    servers: tuple[str, str], tmp_path: Path, mode: str, client: str
) -> None:
    out = tmp_path / "crawl"
    for written in run(*command(servers[0], out, mode, client)):
        check_lines(written)
    us = [sys.executable, "-m", "crawler"]
    for what in (["status"], ["verify"], ["status", "--json"], ["export"], ["export", "--format", "csv"], ["report"]):
        stdout, stderr = run(*us, what[0], str(out), *what[1:])
        check_lines(stdout.replace(b"\r\n", b"\n"))
        check_lines(stderr)
    records = [json.loads(line) for line in run(*us, "export", str(out))[0].splitlines()]
    assert len(records) >= len(WAYS) * len(TEXTS)
    assert {record["url"].split("/")[3] for record in records} >= set(WAYS)
    table = run(*us, "export", str(out), "--format", "csv")[0].decode()
    cells = [cell for row in csv.reader(io.StringIO(table, newline="")) for cell in row]
    assert not [cell for cell in cells if not cell.startswith("'") and starts_a_formula(cell)]


def elements(path: Path) -> Counter[tuple[str, tuple[str, ...]]]:
    """The page as a browser parses it: each element with the names of its attributes."""
    document = turbohtml.parse(path.read_text(encoding="utf-8"))
    return Counter((element.tag, tuple(sorted(element.attrs))) for element in document.iter_elements())


def test_a_report_has_the_same_elements_as_one_about_an_ordinary_site(servers: tuple[str, str], tmp_path: Path) -> None:
    for name, url in zip(("hostile", "tame"), servers, strict=True):
        run(*command(url, tmp_path / name, "async", "aiohttp"))
    beside = tmp_path / "beside.html"
    run(
        sys.executable,
        "-m",
        "crawler",
        "report",
        *(str(tmp_path / name) for name in ("hostile", "tame")),
        "-o",
        str(beside),
    )
    hostile, tame = (elements(tmp_path / name / "report.html") for name in ("hostile", "tame"))
    assert hostile["html", ("lang",)] == 1 and set(hostile) <= set(tame)
    for page in (beside, tmp_path / "hostile" / "report.html"):
        document = turbohtml.parse(page.read_text(encoding="utf-8"))
        attributes = {name for element in document.iter_elements() if element.tag != "a" for name in element.attrs}
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "srcset", "action")]
        assert not document.select("script, img, iframe, form, object, embed, base, link")
        for link in document.select("a"):
            assert set(link.attrs) <= {"class", "href", "rel"}
            assert re.fullmatch(r"#\w+|http://127\.0\.0\.1:\d+/?[!-~]*", str(link.attrs["href"]))


@pytest.mark.parametrize(("mode", "client"), [("async", "aiohttp"), ("threads", "urllib3")], ids=str)
def test_a_terminal_receives_only_our_own_control_sequences(
    servers: tuple[str, str], tmp_path: Path, mode: str, client: str
) -> None:
    master, slave = pty.openpty()
    verbose = mode == "threads"
    process = subprocess.Popen(
        command(servers[0], tmp_path / "crawl", mode, client) + ["-v"] * verbose,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=ROOT,
    )
    os.close(slave)
    written, give_up_at = b"", monotonic() + PATIENCE
    while monotonic() < give_up_at:
        if select.select([master], [], [], 0.1)[0]:
            try:
                written += os.read(master, 65_536)
            except OSError:  # the other end is closed
                break
    os.close(master)
    assert process.wait(PATIENCE) in (0, 1)
    assert b"URLs fetched" in written
    assert (b"200 ok " in written) is verbose
    check_lines(DRAWN.sub(b"", written))
