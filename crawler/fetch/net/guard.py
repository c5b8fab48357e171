"""SSRF guard: which addresses a client may connect to. Every client checks each socket at its creation.

Rules:
- A URL proves nothing: DNS answers are remote data and change between two queries (DNS rebinding). What counts is the
  address that the socket is about to be connected to.
- Public addresses are allowed. All others (see crawler/fetch/net/address_classes.py) are private networks, this machine
  or unassigned.
- A private address is reachable only where the operator named it:
  * `allow_networks` names networks, at all ports;
  * an address in a seed, or as the target of a `resolve`, names itself at that one port. A target without a port is
    named at the ports of the seeds of that name, 80 and 443;
  * a name in one of these places names the addresses it resolves to, at that port, if only this machine and its network
    can resolve it: "localhost" (RFC 6761), names without a dot, and those below `_LOCAL`. The owner of any other name
    could point it at any network, also at the one that we run in.
- Names of this machine and of the metadata services of clouds are refused before a lookup, unless named in this way.
- Ports of other protocols (the bad ports of the Fetch standard) are refused everywhere: HTTP must not be spoken to a
  mail server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from crawler.errors import UsageError
from crawler.fetch.base import ClientPlan
from crawler.fetch.http1.request import split_port, split_url
from crawler.fetch.net.address_classes import BAD_PORTS, Address, classify, embedded_addresses, is_address, is_public

Endpoint = tuple[str, int]

# Names that every resolver answers locally; RFC 6762 (.local), RFC 8375 (.home.arpa), ICANN 2024.07.29.06 (.internal).
_THIS_MACHINE = frozenset({"localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"})
_THIS_MACHINE_BELOW = (".localhost", ".localdomain", ".localdomain4", ".localdomain6")
_METADATA = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)
_LOCAL = (*_THIS_MACHINE_BELOW, ".local", ".internal", ".home.arpa")
_USUAL_PORTS = (80, 443)


class Blocked(OSError):
    """A refused name, address or port: the message names it and the reason, in one line."""


class Guard:
    """What one client may connect to. Raises UsageError where `networks` of the plan has something else."""

    def __init__(self, plan: ClientPlan) -> None:
        try:
            self._networks = tuple(ip_network(text) for text in plan.networks)
        except ValueError as error:
            raise UsageError(f"allow_networks: {error}") from None
        self._names: set[Endpoint] = set()
        self._addresses: set[tuple[Address, int]] = set()
        for name, port in _named(plan.seeds, plan.resolve):
            if is_address(name):
                self._name(name, port)
            elif is_local(name):
                self._names.add((_bare(name), port))

    def check_name(self, name: str, port: int) -> None:
        """The checks that need no lookup, of a name or an address. Raises Blocked."""
        if port in BAD_PORTS:
            raise Blocked(f"port {port} is none of HTTP's")
        bare = _bare(name)
        if (bare in _THIS_MACHINE or bare in _METADATA or bare.endswith(_THIS_MACHINE_BELOW)) and not (
            (bare, port) in self._names or self._networks
        ):
            raise Blocked(f"{bare}:{port} is this machine or its cloud; if that is meant, name it as a seed")

    def found(self, name: str, port: int, addresses: Iterable[str]) -> tuple[str, ...]:
        """The allowed addresses of a name. Raises Blocked where all were refused."""
        refused: Blocked | None = None
        admitted = []
        for address in addresses:
            if (_bare(name), port) in self._names:
                self._name(address, port)
            try:
                self.check(address, port)
                admitted.append(address)
            except Blocked as error:
                refused = refused or error
        if refused and not admitted:
            raise Blocked(f"{name} is {refused}")
        return tuple(admitted)

    def check(self, address: str, port: int) -> None:
        """Check an address before a connect. Raises Blocked."""
        if port in BAD_PORTS:
            raise Blocked(f"port {port} is none of HTTP's")
        for reached in embedded_addresses(address):
            if not self._admits(reached, port) and (why := classify(reached)):
                carried = "" if address == str(reached) else f"{address}, that is "
                raise Blocked(f"{carried}{reached}:{port}, {why}; if that is meant, name it in allow_networks")

    def _admits(self, address: Address, port: int) -> bool:
        return (address, port) in self._addresses or any(address in network for network in self._networks)

    def _name(self, address: str, port: int) -> None:
        self._addresses.update((reached, port) for reached in embedded_addresses(address))


def naming(seeds: Iterable[str], resolve: Mapping[str, str]) -> tuple[str, ...]:
    """The seeds (canonical URLs) that a Guard needs: those with a private address, a local name or a `resolve`."""
    routed = {split_port(name.lower())[0] for name in resolve}
    return tuple(url for url in seeds if _is_naming(split_url(url).host, routed))


def _is_naming(host: str, routed: set[str]) -> bool:
    return host in routed or (is_address(host) and not is_public(host)) or is_local(host)


def _named(seeds: Iterable[str], resolve: Mapping[str, str]) -> Iterable[Endpoint]:
    """The addresses and names, each with its port, that seeds and routes name."""
    ports: dict[str, set[int]] = {}
    for url in seeds:
        _, host, port, _ = split_url(url)
        ports.setdefault(host, set()).add(port)
        yield host, port
    for name, target in resolve.items():
        (host, port), (address, other) = split_port(name.lower()), split_port(target)
        for one in (other or port,) if other or port else (*ports.get(host, ()), *_USUAL_PORTS):
            yield address, one


def is_local(name: str) -> bool:
    """Whether only this machine and its network can resolve a name."""
    name = _bare(name)
    return "." not in name or name.endswith(_LOCAL)


def _bare(name: str) -> str:
    return name.rstrip(".").lower()
