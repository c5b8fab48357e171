"""Opens a TCP connection to one of several addresses: IPv6 and IPv4 in turn (RFC 8305).

Rules:
- Families alternate, that of the first address first. An attempt starts ATTEMPT_DELAY after the one before, or when
  all so far have failed. The first connection wins; the others are closed.
- The guard checks each address when its socket is made.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Iterable
from itertools import zip_longest
from time import monotonic

from crawler.fetch.net.endpoints import family_of
from crawler.fetch.net.guard import Guard

ATTEMPT_DELAY = 0.25
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


def in_turn(addresses: Iterable[str]) -> list[str]:
    """The addresses with their families alternating (RFC 8305 section 4)."""
    found = list(addresses)
    first = [one for one in found if family_of(one) is family_of(found[0])]
    second = [one for one in found if family_of(one) is not family_of(found[0])]
    return [one for pair in zip_longest(first, second) for one in pair if one is not None]


def open_socket(guard: Guard, address: str, port: int) -> socket.socket:
    """A socket that will be connected to this address, if the guard allows it. Raises Blocked, OSError."""
    guard.check(address, port)
    line = socket.socket(family_of(address), socket.SOCK_STREAM)
    try:
        line.setblocking(False)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        line.close()
        raise
    return line


def dial(
    guard: Guard, addresses: Iterable[str], port: int, give_up_at: float, wait: Callable[[float], float]
) -> socket.socket:
    """A connected socket, not blocking. `give_up_at` in monotonic seconds; `wait` bounds each wait (seconds), and
    raises to give up early. Raises TimeoutError, Blocked, OSError."""
    left = in_turn(addresses)
    dialling: dict[int, socket.socket] = {}
    failure: OSError = OSError("no address")
    poll = select.poll()
    next_at = 0.0
    try:
        while left or dialling:
            now = monotonic()
            if now >= give_up_at:
                raise TimeoutError
            if left and (now >= next_at or not dialling):
                next_at = now + ATTEMPT_DELAY
                try:
                    line = _begin(guard, left.pop(0), port)
                except OSError as error:
                    failure = error
                    continue
                dialling[line.fileno()] = line
                poll.register(line, select.POLLOUT)
            until = min(next_at, give_up_at) if left else give_up_at
            for number, _ in poll.poll(max(0.0, wait(until - now)) * 1000):
                poll.unregister(number)
                line = dialling.pop(number)
                if not (code := line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                    return line
                line.close()
                failure = OSError(code, os.strerror(code))
        raise failure
    finally:
        for line in dialling.values():
            line.close()


def _begin(guard: Guard, address: str, port: int) -> socket.socket:
    line = open_socket(guard, address, port)
    code = line.connect_ex((address, port))
    if code not in _UNDER_WAY:
        line.close()
        raise OSError(code, os.strerror(code))
    return line
