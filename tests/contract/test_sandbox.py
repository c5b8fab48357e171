"""Heavy pages are parsed in a separate process: same result, also when that process is killed or stopped."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep, thread_time

import pytest

import variants
from crawler.core.messages import Fetch
from crawler.core.page.links import PageHeaders, Reading, read_page
from crawler.core.page.parse_cost import HEAVY
from crawler.core.reasons import ParseSkipped
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.scope import Scope
from crawler.fetch.base import FetchError, Response
from crawler.metrics.process_tree import descendants
from crawler.pipeline.page_processor import PageProcessor
from crawler.pipeline.sandbox import subprocess as process
from crawler.pipeline.sandbox.client import HeavyReader
from crawler.runtime.memory_plan import least
from crawler.settings import merge_layers
from tests import hostile_pages
from tests.contract import webs
from tests.contract.raw_server import RawServer, Step

URL = "http://h.test/a"
KIND = "text/html"
PLENTY = 1 << 30
PAGE = hostile_pages.page("links", 2 * HEAVY)
LARGE = hostile_pages.page("links", 40 * HEAVY)  # takes some time to parse
PATIENCE = 30.0


@pytest.fixture
def heavy() -> Iterator[HeavyReader]:
    reader = HeavyReader(Rules(), PLENTY)
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[HeavyReader]:
    reader = HeavyReader(Rules(), PLENTY)
    yield reader
    reader.close()


def plainly(body: bytes, kind: str = KIND) -> Reading:
    return read_page(body, URL, PageHeaders(kind), Rules(), Resolver(Scope(Rules(), [URL]).admits_path), True)


def ask(heavy: HeavyReader, body: bytes = PAGE) -> Reading:
    return heavy.read(body, URL, PageHeaders(KIND), True)


def sandbox_pid(heavy: HeavyReader) -> int:
    """The process ID of a reader's subprocess, once it has one."""
    give_up_at = monotonic() + PATIENCE
    while heavy._process is None and monotonic() < give_up_at:
        sleep(0.001)
    assert heavy._process is not None
    return heavy._process.pid


@contextmanager
def striking(heavy: HeavyReader, *strikes: int) -> Iterator[None]:
    """Send these signals to the subprocess that is parsing during the block, each to a different one."""

    def strike() -> None:
        last = 0
        for number in strikes:
            while (pid := sandbox_pid(heavy)) == last:
                sleep(0.001)
            os.kill(pid, number)
            last = pid

    thread = threading.Thread(target=strike)
    thread.start()
    yield
    thread.join()


# ---- parsing in a subprocess
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile_pages.NAMES)
def test_a_page_has_the_same_reading_in_the_subprocess(shared: HeavyReader, name: str) -> None:
    body = hostile_pages.page(name, 2 * HEAVY)
    assert ask(shared, body) == plainly(body)


def test_headers_and_rules_are_passed_to_the_subprocess() -> None:
    rules = merge_layers({"exclude": ["/1"], "user_agent": "us/1", "max_links": 3})
    reader = HeavyReader(rules, PLENTY)
    reading = reader.read(PAGE, URL, PageHeaders(KIND + "; charset=koi8-r", ("us: noindex",)), True)
    assert reading.links == ("http://h.test/0", "http://h.test/2", "http://h.test/3")
    assert (reading.charset, reading.noindex) == ("KOI8-R", True)
    assert reader.read(PAGE, URL, PageHeaders(KIND, ("us: nofollow",)), True).links == ()
    reader.close()


def test_one_process_parses_all_pages_of_usual_size(heavy: HeavyReader) -> None:
    ask(heavy)
    first = sandbox_pid(heavy)
    ask(heavy)
    assert sandbox_pid(heavy) == first


def test_a_process_that_used_much_memory_is_replaced(heavy: HeavyReader) -> None:
    ask(heavy, hostile_pages.page("links", 10 << 20))
    assert heavy._process is None
    assert ask(heavy) == plainly(PAGE)


def test_threads_take_turns(heavy: HeavyReader) -> None:
    found: list[Reading] = []
    threads = [threading.Thread(target=lambda: found.append(ask(heavy))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [plainly(PAGE)] * 8


# ---- failures--------------------------------------------------------------------------------------------------------


def test_a_page_is_parsed_again_when_the_subprocess_is_killed(heavy: HeavyReader) -> None:
    with striking(heavy, signal.SIGKILL):
        assert ask(heavy, LARGE) == plainly(LARGE)


def test_a_page_that_kills_two_subprocesses_is_unread_and_the_next_one_is_not(heavy: HeavyReader) -> None:
    with striking(heavy, signal.SIGKILL, signal.SIGSEGV):
        assert ask(heavy, LARGE) == Reading("", unread=ParseSkipped.LOST)
    assert ask(heavy) == plainly(PAGE)


@pytest.mark.slow
def test_a_stopped_subprocess_is_replaced(heavy: HeavyReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 8.0)
    ask(heavy)
    stopped = sandbox_pid(heavy)
    os.kill(stopped, signal.SIGSTOP)
    assert ask(heavy) == plainly(PAGE)
    assert not Path(f"/proc/{stopped}").exists()


def test_a_page_above_the_cpu_limit_is_unread() -> None:
    wild = Rules(exclude=("(a+)+$",))
    reader = HeavyReader(wild, PLENTY, seconds=0)
    body = b"<a href=/%bb>" % (b"a" * 60) + PAGE
    reading = reader.read(body, URL, PageHeaders(KIND + "; charset=utf-8", ("noindex",)), True)
    assert reading == Reading("UTF-8", noindex=True, unread=ParseSkipped.CPU_LIMIT)
    reader.close()


def test_a_page_above_the_memory_limit_is_unread_and_the_next_one_is_not() -> None:
    reader = HeavyReader(Rules(), 1 << 20)
    assert ask(reader, hostile_pages.page("<", 8 << 20)) == Reading("", unread=ParseSkipped.MEMORY)
    reader.close()
    reader = HeavyReader(Rules(), 32 << 20)
    assert ask(reader, hostile_pages.page("<", 8 << 20)).unread is ParseSkipped.MEMORY
    assert ask(reader) == plainly(PAGE)
    reader.close()


@pytest.mark.parametrize("size", [100_000, 10 << 20])
def test_a_parser_bomb_is_unread(heavy: HeavyReader, size: int) -> None:
    assert ask(heavy, hostile_pages.bomb(size)) == Reading("", unread=ParseSkipped.MEMORY)


@pytest.mark.parametrize("name", ["<", "nul", "shift_jis", "nested div", "attributes that differ", "links"])
def test_no_hostile_page_exceeds_the_memory_granted(heavy: HeavyReader, name: str) -> None:
    assert ask(heavy, hostile_pages.page(name, 10 << 20)).unread is None


def test_without_a_new_process_the_page_is_parsed_in_this_one(
    heavy: HeavyReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **keys: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert ask(heavy) == plainly(PAGE)


def test_when_every_subprocess_exits_the_page_is_parsed_in_this_one(
    heavy: HeavyReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PROGRAM", "raise SystemExit(1)")
    assert ask(heavy) == plainly(PAGE)


def test_closing_ends_the_subprocess_and_the_waiting_thread(heavy: HeavyReader) -> None:
    errors: list[BaseException] = []

    def read() -> None:
        try:
            ask(heavy, LARGE * 4)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    pid = sandbox_pid(heavy)
    heavy.close()
    thread.join(PATIENCE)
    assert len(errors) == 1
    assert not Path(f"/proc/{pid}").exists()


def test_open_files_are_not_inherited(heavy: HeavyReader, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w"):
        ask(heavy)
        folder = Path(f"/proc/{sandbox_pid(heavy)}/fd")
        targets = [str(link.readlink()) for link in folder.iterdir()]
    assert sum(target.startswith("socket:") for target in targets) == 1
    assert not any(str(tmp_path) in target for target in targets)


def test_the_subprocess_ends_with_its_parent_even_while_it_is_stopped() -> None:
    program = (
        "from tests.contract.test_sandbox import *\n"
        "heavy = HeavyReader(Rules(), PLENTY)\nask(heavy)\nprint(sandbox_pid(heavy), flush=True)\nsleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert parent.stdout
    pid = int(parent.stdout.readline())
    os.kill(pid, signal.SIGSTOP)
    parent.kill()
    parent.communicate()
    give_up_at = monotonic() + PATIENCE
    while alive(pid):
        assert monotonic() < give_up_at
        sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---- on an event loop ------------------------------------------------------------------------------------------------


def response(body: bytes, *headers: tuple[str, str]) -> Response:
    return Response(200, (("Content-Type", KIND), *headers), body)


BODIES = {
    "light": response(b"<a href=x>"),
    "light and coded": response(gzip.compress(b"<a href=x>"), ("Content-Encoding", "gzip")),
    "heavy": response(PAGE),
    "heavy once decoded": response(gzip.compress(PAGE), ("Content-Encoding", "gzip")),
    "heavy and no page": Response(200, (("Content-Type", "image/png"),), PAGE),
    "as large as is read at once": response(PAGE[:HEAVY]),
    "one byte larger": response(PAGE[: HEAVY + 1]),
    "cut at the cap": response(gzip.compress(b" " * 4 * HEAVY), ("Content-Encoding", "gzip")),
    "an error": Response(500, (), PAGE),
    "small and maybe heavy": response(b"<p><b x=y>bold</b> and not" * 5_000),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("max_body", [100, HEAVY, 3 * HEAVY])
async def test_reading_on_a_loop_and_in_a_thread_give_the_same(shared: HeavyReader, name: str, max_body: int) -> None:
    rules = Rules()
    elsewhere = PageProcessor(rules, Scope(rules, [URL]), max_body, elsewhere=shared)
    here = PageProcessor(rules, Scope(rules, [URL]), max_body)
    fetch = Fetch(1, URL)
    assert await elsewhere.aread(fetch, BODIES[name], 0.0) == here.read(fetch, BODIES[name], 0.0)


async def test_a_body_with_a_wrong_content_coding_raises_from_any_thread(heavy: HeavyReader) -> None:
    reader = PageProcessor(Rules(), Scope(Rules(), [URL]), PLENTY, elsewhere=heavy)
    with pytest.raises(FetchError, match="not gzip"):
        await reader.aread(Fetch(1, URL), response(PAGE, ("Content-Encoding", "gzip")), 0.0)


async def test_a_heavy_page_costs_the_loop_almost_nothing(heavy: HeavyReader) -> None:
    rules = Rules()
    coded = response(gzip.compress(LARGE), ("Content-Encoding", "gzip"))
    began = thread_time()
    here = PageProcessor(rules, Scope(rules, [URL]), PLENTY).read(Fetch(1, URL), coded, 0.0)
    plain = thread_time() - began
    reader = PageProcessor(rules, Scope(rules, [URL]), PLENTY, elsewhere=heavy)
    began = thread_time()
    elsewhere = await reader.aread(Fetch(1, URL), coded, 0.0)
    assert thread_time() - began < plain / 10
    assert elsewhere == here


async def test_a_small_bomb_costs_the_loop_less_than_another_page_of_its_size(heavy: HeavyReader) -> None:
    reader = PageProcessor(Rules(), Scope(Rules(), [URL]), PLENTY, elsewhere=heavy)
    began = thread_time()
    await reader.aread(Fetch(1, URL), response(hostile_pages.page("reopened", HEAVY)), 0.0)
    usual = thread_time() - began
    began = thread_time()
    page, event = await reader.aread(Fetch(2, URL), response(hostile_pages.bomb(HEAVY)), 0.0)
    assert thread_time() - began < usual
    assert page is not None and event.unread is ParseSkipped.MEMORY


# ---- in a crawl ------------------------------------------------------------------------------------------------------


def site(path: str) -> list[Step]:
    links = b"".join(b"<a href=/heavy-%d>" % number for number in range(6)) if path == "/" else b"<a href=/end>"
    body = links + (hostile_pages.page("text", 4 * HEAVY) if path.startswith("/heavy") else b"") + b"<a href=/last>"
    coding = b""
    if path.endswith(("1", "3")):
        body, coding = gzip.compress(body), b"Content-Encoding: gzip\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n%sContent-Length: %d\r\n\r\n" % (coding, len(body))
    return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"] if path == "/robots.txt" else [head + body]


@pytest.mark.parametrize("mode", variants.names())
def test_a_crawl_loses_no_page_when_the_subprocess_is_killed(tmp_path: Path, mode: str) -> None:
    killed: list[int] = []
    ended = threading.Event()

    def kill_once() -> None:
        while not killed and not ended.wait(0.002):
            for pid in descendants(os.getpid()):
                if is_heavy(pid):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    break

    killer = threading.Thread(target=kill_once)
    with RawServer(site) as server:
        chosen = merge_layers({"mode": mode, "seeds": [server.url], "delay": 0.0, "per_host": 4, "processes": 2})
        killer.start()
        try:
            summary = webs.crawl(tmp_path / "out", chosen)
        finally:
            ended.set()
            killer.join()
        assert not [pid for pid in descendants(os.getpid()) if is_heavy(pid)]
    assert killed
    assert (summary.complete, summary.reasons, summary.unread) == (True, {"ok": 9}, 0)


def is_heavy(pid: int) -> bool:
    try:
        return b"crawler.pipeline.sandbox" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("mode", variants.names())
def test_an_unread_page_is_stored_and_reported(tmp_path: Path, mode: str) -> None:
    """The parser wants more memory for a page than the crawl has to spare."""

    def reply(path: str) -> list[Step]:
        body = b"<a href=/much>" if path == "/" else hostile_pages.page("<", 2 << 20)
        return [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + body]

    with RawServer(reply) as server:
        keys = {"seeds": [server.url], "delay": 0.0, "robots": False, "max_memory": str(least(mode)), "processes": 1}
        summary = webs.crawl(tmp_path / "out", merge_layers({"mode": mode, **keys}))
    assert (summary.pages, summary.unread, summary.incomplete_because) == (2, 1, {"unread": 1})
    assert [row.detail for row in webs.rows(tmp_path / "out").values()] == ["", "links not read: memory"]
