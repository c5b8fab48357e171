"""Lines of progress on a terminal are cut to its width."""

from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from crawler.bench.present import aligned
from crawler.cli.lines import columns, fitted
from crawler.cli.progress import Pace, progress
from crawler.cli.signals import Signals
from crawler.metrics.counters import InFlight, RunStats
from crawler.system import stderr


@given(st.text(st.characters(categories=["L", "N", "P", "S"])), st.integers(1, 100))
def test_a_line_never_takes_more_columns_than_there_are(line: str, width: int) -> None:
    shown = fitted(line, width)
    assert cell_len(shown) <= width
    assert shown == line or (shown.endswith("…") and cell_len(line) > width)


def test_a_wide_letter_is_not_cut_in_two() -> None:
    assert fitted("漢字漢字", 4) == "漢 …"


def test_the_columns_of_a_table_are_as_wide_as_their_cells() -> None:
    rows = [("rate", "size", "work"), ("0.5 [0.4, 0.6]", "7 MB", "equal"), ("no luck",)]
    assert aligned(["", "async", "wget2"], rows) == [
        "                rate size work",
        "async 0.5 [0.4, 0.6] 7 MB equal",
        "wget2 no luck",
    ]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_progress_is_lines_in_the_format_that_was_asked_for(
    log_format: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawler.cli.progress.LOG_PERIOD", 0.02)
    written, give_up_at = "", time.monotonic() + 60
    with progress(Pace(RunStats(queued=3), InFlight()), Signals(), "async, crawls/a", log_format):
        while "\n" not in written and time.monotonic() < give_up_at:
            time.sleep(0.01)
            written += capfd.readouterr().err
    first = written.splitlines()[0]
    if log_format == "json":
        assert json.loads(first)["queue"] == 3
    else:
        assert " · queue 3 · 0 in flight on 0 hosts · " in first


def test_a_status_stays_below_the_lines_that_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(stderr, "DESCRIPTOR", write)
    stderr.write_nonblocking("before")
    stderr.show_status("half done")
    stderr.write_nonblocking("a line")
    stderr.show_status("done")
    stderr.show_status("")
    stderr.write_nonblocking("after")
    written = os.read(read, 10_000).decode()
    assert written == "before\n\r\x1b[Khalf done\r\x1b[Ka line\nhalf done\r\x1b[Kdone\r\x1b[Kafter\n"
    os.close(read)
    os.close(write)


def test_a_line_leaves_room_for_what_a_terminal_writes_when_ctrl_c_is_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert columns() + len("^C") < 80
    monkeypatch.setenv("COLUMNS", "2")
    assert columns() == 1
