"""A bad line between two networks, for real sockets: IP packets are lost, doubled, damaged, held back by a seed.

Each network has a TUN device; what one sends, a thread reads, and writes to the other, or not. So the kernel's own UDP,
its fragments and its checksums are on both sides.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from heapq import heappop, heappush

import pytest

from .networks import Network, network

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
SERVER, CLIENT = "10.78.0.1", "10.78.0.2"
_SETTINGS = "; ".join(
    [
        "ip link set lo up",
        "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6",  # it looks for routers, and would be on the line
        "echo 0 > /proc/sys/net/ipv4/ipfrag_max_dist",  # fragments may come in any order
    ]
)


class Way:
    """What becomes of the packets that one device sends.

    counts: "taken" from it, "lost", "doubled", "damaged", "held_back", "given" to the other.
    idents, incomplete: of the IP datagrams seen, and of those of which a fragment was lost.
    """

    def __init__(self, source: int, target: int, seed: str, chances: dict[str, float]) -> None:
        self.source = source
        self.target = target
        self.counts: Counter[str] = Counter()
        self.idents: set[int] = set()
        self.incomplete: set[int] = set()
        self._random = random.Random(seed)
        self._chances = chances

    def passages(self, packet: bytes) -> list[tuple[float, bytes]]:
        """How long the packet and its copy take, in seconds, and what arrives of them."""
        ident = int.from_bytes(packet[4:6], "big")
        self.counts["taken"] += 1
        self.idents.add(ident)
        if self._happens("lost"):
            self.incomplete.add(ident)
            return []
        if self._happens("damaged"):
            packet = packet[:-1] + bytes([packet[-1] ^ 0x10])
        return [(self._delay(), packet) for _ in range(1 + self._happens("doubled"))]

    def _delay(self) -> float:
        return self._random.uniform(0.001, 0.01) if self._happens("held_back") else 0.0

    def _happens(self, what: str) -> bool:
        happens = self._random.random() < self._chances.get(what, 0.0)
        self.counts[what] += happens
        return happens


class Relay(threading.Thread):
    """Copies packets between two TUN devices until it is closed. The chances: lost, doubled, damaged, held_back."""

    def __init__(self, devices: tuple[int, int], seed: int, chances: dict[str, float]) -> None:
        super().__init__(name="relay", daemon=True)
        first, second = devices
        self.to_client = Way(first, second, f"{seed} to the client", chances)
        self.to_server = Way(second, first, f"{seed} to the server", chances)
        self._ways = {first: self.to_client, second: self.to_server}
        self._flight: list[tuple[float, int, Way, bytes]] = []
        self._wakes, self._wake = os.pipe()
        self._poll = select.poll()
        for descriptor in (*devices, self._wakes):
            self._poll.register(descriptor, select.POLLIN)
        self.start()

    def run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor == self._wakes:
                    return
                self._take(self._ways[descriptor])
            self._give_due()

    def _patience(self) -> float | None:
        """Milliseconds until the next is due."""
        return max(0.0, self._flight[0][0] - time.monotonic()) * 1000 if self._flight else None

    def _take(self, way: Way) -> None:
        now = time.monotonic()
        for delay, packet in way.passages(os.read(way.source, 65536)):
            heappush(self._flight, (now + delay, way.counts["taken"], way, packet))

    def _give_due(self) -> None:
        while self._flight and self._flight[0][0] <= time.monotonic():
            _, _, way, packet = heappop(self._flight)
            os.write(way.target, packet)
            way.counts["given"] += 1

    def close(self) -> None:
        os.write(self._wake, b"x")
        self.join()
        os.close(self._wake)
        os.close(self._wakes)


class Line:
    """Two networks and the relay between them."""

    def __init__(self, server: Network, client: Network, relay: Relay) -> None:
        self.server = server
        self.client = client
        self.relay = relay


@contextmanager
def bad_line(seed: int, **chances: float) -> Iterator[Line]:
    """A network for the server, at SERVER, one for the client, at CLIENT, and a bad line between them."""
    with ExitStack() as stack:
        server, client = [stack.enter_context(network(_SETTINGS)) for _ in range(2)]
        devices = [_open_device(side, address, stack) for side, address in ((server, SERVER), (client, CLIENT))]
        relay = Relay((devices[0], devices[1]), seed, chances)
        stack.callback(relay.close)
        yield Line(server, client, relay)


def _open_device(side: Network, address: str, stack: ExitStack) -> int:
    descriptor = side.do(_make_device)
    stack.callback(os.close, descriptor)
    side.run(f"ip addr add {address}/24 dev line; ip link set line mtu 1500 txqueuelen 10000 up")
    return descriptor


def _make_device() -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", b"line", _IFF_TUN | _IFF_NO_PI))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def why_no_line() -> str:
    """Why there can be no such line here; "" if there can."""
    if sys.platform != "linux":
        return "TUN devices are Linux's"
    try:
        with bad_line(0):
            return ""
    except Exception as error:
        return f"makes network namespaces and TUN devices: root, iproute2 and /dev/net/tun only ({error})"


needs_line = pytest.mark.skipif(bool(why_no_line()), reason=why_no_line() or "-")
