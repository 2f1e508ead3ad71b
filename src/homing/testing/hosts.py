"""The addresses of a fake network: all numeric addresses. The only name is localhost."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from ..datagram import Address
from ..datagram.errors import BindFailed
from ..gen import BadOption

Place: TypeAlias = tuple[str, int]
"""Host and port, the host in its canonical form."""

WILDCARDS: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104
LOOPBACKS: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def resolve(host: str, port: int) -> tuple[int, Address]:
    """Returns the family and address to bind. Raises `BindFailed` for a host that is not numeric."""
    host = {"": WILDCARDS[socket.AF_INET], "localhost": LOOPBACKS[socket.AF_INET]}.get(host, host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        own = canonical(family, host)
    except (OSError, ValueError):
        why = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        raise BindFailed(host, port, why, "the only name in a FakeNetwork is localhost; give an address") from None
    return family, as_address(family, own, port, ())


@lru_cache(maxsize=4096)  # as in datagram/address.py
def canonical(family: int, host: str) -> str:
    """Returns the canonical form of an address, without the scope of an IPv6 address: there is only one link. Raises
    `OSError`."""
    return socket.inet_ntop(family, socket.inet_pton(family, host.partition("%")[0]))


def as_address(family: int, host: str, port: int, like: Address) -> Address:
    """Returns an address as the socket module writes it, with the flow label and scope of `like`."""
    return (host, port) if family == socket.AF_INET else (host, port, *(*like[2:], 0, 0)[:2])


def host_of(option: str, host: object) -> str:
    """Returns the canonical form of a host. Raises `BadOption` if it is not numeric."""
    if isinstance(host, str):
        try:
            return canonical(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        except (OSError, ValueError):
            pass
    raise BadOption(option, host, "give a numeric address, such as '10.0.0.1'")


def hosts_of(option: str, hosts: str | Iterable[str]) -> list[str]:
    """Returns the canonical forms of one host or several. Raises `BadOption`."""
    return [host_of(option, host) for host in ([hosts] if isinstance(hosts, str) else hosts)]
