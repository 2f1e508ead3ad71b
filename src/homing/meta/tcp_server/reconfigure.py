"""Changing the limits of a TCP server that runs: all that are asked for, or none."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...datagram import Address
from ...gen import BadOption
from ..udp_server.reconfigure import Reconfigure
from ..udp_server.reconfigure import reconfigure as reconfigure_udp
from ..udp_server.server import UDPServer, state_of
from .options import TCPServerOptions

CHANGEABLE = frozenset(
    {
        *("allow", "deny", "connect_limit", "rate_limit", "most_connections", "most_per_source", "most_handshakes"),
        *("handshake_timeout", "first_byte_timeout", "frame_timeout", "idle_timeout", "half_close_timeout"),
        *("send_buffer", "send_most", "send_timeout"),
    }
)
"""The options of a TCP server that a `Reconfigure` may name."""

_OF_BOTH = ("allow", "deny", "rate_limit")
"""Those that also hold for the UDP server beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPReconfigured:
    """The answer of a TCP server to a `Reconfigure`: the options in force now.

    options: all options, as if the server had been created with them.
    local_address: the address that the socket is bound to.
    """

    options: TCPServerOptions
    local_address: Address


def planned(before: TCPServerOptions, request: Reconfigure, udp: UDPServer | None) -> TCPServerOptions:
    """Returns all options as they are to be. Changes those of the UDP server beside, if there is one. Raises
    `BadOption`; then nothing has changed."""
    for name, value in request.changes.items():
        if name not in CHANGEABLE:
            raise BadOption(name, value, f"a TCP server can change {', '.join(sorted(CHANGEABLE))}")
    now = replace(before, **request.changes)
    shared = {name: value for name, value in request.changes.items() if name in _OF_BOTH}
    if udp is not None and shared:
        reconfigure_udp(state_of(udp), Reconfigure(**shared))
    return now
