"""Settings are merged from layers, invalid values are refused, and the documentation of the profiles is correct."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawler.errors import UsageError
from crawler.settings import (
    KEYS,
    PROFILES,
    Settings,
    check_seed,
    merge_layers,
    profile,
    profiles_folder,
    read_environment,
    read_file,
)

DEFAULTS: dict[str, Any] = msgspec.to_builtins(Settings())
SEED = "http://a.test/"


def message(*layers: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as refused:
        merge_layers(*layers)
    return str(refused.value)


class TestDocumentation:
    def test_default_toml_has_every_key_with_its_default(self) -> None:
        text = (profiles_folder() / "default.toml").read_text()
        written = tomllib.loads(text)
        without_default = re.findall(r"^# (\w+) = none$", text, re.MULTILINE)
        assert not set(written) & set(without_default)
        assert written | dict.fromkeys(without_default) == {
            key: list(value) if isinstance(value, tuple) else value for key, value in DEFAULTS.items()
        }

    def test_every_key_is_documented(self) -> None:
        lines = (profiles_folder() / "default.toml").read_text().splitlines()
        explained = False
        for line in lines:
            key = re.match(r"(?:# )?(\w+) = ", line)
            if key and key[1] in KEYS:
                assert explained, f"nothing is said of {key[1]}"
            else:
                explained = line.startswith("#") and not line.startswith("# ----")

    @pytest.mark.parametrize("name", PROFILES)
    def test_profiles_load(self, name: str) -> None:
        layer = profile(name)
        assert layer
        settings = merge_layers(layer)
        assert all(getattr(settings, key) == value for key, value in layer.items())

    def test_polite_is_the_default(self) -> None:
        assert merge_layers(profile("polite")) == Settings()

    def test_fast_is_fast_and_still_obeys_robots(self) -> None:
        fast = merge_layers(profile("fast"))
        assert (fast.delay, fast.robots) == (0.0, True)
        assert fast.per_host > 1


class TestLayers:
    def test_the_last_layer_wins(self) -> None:
        settings = merge_layers({"delay": 3.0, "per_host": 2}, {"delay": 2.0}, {})
        assert (settings.delay, settings.per_host) == (2.0, 2)

    def test_the_lease_follows_the_timeout(self) -> None:
        assert merge_layers({}).lease == Settings().lease
        assert merge_layers({"timeout": 100}).lease == 115.0

    def test_a_later_timeout_takes_back_an_earlier_lease(self) -> None:
        assert merge_layers({"lease": 10.0, "timeout": 5.0}, {"timeout": 30.0}).lease == 45.0
        assert merge_layers({"timeout": 5.0}, {"lease": 10.0}).lease == 10.0
        assert "lease" in message({"timeout": 5.0}, {"lease": 4.0})

    def test_environment(self) -> None:
        environment = {
            "CRAWLER_DELAY": "0.5",
            "CRAWLER_SEEDS": "http://a.test/ http://b.test",
            "CRAWLER_ROBOTS": "false",
            "CRAWLER_RESOLVE": "a.test=127.0.0.1:8080",
            "CRAWLER_DEBUG": "1",
            "PATH": "/bin",
        }
        settings = merge_layers(read_environment(environment))
        assert (settings.delay, settings.robots) == (0.5, False)
        assert settings.seeds == ("http://a.test/", "http://b.test/")
        assert settings.resolve == {"a.test": "127.0.0.1:8080"}

    def test_a_stored_layer_gives_the_same_settings_again(self) -> None:
        settings = merge_layers({"seeds": [SEED], "exclude": ["/x"], "max_pages": 3, "timeout": 7})
        assert merge_layers(msgspec.to_builtins(settings)) == settings


class TestRefusals:
    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            ({"concurrency": 0}, "concurrency = 0"),
            ({"delay": -1}, "delay = -1"),
            ({"delay": float("nan")}, "delay = nan"),
            ({"delay": float("inf")}, "delay = inf"),
            ({"timeout": float("inf")}, "timeout = inf"),
            ({"timeout": "soon"}, "timeout = 'soon'"),
            ({"timeout": [1]}, "timeout"),
            ({"timeout": 0}, "timeout = 0"),
            ({"max_pages": 0}, "max_pages = 0"),
            ({"seeds": "http://a.test/"}, "seeds"),
            ({"store": "mysql"}, "sqlite, files"),
            ({"scope": "world"}, "host, domain, any"),
            ({"out": ""}, "out"),
            ({"out": "a\0b"}, "out"),
            ({"user_agent": "a\nb"}, "user_agent"),
            ({"user_agent": "Zo\u00eb"}, "user_agent"),
            ({"attempt_header": "X\r\nY"}, "attempt_header"),
            ({"resolve": {"a.test": "127.0.0.1:http"}}, "a.test"),
            ({"resolve": {"a.test": 3}}, "resolve"),
            ({"resolve": {"a.test": "not an address"}}, "'not an address'"),
            ({"resolve": {"a.test": "127.0.0.1:70000"}}, "70000"),
            ({"resolve": {"a test": "127.0.0.1"}}, "'a test'"),
            ({"resolve": {"a.test": ":80"}}, "':80'"),
            ({"concurrency": 10_001}, "a whole number <= 10000"),
            ({"processes": 1025}, "a whole number <= 1024"),
            ({"threads_per_process": 10_001}, "a whole number <= 10000"),
            ({"max_depth": "deep"}, "expected a whole number, got text"),
            ({"robots": 3.5}, "expected true or false"),
        ],
    )
    def test_an_invalid_value_is_refused_with_its_key(self, layer: dict[str, Any], words: str) -> None:
        text = message(layer)
        assert words in text
        assert "\n" not in text

    @pytest.mark.parametrize(
        "layer",
        [
            {"out": 5},
            {"seeds": [1, 2]},
            {"delay": -1},
            {"delay": 1e10},
            {"attempts": 1000},
            {"timeout": 1e10},
            {"resolve": {"a": "b c"}},
        ],
    )
    def test_invalid_values_that_are_overridden_are_refused(self, layer: dict[str, Any]) -> None:
        good = {"out": "c", "seeds": [SEED], "delay": 1.0, "resolve": {}}
        text = message(layer, good)
        assert next(iter(layer)) in text
        assert "`" not in text

    @pytest.mark.parametrize("where", ["127.0.0.1", "127.0.0.1:80", "::1", "[::1]:8080", "localhost", "my-host.test:1"])
    def test_valid_targets_of_resolve(self, where: str) -> None:
        assert merge_layers({"resolve": {"a.test:8080": where}}).resolve == {"a.test:8080": where}

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("ftp://a.test/", "not ftp"),
            ("a.test/x", "did you mean http://a.test/x"),
            ("localhost:8090", "did you mean http://localhost:8090"),
            ("localhost:8090/x?y=1", "did you mean http://localhost:8090/x"),
            ("127.0.0.1:8090", "did you mean http://127.0.0.1:8090"),
            ("mailto:a", "not mailto"),
            ("http://", "not a URL"),
            ("http://a b.test/", "not a URL"),
            ("", "not a URL"),
            ("file:///etc/passwd", "not file"),
        ],
    )
    def test_invalid_seeds(self, url: str, words: str) -> None:
        assert words in message({"seeds": [url]})

    def test_credentials_are_refused_and_not_repeated(self) -> None:
        text = message({"seeds": ["http://me:secret@a.test/"]})
        assert "password" in text
        assert "secret" not in text

    def test_seeds_become_canonical(self) -> None:
        assert check_seed("HTTP://A.test:80/%7e/../b#c") == "http://a.test/b"

    def test_an_unknown_key_is_refused_with_the_nearest_key(self, tmp_path: Path) -> None:
        file = tmp_path / "my.toml"
        file.write_text("timeot = 3\n")
        with pytest.raises(UsageError, match=r"unknown key 'timeot' in .*my\.toml; did you mean 'timeout'\?"):
            read_file(file)
        with pytest.raises(UsageError, match=r"CRAWLER_DELY; did you mean 'delay'\?"):
            read_environment({"CRAWLER_DELY": "1"})

    @pytest.mark.parametrize("content", [b"delay = ", b"\xff\xfe", b"delay = 1\ndelay = 2\n"])
    def test_files_that_are_not_toml(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "my.toml"
        file.write_bytes(content)
        with pytest.raises(UsageError, match="not valid TOML"):
            read_file(file)

    def test_files_that_cannot_be_read(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "none.toml"):
            with pytest.raises(UsageError, match="cannot read configuration"):
                read_file(path)

    def test_an_unknown_profile_is_refused_with_the_nearest_one(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'polite'"):
            profile("pollite")
