"""Is C worth it where waiting decides? The same checksum of a page in Python and in C, with and without the wait."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import sleep
from zlib import crc32

from crawler.compare.lessons.lesson import Lesson, Samples, below, fact, level, ratio
from crawler.compare.lessons.rounds import alternate, ratios, timed

LATENCY = 0.05
PAGE = bytes(range(256)) * 4  # 1 KiB
PAGES = 5
ROUNDS = 8


def entry(number: int) -> int:
    """An entry of the table of CRC-32."""
    for _ in range(8):
        number = (number >> 1) ^ (0xEDB88320 if number & 1 else 0)
    return number


TABLE = [entry(number) for number in range(256)]


def in_python(page: bytes) -> int:
    """CRC-32, byte by byte."""
    checksum = 0xFFFFFFFF
    for byte in page:
        checksum = (checksum >> 8) ^ TABLE[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF


def rate(check: Callable[[bytes], int], latency: float) -> float:
    """Pages per second, one after another."""

    def pages() -> None:
        for _ in range(PAGES):
            if latency:
                sleep(latency)
            check(PAGE)

    return PAGES / timed(pages)


def run() -> Samples:
    """Both languages, with the wait and without."""
    rates = alternate(
        ROUNDS,
        python_only=partial(rate, in_python, 0),
        c_only=partial(rate, crc32, 0),
        python=partial(rate, in_python, LATENCY),
        c=partial(rate, crc32, LATENCY),
    )
    return {
        "right": [float(in_python(PAGE) == crc32(PAGE))],
        "computing": ratios(rates["c_only"], rates["python_only"]),
        "waiting": ratios(rates["c"], rates["python"]),
        "share": [LATENCY * one for one in rates["python"]],
    }


LESSON = Lesson(
    title="C is useless where I/O decides",
    claim="Work that waits spends 99 % of its time waiting, so replacing Python by fast C does not help at all.",
    measures={
        "right": fact("both checksums are the same"),
        "computing": ratio("pages/s without the wait, C : Python"),
        "waiting": ratio(f"pages/s, each after {LATENCY * 1000:.0f} ms of waiting, C : Python", claim=below(1.1)),
        "share": level("share of the time that is waiting, with Python"),
    },
    why=(
        "Amdahl's law: what takes 1 % of the time can gain 1 %. It is true of one page after another; with hundreds in "
        "flight the waits overlap, the CPU becomes the limit, and then the code per page decides."
    ),
    run=run,
)
