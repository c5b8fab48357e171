"""Lack of memory: the Nth allocation fails, the address space is limited, a cgroup is small. No URL may be lost.

The long set is `python -m tests.faults`; what a crawl takes under a limit is measured by `python -m tests.memory`.
"""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

import variants
from crawler.runtime.memory_plan import least
from crawler.system.memory import MIB
from tests.faults.calls import Fault, missing
from tests.faults.test_points import truth
from tests.faults.trial import NOTHING_FETCHED, STORAGE, Blow, Trial
from tests.memory import cgroup_of, costly_site, crawl, why_no_cgroup

pytestmark = pytest.mark.faults
shim = pytest.mark.skipif(bool(missing()), reason=missing() or "there is a shim")
ALLOCATIONS = [
    ("async", "sqlite", 3, 0),
    ("async", "files", 285, 3),
    ("threads", "sqlite", 62, 200),
    ("threads", "files", 4, 2000),
    ("processes", "sqlite", 21, 20),
    ("processes", "files", 554, 20),
    ("prefork", "sqlite", 177, 200),
    ("prefork", "sqlite", 554, 500),
]


@shim
@pytest.mark.parametrize(("mode", "store", "nth", "more"), ALLOCATIONS, ids=str)
def test_failing_allocations_violate_no_invariant(tmp_path: Path, mode: str, store: str, nth: int, more: int) -> None:
    with Trial(truth(), tmp_path, store, random.Random(1)) as trial:
        ended = trial.strike(Blow("call", mode, Fault("memory", nth, errno.ENOMEM, more)))
        assert trial.landed, "that call was not made"
        assert ended is None or ended.code in (0, STORAGE), ended
        if ended is not None and ended.summary is not None:
            reasons = ended.summary["reasons"]
            assert not {"internal", "protocol", "starved", "disconnect"} & reasons.keys(), reasons
        trial.finish_without_memory("threads" if mode == "async" else "async")


@pytest.mark.parametrize("mode", variants.names())
def test_a_small_address_space_violates_no_invariant(tmp_path: Path, mode: str) -> None:
    """Limits for each process: too small to start, too small for some pages, or for the last threads."""
    with Trial(truth(), tmp_path, "sqlite", random.Random(1)) as trial:
        for megabytes in (110, 160, 220, 300):
            ended = trial.run_within(mode, ("sh", "-c", f'ulimit -v {megabytes * 1024}; exec "$@"', "sh"))
            assert ended is None or ended.code in (0, STORAGE, 2, NOTHING_FETCHED), ended
            if trial.complete:
                break
        trial.finish_without_memory("async")


@pytest.mark.skipif(bool(why_no_cgroup()), reason=why_no_cgroup() or "there are cgroups")
@pytest.mark.parametrize("mode", variants.names())
def test_the_least_cgroup_is_enough_and_a_smaller_one_is_refused(mode: str) -> None:
    processes = 2 if mode in variants.FORKED else 1
    needed = int(least(mode, processes) / 0.9) + MIB
    with costly_site(pages=60) as url:
        done = crawl(url, mode, None, needed, "--processes", str(processes))
        assert (done.code, done.summary.get("urls")) == (0, 60), done
        assert done.peak < needed
        refused = crawl(url, mode, None, needed * 9 // 10, "--processes", str(processes))
    assert (refused.code, refused.summary) == (2, {}), refused
    assert refused.lines.startswith("error: ") and "needs (" in refused.lines and "\n" not in refused.lines


@pytest.mark.parametrize("mode", variants.names())
def test_the_least_limit_is_kept_on_a_site_of_costly_pages_and_the_peak_is_reported(mode: str) -> None:
    processes = 2 if mode in variants.FORKED else 1
    limit = least(mode, processes)
    with costly_site(pages=120) as url:
        done = crawl(url, mode, limit, None, "--processes", str(processes))
    assert (done.code, done.summary.get("urls")) == (0, 120), done
    assert done.peak < limit, f"{done.peak >> 20} MiB of {limit >> 20}"
    # The crawler samples ten times a second, this test fifty: it misses a peak between two of its samples.
    assert 0.7 * done.peak < done.summary["peak_memory_bytes"] < limit, (
        "the crawler reports less memory than was measured from outside"
    )
    assert "internal" not in done.summary["reasons"] and "starved" not in done.summary["reasons"], done.summary


def test_a_page_too_large_for_the_memory_settles_and_the_rest_is_fetched() -> None:
    with costly_site(pages=3, huge=True) as url:
        done = crawl(url, "async", least("async"), None, "--config", str(Path(__file__).with_name("huge.toml")))
    assert done.summary["reasons"] == {"ok": 2, "starved": 1}, done
    assert done.summary["pauses"]["memory"] > 0


def test_a_cgroup_is_created_and_removed() -> None:
    if why := why_no_cgroup():
        pytest.skip(why)
    with cgroup_of(64 << 20) as command:
        group = Path(command[2].split()[3].removesuffix("/cgroup.procs"))
        assert group.is_dir()
    assert not group.exists()
