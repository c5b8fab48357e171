"""What lessons share to measure: rounds A B C A B C, ratios within a round, busy work, cases that may hang."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context
from threading import Thread
from time import perf_counter, process_time
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


def alternate(rounds: int, warm_up: bool = True, /, **arms: Callable[[], T]) -> dict[str, list[T]]:
    """The results of each arm, by name; the arms take turns, after a warm-up round that is not counted."""
    results: dict[str, list[T]] = {name: [] for name in arms}
    for number in range(-warm_up, rounds):
        for name, arm in arms.items():
            result = arm()
            if number >= 0:
                results[name].append(result)
    return results


def ratios(top: list[float], bottom: list[float]) -> list[float]:
    """One ratio per round."""
    return [one / other for one, other in zip(top, bottom, strict=True)]


def timed(work: Callable[[], object]) -> float:
    """Wall-clock seconds that the work takes."""
    began = perf_counter()
    work()
    return perf_counter() - began


class Effort(NamedTuple):
    """Units of work per second, and how many cores this process kept busy meanwhile."""

    rate: float
    cores: float


def effort(unit: Callable[[], object], threads: int, seconds: float) -> Effort:
    """Let `threads` threads repeat a unit of work for `seconds`."""
    done = [0] * threads
    until = perf_counter() + seconds

    def repeat(index: int) -> None:
        while not done[index] or perf_counter() < until:
            unit()
            done[index] += 1

    workers = [Thread(target=repeat, args=(index,)) for index in range(threads)]
    began, cpu = perf_counter(), process_time()
    in_parallel(workers)
    lasted = perf_counter() - began
    return Effort(sum(done) / lasted, (process_time() - cpu) / lasted)


def in_parallel(workers: list[Thread]) -> None:
    """Start threads and wait until they have ended."""
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()


def busy_loop() -> None:
    """The busy loop of the tutorials, in portions of about 50 us."""
    x = 0
    for _ in range(1000):
        x = x ^ 1


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def answer_of(case: Callable[..., None], *args: object, method: str = "fork", patience: float = 5.0) -> Any:
    """What `case(pipe, *args)` sends from a process of its own; None where it ends or `patience` seconds pass without
    an answer. The process is killed in any case, so it may hang."""
    context = get_context(method)
    listen, tell = context.Pipe(duplex=False)
    process = context.Process(target=case, args=(tell, *args))  # type: ignore[attr-defined]
    process.start()
    tell.close()
    try:
        return listen.recv() if listen.poll(patience) else None
    except EOFError:
        return None
    finally:
        process.kill()
        process.join()
        listen.close()
