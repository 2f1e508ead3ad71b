"""Addresses of sockets and destinations of datagrams. The address of a Unix socket is its path, a str.

A destination must be numeric: a name would be resolved inside `sendto`, which blocks the whole node. And it must be an
address that a peer can have: anyone can forge datagrams from 0.0.0.0 or port 0, and Linux delivers datagrams to 0.0.0.0
to this machine itself.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from operator import index
from typing import Any, TypeAlias

from ..gen import BadOption
from ..gen.foreign import safe_repr
from .errors import AddressRefused, BadAddress, BindFailed, BroadcastRefused

Address: TypeAlias = tuple[Any, ...]
"""As in the socket module: (host, port), or (host, port, flowinfo, scope_id) for IPv6."""

AF_UNIX = int(getattr(socket, "AF_UNIX", -1))
LONGEST_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of the path in a struct sockaddr_un, without the null character at its end."""


DUAL_STACK = 0x1000 | socket.AF_INET6
"""The family of an IPv6 socket that also carries IPv4, in addresses that begin with ::ffff: (RFC 4291 2.5.5.2). Homing
always writes these as IPv4 addresses."""

_MAPPED = "::ffff:"


def family_of(sock: socket.socket) -> int:
    """Returns the family of `sock`; `DUAL_STACK` for an IPv6 socket that also carries IPv4."""
    six = sock.family == socket.AF_INET6 and isinstance(sock, socket.socket)
    if six and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return DUAL_STACK
    return int(sock.family)


def plain(address: Address) -> Address:
    """Returns `address`; an IPv4 address that the system has written as IPv6 becomes (host, port)."""
    if address[0].startswith(_MAPPED) and "." in address[0]:
        return address[0].removeprefix(_MAPPED), address[1]
    return address


@lru_cache(maxsize=4096)  # not measured: as many as `_is_numeric` remembers
def _host_and_scoped(host: str) -> tuple[str, bool]:
    """Returns the canonical form of a host, and whether its scope matters: RFC 4007; in Linux,
    `__ipv6_addr_needs_scope_id`."""
    if ":" not in host:
        return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, host)), False
    packed = socket.inet_pton(socket.AF_INET6, host)
    host = plain((socket.inet_ntop(socket.AF_INET6, packed), 0))[0]
    unicast, multicast = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80, packed[0] == 0xFF
    return host, unicast or (multicast and packed[1] & 0x0F in (1, 2))


def canonical_host(host: str) -> str:
    """Returns a numeric host as the system writes it, without its scope; a mapped IPv4 address as IPv4. Returns `host`
    unchanged if it is not an address."""
    if type(host) is not str:
        return host
    try:
        return _host_and_scoped(host.partition("%")[0])[0]
    except (OSError, ValueError):
        return host


def canonical(address: Address) -> Address:
    """Returns the canonical form of a numeric address, in which the system reports the source of a datagram: two
    addresses belong to the same peer if their canonical forms are equal.

    (host, port) for IPv4, also if it is mapped into IPv6. (host, port, 0, scope) for IPv6: the flow label does not
    belong to the peer, the scope is 0 unless the address is link-local, and a scope in the host ("fe80::1%eth0") is
    looked up. Raises `OSError` or `ValueError` for an invalid address or an unknown scope.
    """
    name, _, zone = address[0].partition("%")
    host, scoped = _host_and_scoped(name)
    if ":" not in host:
        return host, address[1]
    scope = address[3] if len(address) > 3 else 0
    if zone:
        scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return host, address[1], 0, scope if scoped else 0


def canonical_untrusted(address: object) -> Address | None:
    """Like `canonical`, for any object that a program passes as an address; returns None if it is not one."""
    if type(address) is not tuple or not 2 <= len(address) <= 4 or type(address[0]) is not str:
        return None
    try:
        return canonical((address[0], *map(index, address[1:])))
    except Exception:  # `OSError`, `ValueError`, `TypeError`, and anything that an `__index__` of the program raises
        return None


def is_same(address: object, peer: Address) -> bool:
    """Returns True if the canonical form of `address` is `peer`."""
    return address is peer or canonical_untrusted(address) == peer


def unscoped(address: Address) -> Address:
    """Returns a canonical address without its scope."""
    return (*address[:3], 0) if len(address) == 4 else address


def is_from(source: Address, peer: Address) -> bool:
    """Returns True if a datagram from `source` may come from `peer`, both canonical. If `peer` has a scope, it must be
    the same."""
    return source == peer or (len(source) == 4 and unscoped(source) == peer)


def reached_by(address: Address, local: Address) -> Address:
    """Returns the address that a datagram to the canonical `address` reaches. The wildcard address means this machine:
    the address that the sending socket is bound to (IPv4), or the loopback."""
    if address[0] == "::":
        return ("::1", *address[1:])
    if address[0] == "0.0.0.0":  # noqa: S104
        return ("127.0.0.1" if local[0] == "0.0.0.0" else local[0], *address[1:])  # noqa: S104
    return address


def path_of(address: str | bytes | None) -> str:
    """Returns the path in an address that the system reports for a Unix socket; "" if it has none. (The socket module
    returns abstract names as bytes, and None for a socket without a name.)"""
    return os.fsdecode(address) if address else ""


NORMALIZERS: dict[int, Callable[[Any], Any]] = {DUAL_STACK: plain, AF_UNIX: path_of}
"""Functions that convert the socket module's addresses, for the families that Homing writes in another form."""


def mapped(address: Address) -> Address:
    """Returns the system's form of an address for a `DUAL_STACK` socket; the inverse of `plain`."""
    return address if ":" in address[0] else (_MAPPED + address[0], address[1])


def resolve_bind(host: str, port: int, dual_stack: bool = False) -> list[tuple[int, Address]]:
    """Returns the (family, address) pairs to try for a server on `host`, IPv4 first. "" means all IPv4 interfaces, "::"
    all IPv6 interfaces; with `dual_stack` each means both, if the system has IPv6.

    Raises `BindFailed` if the name cannot be resolved, and `BadOption` for any other host with `dual_stack`. Looking up
    a name may block; a numeric address never blocks.
    """
    if dual_stack and host not in ("", "::"):
        raise BadOption(
            "dual_stack", True, f'a single address has one family; give host "" or "::", not {safe_repr(host)}'
        )
    if dual_stack:
        return [(int(socket.AF_INET6), ("::", port, 0, 0)) if has_ipv6() else (int(socket.AF_INET), (_ALL_IPV4, port))]
    try:
        found = socket.getaddrinfo(
            host or None, port, socket.AF_UNSPEC if host else socket.AF_INET, socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise BindFailed(host, port, error, "the host cannot be resolved; give an address of this machine") from None
    except ValueError as error:  # a null byte, or a name that cannot be encoded
        raise BindFailed(host, port, OSError(0, str(error)), "the host is not a valid name") from None
    pairs = [(int(family), address) for family, _, _, _, address in found]
    return sorted(pairs, key=lambda pair: pair[0] != socket.AF_INET)


_ALL_IPV4 = "0.0.0.0"  # noqa: S104 - only if it was asked for


def has_ipv6() -> bool:
    """Returns True if this system has IPv6. Linux may be started without it (ipv6.disable=1), and a sandbox may forbid
    it."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM):
            return True
    except OSError as error:
        return error.errno not in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def check_destination(family: int, address: Any) -> None:
    """Raises `BadAddress` unless `address` is numeric, valid for a socket of `family`, and one that a peer can have."""
    if family == AF_UNIX:
        _check_path(address)
        return
    if not isinstance(address, tuple):
        raise BadAddress(address, "give a tuple such as ('127.0.0.1', 53)")
    if family == DUAL_STACK:
        family = int(socket.AF_INET6 if address and ":" in str(address[0]) else socket.AF_INET)
    longest = 4 if family == socket.AF_INET6 else 2
    if not 2 <= len(address) <= longest:
        raise BadAddress(address, f"this socket's addresses have {'2 to 4' if longest == 4 else '2'} fields")
    host, port = address[0], address[1]
    if not isinstance(host, str):
        raise BadAddress(address, "the host must be a str")
    if not is_within(port, 65535):
        raise BadAddress(address, "the port must be an integer from 0 to 65535")
    for part, limit in zip(address[2:], (2**20, 2**32), strict=False):
        if not is_within(part, limit - 1):
            raise BadAddress(address, "flowinfo must be an integer below 2**20, scope_id an integer below 2**32")
    packed = _packed(family, host)
    if packed is None:
        kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
        raise BadAddress(address, f"{safe_repr(host)} is not an {kind} address; resolve names before sending")
    if packed in _UNSPECIFIED:
        raise BadAddress(address, "no peer has this address; the system would deliver to this machine itself")
    if port == 0:
        raise AddressRefused(address, "no peer can have port 0", errno.EINVAL)


def is_within(number: object, high: int) -> bool:
    """Returns True for an integer from 0 to `high`, of any class: a port from a batch may be numpy's."""
    try:
        return type(number) is not bool and 0 <= index(number) <= high  # type: ignore[arg-type]
    except Exception:  # no `__index__`, or that of the program raises
        return False


_UNSPECIFIED = frozenset({bytes(4), bytes(16), bytes(10) + b"\xff\xff" + bytes(4)})
"""0.0.0.0, ::, and 0.0.0.0 mapped into IPv6."""


def send_refused(number: int, address: Any) -> OSError:
    """Returns the error for a datagram to `address` that the system refused with the errno `number`."""
    if number == errno.EACCES and isinstance(address, tuple) and address[0] == "255.255.255.255":
        return BroadcastRefused(address, "it is a broadcast address; give broadcast=True", number)
    return OSError(number, os.strerror(number))


@lru_cache(maxsize=4096)  # not measured: as many as the peers of a busy second; a miss costs about 2 us
def _packed(family: int, host: str) -> bytes | None:
    try:
        return socket.inet_pton(family, host.partition("%")[0] if family == socket.AF_INET6 else host)
    except (OSError, ValueError):
        return None


def is_numeric(host: str) -> bool:
    """Returns True for a numeric address, and for "", which means all addresses: neither needs a look-up."""
    return not host or any(_packed(family, host) is not None for family in (socket.AF_INET, socket.AF_INET6))


def _check_path(path: object) -> None:
    if path == "":
        raise BadAddress(path, "the peer has no path: it must bind its socket to a path to receive answers")
    why = why_no_path(path)
    if why:
        raise BadAddress(path, why)


def why_no_path(path: object) -> str:
    """Returns why this cannot be the path of a Unix socket; "" if it can."""
    if not isinstance(path, str) or not path:
        return "give the path of a Unix socket, a str"
    abstract = path[0] == "\0"
    if abstract and sys.platform != "linux":
        return "abstract names (which begin with a null character) work on Linux only"
    if not abstract and "\0" in path:
        return "the path of a file cannot contain a null character"
    try:
        size = len(os.fsencode(path))
    except UnicodeError:
        return "it cannot be encoded as a file's name"
    longest = LONGEST_PATH + abstract
    return f"it has {size} bytes; a socket's path has at most {longest}" if size > longest else ""


def format_address(address: Address | str) -> str:
    """Returns `host:port`, with brackets around an IPv6 host; or the path of a Unix socket, with `@` for a null
    character."""
    if isinstance(address, str):
        return address.replace("\0", "@")
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
