"""How large should a pool be? As many workers as cores (the default of `multiprocessing.Pool`), or as many as wait?

Pages of 50 ms are fetched by a Pool of the default size, by a Pool eight times as large, and by as many threads in one
process. Little's law says what is possible: workers / latency. Then the same two Pools compute.
"""

from __future__ import annotations

from multiprocessing import get_context
from multiprocessing.pool import Pool, ThreadPool

from crawler.compare.lessons.fetching import fetch
from crawler.compare.lessons.lesson import Lesson, Measure, Samples, above, below
from crawler.compare.lessons.rounds import alternate, ratios, timed
from crawler.fetch.base import ClientPlan
from crawler.runtime.job import cores
from crawler.testweb.process import start_web

LATENCY = 0.05
TIMES = 8
ROUNDS = 8


def compute(rounds: int) -> int:
    """Compute for about 5 ms in Python."""
    return sum(x ^ 1 for x in range(rounds))


def fetching(pool: Pool, workers: int, plan: ClientPlan) -> float:
    """Pages per second."""
    pages = workers * 2
    seconds = timed(lambda: pool.map(fetch, [plan] * pages, chunksize=1))
    return pages / seconds


def computing(pool: Pool) -> float:
    """Tasks per second."""
    return 24 / timed(lambda: pool.map(compute, [80_000] * 24, chunksize=1))


def run() -> Samples:
    """Two Pools and a pool of threads take turns."""
    few, many = cores(), cores() * TIMES
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with (
        start_web(flat=1, latency=LATENCY) as web,
        context.Pool(few) as small,
        context.Pool(many) as large,
        ThreadPool(many) as threads,
    ):
        plan = ClientPlan(resolve=web.settings.resolve)
        rates = alternate(
            ROUNDS,
            small_fetching=lambda: fetching(small, few, plan),
            large_fetching=lambda: fetching(large, many, plan),
            threads_fetching=lambda: fetching(threads, many, plan),
            small_computing=lambda: computing(small),
            large_computing=lambda: computing(large),
        )
    return {
        "waiting": ratios(rates["large_fetching"], rates["small_fetching"]),
        "possible": [rate * LATENCY / few for rate in rates["small_fetching"]],
        "threads": ratios(rates["threads_fetching"], rates["large_fetching"]),
        "computing": ratios(rates["large_computing"], rates["small_computing"]),
    }


LESSON = Lesson(
    title="Pool size and cores",
    claim="The default size of a Pool is the number of cores, because more workers than cores gain nothing.",
    measures={
        "waiting": Measure(
            f"pages/s at 50 ms each, Pool of {TIMES} x cores : Pool of cores",
            claim=below(1.2),
            prediction=above(TIMES / 2),
        ),
        "possible": Measure("pages/s of the Pool of cores : workers / latency (Little's law)", prediction=above(0.8)),
        "threads": Measure("pages/s, as many threads in one process : the large Pool", prediction=above(0.7)),
        "computing": Measure(
            "computed tasks/s, the large Pool : the Pool of cores", claim=below(1.2), prediction=below(1.2)
        ),
    },
    why=(
        "A worker that waits needs no core: throughput is workers / latency until the CPU is full, so the number "
        "of cores is the right size for computing only, and for waiting threads or coroutines give the same "
        "number at a lower price."
    ),
    run=run,
)
