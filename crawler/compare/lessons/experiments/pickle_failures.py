"""What can be given to another process? Whatever can be pickled, and how it fails where it cannot.

fork hands over the target and its arguments as they are; spawn pickles both, and a Pool pickles its tasks and results
whatever started its workers. The unpleasant failures are those that nobody is told of.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any

from crawler.compare.lessons.lesson import Lesson, Samples, fact
from crawler.compare.lessons.rounds import alternate, answer_of

ROUNDS = 3
PATIENCE = 0.5


class Unreadable(Exception):
    """Can be pickled, but not unpickled: pickle calls it with the message alone."""

    def __init__(self, page: str, code: int) -> None:
        super().__init__(f"{page}: {code}")


def use(tell: Connection, given: Any) -> None:
    """Call what was given; a lock is taken, a socket asked for its address."""
    with given if hasattr(given, "acquire") else threading.Lock():
        tell.send(bool(given.getsockname()) if hasattr(given, "getsockname") else True)


def module_function(tell: Connection, _: object) -> None:
    """A target that has a name to be pickled by."""
    tell.send(True)


def fails(*_: object) -> None:
    """A task whose exception the parent cannot read. Raises Unreadable."""
    raise Unreadable("page-0.html", 500)


def arrives(method: str, case: Callable[..., None], given: object = None) -> float:
    """Whether a process starts with this target and this argument: 1.0 or 0.0."""
    try:
        return float(answer_of(case, given, method=method) is True)
    except (PicklingError, AttributeError, TypeError, RuntimeError):
        return 0.0


def open_socket() -> float:
    """Whether a socket arrives open."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return arrives("spawn", use, listening)


def pool_takes_lambda(tell: Connection) -> None:
    """A lambda as task of a Pool that was forked."""
    with get_context("fork").Pool(1) as pool:
        try:
            tell.send(pool.apply(lambda: True))
        except (PicklingError, AttributeError):
            tell.send(False)


def pool_reports(tell: Connection) -> None:
    """Whether the caller of a Pool hears of an exception that cannot be unpickled."""
    result = get_context("fork").Pool(1).apply_async(fails)
    result.wait(PATIENCE)
    tell.send(result.ready())


def executor_reports(tell: Connection) -> None:
    """The same of a ProcessPoolExecutor."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        tell.send(pool.submit(fails).exception(PATIENCE) is not None)


def run() -> Samples:
    """Every case in turn."""
    return alternate(
        ROUNDS,
        False,
        fork_lambda=lambda: arrives("fork", lambda tell, _: tell.send(True)),
        spawn_lambda=lambda: arrives("spawn", lambda tell, _: tell.send(True)),
        spawn_function=lambda: arrives("spawn", module_function),
        spawn_lock=lambda: arrives("spawn", use, threading.Lock()),
        spawn_shared_lock=lambda: arrives("spawn", use, get_context("spawn").Lock()),
        spawn_socket=open_socket,
        pool_lambda=lambda: float(answer_of(pool_takes_lambda) is True),
        pool_exception=lambda: float(answer_of(pool_reports) is True),
        executor_exception=lambda: float(answer_of(executor_reports) is True),
    )


LESSON = Lesson(
    title="Pickle failures",
    claim="fork gives any object to a child; without it all are pickled, so a failed start is a failed pickle.",
    measures={
        "fork_lambda": fact("a process by fork runs a lambda", claim=True),
        "spawn_lambda": fact("a process by spawn runs a lambda", claim=False),
        "spawn_function": fact("a process by spawn runs a function of a module", claim=True),
        "spawn_lock": fact("a threading.Lock arrives by spawn", claim=False),
        "spawn_shared_lock": fact("a multiprocessing.Lock arrives by spawn"),
        "spawn_socket": fact("an open socket arrives by spawn, open"),
        "pool_lambda": fact("a Pool that was forked runs a lambda", claim=True),
        "pool_exception": fact("Pool: an exception that cannot be unpickled reaches the caller"),
        "executor_exception": fact("ProcessPoolExecutor: the caller hears of such an exception"),
    },
    why=(
        "Only start() by fork hands objects over as they are. The tasks and results of a Pool are pickled even "
        "then, and its thread that reads results dies of one that it cannot unpickle, so the caller waits for ever; "
        "an executor gives up all its tasks instead. Locks and sockets of multiprocessing pickle by handing over "
        "their descriptor."
    ),
    run=run,
)
