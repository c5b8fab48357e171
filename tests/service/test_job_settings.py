"""What may stand in the settings of a job: no path, no program, no secret that is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawler.service.core.run_admission import RunReach
from crawler.service.errors import Invalid
from crawler.service.job_settings import DISK_WAIT, check_settings, crawls_the_same, for_child, reach
from crawler.settings.places import SECRETS

SITE = "https://a.test"
SEEDS = {"seeds": [f"{SITE}/"]}


def refused(settings: dict[str, Any], secrets_dir: Path | None = None) -> Invalid:
    with pytest.raises(Invalid) as caught:
        check_settings(settings, secrets_dir)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("settings", "key", "word"),
    [
        ({"dely": 1, **SEEDS}, "settings.dely", "did you mean 'delay'"),
        ({"nothing_like_it": 1, **SEEDS}, "settings.nothing_like_it", "unknown key"),
        ({"out": "/tmp/x", **SEEDS}, "settings.out", "chooses the directory"),
        ({"filter": "os:remove", **SEEDS}, "settings.filter", "cannot call functions"),
        ({"on_page": "os:remove", **SEEDS}, "settings.on_page", "cannot call functions"),
        ({"on_error": "os:remove", **SEEDS}, "settings.on_error", "cannot call functions"),
        ({"on_progress": "os:remove", **SEEDS}, "settings.on_progress", "cannot call functions"),
        ({"on_end": "touch /tmp/x", **SEEDS}, "settings.on_end", "cannot start programs"),
        ({"ca_file": "/etc/passwd", **SEEDS}, "settings.ca_file", "cannot name files"),
        ({"delay": "soon", **SEEDS}, "settings.delay", "bad value"),
        ({"delay": -1, **SEEDS}, "settings.delay", "bad value"),
        ({"mode": "fast", **SEEDS}, "settings.mode", "unknown mode"),
        ({"client": "wget", **SEEDS}, "settings.client", "cannot use the client"),
        ({"profile": "slow", **SEEDS}, "settings.profile", "unknown profile"),
        ({"profile": 7, **SEEDS}, "settings.profile", "bad value for profile"),
        ({"include": ["("], **SEEDS}, "settings.include", "include"),
        ({"seeds": ["ftp://a.test/"]}, "settings.seeds", "only http and https"),
        ({}, "settings.seeds", "nothing to crawl"),
        ({"headers": [], **SEEDS}, "settings.headers", "table"),
        ({"headers": {SITE: "x"}, **SEEDS}, f"settings.headers.{SITE}", "table"),
        ({"headers": {SITE: {"X": 1}}, **SEEDS}, f"settings.headers.{SITE}.X", "text"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(settings: dict[str, Any], key: str, word: str) -> None:
    error = refused(settings)
    assert error.key == key and word in str(error)


def test_the_nearest_key_is_told() -> None:
    assert refused({"user_agnt": "x", **SEEDS}).nearest == "user_agent"


@pytest.mark.parametrize(
    ("key", "pairs"),
    [
        ("headers", {"Authorization": "Bearer 1"}),
        ("headers", {"X-Api-Key": "1"}),
        ("headers", {"Cookie": "a=b"}),
        ("credentials", {"token": "1"}),
        ("credentials", {"user": "me", "password": "1"}),
        ("credentials", {"netrc": "/root/.netrc"}),
        ("headers", {"X-Token": "file:/etc/passwd"}),
        ("headers", {"X-Token": "file:../outside"}),
        ("headers", {"X-Token": "file:link"}),
        ("headers", {"X-Token": "file:"}),
        ("headers", {"X-Token": "file:a\0b"}),
    ],
)
def test_a_secret_is_a_reference_to_the_environment_or_into_the_folder(
    tmp_path: Path, key: str, pairs: dict[str, str]
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (tmp_path / "outside").write_text("1")
    (folder / "link").symlink_to(tmp_path / "outside")
    assert refused({key: {SITE: pairs}, **SEEDS}, folder).key.startswith(f"settings.{key}.{SITE}")


@pytest.mark.parametrize("key", SECRETS)
def test_so_is_the_secret_of_a_database_or_an_object_store(tmp_path: Path, key: str) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "outside").write_text("1")
    for said in ("file:../outside", f"file:{tmp_path / 'outside'}", "plain"):
        assert refused({key: said, **SEEDS}, tmp_path / "secrets").key == f"settings.{key}"
    (tmp_path / "secrets" / "inside").write_text("1")
    told = for_child({key: "file:inside", **SEEDS}, tmp_path / "secrets")
    assert told[key] == f"file:{tmp_path.resolve() / 'secrets' / 'inside'}"


def test_a_job_of_an_earlier_version_starts_no_program_either() -> None:
    with pytest.raises(Invalid, match="cannot start programs"):
        for_child({"on_end": "touch /tmp/x", **SEEDS}, None)


def test_references_that_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PASSWORD", "1")
    (tmp_path / "token").write_text("2\n")
    settings = {
        **SEEDS,
        "headers": {SITE: {"Accept-Language": "de", "X-Api-Key": "file:token"}},
        "credentials": {SITE: {"user": "me", "password": "env:TEST_PASSWORD"}},
    }
    assert check_settings(settings, tmp_path).headers[SITE]["X-Api-Key"] == "2"
    told = for_child(settings, tmp_path)
    assert told["headers"][SITE]["X-Api-Key"] == f"file:{tmp_path.resolve() / 'token'}"
    assert told["credentials"] == settings["credentials"]
    assert told["disk_wait"] == DISK_WAIT and for_child({"disk_wait": 1.0}, None)["disk_wait"] == 1.0
    assert refused(settings, None).key.endswith("X-Api-Key")


def test_a_profile_is_a_layer_below_the_keys() -> None:
    assert check_settings({"profile": "fast", **SEEDS}, None).delay == 0
    assert check_settings({"profile": "fast", "delay": 2, **SEEDS}, None).delay == 2
    assert check_settings({"profile": "demo"}, None).seeds == ()


def test_the_reach_of_a_run_is_that_of_its_seeds_and_scope() -> None:
    assert reach({**SEEDS, "scope": "any"}).everything
    assert reach(SEEDS, directory="runs/x") == RunReach(
        frozenset({"a.test"}), frozenset({"a.test"}), directory="runs/x"
    )
    assert reach({"profile": "polite", **SEEDS}).hosts == {"a.test"}
    assert reach({}, ["http://b.test"]).hosts == {"b.test"}


@pytest.mark.parametrize(
    ("after", "same"),
    [
        ({}, True),
        ({"delay": 3, "mode": "threads", "max_pages": 7}, True),
        ({"profile": "fast"}, True),
        ({"scope": "site"}, True),  # the default
        ({"scope": "domain"}, False),
        ({"store": "files"}, False),
        ({"seeds": [f"{SITE}/", f"{SITE}/b"]}, False),
        ({"sitemap": [f"{SITE}/sitemap.xml"]}, False),
        ({"scope": "nonsense"}, False),
    ],
)
def test_a_crawl_goes_on_with_other_settings_unless_they_change_what_is_crawled(
    after: dict[str, Any], same: bool
) -> None:
    before = {**SEEDS, "delay": 1, "headers": {SITE: {"Cookie": "file:session"}}}
    assert crawls_the_same(before, {**before, **after}) is same
