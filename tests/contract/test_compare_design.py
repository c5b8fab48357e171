"""The design of a comparison: complete blocks, an order that only the seed decides, an A/A arm everywhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product

import msgspec
import pytest

import variants
from crawler.compare.design import PRESETS, Planned, arms_for, schedule
from crawler.compare.records import Arm, Condition, Session
from crawler.compare.workload import processes_for
from crawler.errors import UsageError

ARMS = arms_for(("async", "threads", "processes"))


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


@pytest.mark.parametrize("preset", PRESETS)
def test_every_block_holds_every_arm_once_without_a_break(preset: str) -> None:
    planned = schedule(session(preset))
    assert [one.order for one in planned] == list(range(len(planned)))
    for block in blocks_of(planned).values():
        assert Counter(one.arm for one in block) == Counter(ARMS)
        assert block[-1].order - block[0].order == len(ARMS) - 1
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
    both = arms_for(("threads",), ("curl", "urllib3"))
    assert [(arm.name, arm.client) for arm in both] == [
        ("threads+curl", "curl"),
        ("threads+urllib3", "urllib3"),
        ("threads+curl again", "curl"),
    ]
    assert len(arms_for(variants.names())) == len(variants.names()) + 1


def test_impossible_arms_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'threads'"):
        arms_for(("thread",))
    with pytest.raises(UsageError, match="can use none"):
        arms_for(("async",), ("curl",))
    with pytest.raises(UsageError, match="at least one"):
        arms_for(())


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


@pytest.mark.parametrize(("concurrency", "most", "expected"), [(64, 2, 2), (1, 8, 1), (16, 6, 4), (7, 4, 1), (9, 4, 3)])
def test_processes_share_the_slots_evenly(concurrency: int, most: int, expected: int) -> None:
    assert processes_for(concurrency, most) == expected
