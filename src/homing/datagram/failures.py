"""Reports of datagrams that were not sent, or did not arrive: the message, and the name under which an error is
counted."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .address import Address

Failures: TypeAlias = list[tuple[int, Exception]]
"""The datagrams of a batch that could not be sent: the number of each and its error."""


@dataclass(slots=True, repr=False)
class MessageUDPError:
    """A datagram of a UDP server could not be sent, or an ICMP error came back for it. Sent to
    `UDPServerOptions.on_error`.

    id: alias of the server.
    addr: destination of the datagram.
    errno: the system's error number. `ENOBUFS`: the datagram was dropped because too many waited (or the interface's
        queue was full); `ECANCELED`: the server ended while it waited. None: `error` has no errno, as for `BadAddress`.
    data: the payload, as `bytes` (a pooled buffer is copied). An object that is not bytes-like is passed unchanged. For
        an ICMP error: the quoted part of the payload, mostly the first 500 bytes (IPv6: 1200), possibly empty.
    error: the exception that a `call` would have raised; for an ICMP error an `OSError`.
    origin: "local": this machine refused to send the datagram. "icmp", "icmp6": it was sent, and an ICMP error came
        back (`SocketOptions.error_queue`).
    type, code: of the ICMP message; None: local.
    offender: host that sent the ICMP message; None: local.
    mtu: with `EMSGSIZE`, the path MTU (longest packet, headers included), if the system reports it.
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
    """Returns the name under which an error is counted: its errno's name, or its class if it has no errno."""
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__
