"""Addresses that a socket is bound to, and that a datagram may go to. That of a Unix socket is its path, a str.

A destination must be numeric: a name would be resolved inside `sendto`, which blocks the whole node. And it must be
somebody's: anyone can write from 0.0.0.0 or port 0, and Linux delivers what goes to 0.0.0.0 to this machine itself.
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
"""The socket module's own: (host, port), or (host, port, flowinfo, scope_id) for IPv6."""

AF_UNIX = int(getattr(socket, "AF_UNIX", -1))
LONGEST_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of the path in a struct sockaddr_un, without the null character at its end."""


DUAL_STACK = 0x1000 | socket.AF_INET6
"""The family of an IPv6 socket that carries IPv4 as well, in addresses that begin with ::ffff: (RFC 4291 2.5.5.2). Here
they are written as IPv4 addresses always."""

_MAPPED = "::ffff:"


def family_of(sock: socket.socket) -> int:
    """AF_INET, AF_INET6, `DUAL_STACK`, or whatever the family of `sock` is."""
    six = sock.family == socket.AF_INET6 and isinstance(sock, socket.socket)
    if six and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return DUAL_STACK
    return int(sock.family)


def plain(address: Address) -> Address:
    """`address`; an IPv4 one that the system has written as IPv6 becomes (host, port)."""
    if address[0].startswith(_MAPPED) and "." in address[0]:
        return address[0].removeprefix(_MAPPED), address[1]
    return address


@lru_cache(maxsize=4096)  # not measured: as many as `_is_numeric` remembers
def _host_and_scoped(host: str) -> tuple[str, bool]:
    """The one way to write a host, and whether its scope counts: RFC 4007; in Linux, `__ipv6_addr_needs_scope_id`."""
    if ":" not in host:
        return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, host)), False
    packed = socket.inet_pton(socket.AF_INET6, host)
    host = plain((socket.inet_ntop(socket.AF_INET6, packed), 0))[0]
    unicast, multicast = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80, packed[0] == 0xFF
    return host, unicast or (multicast and packed[1] & 0x0F in (1, 2))


def canonical_host(host: str) -> str:
    """Returns a numeric host as the system writes it, without its scope; of a mapped IPv4 address, that address. What
    is no address, as it is."""
    if type(host) is not str:
        return host
    try:
        return _host_and_scoped(host.partition("%")[0])[0]
    except (OSError, ValueError):
        return host


def canonical(address: Address) -> Address:
    """Returns the one form of a numeric address, in which the system names the source of what comes from there: two
    addresses are the same peer's if this is equal.

    (host, port) for IPv4, also where it is mapped into IPv6. (host, port, 0, scope) for IPv6: the flow label is none of
    the peer's, the scope is 0 unless the address is link-local, and a scope in the host ("fe80::1%eth0") is looked up.
    Raises `OSError` or `ValueError` for what is no address, and for an unknown scope.
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
    """As `canonical`, of whatever a program has given as an address; None: it is none."""
    if type(address) is not tuple or not 2 <= len(address) <= 4 or type(address[0]) is not str:
        return None
    try:
        return canonical((address[0], *map(index, address[1:])))
    except Exception:  # `OSError`, `ValueError`, `TypeError`, and whatever an `__index__` of the program raises
        return None


def is_same(address: object, peer: Address) -> bool:
    """True if `address` is a way to write `peer`, which is canonical."""
    return address is peer or canonical_untrusted(address) == peer


def unscoped(address: Address) -> Address:
    """Returns a canonical address without its scope."""
    return (*address[:3], 0) if len(address) == 4 else address


def is_from(source: Address, peer: Address) -> bool:
    """True if a datagram from `source` may come from `peer`, both canonical: from the same scope, if `peer` has one."""
    return source == peer or (len(source) == 4 and unscoped(source) == peer)


def reached_by(address: Address, local: Address) -> Address:
    """Returns where a datagram to `address`, which is canonical, goes: to the wildcard address means to this machine,
    namely to the address that the sending socket is bound to (IPv4), or the loopback."""
    if address[0] == "::":
        return ("::1", *address[1:])
    if address[0] == "0.0.0.0":  # noqa: S104
        return ("127.0.0.1" if local[0] == "0.0.0.0" else local[0], *address[1:])  # noqa: S104
    return address


def path_of(address: str | bytes | None) -> str:
    """Returns the path of a Unix socket, of the address that the system reports; "" if it has none. (The socket module
    has names that are no files as bytes, and None for a socket without a name.)"""
    return os.fsdecode(address) if address else ""


NORMALIZERS: dict[int, Callable[[Any], Any]] = {DUAL_STACK: plain, AF_UNIX: path_of}
"""For families whose addresses are written here in another form than the socket module's: from that form to this."""


def mapped(address: Address) -> Address:
    """The opposite of `plain`, for a `DUAL_STACK` socket: (host, port) of IPv4 becomes the form of the system."""
    return address if ":" in address[0] else (_MAPPED + address[0], address[1])


def resolve_bind(host: str, port: int, dual_stack: bool = False) -> list[tuple[int, Address]]:
    """Returns the (family, address) pairs to try for a server on `host`, IPv4 first. "" is every IPv4 interface, "::"
    every IPv6 one; each is both with `dual_stack`, as far as the system has IPv6.

    Raises `BindFailed` if the name cannot be resolved, and `BadOption` if no other host than these can be meant. A name
    is looked up here, which may block; an address never does.
    """
    if dual_stack and host not in ("", "::"):
        raise BadOption(
            "dual_stack", True, f'one address is of one family; give host "" or "::", not {safe_repr(host)}'
        )
    if dual_stack:
        return [(int(socket.AF_INET6), ("::", port, 0, 0)) if has_ipv6() else (int(socket.AF_INET), (_ALL_IPV4, port))]
    try:
        found = socket.getaddrinfo(
            host or None, port, socket.AF_UNSPEC if host else socket.AF_INET, socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise BindFailed(host, port, error, "the host cannot be resolved; give an address of this machine") from None
    except ValueError as error:  # a null byte, or what no encoding of names has room for
        raise BindFailed(host, port, OSError(0, str(error)), "the host is not a valid name") from None
    pairs = [(int(family), address) for family, _, _, _, address in found]
    return sorted(pairs, key=lambda pair: pair[0] != socket.AF_INET)


_ALL_IPV4 = "0.0.0.0"  # noqa: S104 - where it was asked for


def has_ipv6() -> bool:
    """True if this system has IPv6. Linux may be started without (ipv6.disable=1), and a sandbox may forbid it."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM):
            return True
    except OSError as error:
        return error.errno not in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def check_destination(family: int, address: Any) -> None:
    """Raises `BadAddress` unless a socket of `family` can take `address` as it stands, and somebody can have it."""
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
            raise BadAddress(address, "flowinfo must be an integer below 2**20, scope_id one below 2**32")
    packed = _packed(family, host)
    if packed is None:
        kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
        raise BadAddress(address, f"{safe_repr(host)} is no {kind} address; resolve names before sending")
    if packed in _UNSPECIFIED:
        raise BadAddress(address, "it is nobody's; the system would deliver it to this machine itself")
    if port == 0:
        raise AddressRefused(address, "nobody can have port 0", errno.EINVAL)


def is_within(number: object, high: int) -> bool:
    """True for an integer from 0 to `high`, of whatever class: those of numpy, such as a batch has, among them."""
    try:
        return type(number) is not bool and 0 <= index(number) <= high  # type: ignore[arg-type]
    except Exception:  # most things have no `__index__`; that of others is code of the program
        return False


_UNSPECIFIED = frozenset({bytes(4), bytes(16), bytes(10) + b"\xff\xff" + bytes(4)})
"""0.0.0.0, ::, and the former as an IPv6 address."""


def send_refused(number: int, address: Any) -> OSError:
    """Returns the error for a datagram to `address` that the system has refused with the errno `number`."""
    if number == errno.EACCES and isinstance(address, tuple) and address[0] == "255.255.255.255":
        return BroadcastRefused(address, "it is a broadcast address; give broadcast=True", number)
    return OSError(number, os.strerror(number))


@lru_cache(maxsize=4096)  # not measured: the peers of a busy second; a miss costs about 2 us
def _packed(family: int, host: str) -> bytes | None:
    try:
        return socket.inet_pton(family, host.partition("%")[0] if family == socket.AF_INET6 else host)
    except (OSError, ValueError):
        return None


def is_numeric(host: str) -> bool:
    """True for an address, and for "", which is every address: neither needs a look-up."""
    return not host or any(_packed(family, host) is not None for family in (socket.AF_INET, socket.AF_INET6))


def _check_path(path: object) -> None:
    if path == "":
        raise BadAddress(path, "the peer has no path: to be answered it has to bind its socket to one")
    why = why_no_path(path)
    if why:
        raise BadAddress(path, why)


def why_no_path(path: object) -> str:
    """Returns why no Unix socket can have this path; "" if one can."""
    if not isinstance(path, str) or not path:
        return "give the path of a Unix socket, a str"
    abstract = path[0] == "\0"
    if abstract and sys.platform != "linux":
        return "names that are no files (which begin with a null character) are Linux only"
    if not abstract and "\0" in path:
        return "the path of a file has no null character"
    try:
        size = len(os.fsencode(path))
    except UnicodeError:
        return "it cannot be encoded as a file's name"
    longest = LONGEST_PATH + abstract
    return f"it has {size} bytes, and a socket's path {longest} at most" if size > longest else ""


def format_address(address: Address | str) -> str:
    """`host:port`, with brackets around an IPv6 host; the path of a Unix socket, with `@` for a null character."""
    if isinstance(address, str):
        return address.replace("\0", "@")
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
