"""The options that every kind of socket has, a server's and a client's."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass, fields
from typing import Literal

from ...gen import BadOption
from ...gen.options import check_choice, check_type, set_integer
from ..address import AF_UNIX, why_no_path
from ..policy.limits import Pacing
from .bpf import Program, Steering, check_program, check_steering
from .icmp_errors import why_no_error_queue
from .multicast import MulticastGroup, set_interface

LINUX_ONLY = "this is Linux only"

MtuDiscovery = Literal["dont", "want", "do", "probe", "interface", "omit"]

MTU_DISCOVERY: dict[str, int] = {"dont": 0, "want": 1, "do": 2, "probe": 3, "interface": 4, "omit": 5}
"""IP_PMTUDISC_DONT and so on, linux/include/uapi/linux/in.h."""

_SWITCHES = (
    "reuse_port",
    "share_address",
    "broadcast",
    "dual_stack",
    "receive_local_address",
    "receive_tos",
    "receive_ttl",
    "receive_timestamp",
)

_OF_UNIX = frozenset({"path", "path_mode", "network_namespace", "receive_buffer", "send_buffer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """How a socket is made. An option that is None stays as the system has it.

    path: bind a Unix datagram socket (unix(7)) to this file, or on Linux to a name that is no file and begins with a
        null character. `addr` of a message is then the path of the peer; "" if it has none, and cannot be answered. The
        file goes with the socket; one that nobody listens at any more is replaced. Other options of IP sockets, `host`
        and `port` cannot be given beside it. The portable backend serves.
    path_mode: permissions of the file: 0o660 lets the group write to it, that is, send. None: by the process's umask.
    network_namespace: the one in which the socket is made and stays: a name that `ip netns` knows, or a file such as
        /proc/42/ns/net (Erlang's `{netns, _}`). Takes CAP_SYS_ADMIN. Scopes of IPv6 addresses are then to be written as
        numbers. Linux.
    receive_buffer, send_buffer: bytes of the kernel's buffers. None: the system's default, which holds about 250 small
        datagrams. The system may grant less: `inspect` shows it, and a warning is logged.
    reuse_port: several sockets, of several OS processes, may be bound to the same address if all ask for it: the kernel
        spreads the peers over them, and all that one peer sends meets the same one (socket(7) SO_REUSEPORT).
    share_address: programs of other users may be bound to the same address as well, if they ask for it, and so may be
        this socket beside theirs (SO_REUSEADDR and SO_REUSEPORT together; RFC 6762 15.1 has it so for port 5353). Each
        of them gets what is sent to a multicast group that it has joined, and broadcasts. What is sent to the address
        itself one of them gets: on Linux mostly the one bound last, so that any user of the machine can take it.
    broadcast: datagrams may be sent to broadcast addresses (socket(7) SO_BROADCAST); else that fails with EACCES.
    dual_stack: a server on "::" (or "") also takes IPv4; each IPv4 peer has an IPv4 address, (host, port), as anywhere
        else. Where the system has no IPv6 it is a server of IPv4 alone, which is logged. False: IPv4 is left to others.
    bind_device: name of the interface by which datagrams come and go, no other's (socket(7) SO_BINDTODEVICE). Linux.
    ttl: time to live (IPv6: hop limit) of what is sent, 1 to 255, but for multicast.
    tos: type of service (IPv6: traffic class) of what is sent, 0 to 255: DSCP * 4 + ECN.
    mtu_discovery: ip(7) IP_MTU_DISCOVER. "do": never fragment; what is longer than the path's MTU fails with EMSGSIZE.
        "dont": fragment. "want": as the route says. "probe": do not fragment, and do not mind the path's MTU.
        "interface", "omit": mind the interface's MTU only, whatever ICMP says; "omit" fragments what is longer (for
        DNS servers, against forged ICMP). Linux.
    groups: multicast groups that are joined, each a `MulticastGroup`; more at run time by `JoinGroup` and `LeaveGroup`.
        What comes for groups that only others on this machine have joined does not come here (IP_MULTICAST_ALL).
    multicast_interface: name or index of the interface by which multicast is sent; "": the one of the route.
    multicast_ttl: time to live of multicast, 0 (this machine) to 255. None: 1, the local network.
    multicast_loop: whether this machine's own members get what is sent to a group. None: they do.
    send_rate: how fast the socket sends at most, as a `meta.Pacing`. What is too much waits in the send queue. None: as
        fast as it can.
    bpf: a classic BPF program (instructions of code, jt, jf and k, as `tcpdump -dd` prints) that the kernel asks about
        each datagram; what it refuses wakes nobody. It sees a datagram from the UDP header on: the payload begins at
        offset 8. `kernel_drops` counts what it refuses too. While there is one, the kernel joins no datagrams
        (`UDPServerOptions.gro`): it would ask about the first of a train only. Linux. None: all pass.
    reuse_port_steering: which of the sockets that share a port by `reuse_port` gets a datagram, by their number in the
        order in which they were bound: "cpu": that of the processor which received it; or a classic BPF program that
        returns the number and sees the payload alone, from offset 0 on. A number that no socket has: as without. All of
        a group give the same option; the last one bound decides. With a program the kernel joins no datagrams; but what
        a sender on this machine has joined (UDP_SEGMENT) goes whole to the socket of its first. Linux. None: by a hash
        of both addresses.
    receive_local_address: `message.info` has the address of this machine that a datagram came to, and the interface;
        an answer leaves from that address. Without it, answers of a socket bound to all addresses leave from the one
        that the route prescribes, which may not be the one that was asked. Linux.
    receive_tos: `message.info` has the type of service (IPv6: traffic class): DSCP and ECN. Linux.
    receive_ttl: `message.info` has the time to live (IPv6: hop limit) that was left on arrival. Linux.
    receive_timestamp: `message.info` has the time at which the kernel received it, in nanoseconds. Each datagram then
        has a `PacketInfo` of its own. Linux.
    error_queue: ICMP errors (a peer has no such port, no such host is there, too long for the path) are read, each with
        the datagram that it is about (ip(7) IP_RECVERR). Else the system keeps them from a socket that is not
        connected. Datagrams to one peer do not go out joined then, so that each error tells of one datagram; and what
        the queue of a network interface drops fails with `ENOBUFS`, of which nothing is told otherwise. Linux only.
    """

    path: str | None = None
    path_mode: int | None = None
    network_namespace: str = ""
    receive_buffer: int | None = None
    send_buffer: int | None = None
    reuse_port: bool = False
    share_address: bool = False
    broadcast: bool = False
    dual_stack: bool = False
    bind_device: str = ""
    ttl: int | None = None
    tos: int | None = None
    mtu_discovery: MtuDiscovery | None = None
    groups: tuple[MulticastGroup, ...] = ()
    multicast_interface: str | int = ""
    multicast_ttl: int | None = None
    multicast_loop: bool | None = None
    send_rate: Pacing | None = None
    bpf: Program | None = None
    reuse_port_steering: Steering | None = None
    receive_local_address: bool = False
    receive_tos: bool = False
    receive_ttl: bool = False
    receive_timestamp: bool = False
    error_queue: bool = False

    def __post_init__(self) -> None:
        for name in ("receive_buffer", "send_buffer"):
            if getattr(self, name) is not None:
                set_integer(self, name, 1, 2**31 - 1)
        check_type("send_rate", self.send_rate, (Pacing, type(None)), "a meta.Pacing or None")
        if self.bpf is not None:
            check_program("bpf", self.bpf)
        for name in _SWITCHES:
            check_type(name, getattr(self, name), bool, "True or False")
        if self.reuse_port and not hasattr(socket, "SO_REUSEPORT"):
            raise BadOption("reuse_port", True, "this system has no SO_REUSEPORT")
        if self.share_address and not hasattr(socket, "SO_REUSEPORT"):
            raise BadOption("share_address", True, "this system has no SO_REUSEPORT")
        if self.reuse_port_steering is not None:
            check_steering("reuse_port_steering", self.reuse_port_steering)
            if not self.reuse_port:
                raise BadOption("reuse_port_steering", self.reuse_port_steering, "give reuse_port=True as well")
        check_type("bind_device", self.bind_device, str, 'the name of an interface, or ""')
        if len(self.bind_device.encode(errors="replace")) > 15 or "\0" in self.bind_device:
            raise BadOption("bind_device", self.bind_device, "names of interfaces have 15 bytes at most")
        if self.ttl is not None:
            set_integer(self, "ttl", 1, 255)
        if self.tos is not None:
            set_integer(self, "tos", 0, 255)
        if self.mtu_discovery is not None:
            check_choice("mtu_discovery", self.mtu_discovery, tuple(MTU_DISCOVERY))
        self._check_multicast()
        check_type("network_namespace", self.network_namespace, str, "the name or the file of a network namespace")
        if "\0" in self.network_namespace:
            raise BadOption("network_namespace", self.network_namespace, "a name has no null character")
        for name in ("bind_device", "mtu_discovery", "network_namespace"):
            if getattr(self, name) and sys.platform != "linux":
                raise BadOption(name, getattr(self, name), LINUX_ONLY)
        check_type("error_queue", self.error_queue, bool, "True or False")
        if self.error_queue and why_no_error_queue():
            raise BadOption("error_queue", self.error_queue, why_no_error_queue())

        if self.path is not None:
            self._check_path()
        if self.path_mode is not None:
            self._check_mode()

    def _check_path(self) -> None:
        if AF_UNIX < 0 or sys.platform == "win32":
            raise BadOption("path", self.path, "this system has no Unix datagram sockets")
        why = why_no_path(self.path)
        if why:
            raise BadOption("path", self.path, why)
        check_unix(self)

    def _check_mode(self) -> None:
        set_integer(self, "path_mode", 0, 0o777)
        if self.path is None or self.path.startswith("\0"):
            raise BadOption("path_mode", self.path_mode, "it is for the file of a Unix socket: give path= as well")

    def _check_multicast(self) -> None:
        if not isinstance(self.groups, tuple) or not all(isinstance(group, MulticastGroup) for group in self.groups):
            raise BadOption("groups", self.groups, "give a tuple of meta.MulticastGroup")
        set_interface(self, "multicast_interface")
        if self.multicast_ttl is not None:
            set_integer(self, "multicast_ttl", 0, 255)
        if self.multicast_loop is not None:
            check_type("multicast_loop", self.multicast_loop, bool, "True, False or None")


def check_unix(options: SocketOptions) -> None:
    """Raises `BadOption` for what only sockets of IP have."""
    for field in fields(SocketOptions):
        value = getattr(options, field.name)
        if field.name not in _OF_UNIX and value != field.default:
            raise BadOption(field.name, value, "a Unix socket has no such thing; leave it out")
