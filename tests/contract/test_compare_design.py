"""The design of a comparison: complete blocks, an order that only the seed decides, an A/A arm everywhere."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import tomllib
from collections import Counter, defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

import variants
from crawler.compare.arms import Asked, arms_for
from crawler.compare.design import PRESETS, Planned, preset_of, schedule
from crawler.compare.duration import PAGE, READ_BACK, START, expected_seconds, trial_seconds
from crawler.compare.interpreters import ZSTD, interpreters, needed_by
from crawler.compare.intervals import LEAST
from crawler.compare.placement import place_server, placement, server_apart
from crawler.compare.records import IDIOMATIC, Arm, Condition, Session
from crawler.compare.workload import engine_flags, oracle_of
from crawler.errors import UsageError
from crawler.runtime.job import cores
from crawler.system.invocation import pip_install

ARMS = arms_for(Asked(("async", "threads", "processes"), loops=("uvloop",)))
TRACKS = arms_for(Asked(variants.names(), track="all"))
EACH_TRACK = pytest.mark.parametrize("arms", [ARMS, TRACKS], ids=["some", "all"])


def session(preset: str, seed: int = 1, arms: tuple[Arm, ...] = ARMS) -> Session:
    chosen = PRESETS[preset]
    return Session(
        format=1,
        preset=preset,
        seed=seed,
        created_at=0.0,
        command="",
        arms=arms,
        conditions=chosen.conditions,
        blocks=chosen.blocks,
        environment={},
    )


def blocks_of(planned: tuple[Planned, ...]) -> dict[tuple[int, Condition], list[Planned]]:
    found = defaultdict(list)
    for one in planned:
        found[one.block, one.condition].append(one)
    return found


@EACH_TRACK
@pytest.mark.parametrize("preset", PRESETS)
def test_every_block_holds_every_arm_once_without_a_break(preset: str, arms: tuple[Arm, ...]) -> None:
    planned = schedule(session(preset, arms=arms))
    assert [one.order for one in planned] == list(range(len(planned)))
    for (number, condition), block in blocks_of(planned).items():
        taking_part = [arm for arm in arms if (condition.sweep == "headline" and number <= LEAST) or not arm.sweeps]
        assert Counter(one.arm for one in block) == Counter(taking_part)
        assert block[-1].order - block[0].order == len(taking_part) - 1
        assert any(one.arm.twin_of == "async" for one in block)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_condition_gets_its_blocks_after_one_warm_up(preset: str) -> None:
    chosen, planned = PRESETS[preset], schedule(session(preset))
    assert [one.warm_up for one in planned] == [True] * len(ARMS) + [False] * (len(planned) - len(ARMS))
    counted = Counter(condition for block, condition in blocks_of(planned) if block)
    assert counted == {condition: chosen.blocks[condition.sweep] for condition in chosen.conditions}


def test_the_seed_alone_decides_the_order() -> None:
    first, again, other = (schedule(session("quick", seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert Counter((one.block, one.arm, one.condition) for one in first) == Counter(
        (one.block, one.arm, one.condition) for one in other
    )


def test_a_plan_survives_the_disk() -> None:
    planned = session("standard")
    assert schedule(msgspec.json.decode(msgspec.json.encode(planned), type=Session)) == schedule(planned)


def test_every_arm_comes_first_about_as_often() -> None:
    firsts: Counter[str] = Counter()
    for seed in range(20):
        firsts.update(block[0].arm.name for block in blocks_of(schedule(session("quick", seed))).values())
    fair = firsts.total() / len(ARMS)
    assert all(0.8 * fair < count < 1.2 * fair for count in firsts.values()), firsts


def test_arms_are_modes_with_clients_and_a_twin() -> None:
    assert [arm.name for arm in ARMS] == ["async", "threads", "processes", "async again"]
    assert [arm.twin_of for arm in ARMS] == ["", "", "", "async"]
    both = arms_for(Asked(("threads",), ("curl", "urllib3")))
    assert [(arm.name, arm.client) for arm in both] == [
        ("threads+curl", "curl"),
        ("threads+urllib3", "urllib3"),
        ("threads+curl again", "curl"),
    ]


def test_the_tracks_are_one_client_for_all_and_those_that_are_usual() -> None:
    same = arms_for(Asked(variants.names()))
    assert {arm.client for arm in same} == {"native"}
    assert [(arm.name, arm.loop) for arm in same] == [
        ("async", "uvloop"),
        ("threads", ""),
        ("processes", ""),
        ("prefork", "uvloop"),
        ("async on asyncio", "asyncio"),
        ("async again", "uvloop"),
    ]
    usual = arms_for(Asked(variants.names(), track=IDIOMATIC))
    assert {(arm.mode, arm.client) for arm in usual} == {
        *(("async", "aiohttp"), ("prefork", "aiohttp")),
        *((mode, client) for mode in ("threads", "processes") for client in ("curl", "urllib3")),
    }
    assert [arm.name for arm in TRACKS] == [arm.name for arm in (*same[:-1], *usual[:-1], same[-1])]
    assert {arm.name for arm in TRACKS if arm.sweeps} == {"async on asyncio", *(arm.name for arm in usual[:-1])}
    assert not any(arm.sweeps for arm in usual), "by itself a track takes part everywhere"


def test_loops_are_those_of_the_modes_that_have_one() -> None:
    arms = arms_for(Asked(("threads", "prefork"), loops=("asyncio", "uvloop")))
    assert [(arm.name, arm.loop) for arm in arms] == [
        ("threads", ""),
        ("prefork on asyncio", "asyncio"),
        ("prefork", "uvloop"),
        ("threads again", ""),
    ]


def test_an_interpreter_has_each_arm_once_more(tmp_path: Path) -> None:
    arms = arms_for(Asked(("async", "threads"), pythons=(sys.executable,)))
    version = platform.python_version()
    assert [arm.name for arm in arms] == [
        *("async", "threads", "async on asyncio"),
        *(f"async on {version}", f"threads on {version}", f"async on asyncio {version}", "async again"),
    ]
    assert {(arm.python, arm.version) for arm in arms} == {("", version), (sys.executable, version)}
    assert arms[3].stack == f"native on uvloop {version}" and arms[4].stack == f"native on {version}"
    assert [arm.sweeps for arm in arms[:3]] == [arm.sweeps for arm in arms[3:6]]
    facts = interpreters(arms)
    assert facts.keys() == {f"python {sys.executable}"}
    assert version in facts[f"python {sys.executable}"] and "GIL on" in facts[f"python {sys.executable}"]
    again = tmp_path / "python"
    again.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    again.chmod(0o755)
    with pytest.raises(UsageError, match=f"is the second of version {version}"):
        arms_for(Asked(("async",), pythons=(sys.executable, str(again))))


def faked(path: Path, answer: dict[str, object]) -> str:
    """A program that answers as an interpreter does."""
    told = {
        "implementation": "CPython",
        "version": "3.14.1",
        "build": "3.14.1 (main)",
        "free_threaded": False,
        "gil": True,
        "recent": True,
        "missing": [],
        "versions": {"uvloop": "0.23.0"},
    }
    path.write_text(f"#!/bin/sh\necho '{json.dumps(told | answer)}'\n")
    path.chmod(0o755)
    return str(path)


def test_what_an_interpreter_lacks_is_said_before_it_begins(tmp_path: Path) -> None:
    one = tmp_path / "python"

    def refusal(answer: dict[str, object], **asked: Any) -> str:
        with pytest.raises(UsageError) as refused:
            arms_for(Asked(("async",), pythons=(faked(one, answer),), **asked))
        return str(refused.value)

    assert refusal({"missing": ["uvloop"]}).endswith(f"{one} -m pip install uvloop, or --loops asyncio")
    assert f"lacks msgspec, idna: {one} -m pip install msgspec idna" in refusal({"missing": ["msgspec", "idna"]})
    assert "is Python 3.10.1; the crawler needs 3.11" in refusal({"recent": False, "version": "3.10.1"})
    assert "backports.zstd" in refusal({"version": "3.13.1", "missing": ["backports.zstd"]})
    (free, *_) = arms_for(Asked(("threads",), pythons=(faked(one, {"missing": ["backports.zstd"]}),)))[1:]
    assert free.name == "threads on 3.14.1", "from 3.14 on zstd is in the standard library"
    free = arms_for(Asked(("threads",), pythons=(faked(one, {"free_threaded": True, "gil": False}),)))[1]
    assert (free.name, free.version) == ("threads on 3.14.1t", "3.14.1t")
    assert interpreters([free]) == {
        f"python {one}": "CPython 3.14.1 (main), free-threaded, GIL off, uvloop 0.23.0",
    }
    one.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(UsageError, match="is no Python that can be used"):
        arms_for(Asked(("async",), pythons=(str(one),)))
    with pytest.raises(UsageError, match="there is no such program"):
        arms_for(Asked(("async",), pythons=("no-such-python",)))


def test_an_interpreter_is_asked_for_all_that_a_crawl_needs() -> None:
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        wanted = {re.split(r"[<>=;\[ ]", one)[0] for one in tomllib.load(file)["project"]["dependencies"]}
    assert {*needed_by([ARMS[0]]), ZSTD} == wanted - {"cronsim", "jinja2", "prometheus-client", "tzdata"}, (
        "the service's"
    )
    assert "uvloop" not in needed_by([ARMS[1]])
    assert needed_by(arms_for(Asked(("threads",), ("curl",))))[-1] == "pycurl"


def test_a_client_that_is_not_installed_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.fetch.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape(f"pycurl: {pip_install('clients')}, or use --track same")):
        arms_for(Asked(("threads",), track="all"))
    assert len(arms_for(Asked(("threads",)))) == 2


def test_impossible_arms_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'threads'"):
        arms_for(Asked(("thread",)))
    with pytest.raises(UsageError, match="can use none"):
        arms_for(Asked(("async",), ("curl",)))
    with pytest.raises(UsageError, match="at least one"):
        arms_for(Asked(()))
    with pytest.raises(UsageError, match="unknown track 'fast'"):
        arms_for(Asked(("async",), track="fast"))
    with pytest.raises(UsageError, match="unknown loop 'trio'"):
        arms_for(Asked(("async",), loops=("trio",)))


def test_conditions_are_told_apart_by_one_factor_of_their_sweep() -> None:
    factor = {name: name for name in ("concurrency", "latency", "payload", "errors", "workers")} | {"job size": "pages"}
    for preset in PRESETS.values():
        assert len(set(preset.conditions)) == len(preset.conditions)
        assert {condition.sweep for condition in preset.conditions} == preset.blocks.keys()
        for sweep, name in factor.items():
            levels = [one for one in preset.conditions if one.sweep == sweep]
            same = {msgspec.structs.replace(one, **{name: 0, "pages": 0}) for one in levels}
            assert len(same) == (1 if levels else 0), f"{sweep} varies more than {name}"


@pytest.mark.parametrize("preset", ["standard"])
def test_the_decision_map_has_its_whole_grid(preset: str) -> None:
    grid = [one for one in PRESETS[preset].conditions if one.sweep == "cpu"]
    latencies, costs = {one.latency for one in grid}, {one.cpu_ms for one in grid}
    assert len(latencies) >= 3 and len(costs) >= 3 and 0.0 in costs
    assert {(one.latency, one.cpu_ms) for one in grid} == set(product(latencies, costs))
    assert len({one.concurrency for one in grid}) == 1


@pytest.mark.parametrize("mode", [mode for mode in variants.FORKED if mode in variants.names()])
@pytest.mark.parametrize(("concurrency", "workers", "expected"), [(64, 3, 3), (1, 0, 1), (9, 4, 4), (64, 0, cores())])
def test_there_are_as_many_processes_as_asked_for(mode: str, concurrency: int, workers: int, expected: int) -> None:
    condition = Condition(sweep="workers", concurrency=concurrency, workers=workers)
    flags = engine_flags(Arm(mode, mode, "native"), condition)
    assert flags[flags.index("--processes") + 1] == str(expected)


@pytest.mark.parametrize(
    ("there", "server", "words"),
    [
        ({0, 1, 4, 5}, {5}, "3 for a crawler, one more for the server alone"),
        ({0, 1}, {0, 1}, "2 for a crawler, shared with the server"),
        ({3}, {3}, "1 for a crawler, shared with the server"),
    ],
)
def test_a_server_has_its_own_core_where_there_are_more_than_two(
    monkeypatch: pytest.MonkeyPatch, there: set[int], server: set[int], words: str
) -> None:
    web, affinity = 77, dict[int, set[int]]({0: there})
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: affinity[pid])
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: affinity.update({pid: set(cores)}))
    assert placement() == words
    with server_apart():
        affinity[web] = affinity[0]  # a child inherits it
        place_server(web)
        assert affinity[web] == server
        assert cores() == int(words[0])
        assert affinity[0] == (there - server or there)
    assert affinity[0] == there
    place_server(web)
    assert affinity[web] == server, "outside nothing is moved"


def test_over_tls_only_what_has_it_takes_part() -> None:
    secure, plain = preset_of("standard", tls=True), preset_of("standard")
    assert all(condition.tls for condition in secure.conditions) and not any(one.tls for one in plain.conditions)
    assert {one.sweep for one in plain.conditions} - secure.blocks.keys() == {"graph", "politeness"}
    assert {one.sweep for one in secure.conditions} == secure.blocks.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_an_open_loop_is_the_headline_by_a_schedule_and_comes_last(preset: str) -> None:
    chosen = preset_of(preset, open_loop=True)
    *_, last = chosen.conditions
    like = msgspec.structs.replace(last, arrivals=0.0, sweep="headline", pages=chosen.conditions[0].pages)
    assert (like, last.arrivals) == (chosen.conditions[0], 0.7)
    plan = msgspec.structs.replace(session(preset), conditions=chosen.conditions, blocks=chosen.blocks)
    opened = [bool(one.condition.arrivals) for one in schedule(plan)]
    assert opened == sorted(opened) and any(opened)


@pytest.mark.parametrize(("preset", "minutes"), [("smoke", 1.5), ("quick", 13), ("standard", 56)])
def test_a_preset_with_its_track_takes_as_long_as_it_says(preset: str, minutes: float) -> None:
    arms = arms_for(Asked(variants.names(), track=PRESETS[preset].track))
    assert expected_seconds(schedule(session(preset, arms=arms))) <= minutes * 60
    assert preset != "standard" or {"aiohttp", "curl", "urllib3"} < {arm.client for arm in arms}


def test_a_trial_takes_what_slots_or_a_core_need() -> None:
    slow = Condition(sweep="latency", pages=640, concurrency=64, latency=0.2)
    assert trial_seconds(slow) - START == pytest.approx(2 + 640 * READ_BACK)
    dear = Condition(sweep="cpu", pages=300, concurrency=64, latency=0.0, cpu_ms=10)
    assert trial_seconds(dear) - START == pytest.approx(300 * (0.01 + PAGE + READ_BACK))
    assert trial_seconds(msgspec.structs.replace(slow, arrivals=0.5)) > trial_seconds(slow) + 1.9
    polite = PRESETS["standard"].conditions[-2]
    assert polite.sweep == "politeness" and trial_seconds(polite) > oracle_of(polite).seconds
