"""Datagrams that were not sent, or did not arrive: the message that reports one, and the name under which it is
counted."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .address import Address

Failures: TypeAlias = list[tuple[int, Exception]]
"""The datagrams of a batch that could not be sent: their numbers, and why."""


@dataclass(slots=True, repr=False)
class MessageUDPError:
    """A datagram of a UDP server could not be sent, or an ICMP error came back for it. Goes to
    `UDPServerOptions.on_error`.

    id: alias of the server.
    addr: where the datagram was to go.
    errno: the system's number. `ENOBUFS`: it was dropped, because too many waited (or the interface's queue was full);
        `ECANCELED`: the server ended while it waited. None: there is none, see `error` (`BadAddress`, say).
    data: the payload, as `bytes`; of a pooled buffer a copy. What is no bytes-like object is here as it was. By ICMP:
        the part of it that was quoted, mostly the first 500 bytes (IPv6: 1200), which may be none.
    error: the exception that a `call` would have raised; by ICMP an `OSError`.
    origin: "local": this machine refused it, it has not left. "icmp", "icmp6": it has left, and an ICMP error came
        back (`SocketOptions.error_queue`).
    type, code: of the ICMP message; None: local.
    offender: the host that sent the ICMP message; None: local.
    mtu: with `EMSGSIZE` the longest packet that the path takes, headers included, where the system tells.
    """

    id: Any
    addr: Address
    errno: int | None
    data: Any
    error: Exception
    origin: str = "local"
    type: int | None = None
    code: int | None = None
    offender: str | None = None
    mtu: int | None = None

    def __repr__(self) -> str:
        size = f"{len(self.data)} bytes" if isinstance(self.data, bytes) else type(self.data).__name__
        return f"MessageUDPError({self.id}, {self.addr}, {name_of(self.error)}, {size}, {self.origin})"


def name_of(error: Exception) -> str:
    """Returns the name under which an error is counted: that of its errno, else of its class."""
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__
