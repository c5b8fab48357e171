"""How secrets are configured, which headers they become, and that no error message and no text contains them."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawler.compare.site import manners
from crawler.core.messages import Fetch
from crawler.core.urls.scope import Scope
from crawler.errors import UsageError
from crawler.fetch.secrets import Login, headers_by_origin, resolve_references, with_cookie
from crawler.runtime.job import open_processor
from crawler.runtime.memory_plan import ROOMY
from crawler.settings import Settings, merge_layers, read_environment

A = "https://a.test"
SECRET = "hunter2-s3cr3t"


def basic(user: str, password: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"),)


def bound(**layer: Any) -> dict[str, tuple[tuple[str, str], ...]]:
    settings = merge_layers(layer)
    return headers_by_origin(settings.headers, settings.credentials)


def refusal(**layer: Any) -> str:
    with pytest.raises(UsageError) as refused:
        merge_layers(layer)
    assert SECRET not in str(refused.value) and "\n" not in str(refused.value)
    return str(refused.value)


class TestForms:
    def test_headers_belong_to_an_origin_in_any_spelling(self) -> None:
        for origin in ("https://A.test", "https://a.test/", "HTTPS://a.test:443"):
            assert bound(headers={origin: {"X-Api-Key": SECRET}}) == {A: (("X-Api-Key", SECRET),)}

    def test_logins(self) -> None:
        assert bound(credentials={A: {"user": "me", "password": "p\xe4ss"}}) == {A: basic("me", "p\xe4ss")}
        assert bound(credentials={A: {"token": "t0k"}}) == {A: (("Authorization", "Bearer t0k"),)}
        assert bound(credentials={A: {}}, headers={A: {}}) == {}

    def test_values_from_variables_and_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", SECRET)
        (tmp_path / "password").write_text("from file\n")
        found = bound(
            headers={A: {"X-Api-Key": "env:MY_KEY"}},
            credentials={"http://b.test:81": {"user": "env:MY_KEY", "password": f"file:{tmp_path / 'password'}"}},
        )
        assert found == {A: (("X-Api-Key", SECRET),), "http://b.test:81": basic(SECRET, "from file")}

    def test_a_netrc_given_by_path(self, tmp_path: Path) -> None:
        file = tmp_path / "netrc"
        file.write_text(f"machine a.test login me password {SECRET}\nmachine b.test login you password other\n")
        assert bound(credentials={f"{A}:8443": {"netrc": str(file)}}) == {f"{A}:8443": basic("me", SECRET)}

    def test_several_origins_are_kept_separate(self) -> None:
        found = bound(headers={A: {"X-K": "1"}, f"{A}:8443": {"X-K": "2"}}, credentials={A: {"token": "t"}})
        assert found == {A: (("X-K", "1"), ("Authorization", "Bearer t")), f"{A}:8443": (("X-K", "2"),)}


class TestRefusals:
    @pytest.mark.parametrize(
        "origin", ["a.test", "https://a.test/path", "https://a.test/?q", "ftp://a.test", "https://a.test/#f", ""]
    )
    def test_invalid_origins(self, origin: str) -> None:
        assert "belong to an origin" in refusal(headers={origin: {"X": SECRET}})
        assert "belong to an origin" in refusal(credentials={origin: {"token": SECRET}})

    def test_a_user_in_an_origin_is_not_repeated(self) -> None:
        assert "with a user" in refusal(headers={f"https://me:{SECRET}@a.test": {"X": "y"}})

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("Proxy-Authorization", "for proxies"),
            ("proxy-anything", "for proxies"),
            ("HOST", "frames"),
            ("Content-Length", "frames"),
            ("Connection", "connection"),
            ("User-Agent", "user_agent"),
            ("Accept-Encoding", "decoded"),
            ("X Y", "plain name"),
            ("", "plain name"),
        ],
    )
    def test_headers_that_the_client_sets_itself(self, name: str, why: str) -> None:
        assert why in refusal(headers={A: {name: SECRET}})

    @pytest.mark.parametrize("value", [f"{SECRET}\r\nX-Evil: 1", f"{SECRET}\0", f"{SECRET}\xe9", f"{SECRET}\n"])
    def test_values_with_line_breaks_and_control_characters(self, value: str) -> None:
        assert "cannot be sent" in refusal(headers={A: {"X-Api-Key": value}})

    @pytest.mark.parametrize(
        "login",
        [
            {"user": "me", "token": SECRET},
            {"password": SECRET},
            {"token": SECRET, "password": SECRET},
            {"user": "a:b", "password": SECRET},
            {"token": f"{SECRET} x"},
            {"token": SECRET, "netrc": "x"},
        ],
    )
    def test_contradictory_and_incomplete_logins(self, login: dict[str, str]) -> None:
        assert "credentials of https://a.test" in refusal(credentials={A: login})

    def test_two_ways_to_log_in(self) -> None:
        assert "twice" in refusal(headers={A: {"authorization": SECRET}}, credentials={A: {"token": SECRET}})

    def test_missing_variables_files_and_netrc(self, tmp_path: Path) -> None:
        assert "variable NO_SUCH, which is to hold X of" in refusal(headers={A: {"X": "env:NO_SUCH"}})
        assert "No such file" in refusal(credentials={A: {"token": f"file:{tmp_path / 'none'}"}})
        assert "No such file" in refusal(credentials={A: {"netrc": str(tmp_path / "none")}})
        (tmp_path / "binary").write_bytes(b"\xff")
        assert "no text" in refusal(headers={A: {"X": f"file:{tmp_path / 'binary'}"}})
        (tmp_path / "netrc").write_text(f"machine b.test login me password {SECRET}\n")
        assert "no login for a.test" in refusal(credentials={A: {"netrc": str(tmp_path / "netrc")}})
        (tmp_path / "netrc").write_text(f"machine a.test {SECRET}\n")
        assert "cannot be read in line" in refusal(credentials={A: {"netrc": str(tmp_path / "netrc")}})

    def test_tables_of_another_shape(self) -> None:
        assert "credentials" in refusal(credentials={A: {"user": "me", "pasword": SECRET}})
        assert "headers" in refusal(headers={A: SECRET})
        assert "headers" in refusal(headers={A: {"X": [SECRET]}})

    def test_a_variable_cannot_hold_a_table(self) -> None:
        with pytest.raises(
            UsageError, match="CRAWLER_HEADERS is not supported; set headers in a --config file"
        ) as refused:
            read_environment({"CRAWLER_HEADERS": SECRET})
        assert SECRET not in str(refused.value)

    def test_seeds_with_a_login_are_not_repeated_even_where_they_are_broken(self) -> None:
        for seed in (f"http://me:{SECRET}@", f"ftp://me:{SECRET}@a.test/", f"http://me:{SECRET}@a b/"):
            assert "credentials" in refusal(seeds=[seed])


def test_no_text_of_settings_contains_a_secret() -> None:
    settings = merge_layers(
        {"headers": {A: {"X": SECRET}}, "credentials": {"http://b.test": {"user": "u", "password": SECRET}}}
    )
    assert SECRET not in f"{settings!r} {settings} {settings.credentials}"
    assert "delay=1.0" in repr(settings)
    again = msgspec.json.decode(msgspec.json.encode(settings), type=Settings)  # as sent to workers
    assert again == settings


def test_a_request_gets_the_secrets_of_exactly_its_origin() -> None:
    settings = merge_layers({"headers": {A: {"X": SECRET}}, "attempt_header": "X-Try"})
    reader = open_processor(settings, Scope(settings, ()), ROOMY)
    for url, sent in {
        f"{A}/x?y": True,
        "http://a.test/": False,
        f"{A}:8443/": False,
        "https://sub.a.test/": False,
        "https://a.test.evil/": False,
        "https://a.test./": False,
    }.items():
        assert reader.request(Fetch(1, url)).headers == (*((("X", SECRET),) if sent else ()), ("X-Try", "1"))
        assert reader.request(Fetch(1, url, without_credentials=True)).headers == (("X-Try", "1"),)


def test_resolved_secrets_are_bound_unchanged() -> None:
    assert resolve_references({}, {}) == ({}, {})
    assert headers_by_origin({A: {"X": "y"}}, {A: Login(token="t")}) == {A: (("X", "y"), ("Authorization", "Bearer t"))}


def test_a_comparison_stores_its_configuration_so_it_accepts_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(f'[headers."{A}"]\nX-Api-Key = "{SECRET}"\n')
    with pytest.raises(UsageError, match="remove headers and credentials"):
        manners("polite", tmp_path / "site.toml")


def test_cookies_of_the_jar_follow_configured_cookies() -> None:
    given = (("X", "y"), ("cookie", "a=1"))
    assert with_cookie(given, "b=2") == (("X", "y"), ("Cookie", "a=1; b=2"))
    assert with_cookie((), "b=2") == (("Cookie", "b=2"),)
