"""Seeds: where a node looks for others, and whether somebody answers there. Never blocks the loop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from ipaddress import ip_address

from .endpoints import DNS, TCP, TLS, UNIX, Endpoint

LOOKUP_INTERVAL = 10.0
"""Seconds between two look-ups of a `dns:` seed: as long as Kubernetes lets its answers live, and less than people
wait for."""

_LOOKUP_TIMEOUT = 5.0
_CONNECT_TIMEOUT = 1.0
MOST_ADDRESSES = 64
"""Addresses taken from one answer of the DNS: more seeds help nobody, as one is enough to find all nodes."""

_LOG = logging.getLogger("homing.cluster")


class Seeds:
    """The addresses of `ClusterOptions.join`, those of `dns:` seeds as found in the last look-up.

    A name that cannot be looked up keeps its addresses of before: the DNS being down takes no node away.
    """

    def __init__(self, endpoints: Iterable[Endpoint], *, secure: bool) -> None:
        """secure: nodes found by name are dialled by TLS."""
        endpoints = tuple(endpoints)
        self._fixed = tuple(one for one in endpoints if one.protocol != DNS)
        self._names = tuple(one for one in endpoints if one.protocol == DNS)
        self._protocol = TLS if secure else TCP
        self._found: dict[Endpoint, tuple[Endpoint, ...]] = {}
        self._complained: set[Endpoint] = set()

    @property
    def has_names(self) -> bool:
        """True if there is something to look up."""
        return bool(self._names)

    @property
    def current(self) -> tuple[Endpoint, ...]:
        """All addresses that are known, without repetition, in a fixed order."""
        found = [one for name in self._names for one in self._found.get(name, ())]
        return tuple(dict.fromkeys([*self._fixed, *found]))

    async def look_up(self) -> tuple[Endpoint, ...]:
        """Looks all names up and returns `current`. Raises nothing: a failure is logged once until it is over."""
        await asyncio.gather(*(self._look_up(name) for name in self._names))
        return self.current

    async def _look_up(self, name: Endpoint) -> None:
        try:
            async with asyncio.timeout(_LOOKUP_TIMEOUT):
                answers = await asyncio.get_running_loop().getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            if name not in self._complained:
                self._complained.add(name)
                _LOG.warning("join=%s: cannot look it up (%s); it is tried again", name, error or "no answer")
            return
        self._complained.discard(name)
        hosts = sorted({str(answer[4][0]) for answer in answers})[:MOST_ADDRESSES]
        self._found[name] = tuple(Endpoint(self._protocol, host, name.port) for host in hosts)


async def answers(endpoint: Endpoint) -> bool:
    """Returns True if a program accepts connections at `endpoint`, a node or not."""
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            if endpoint.protocol == UNIX:
                _, writer = await asyncio.open_unix_connection(endpoint.host)
            else:
                _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except (OSError, UnicodeError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def reachable(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Returns those endpoints that accept connections."""
    endpoints = list(endpoints)
    results = await asyncio.gather(*(answers(one) for one in endpoints))
    return [one for one, result in zip(endpoints, results, strict=True) if result]


def is_own(endpoint: Endpoint, listening: Iterable[Endpoint]) -> bool:
    """Returns True if `endpoint` is one of this node's own listeners, also by another address of this machine."""
    return any(
        endpoint == one
        or (endpoint.port == one.port != 0 and UNIX not in (endpoint.protocol, one.protocol) and _here(endpoint))
        for one in listening
    )


def _here(endpoint: Endpoint) -> bool:
    """Returns True if the IP address is one of this machine: only then can a socket be bound to it. A host name is not
    looked up, which would block; zenoh closes a connection to itself anyway."""
    try:
        ip_address(endpoint.host.partition("%")[0])
    except ValueError:
        return False
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((endpoint.host, 0))
    except OSError:
        return False
    return True
