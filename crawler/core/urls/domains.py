"""The registrable domain of a host, by the public suffix list (https://publicsuffix.org).

Private suffixes count, too: two users of one hosting service are different domains. An address, a bare name and a
public suffix are domains of their own.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


@lru_cache(maxsize=65_536)
def domain_of(host: str) -> str:
    """The registrable domain of a host, "scheme://name[:port]", or its bare name where there is none."""
    name = host.partition("://")[2]
    if name.startswith("["):
        return name[: name.index("]") + 1]
    name = name.partition(":")[0].rstrip(".")
    if name.rpartition(".")[2].isdigit():  # a canonical name that ends in a number is an IPv4 address
        return name
    return _suffixes().privatesuffix(name) or name


def is_public_suffix(name: str) -> bool:
    """Whether anyone may register names below this one. A bare name counts as a public suffix."""
    return _suffixes().is_public(name)


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # takes 50 ms, so it is imported on first use

    return PublicSuffixList()
