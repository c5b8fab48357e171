"""A few kills of a service and of its children; the long campaign is `python -m tests.service_kills`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service_kills import play

pytestmark = pytest.mark.slow


def test_a_service_that_is_killed_loses_no_run_and_leaves_no_process(tmp_path: Path) -> None:
    report = play(3, seed=3, folder=tmp_path, dead_after=10)  # beside other tests
    assert report.kills.total() == 3
    assert report.starts > report.runs, "no run was disturbed"
