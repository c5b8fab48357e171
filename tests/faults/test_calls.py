"""Calls of libc that fail or kill the process, a few of each; the long set is `python -m tests.faults`."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from tests.faults.calls import Fault, missing
from tests.faults.test_points import truth
from tests.faults.trial import STORAGE, Blow, Trial

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a shim"),
]
CASES = [
    ("async", "sqlite", Fault("pwrite", 150, errno.EIO)),
    ("async", "files", Fault("write", 20)),
    ("threads", "files", Fault("rename", 12, errno.ENOSPC, on=True)),
    ("processes", "sqlite", Fault("pwrite", 120)),
    ("processes", "sqlite", Fault("thread", 5, errno.EAGAIN, on=True)),
    ("processes", "sqlite", Fault("fork", 2, errno.EAGAIN)),
    ("prefork", "sqlite", Fault("fdatasync", 8, errno.EIO)),
    ("prefork", "files", Fault("fork", 2)),
    ("async", "sqlite", Fault("open", 21, errno.EMFILE)),
    ("threads", "sqlite", Fault("connect", 5, errno.ENETUNREACH)),
]


@pytest.mark.parametrize(("mode", "store", "fault"), CASES, ids=str)
def test_a_failing_call_violates_no_invariant(tmp_path: Path, mode: str, store: str, fault: Fault) -> None:
    with Trial(truth(), tmp_path, store, random.Random(1)) as trial:
        trial.strike(Blow("call", mode, fault))
        assert trial.landed, "that call was not made"
        trial.finish("threads" if mode == "async" else "async")


def test_a_disk_that_fails_every_write_stops_a_crawl_with_one_line(tmp_path: Path) -> None:
    with Trial(truth(), tmp_path, "sqlite", random.Random(1)) as trial:
        ended = trial.strike(Blow("call", "async", Fault("pwrite", 100, errno.EIO, on=True)))
        assert ended is not None and ended.code == STORAGE and len(ended.lines) == 1, ended
        trial.finish("threads")


def test_calls_are_counted_in_every_process(tmp_path: Path) -> None:
    with Trial(truth(), tmp_path, "sqlite", random.Random(1)) as trial:
        counts = trial.counts("processes")
        assert counts["fork"] == 2 and min(counts["pwrite"], counts["connect"]) > 50, counts
        trial.finish("async")
