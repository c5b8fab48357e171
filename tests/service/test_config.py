"""The configuration of the service: each bad value has its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.errors import UsageError
from crawler.service.config import ServiceConfig, read_config


def test_without_a_file_the_defaults_count() -> None:
    config = read_config(None)
    assert config == ServiceConfig()
    assert (config.floor, config.most_log, config.most_kept) == (1 << 30, 10 << 20, None)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "service.toml"
    path.write_text('[service]\nmax_running = 4\nkeep_bytes = "2G"\n[service.on_end]\ncommand = ["mail", "me"]\n')
    config = read_config(path)
    assert (config.max_running, config.most_kept, config.on_end.command) == (4, 2 << 30, ("mail", "me"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[service]\nmax_runing = 1", "did you mean 'max_running'"),
        ("[service]\nqqqq = 1", "there are: max_running"),
        ("max_running = 1", "stand in \\[service\\]"),
        ("[service]\nmax_running = 0", "bad value"),
        ('[service]\ndisk_floor = "much"', "bad value for disk_floor"),
        ("[service", "not valid TOML"),
        ('[service.on_end]\nurl = "mailto:me"', "bad value"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "service.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=why) as caught:
        read_config(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read configuration"):
        read_config(tmp_path / "none.toml")
