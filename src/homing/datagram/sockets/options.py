"""The options common to the sockets of servers and clients."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass, fields
from typing import Literal

from ...gen import BadOption
from ...gen.options import check_choice, check_type, set_integer
from ..address import AF_UNIX, why_no_path
from ..policy.expressions import Field
from ..policy.limits import Pacing
from .bpf import Program, Steering, check_program, check_steering
from .icmp_errors import why_no_error_queue
from .multicast import MulticastGroup, set_interface
from .shared import seat

LINUX_ONLY = "this works on Linux only"

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
    """Options of a socket. An option that is None keeps the system's default.

    path: bind a Unix datagram socket (unix(7)) to this file, or on Linux to a name without a file that begins with a
        null character. `addr` of a message is then the path of the peer; "" if the peer has none and cannot be
        answered. The file is deleted with the socket; a stale file, on which no program listens, is replaced. Cannot be
        combined with `host`, `port` and the options of IP sockets. Uses the portable backend.
    path_mode: permissions of the file: 0o660 lets the group write to it, that is, send. None: set by the process's
        umask.
    network_namespace: namespace in which the socket is created and stays: a name known to `ip netns`, or a file such as
        /proc/42/ns/net (Erlang's `{netns, _}`). Needs CAP_SYS_ADMIN. Scopes of IPv6 addresses must then be numbers.
        Linux.
    receive_buffer, send_buffer: bytes of the kernel's buffers. None: the system's default, which holds about 250 small
        datagrams. The system may grant less: `inspect` shows it, and a warning is logged.
    reuse_port: several sockets, of several OS processes, may be bound to the same address if all set this: the kernel
        distributes the peers among them, and all datagrams of one peer reach the same socket (socket(7) SO_REUSEPORT).
    share_address: this socket and sockets of other programs, also of other users, may be bound to the same address if
        all ask for it (SO_REUSEADDR and SO_REUSEPORT together; RFC 6762 15.1 requires it on port 5353). Each of them
        receives broadcasts and datagrams to multicast groups that it has joined. A datagram to the address itself
        reaches only one of them: on Linux usually the socket bound last, so that any user of the machine can take it.
    broadcast: allows sending to broadcast addresses (socket(7) SO_BROADCAST); otherwise that fails with EACCES.
    dual_stack: a server on "::" (or "") also serves IPv4. Each IPv4 peer has an IPv4 address, (host, port), as on an
        IPv4 socket. On a system without IPv6 the server serves only IPv4, and logs that. False: IPv4 is left to other
        sockets.
    bind_device: name of the only interface by which datagrams are received and sent (socket(7) SO_BINDTODEVICE).
        Linux.
    ttl: time to live (IPv6: hop limit) of datagrams sent, 1 to 255, except multicast.
    tos: type of service (IPv6: traffic class) of datagrams sent, 0 to 255: DSCP * 4 + ECN.
    mtu_discovery: ip(7) IP_MTU_DISCOVER. "do": never fragment; a datagram longer than the path's MTU fails with
        EMSGSIZE. "dont": fragment. "want": as the route says. "probe": do not fragment, and ignore the path's MTU.
        "interface", "omit": respect only the interface's MTU and ignore ICMP; "omit" fragments longer datagrams (for
        DNS servers, against forged ICMP). Linux.
    groups: multicast groups to join, each a `MulticastGroup`; at run time, send `JoinGroup` and `LeaveGroup`. Datagrams
        for groups that only other programs on this machine have joined are not received (IP_MULTICAST_ALL).
    multicast_interface: name or index of the interface by which multicast is sent; "": the interface of the route.
    multicast_ttl: time to live of multicast, 0 (this machine) to 255. None: 1, the local network.
    multicast_loop: whether members on this machine receive the multicast that this socket sends. None: they do.
    send_rate: the highest rate of sending, as a `meta.Pacing`. Datagrams that are too early wait in the send queue.
        None: no limit.
    bpf: a classic BPF program (instructions of code, jt, jf and k, as printed by `tcpdump -dd`) that the kernel runs
        for each datagram; a refused datagram does not wake this process. The BPF program sees a datagram from the UDP
        header on: the payload begins at offset 8. `kernel_drops` also counts refused datagrams. While a program is
        attached, the kernel joins no datagrams (`UDPServerOptions.gro`), because the program would see only the first
        of a train. Linux. None: all datagrams pass.
    reuse_port_steering: selects which of the sockets that share a port by `reuse_port` gets a datagram, by the socket's
        number in the order of binding (with `homing run --processes` on Linux: the number of the process, from 0 on;
        otherwise the last socket gets the number of one that is closed). "cpu": the number of the processor that
        received it. A part of the data, such as `meta.where[0:8]` (`meta.Field`): with `homing run --processes`, all
        datagrams with the same bytes there go to the same process, also from another address; without several processes
        it has no effect. Otherwise a classic BPF program that returns the number and sees only the payload, from offset
        0 on. If no socket has that number, or a datagram is too short for the part, the kernel decides. Give all
        sockets of a group the same option; the option of the socket bound last applies. With a program the kernel joins
        no datagrams; but datagrams that a sender on this machine has joined (UDP_SEGMENT) go together to the socket of
        the first. Linux. None: by a hash of both addresses.
    receive_local_address: `message.info` has the local address that a datagram was sent to, and the interface; answers
        are sent from that address. Otherwise a socket bound to all addresses answers from the address that the route
        prescribes, which may be another. Linux.
    receive_tos: `message.info` has the type of service (IPv6: traffic class): DSCP and ECN. Linux.
    receive_ttl: `message.info` has the remaining time to live (IPv6: hop limit). Linux.
    receive_timestamp: `message.info` has the time at which the kernel received the datagram, in nanoseconds. Each
        datagram then has its own `PacketInfo`. Linux.
    error_queue: read ICMP errors (no such port, no such host, too long for the path), each with the datagram that
        caused it (ip(7) IP_RECVERR). If False, the system hides them from a socket that is not connected. If True,
        datagrams to one peer are not sent joined, so that each error belongs to one datagram; and datagrams dropped by
        the queue of a network interface fail with `ENOBUFS`, which is otherwise not reported. Linux.
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
            raise BadOption("bind_device", self.bind_device, "names of interfaces have at most 15 bytes")
        if self.ttl is not None:
            set_integer(self, "ttl", 1, 255)
        if self.tos is not None:
            set_integer(self, "tos", 0, 255)
        if self.mtu_discovery is not None:
            check_choice("mtu_discovery", self.mtu_discovery, tuple(MTU_DISCOVERY))
        self._check_multicast()
        check_type("network_namespace", self.network_namespace, str, "the name or the file of a network namespace")
        if "\0" in self.network_namespace:
            raise BadOption("network_namespace", self.network_namespace, "a name cannot contain a null character")
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
            raise BadOption("path_mode", self.path_mode, "it is for the file of a Unix socket; give path= as well")

    @property
    def kernel_program(self) -> Program | None:
        """The program that the kernel runs for each datagram."""
        return self.bpf

    @property
    def kernel_steering(self) -> str | Program | None:
        """The choice among the sockets of the port: a program, "cpu", or None for the kernel's own."""
        return steering_of(self)

    def _check_multicast(self) -> None:
        if not isinstance(self.groups, tuple) or not all(isinstance(group, MulticastGroup) for group in self.groups):
            raise BadOption("groups", self.groups, "give a tuple of meta.MulticastGroup")
        set_interface(self, "multicast_interface")
        if self.multicast_ttl is not None:
            set_integer(self, "multicast_ttl", 0, 255)
        if self.multicast_loop is not None:
            check_type("multicast_loop", self.multicast_loop, bool, "True, False or None")


def check_unix(options: SocketOptions) -> None:
    """Raises `BadOption` for options that only IP sockets have."""
    for field in fields(SocketOptions):
        value = getattr(options, field.name)
        if field.name not in _OF_UNIX and value != field.default:
            raise BadOption(field.name, value, "a Unix socket does not have this option; leave it out")


def steering_of(options: SocketOptions) -> str | Program | None:
    """Returns what `reuse_port_steering` asks for, as the kernel gets it."""
    steering = options.reuse_port_steering
    return seat.steering_by(steering) if isinstance(steering, Field) else steering
