"""The digest of a crawl: one number that is equal if and only if the same URLs gave the same answers.

Each URL that got a response contributes one term, xxh3_128(url NUL final-status NUL stored-body). The digest is the sum
of the terms modulo 2^128, so it does not depend on order and adds up across threads, processes and machines.
"""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh3_128

MODULUS = 1 << 128


def term(url: str, status: int, body: bytes = b"") -> bytes:
    """The 16-byte term of one URL. `body` is the stored body, empty where none is stored."""
    hasher = xxh3_128(f"{url}\0{status}\0".encode())
    hasher.update(body)
    return hasher.digest()


def add(digest: int, terms: Iterable[bytes]) -> int:
    """`digest` with these terms added."""
    return (digest + sum(int.from_bytes(term, "big") for term in terms)) % MODULUS


def in_hex(digest: int) -> str:
    """The digest as 32 hexadecimal digits, the form in which it is reported."""
    return f"{digest:032x}"
