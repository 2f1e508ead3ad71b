"""Addresses of nodes: `tcp/HOST:PORT`, `tls/HOST:PORT`, `unixsock-stream/PATH`, and `dns:HOST[:PORT]` for seeds."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import NamedTuple

from ..gen import BadOption

PORT = 7447
"""Port of a seed `dns:HOST` that names none: zenoh's own."""

TCP, TLS, UNIX, DNS = "tcp", "tls", "unixsock-stream", "dns"
_FORM = "give tcp/HOST:PORT, tls/HOST:PORT or unixsock-stream/PATH"
_LONGEST_PATH = 100
"""Bytes of a Unix socket's path: the kernel takes 107, and not all systems as many."""


class Endpoint(NamedTuple):
    """An address of a node.

    protocol: `TCP`, `TLS`, `UNIX`, or `DNS` (a seed whose addresses are looked up).
    host: name or IP address, IPv6 without brackets; the path of a Unix socket.
    port: 0: a free one. Always 0 for a Unix socket.
    """

    protocol: str
    host: str
    port: int = 0

    def __str__(self) -> str:
        if self.protocol == UNIX:
            return f"{UNIX}/{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}{':' if self.protocol == DNS else '/'}{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """True if only programs of this machine reach it: a Unix socket, or a loopback address."""
        return self.protocol == UNIX or is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Returns True for `localhost` and loopback addresses. A name of any other kind may be public."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def parse(option: str, text: str) -> Endpoint:
    """Returns the endpoint that `text` names. option: the option for errors, "listen" or "join"; only "join" may be
    `dns:`. Raises `BadOption`."""
    if (
        any(c in text for c in "#?;,") or not text.isprintable() or " " in text
    ):  # zenoh reads options behind "#" and "?"
        raise BadOption(option, text, f"an address has none of the characters # ? ; , and no spaces; {_FORM}")
    if text.startswith("dns:"):
        if option == "listen":
            raise BadOption(option, text, f"a node cannot listen on a name to look up; {_FORM}")
        host, port = _host_and_port(option, text, text[4:], PORT)
        return Endpoint(DNS, host, port)
    protocol, slash, rest = text.partition("/")
    if not slash or not rest or protocol not in (TCP, TLS, UNIX):
        raise BadOption(option, text, _FORM + (", or dns:HOST:PORT" if option == "join" else ""))
    if protocol == UNIX:
        if not rest.startswith("/") or len(rest.encode()) > _LONGEST_PATH:
            raise BadOption(option, text, f"give an absolute path of at most {_LONGEST_PATH} bytes")
        return Endpoint(UNIX, rest)
    host, port = _host_and_port(option, text, rest, None)
    if port == 0 and option == "join":
        raise BadOption(option, text, "give the port at which that node listens")
    return Endpoint(protocol, host, port)


def _host_and_port(option: str, text: str, rest: str, default: int | None) -> tuple[str, int]:
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise BadOption(option, text, "write an IPv6 address as [ADDRESS]:PORT")
        port = port[1:]
    else:
        host, _, port = rest.partition(":")
        if ":" in port:
            raise BadOption(option, text, "write an IPv6 address as [ADDRESS]:PORT")
    if not host:
        raise BadOption(option, text, "the host is missing")
    if not port and default is not None:
        return host, default
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise BadOption(option, text, "the port is missing or no number of 0 to 65535")
    return host, int(port)


def with_port(endpoint: Endpoint) -> Endpoint:
    """Returns `endpoint` with a port that was free just now, in place of port 0. Raises `OSError`.

    The engine cannot say which port the system gave it, so one is chosen here; another program may take it before the
    engine does, in which case the caller tries again.
    """
    if endpoint.port or endpoint.protocol == UNIX:
        return endpoint
    found = socket.getaddrinfo(endpoint.host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, number, _, address = found[0]
    with socket.socket(family, kind, number) as probe:
        probe.bind(address)
        return endpoint._replace(port=probe.getsockname()[1])
