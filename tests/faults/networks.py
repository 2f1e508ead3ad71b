"""Private networks: what the tests do to links, addresses, routes and packets touches no network of the machine."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import homing
from homing import act, gen, meta

from ..meta.servers import _CLONE_NEWNET, create, run
from ..support import in_thread

T = TypeVar("T")
SO_RCVBUFFORCE = 33
"""asm-generic/socket.h"""


class Network:
    """A network namespace, entered by a thread of its own. It lives until it is closed and its last socket is.

    What is made in it (a socket, a program) stays in it, whoever uses that.
    """

    def __init__(self, command: str = "ip link set lo up") -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=_leave_network)
        try:
            self.do(lambda: run(command))
        except BaseException:
            self.close()
            raise

    def do(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Runs `function` in this network and gives what it returns."""
        return self._thread.submit(function, *args, **options).result()

    def run(self, command: str) -> None:
        """Runs `command` in a shell in this network. Raises if it fails."""
        self.do(run, command)

    @property
    def path(self) -> str:
        """The namespace's file, for `ip link ... netns`. Not of its first thread: that is the machine's own."""
        return f"/proc/{os.getpid()}/task/{self.do(threading.get_native_id)}/ns/net"

    def counters(self, protocol: str) -> dict[str, int]:
        """The kernel's counters of this network, from /proc/net/snmp: "Udp" or "UdpLite"."""
        return self.do(_counters, protocol)

    def close(self) -> None:
        self._thread.shutdown()


def _leave_network() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


def can_be_left() -> bool:
    """True if the system and this user can have network namespaces, whatever tools there are."""
    try:
        in_thread(_leave_network)
    except (OSError, AttributeError):
        return False
    return True


def _counters(protocol: str) -> dict[str, int]:
    lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith(f"{protocol}:"))
    return dict(zip(names, map(int, values), strict=True))


@contextmanager
def network(command: str = "ip link set lo up") -> Iterator[Network]:
    """A network, closed at the end."""
    made = Network(command)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def linked(addresses: tuple[str, str] = ("10.77.0.1/24", "10.77.0.2/24"), options: str = "") -> Iterator[list[Network]]:
    """Two networks with a cable between them: the end of the first is called va, that of the second vb."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(network()) for _ in range(2))
        first.run(f"ip link add va type veth peer name vb; ip link set vb netns {second.path}")
        for end, name, address in ((first, "va", addresses[0]), (second, "vb", addresses[1])):
            end.run(f"ip addr add {address} dev {name} {options}; ip link set {name} up")
        yield [first, second]


def udp_segment(source: int, destination: int, payload: bytes, length: int | None = None, checksum: int = 0) -> bytes:
    """A UDP header and payload for a raw socket. length: what the header says. checksum 0: none."""
    size = 8 + len(payload) if length is None else length
    return struct.pack("!HHHH", source, destination, size, checksum) + payload


def ip_packet(source: str, destination: str, segment: bytes) -> bytes:
    """An IPv4 packet with any source address, for a raw socket with IP_HDRINCL; the kernel fills in the checksum."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, socket.IPPROTO_UDP, 0)
    return header + addresses + segment


def spoof(source: tuple[str, int], destination: tuple[str, int], payload: bytes) -> None:
    """Sends a datagram that seems to come from `source`."""
    segment = udp_segment(source[1], destination[1], payload)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(ip_packet(source[0], destination[0], segment), (destination[0], 0))


class EchoOn(act.Actor):
    """Answers every datagram with itself, through a server that was made in some network."""

    async def init(self, server: meta.UDPServer) -> None:
        await self.spawn_meta(server)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.send(message.id, message.reply(message.data))


async def open_echo_on(where: Network, node: homing.Node, **options: Any) -> meta.UDPServer:
    """An echo server in a network."""
    server = where.do(create, **options)
    await node.spawn(EchoOn, server)
    return server
