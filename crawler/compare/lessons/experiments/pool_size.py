"""How large should a pool be? As many workers as cores (the default of `multiprocessing.Pool`), or as many as wait?

Pages of 50 ms are fetched by a Pool of the default size, by a Pool eight times as large, and by as many threads in one
process. Little's law says what is possible: workers / latency. Then the same two Pools compute.
"""

from __future__ import annotations

from multiprocessing import get_context
from multiprocessing.pool import Pool, ThreadPool

from crawler.compare.lessons.lesson import Lesson, Samples, below, level, ratio
from crawler.compare.lessons.pages import fetch, page_server
from crawler.compare.lessons.rounds import alternate, cores, ratios, timed

LATENCY = 0.05
TIMES = 8
ROUNDS = 8


def compute(rounds: int) -> int:
    """Compute for about 5 ms in Python."""
    return sum(x ^ 1 for x in range(rounds))


def fetching(pool: Pool, workers: int, port: int) -> float:
    """Pages per second."""
    pages = workers * 2
    return pages / timed(lambda: pool.map(fetch, [port] * pages, chunksize=1))


def computing(pool: Pool) -> float:
    """Tasks per second."""
    return 24 / timed(lambda: pool.map(compute, [80_000] * 24, chunksize=1))


def run() -> Samples:
    """Two Pools and a pool of threads take turns."""
    few, many = cores(), cores() * TIMES
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with (
        page_server(LATENCY) as port,
        context.Pool(few) as small,
        context.Pool(many) as large,
        ThreadPool(many) as threads,
    ):
        rates = alternate(
            ROUNDS,
            small_fetching=lambda: fetching(small, few, port),
            large_fetching=lambda: fetching(large, many, port),
            threads_fetching=lambda: fetching(threads, many, port),
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
        "waiting": ratio(f"pages/s at 50 ms each, Pool of {TIMES} x cores : Pool of cores", claim=below(1.2)),
        "possible": level("pages/s of the Pool of cores : workers / latency (Little's law)"),
        "threads": ratio("pages/s, as many threads in one process : the large Pool"),
        "computing": ratio("computed tasks/s, the large Pool : the Pool of cores", claim=below(1.2), needs=1.6),
    },
    why=(
        "A worker that waits needs no core: throughput is workers / latency until the CPU is full, so the number "
        "of cores is the right size for computing only, and for waiting threads or coroutines give the same "
        "number at a lower price."
    ),
    run=run,
)
