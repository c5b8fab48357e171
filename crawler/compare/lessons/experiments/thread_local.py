"""Whose session is it? One HTTP client for all threads, one per thread, or a new one for every request.

The server is the witness: its log knows how many connections were opened. A page takes 5 ms, there is no TLS (which
would make new connections dearer still), and a client of ours belongs to one thread at a time, so sharing needs a lock.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Lock, Thread, local
from time import process_time
from typing import NamedTuple

from crawler.compare.lessons.lesson import Lesson, Measure, Samples, above, below
from crawler.compare.lessons.rounds import alternate, in_parallel, ratios, timed
from crawler.fetch import open_fetcher
from crawler.fetch.base import ClientPlan, Fetcher, Request
from crawler.testweb.flat import NAME
from crawler.testweb.log import read_log
from crawler.testweb.process import start_web

THREADS = 8
PAGES = 80  # per trial
ROUNDS = 5
LATENCY = 0.005


class ClientTrial(NamedTuple):
    """Its first page, pages per second, CPU seconds."""

    first: int
    rate: float
    cpu: float


def run_pool(fetch: Callable[[Request], object], first: int) -> ClientTrial:
    """Let all threads fetch `PAGES` pages from a queue."""
    left: SimpleQueue[int] = SimpleQueue()
    for number in range(first, first + PAGES):
        left.put(number)

    def work() -> None:
        try:
            while True:
                fetch(Request(f"http://{NAME}/page-{left.get_nowait()}.html"))
        except Empty:
            return

    cpu = process_time()
    seconds = timed(lambda: in_parallel([Thread(target=work) for _ in range(THREADS)]))
    return ClientTrial(first, PAGES / seconds, process_time() - cpu)


def shared(plan: ClientPlan, first: int) -> ClientTrial:
    """One client, and a lock around it."""
    session, lock = open_fetcher("native", plan), Lock()

    def fetch(request: Request) -> None:
        with lock:
            session.fetch(request)

    trial = run_pool(fetch, first)
    session.close()
    return trial


def thread_local(plan: ClientPlan, first: int) -> ClientTrial:
    """`threading.local`: each thread sees a client of its own under the same name."""
    mine, opened = local(), list[Fetcher]()

    def fetch(request: Request) -> None:
        if not hasattr(mine, "session"):
            mine.session = open_fetcher("native", plan)
            opened.append(mine.session)
        mine.session.fetch(request)

    trial = run_pool(fetch, first)
    for session in opened:
        session.close()
    return trial


def per_request(plan: ClientPlan, first: int) -> ClientTrial:
    """A new client per request, as in code without a session."""

    def fetch(request: Request) -> None:
        session = open_fetcher("native", plan)
        session.fetch(request)
        session.close()

    return run_pool(fetch, first)


def run() -> Samples:
    """The three ways in turn, then the server's count of connections."""
    firsts = count(0, PAGES)
    with TemporaryDirectory() as folder:
        log = Path(folder, "web.log")
        with start_web(flat=PAGES * 3 * (ROUNDS + 1), latency=LATENCY, log=log) as web:
            plan = ClientPlan(resolve=web.settings.resolve)
            trials = alternate(
                ROUNDS,
                shared=lambda: shared(plan, next(firsts)),
                local=lambda: thread_local(plan, next(firsts)),
                request=lambda: per_request(plan, next(firsts)),
            )
        connection = {entry.path: entry.connection for entry in read_log(log)}

    def connections(arm: str) -> list[float]:
        pages = [[f"/page-{n}.html" for n in range(one.first, one.first + PAGES)] for one in trials[arm]]
        return [float(len({connection[path] for path in paths})) for paths in pages]

    rates = {arm: [one.rate for one in repeated] for arm, repeated in trials.items()}
    cpu = {arm: [one.cpu for one in repeated] for arm, repeated in trials.items()}
    return {
        "local_rate": ratios(rates["local"], rates["shared"]),
        "request_rate": ratios(rates["request"], rates["local"]),
        "request_cpu": ratios(cpu["request"], cpu["local"]),
        **{f"connections_{arm}": connections(arm) for arm in trials},
    }


LESSON = Lesson(
    title="ThreadLocal sessions",
    claim=(
        "Give each thread a session of its own by threading.local: no lock, no passing around, and the threads do"
        " not wait."
    ),
    measures={
        "local_rate": Measure(
            f"pages/s, session per thread : one session behind a lock ({THREADS} threads)",
            claim=above(1.5),
            prediction=above(4),
        ),
        "request_rate": Measure("pages/s, session per request : per thread"),
        "request_cpu": Measure("CPU, session per request : per thread", prediction=above(1.5)),
        "connections_shared": Measure(f"connections for {PAGES} pages, one session", prediction=below(2)),
        "connections_local": Measure(
            f"connections for {PAGES} pages, session per thread", prediction=below(THREADS + 1)
        ),
        "connections_request": Measure(
            f"connections for {PAGES} pages, session per request", prediction=above(PAGES - 1)
        ),
    },
    why=(
        "A session is used by one thread at a time, so a shared one queues all threads behind one connection, and"
        " a new one for each request pays for a connection each time; per thread, connections are as many as "
        "threads, and kept."
    ),
    run=run,
)
