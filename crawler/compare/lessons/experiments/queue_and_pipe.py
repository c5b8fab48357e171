"""What does it cost to hand something to another process? Queue, SimpleQueue and Pipe, a small message and a 100 kB
body.

*Stream*: many messages one way, until the other side says that it has them all. *Round trip*: one message there and
one back, as between a master and its worker. Between two threads, for comparison, only a reference changes hands.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from crawler.compare.lessons.lesson import Lesson, Samples, between, level, ratio
from crawler.compare.lessons.rounds import alternate, ratios, timed

SMALL = ("http://flat.demo.test/page-1234.html", 200, 17)
BODY = bytes(100_000)
STREAM, TRIPS = 1000, 500  # messages per sample
ROUNDS = 9

context = get_context("fork")


class Way(NamedTuple):
    """Four functions: send to the other side, receive there, answer there, receive the answer here."""

    send: Callable[[Any], object]
    receive: Callable[[], Any]
    answer: Callable[[Any], object]
    hear: Callable[[], Any]


def queues(kind: Callable[[], Any]) -> Way:
    """Two queues, there and back."""
    there, back = kind(), kind()
    return Way(there.put, there.get, back.put, back.get)


def pipe() -> Way:
    """One duplex pipe."""
    ours, theirs = context.Pipe()
    return Way(ours.send, theirs.recv, theirs.send, ours.recv)


def other_side(way: Way) -> None:
    """Answers every message that is a number and discards the others. None ends it."""
    while (message := way.receive()) is not None:
        if isinstance(message, int):
            way.answer(message)


def stream(way: Way, message: object) -> float:
    """Microseconds per message, many one way."""

    def hand_over() -> None:
        for _ in range(STREAM):
            way.send(message)
        way.send(STREAM)
        way.hear()

    return timed(hand_over) / STREAM * 1e6


def trip(way: Way) -> float:
    """Microseconds there and back."""

    def to_and_fro() -> None:
        for number in range(TRIPS):
            way.send(number)
            way.hear()

    return timed(to_and_fro) / TRIPS * 1e6


def run() -> Samples:
    """Three ways to a process, one to a thread."""
    ways = {
        "queue": queues(context.Queue),
        "simple": queues(context.SimpleQueue),
        "pipe": pipe(),
        "thread": queues(SimpleQueue),
    }
    sides = [
        (Thread if name == "thread" else context.Process)(target=other_side, args=(way,)) for name, way in ways.items()
    ]
    for side in sides:
        side.start()
    arms: dict[str, Callable[[], float]] = {}
    for name, way in ways.items():
        arms[f"{name}_small"] = partial(stream, way, SMALL)
        arms[f"{name}_body"] = partial(stream, way, BODY)
        arms[f"{name}_trip"] = partial(trip, way)
    costs = alternate(ROUNDS, **arms)
    for way, side in zip(ways.values(), sides, strict=True):
        way.send(None)
        side.join()
    return {
        "queue": ratios(costs["queue_small"], costs["pipe_small"]),
        "queue_trip": ratios(costs["queue_trip"], costs["pipe_trip"]),
        "simple_trip": ratios(costs["simple_trip"], costs["pipe_trip"]),
        "processes": ratios(costs["pipe_small"], costs["thread_small"]),
        "body": ratios(costs["pipe_body"], costs["pipe_small"]),
        "body_thread": ratios(costs["thread_body"], costs["thread_small"]),
        **{f"{name}_us": costs[name] for name in ("pipe_small", "pipe_body", "pipe_trip", "queue_trip")},
    }


LESSON = Lesson(
    title="Queue and Pipe",
    claim="Processes exchange data through a Queue or a Pipe; which of the two is a matter of taste.",
    measures={
        "queue": ratio("small messages/s one way, Pipe : Queue", claim=between(0.67, 1.5)),
        "queue_trip": ratio("round trips/s, Pipe : Queue", claim=between(0.67, 1.5)),
        "simple_trip": ratio("round trips/s, Pipe : SimpleQueue"),
        "processes": ratio("small messages/s one way, a queue to a thread : a Pipe to a process"),
        "body": ratio("messages/s through a Pipe, small ones : bodies of 100 kB"),
        "body_thread": ratio("messages/s to a thread, small ones : bodies of 100 kB"),
        "pipe_small_us": level("microseconds per small message one way, Pipe"),
        "pipe_body_us": level("microseconds per 100 kB body one way, Pipe"),
        "pipe_trip_us": level("microseconds there and back, Pipe"),
        "queue_trip_us": level("microseconds there and back, Queue"),
    },
    why=(
        "A Queue is a Pipe with a lock at each end and a thread that feeds it, and waking that thread is what a "
        "round trip waits for. Everything is pickled and copied through the kernel, so bodies should stay in the "
        "process that fetched them."
    ),
    run=run,
)
