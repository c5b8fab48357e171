"""The memory limit of a crawl: how sizes are written, the default, the bounds and the limiter."""

from __future__ import annotations

import _hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import variants
from crawler.core.bounds import PLENTY
from crawler.core.reasons import Pause
from crawler.errors import UsageError
from crawler.fetch.base import FetchError
from crawler.fetch.bodies import Bodies
from crawler.fetch.exhaustion import lacks_memory
from crawler.runtime import memory_plan as memory
from crawler.runtime.memory_limit import MemoryLimiter
from crawler.runtime.memory_plan import NEEDS, least, plan_memory
from crawler.settings import merge_layers
from crawler.system import memory as machine_memory
from crawler.system.memory import MIB, parse_size
from crawler.testweb.process import start_web
from tests.contract import webs


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200M", 200 << 20),
        ("2G", 2 << 30),
        ("1.5g", 3 << 29),
        ("1TiB", 1 << 40),
        ("204800 kb", 200 << 20),
        ("134217728", 1 << 27),
    ],
)
def test_sizes_are_parsed(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-200M", "200X", "2,5G", "many", "200MM"])
def test_an_invalid_size_is_refused_with_its_key(text: str) -> None:
    with pytest.raises(UsageError, match=r"bad value for max_memory = '.*': expected a size like 200M or 2G"):
        merge_layers({"max_memory": text})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Fakes the memory of the machine and the limits of its cgroups."""
    monkeypatch.setattr(
        machine_memory, "limit_files", lambda: [tmp_path / name for name in ("inner", "outer", "missing")]
    )

    def say(size: int, **limits: str) -> None:
        monkeypatch.setattr(memory, "machine_memory", lambda: size)
        for name, text in limits.items():
            (tmp_path / name).write_text(text)

    return say


def test_the_default_is_half_of_what_the_innermost_limit_allows(machine: Callable[..., None]) -> None:
    def default() -> int:
        return plan_memory("async", None, 1, 100, fixed=False, forked=False).limit

    machine(8 << 30)
    assert default() == 4 << 30
    machine(8 << 30, outer="2147483648\n", inner="max\n")
    assert default() == 1 << 30
    machine(8 << 30, inner="1073741824\n")
    assert default() == 1 << 29
    machine(8 << 30, inner=str(least("async") * 3))
    assert default() == 2 * least("async"), "more than half where half is less than twice what the mode needs"
    machine(8 << 30, inner=str(least("async") * 3 // 2))
    assert default() == int(0.9 * (least("async") * 3 // 2)), "something is left for other processes"
    machine(8 << 30, inner=str(100 << 20))
    with pytest.raises(UsageError, match=r"^a container \(or machine\) of 100M is less than async needs \(169M\)"):
        default()


def test_in_a_small_container_the_default_is_enough_for_all_processes_that_fit(machine: Callable[..., None]) -> None:
    def planned(cores: int) -> tuple[int, int]:
        plan = plan_memory("prefork", None, cores, 100, fixed=False, forked=True)
        return plan.limit, plan.processes

    machine(64 << 30, inner=str(3 * least("prefork", 2)))
    assert planned(2) == (2 * least("prefork", 2), 2)
    limit, processes = planned(64)
    assert limit == int(0.9 * 3 * least("prefork", 2)) and 2 < processes < 8, "as many as fit"


def test_the_cgroup_of_this_process_is_found_through_proc() -> None:
    assert all(path.name in ("memory.max", "memory.limit_in_bytes") for path in machine_memory.limit_files())


@pytest.mark.parametrize("mode", variants.names())
def test_a_limit_below_the_need_of_a_mode_is_refused_with_that_need(mode: str) -> None:
    for processes in (1, 3) if mode in variants.FORKED else (1,):
        needed = least(mode, processes)
        keys = {"mode": mode, "processes": processes, "seeds": ("http://a.test/",)}
        _, plan = variants.fit(merge_layers({**keys, "max_memory": str(needed)}))
        assert (plan.processes, plan.limit) == (processes, needed)
        with pytest.raises(UsageError, match=rf"^--max-memory \d+M is less than {mode}.* needs \({needed // MIB}M\)"):
            variants.fit(merge_layers({**keys, "max_memory": str(needed - MIB)}))


@pytest.mark.parametrize("mode", variants.names())
def test_the_command_line_refuses_a_too_small_limit_in_one_line_and_creates_nothing(tmp_path: Path, mode: str) -> None:
    command = [sys.executable, "-m", "crawler", "--mode", mode, "--max-memory", "100M", "--out", str(tmp_path / "out")]
    ended = subprocess.run([*command, "http://127.0.0.1:9/"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(rf"error: --max-memory 100M is less than {mode}.* needs \(\d+M\).*\n", ended.stderr)
    assert not (tmp_path / "out").exists()


def test_documented_needs_are_those_of_the_table() -> None:
    text = (Path(variants.__file__).parent.parent / "config/default.toml").read_text()
    for words in (f"async {least('async') // MIB}M", f"threads {least('threads') // MIB}M"):
        assert words in text
    both = {least("processes", 2) // MIB, least("prefork", 2) // MIB}
    assert len(both) == 1 and f"{both.pop()}M with two processes" in text


def test_a_limit_of_the_container_holds_where_a_larger_one_is_asked_for(machine: Callable[..., None]) -> None:
    machine(8 << 30, inner=str(1 << 30))
    plan = plan_memory("async", 2 << 30, 1, 100, fixed=False, forked=False)
    assert plan.limit == int(0.9 * (1 << 30))


def test_the_default_number_of_processes_is_lowered_with_a_warning_where_memory_is_short() -> None:
    plan = plan_memory("prefork", least("prefork", 2) + MIB, 8, 100, fixed=False, forked=True)
    assert plan.processes == 2 and plan.note.startswith("2 processes instead of 8: ")
    assert plan.own.lowered and plan.worker.lowered
    assert plan_memory("prefork", 8 << 30, 8, 100, fixed=False, forked=True).note == ""


@pytest.mark.parametrize("mode", variants.names())
def test_shares_add_up_to_the_limit_and_the_least_limit_gives_each_a_share(mode: str) -> None:
    forked, processes = mode in variants.FORKED, 3 if mode in variants.FORKED else 1
    small = plan_memory(mode, least(mode, processes), processes, 1000, fixed=True, forked=forked)
    large = plan_memory(mode, 4 << 30, processes, 1000, fixed=True, forked=forked)
    for plan in (small, large):
        parts = NEEDS[mode].once + processes * plan.worker.limit if forked else plan.worker.limit
        assert parts <= plan.limit
        assert plan.worker.bodies + plan.worker.data <= plan.worker.free and plan.worker.alone <= plan.worker.free
    few, many = small.own.bounds, large.own.bounds
    assert few.hosts >= 100 and few.links >= 1000 and few.marks >= 100_000
    assert many.hosts > few.hosts and many.links > few.links and many.marks > few.marks
    assert small.in_flight < large.in_flight == 1000 and (small.note != "", large.note) == (True, "")


def test_the_limiter_lowers_and_raises_the_fetches_in_flight_in_proportion() -> None:
    released: list[int] = []
    pauses: list[tuple[Pause, bool]] = []
    limiter = MemoryLimiter(1000, 40, lambda: released.append(limiter.most), lambda *pause: pauses.append(pause))
    limiter.on_sample(840)
    assert (limiter.most, pauses) == (PLENTY, [])
    limiter.on_sample(900)
    assert (limiter.most, pauses) == (20, [(Pause.MEMORY, True)])
    limiter.on_sample(925)
    assert limiter.most == 10
    limiter.on_sample(2000)
    assert limiter.most == 1, "it never goes to 0"
    limiter.on_sample(860)
    assert limiter.most == 2, "it at most doubles"
    for _ in range(6):
        limiter.on_sample(500)
    assert (limiter.most, pauses) == (PLENTY, [(Pause.MEMORY, True), (Pause.MEMORY, False)])
    assert released[:2] == [2, 4] and released[-1] == PLENTY, "the waiting pump is woken"


def test_memory_used_before_the_crawl_does_not_count() -> None:
    limiter = MemoryLimiter(1000, 40, lambda: None, lambda why, lasts: None, outside=500)
    limiter.on_sample(1340)
    assert limiter.most == PLENTY
    limiter.on_sample(1500)
    assert limiter.most == 1


def test_bodies_in_flight_are_bounded_and_the_oldest_may_grow() -> None:
    bodies = Bodies()
    bodies.bound(100, 200)
    first, second = bodies.take(), bodies.take()
    first.grow(20)
    second.grow(20)
    with pytest.raises(FetchError) as refused:
        second.grow(20)
    assert lacks_memory(refused.value) and bodies.size == 80
    first.grow(60)
    with pytest.raises(FetchError):
        first.grow(1)
    first.release()
    first.release()
    second.grow(80)
    assert bodies.size == 200
    second.release()
    assert bodies.size == 0


def test_a_hash_that_openssl_has_no_memory_for_is_a_lack_of_memory() -> None:
    with pytest.raises(ValueError, match="nsupported") as refused:
        _hashlib.hmac_digest(b"", b"", "nothing")
    assert lacks_memory(refused.value)
    assert not lacks_memory(ValueError(str(refused.value))), "others may say the same"


@pytest.mark.slow
def test_a_crawl_above_its_memory_limit_from_the_start_completes_and_counts_the_pause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("crawler.metrics.process_tree.LOOK_PERIOD", 0.01)
    monkeypatch.setattr("crawler.runtime.memory_limit.SLOW_AT", 0.0001)
    monkeypatch.setattr("crawler.runtime.memory_limit.STOP_AT", 0.0002)
    monkeypatch.setattr("crawler.runtime.limits.AT_START", 1 << 40)
    with start_web(hosts=webs.HOSTS, pages=webs.PAGES) as web:
        summary = webs.crawl(tmp_path / "out", webs.settings(web, "async", max_memory="300M", host_patience=5.0))
    assert (summary.owed, summary.digest) == (0, webs.DIGEST)
    assert summary.pauses["memory"] == 1


NO_ROOM_FOR_A_STACK = """
import resource, threading
from crawler.system.threads import start_thread
from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import FetchError
from crawler.fetch.exhaustion import is_resource_exhausted, lacks_memory
from crawler.metrics.process_tree import PROC
nothing = FetchError(FetchErrorKind.DNS, "getaddrinfo() thread failed to start")
size = int((PROC / "self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))
try:
    threading.Thread(target=print).start()
    raise SystemExit("a thread could be started")
except RuntimeError as error:
    start_thread(print, "small", "small stack").join()
    short = [lacks_memory(error), lacks_memory(nothing)]
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(*short, lacks_memory(error), lacks_memory(nothing))
    print(is_resource_exhausted(error), is_resource_exhausted(nothing))
"""


def test_a_thread_that_cannot_be_started_is_a_lack_of_memory_only_where_memory_is_short() -> None:
    done = subprocess.run([sys.executable, "-c", NO_ROOM_FOR_A_STACK], capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines() == ["small stack", "True True False False", "True False"], done
