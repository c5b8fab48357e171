"""Every key of the configuration is explained, and the shown configuration is one."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from crawler.cli.config import config
from crawler.errors import UsageError
from crawler.settings import KEYS, Settings, merge_layers
from crawler.settings.explained import as_toml, commented_default, explain, texts, with_origins


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_text_a_type_and_its_default(key: str) -> None:
    found = explain(key)
    assert len(found.text) > 20 and "----" not in found.text
    assert found.kind
    default = getattr(Settings(), key)
    if found.default == "none":
        assert default is None
    else:
        assert tomllib.loads(f"x = {found.default}")["x"] == (list(default) if isinstance(default, tuple) else default)


def test_the_range_of_a_key_is_told() -> None:
    assert explain("attempts").kind == "a whole number, >= 1, <= 30"
    assert explain("timeout").kind == "a number, > 0, <= 86,400"
    assert explain("max_pages").kind == "a whole number, >= 1, or unset"
    assert explain("loop").kind == 'one of "asyncio", "auto", "uvloop"'


def test_an_unknown_key_gets_the_nearest_and_a_retired_one_its_successor() -> None:
    with pytest.raises(UsageError, match="'delay'"):
        explain("dellay")
    with pytest.raises(UsageError, match="'host_patience'"):
        explain("robots_asks")


def test_keys_in_a_row_share_a_comment_and_others_do_not() -> None:
    assert texts("# about a\na = 1\nb = 2\n\n# ---- c ----\n\n# about c\n# more\n# c = none\n") == {
        "a": ("about a", "1"),
        "b": ("about a", "2"),
        "c": ("about c\nmore", "none"),
    }


def test_the_last_layer_is_the_origin() -> None:
    shown = {
        key: (value, origin)
        for key, value, origin in with_origins([("p", {"delay": 2, "timeout": 9.0}), ("f", {"delay": 3})])
    }
    assert shown["delay"] == ("3.0", "f")
    assert shown["timeout"] == ("9.0", "p")
    assert shown["lease"] == ("24.0", "follows other keys")
    assert shown["robots"] == ("true", "default")


def test_secrets_are_not_shown() -> None:
    layer = {"headers": {"https://a.test": {"X-Key": "hush"}}}
    assert "hush" not in str([*with_origins([("f", layer)])])


def test_a_table_is_written_as_toml() -> None:
    table = {"a.b": "1", 'q"': "2"}
    assert tomllib.loads(f"x = {as_toml(table)}")["x"] == table


def test_what_is_shown_is_a_configuration_with_the_same_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWLER_DELAY", "2.5")
    ran = CliRunner().invoke(config, ["show", "--profile", "fast"], standalone_mode=False)
    written = tomllib.loads(ran.stdout)
    assert written["delay"] == 2.5 and "# CRAWLER_DELAY" in ran.stdout and "# --profile fast" in ran.stdout
    assert merge_layers(written).delay == 2.5


def test_init_writes_the_commented_file_once(tmp_path: Path) -> None:
    def init() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "crawler", "config", "init"]
        environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)

    assert init().returncode == 0
    assert (tmp_path / "crawler.toml").read_text() == commented_default()
    again = init()
    assert (
        again.returncode == 2
        and again.stderr == "error: crawler.toml exists; choose another file with -o, or remove it\n"
    )


def test_a_key_is_explained_by_its_flag_too() -> None:
    ran = CliRunner().invoke(config, ["explain", "--", "--max-pages"], standalone_mode=False)
    assert ran.stdout.startswith("max_pages: a whole number, >= 1, or unset; default none\n")
    assert "CRAWLER_MAX_PAGES" in ran.stdout and "--max-pages" in ran.stdout
