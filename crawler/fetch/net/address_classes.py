"""Classifies IP addresses and ports by the registries of IANA and the Fetch standard. Pure.

Rules:
- Special are: every block of the IANA special-purpose registries, also the few that are globally reachable (relays,
  sinks), since they host no pages; multicast and reserved blocks; of IPv6 all that is not global unicast; and the one
  public address at which a cloud answers its own machines. All else is public. (`ipaddress.is_global` does not do: its
  result for multicast and for IPv6 forms that embed an IPv4 address depends on the release of Python.)
- An IPv6 address that embeds an IPv4 address leads to that one. It is classified by what it embeds (IPv4-mapped, NAT64,
  6to4, Teredo: both addresses), or by both (ISATAP). Forms that are not routed on the Internet are refused whatever
  they embed (IPv4-compatible, IPv4-translated, local NAT64).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

# https://fetch.spec.whatwg.org/#port-blocking
_PORTS = """
0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 135
137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995 1719
1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""
BAD_PORTS = frozenset(map(int, _PORTS.split()))

# https://www.iana.org/assignments/iana-ipv4-special-registry (RFC 6890), multicast-addresses (RFC 5771)
_IPV4 = (
    ("0.0.0.0/8", "this host or network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a carrier's customers"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "multicast tunneling"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("168.63.129.16/32", "Azure's host of virtual machines"),
)

# https://www.iana.org/assignments/iana-ipv6-special-registry, ipv6-address-space (RFC 4291). The first that fits.
_IPV6 = (
    ("::1/128", "loopback"),
    ("::/128", "unspecified"),
    ("::/96", "IPv4-compatible"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b:1::/48", "local NAT64"),
    ("100::/64", "discard-only"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
)
_GLOBAL_UNICAST = ip_network("2000::/3")
_LOW = 0xFFFF_FFFF
_Blocks = tuple[tuple[int, int, str], ...]


def is_address(host: str) -> bool:
    """Whether the host of a canonical URL, without brackets, is an IP address."""
    return (":" in host or host[-1:].isdigit()) and _is_ip(host)


@lru_cache(maxsize=8_192)
def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether an address and all addresses that it embeds are public."""
    return not any(map(classify, embedded_addresses(address)))


@lru_cache(maxsize=8_192)
def embedded_addresses(address: str) -> tuple[Address, ...]:
    """The addresses at which a packet to this one may arrive (RFC 4291, 6052, 3056, 4380, 5214)."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv4Address):
        return (ip,)
    bits = int(ip)
    if bits >> 32 == 0xFFFF or bits >> 32 == 0x64_FF9B << 64:  # IPv4-mapped, NAT64
        return (IPv4Address(bits & _LOW),)
    if bits >> 96 == 0x2001_0000:  # Teredo: its server, and the client in disguise
        return IPv4Address(bits >> 64 & _LOW), IPv4Address(bits & _LOW ^ _LOW)
    outer: Address = IPv4Address(bits >> 80 & _LOW) if bits >> 112 == 0x2002 else ip  # 6to4
    if bits >> 32 & 0xFDFF_FFFF == 0x5EFE:  # ISATAP, in any prefix
        return outer, IPv4Address(bits & _LOW)
    return (outer,)


@lru_cache(maxsize=8_192)
def classify(address: Address) -> str:
    """The class of a special address, "" for a public one. Embedded addresses are not looked at: see
    `embedded_addresses`."""
    bits = int(address)
    for start, mask, why in _V4 if address.version == 4 else _V6:
        if bits & mask == start:
            return why
    return "" if address.version == 4 or address in _GLOBAL_UNICAST else "not in use"


def _blocks(table: tuple[tuple[str, str], ...]) -> _Blocks:
    networks = [(ip_network(block), why) for block, why in table]
    return tuple((int(block.network_address), int(block.netmask), f"{why} ({block})") for block, why in networks)


_V4, _V6 = _blocks(_IPV4), _blocks(_IPV6)
