"""Ancillary data of datagrams in a fake network, in the form in which the system reports it."""

from __future__ import annotations

import errno
import socket
import struct

from ..datagram import Address, PacketInfo, SocketOptions
from ..datagram.backend.ancillary import Control, write_control
from ..datagram.sockets.packet_info import SO_TIMESTAMPNS

INTERFACE = 1
"""The index of the only interface."""

_TTL = 64
_TIMESPEC = struct.Struct("ll")
_EXTENDED = struct.Struct("=IBBBxII")  # as in datagram/backend/error_queue.py
_NO_PORT = {socket.AF_INET: (2, 3, 3), socket.AF_INET6: (3, 1, 4)}
"""Origin, type and code of the ICMP message "port unreachable": RFC 792, RFC 4443."""
_ERRORS = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}


def arrival(options: SocketOptions, source: Address, local: str, sent: PacketInfo | None, time: int) -> Control:
    """Returns the control messages that `options` ask for, of a datagram that came to `local` at `time`, in
    nanoseconds, and was sent with `sent`."""
    info = PacketInfo(
        local=local if options.receive_local_address else None,
        interface=INTERFACE if options.receive_local_address else 0,
        tos=((sent and sent.tos) or 0) if options.receive_tos else None,
        ttl=((sent and sent.ttl) or _TTL) if options.receive_ttl else None,
    )
    control = write_control(info, source)
    if options.receive_timestamp:
        control.append((socket.SOL_SOCKET, SO_TIMESTAMPNS, _TIMESPEC.pack(*divmod(time, 1_000_000_000))))
    return control


def port_unreachable(family: int, host: str) -> Control:
    """Returns the error queue's report of a datagram to a port of `host` without a socket."""
    origin, kind, code = _NO_PORT[socket.AddressFamily(family)]
    raw = socket.inet_pton(family, host)
    offender = struct.pack("=HH", family, 0) + (raw + bytes(8) if len(raw) == 4 else bytes(4) + raw + bytes(4))
    report = _EXTENDED.pack(errno.ECONNREFUSED, origin, kind, code, 0, 0) + offender
    return [(*_ERRORS[socket.AddressFamily(family)], report)]
