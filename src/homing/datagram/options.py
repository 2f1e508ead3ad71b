"""Options of a socket, whatever it is used for."""

from __future__ import annotations

from dataclasses import dataclass

from ..gen import BadOption
from ..gen.options import check_integer, check_type
from .error_queue import why_no_error_queue


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """How a socket is made. What is None is left as the system has it.

    receive_buffer, send_buffer: bytes of the kernel's buffers. None: the system's default, which holds about 250 small
        datagrams. The system may grant less: `inspect` tells, and a warning is logged.
    receive_local_address: `message.info` tells the address of this machine that a datagram came to, and the interface;
        an answer leaves from that address. Without it, answers of a socket bound to all addresses leave from the one
        that the route prescribes, which may not be the one that was asked. Linux.
    receive_tos: `message.info` tells the type of service (IPv6: traffic class): DSCP and ECN. Linux.
    receive_ttl: `message.info` tells the time to live (IPv6: hop limit) that was left on arrival. Linux.
    receive_timestamp: `message.info` tells when the kernel received it, in nanoseconds. Each datagram then has a
        `PacketInfo` of its own. Linux.
    error_queue: ICMP errors (a peer has no such port, no such host is there, too long for the path) are read, each with
        the datagram that it is about (ip(7) IP_RECVERR). Else the system keeps them from a socket that is not
        connected. Datagrams to one peer do not go out joined then, so that each error tells of one datagram; and what
        the queue of a network interface drops fails with `ENOBUFS`, of which nothing is told otherwise. Linux only.
    """

    receive_buffer: int | None = None
    send_buffer: int | None = None
    receive_local_address: bool = False
    receive_tos: bool = False
    receive_ttl: bool = False
    receive_timestamp: bool = False
    error_queue: bool = False

    def __post_init__(self) -> None:
        for name in ("receive_buffer", "send_buffer"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1, 2**31 - 1)
        for name in ("receive_local_address", "receive_tos", "receive_ttl", "receive_timestamp"):
            check_type(name, getattr(self, name), bool, "True or False")
        check_type("error_queue", self.error_queue, bool, "True or False")
        if self.error_queue and why_no_error_queue():
            raise BadOption("error_queue", self.error_queue, why_no_error_queue())
