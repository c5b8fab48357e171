"""Whose session is it? One HTTP client for all threads, one per thread, or a new one for every request.

The server is the witness: each page says through which connection it came. A page takes 5 ms, there is no TLS (which
would make new connections slower still), and a client belongs to one thread at a time, so sharing needs a lock.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Lock, Thread, local
from time import process_time
from typing import NamedTuple

from crawler.compare.lessons.lesson import Lesson, Samples, above, level, ratio
from crawler.compare.lessons.pages import connect, get, page_server
from crawler.compare.lessons.rounds import alternate, in_parallel, ratios, timed

THREADS = 8
PAGES = 80  # per trial
ROUNDS = 5
LATENCY = 0.005


class ClientTrial(NamedTuple):
    """Pages per second, pages per CPU second of this process, connections."""

    rate: float
    per_cpu: float
    connections: float


def run_pool(fetch: Callable[[], int]) -> ClientTrial:
    """Let all threads fetch `PAGES` pages."""
    left: SimpleQueue[None] = SimpleQueue()
    seen: list[int] = []
    for _ in range(PAGES):
        left.put(None)

    def work() -> None:
        try:
            while True:
                left.get_nowait()
                seen.append(fetch())
        except Empty:
            return

    cpu = process_time()
    seconds = timed(lambda: in_parallel([Thread(target=work) for _ in range(THREADS)]))
    return ClientTrial(PAGES / seconds, PAGES / (process_time() - cpu), len(set(seen)))


def shared(port: int) -> ClientTrial:
    """One client, and a lock around it."""
    lock = Lock()
    with closing(connect(port)) as session:

        def fetch() -> int:
            with lock:
                return get(session)

        return run_pool(fetch)


def per_thread(port: int) -> ClientTrial:
    """`threading.local`: each thread sees a client of its own under the same name."""
    mine = local()

    def fetch() -> int:
        if not hasattr(mine, "session"):
            mine.session = connect(port)
        return get(mine.session)

    return run_pool(fetch)


def per_request(port: int) -> ClientTrial:
    """A new client per request, as in code without a session."""

    def fetch() -> int:
        with closing(connect(port)) as session:
            return get(session)

    return run_pool(fetch)


def run() -> Samples:
    """The three ways in turn."""
    with page_server(LATENCY) as port:
        trials = alternate(
            ROUNDS,
            shared=lambda: shared(port),
            local=lambda: per_thread(port),
            request=lambda: per_request(port),
        )
    rates = {arm: [one.rate for one in repeated] for arm, repeated in trials.items()}
    per_cpu = {arm: [one.per_cpu for one in repeated] for arm, repeated in trials.items()}
    return {
        "local_rate": ratios(rates["local"], rates["shared"]),
        "request_rate": ratios(rates["request"], rates["local"]),
        "request_cpu": ratios(per_cpu["request"], per_cpu["local"]),
        **{f"connections_{arm}": [one.connections for one in repeated] for arm, repeated in trials.items()},
    }


LESSON = Lesson(
    title="ThreadLocal sessions",
    claim=(
        "Give each thread a session of its own by threading.local: no lock, no passing around, and the threads do"
        " not wait."
    ),
    measures={
        "local_rate": ratio(
            f"pages/s, session per thread : one session behind a lock ({THREADS} threads)", claim=above(1.5)
        ),
        "request_rate": ratio("pages/s, session per request : per thread"),
        "request_cpu": ratio("pages per CPU second, session per request : per thread"),
        "connections_shared": level(f"connections for {PAGES} pages, one session"),
        "connections_local": level(f"connections for {PAGES} pages, session per thread"),
        "connections_request": level(f"connections for {PAGES} pages, session per request"),
    },
    why=(
        "A session is used by one thread at a time, so a shared one queues all threads behind one connection, and"
        " a new one for each request pays for a connection each time; per thread, connections are as many as "
        "threads, and kept."
    ),
    run=run,
)
