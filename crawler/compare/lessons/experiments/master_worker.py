"""Master-Worker: what is lost when a worker or the master is killed with SIGKILL?

Every case is a master process of its own. A Pool whose worker died is asked with a timeout, because without one
`Pool.map` would wait for ever. A pipe that all workers hold open shows whether they outlive their master: it ends with
the last of them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection

from crawler.compare.lessons.lesson import Lesson, Samples, fact
from crawler.compare.lessons.rounds import alternate, answer_of
from crawler.system.parent_death import die_with_parent

TASKS = 6
PATIENCE = 0.25
ROUNDS = 3

context = get_context("fork")


def task(number: int) -> int:
    """20 ms of work; number 0 kills its worker in the middle."""
    time.sleep(0.02)
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def killed_at_work(tell: Connection) -> None:
    """A Pool worker is killed while it works: whether the others are done, whether the lost one is reported."""
    pool = context.Pool(2)
    results = [pool.apply_async(task, (number,)) for number in range(TASKS)]
    time.sleep(PATIENCE)
    tell.send([float(all(one.ready() for one in results[1:])), float(results[0].ready())])


def killed_at_rest(tell: Connection) -> None:
    """The worker is killed while it waits for work, holding the queue's lock: whether any task is done afterwards."""
    pool = context.Pool(1, die_with_parent)  # else the new worker would wait for that lock without end
    pool.apply(task, (1,))
    time.sleep(0.05)
    os.kill(pool._pool[0].pid, signal.SIGKILL)  # type: ignore[attr-defined]
    later = pool.apply_async(task, (2,))
    later.wait(PATIENCE)
    tell.send(float(later.ready()))


def killed_in_executor(tell: Connection) -> None:
    """A worker of a ProcessPoolExecutor is killed while it works: whether all others are done."""
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        futures = [pool.submit(task, number) for number in range(TASKS)]
    tell.send(float(all(one.exception() is None for one in futures[1:])))


def idle(_: int) -> None:
    """Nothing to do."""


def busy(_: int) -> None:
    """Work for longer than the experiment lasts."""
    time.sleep(10)


def command(job: Callable[[int], None], prepare: Callable[[], None] | None, tell: Connection, _: Connection) -> None:
    """Run as a master: give two workers the job, report their pids, and wait to be killed."""
    pool = context.Pool(2, prepare)
    pool.map_async(job, range(2), chunksize=1)
    time.sleep(0.05)
    tell.send([worker.pid for worker in pool._pool])  # type: ignore[attr-defined]
    time.sleep(10)


def outlives(job: Callable[[int], None], prepare: Callable[[], None] | None = None) -> float:
    """Whether workers survive a kill of their master: 1.0 or 0.0."""
    listen, tell = context.Pipe(duplex=False)
    lives, life = context.Pipe(duplex=False)
    master = context.Process(target=command, args=(job, prepare, tell, life))
    master.start()
    life.close()
    workers = listen.recv()
    master.kill()
    master.join()
    alive = not lives.poll(PATIENCE / 2)  # the end of the pipe can be read
    for worker in workers if alive else ():
        os.kill(worker, signal.SIGKILL)
    return float(alive)


def run() -> Samples:
    """Every case in turn."""
    cases = alternate(
        ROUNDS,
        False,
        at_work=lambda: answer_of(killed_at_work),
        at_rest=lambda: answer_of(killed_at_rest),
        in_executor=lambda: answer_of(killed_in_executor),
        idle=lambda: outlives(idle),
        busy=lambda: outlives(busy),
        busy_bound=lambda: outlives(busy, die_with_parent),
    )
    return {
        "others": [done for done, _ in cases["at_work"]],
        "reported": [reported for _, reported in cases["at_work"]],
        **{case: cases[case] for case in ("at_rest", "in_executor", "idle", "busy", "busy_bound")},
    }


LESSON = Lesson(
    title="Master-Worker and SIGKILL",
    claim="Master-Worker is robust: a worker that dies disturbs nobody else, and only if the master dies do all die.",
    measures={
        "others": fact(f"Pool, worker killed at work: the other {TASKS - 1} tasks are done", claim=True),
        "reported": fact("the same: the lost task ends in any way"),
        "at_rest": fact("Pool, worker killed while it waited: a later task is done", claim=True),
        "in_executor": fact(
            f"ProcessPoolExecutor, worker killed at work: the other {TASKS - 1} tasks are done", claim=True
        ),
        "idle": fact("master killed: waiting workers live on"),
        "busy": fact("master killed: working workers live on", claim=False),
        "busy_bound": fact("the same, workers that asked for PR_SET_PDEATHSIG"),
    },
    why=(
        "A Pool starts a new worker but forgets what the dead one was doing, and if that one was waiting it takes"
        " the lock of the task queue with it for good; an executor reports the death by failing every task. "
        "Workers notice that the master is gone only when they next use the pipe. The crawler hands out leases "
        "and expects the worst."
    ),
    run=run,
)
