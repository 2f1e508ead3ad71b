"""What the tests of the UDP side share: servers opened by a probe, receivers that can be held, private networks."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar

import pytest

import homing
from homing import act, gen, meta

from ..support import DEADLINE, Probe, UDPPeer, eventually, in_thread

HOST = "127.0.0.1"
SMALL = 50_000
"""A receive buffer that holds about 130 small datagrams."""
UVLOOP = [False, True] if find_spec("uvloop") else [False]
"""With which event loops a test can run a node of its own."""
T = TypeVar("T")


def create(**options: Any) -> meta.UDPServer:
    """A bound server on 127.0.0.1."""
    return meta.create_udp_server(meta.UDPServerOptions(**{"host": HOST, **options}))


async def open_server(probe: Probe, **options: Any) -> tuple[meta.UDPServer, gen.Alias]:
    """A server started by the process of `probe`, and its alias."""
    server = create(**options)
    return server, await probe.do(lambda actor: actor.spawn_meta(server))


def bind_again(address: tuple[Any, ...]) -> None:
    """Binds and closes a socket at `address`. Raises `OSError` while another has it."""
    with socket.socket(socket.AF_INET6 if len(address) == 4 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(address)


def exists(path: str) -> bool:
    """True if there is such a file. (It may be asked for in a coroutine: nothing here blocks for long.)"""
    return os.path.exists(path)


def status(path: str) -> os.stat_result:
    """What the system knows of a file."""
    return os.stat(path)


def is_bound(address: tuple[Any, ...]) -> bool:
    """True while a socket has `address`."""
    try:
        bind_again(address)
    except OSError:
        return True
    return False


def descriptor_of(address: tuple[Any, ...]) -> int:
    """The file descriptor of this program's socket that is bound to `address`."""
    for name in os.listdir("/proc/self/fd"):
        sock = None
        with contextlib.suppress(OSError):
            sock = socket.socket(fileno=int(name))
        if sock is not None:
            found = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockname() == address
            sock.detach()
            if found:
                return int(name)
    raise AssertionError(f"no socket at {address}")


def accounted(server: meta.UDPServer) -> int:
    """Datagrams that were taken from the kernel or dropped by it."""
    statistics = server.statistics()
    return statistics.packets_in + (statistics.kernel_drops or 0)


def balanced(server: Any) -> meta.Ledger:
    """The ledger of a server or client, which adds up, and is the one that an inspection would show."""
    counted = server.statistics()
    ledger: meta.Ledger = counted.ledger
    assert ledger.received == ledger.delivered + ledger.waiting + sum(ledger.dropped.values()), counted
    assert min(ledger.delivered, ledger.waiting, *ledger.dropped.values()) >= 0, counted
    return ledger


async def all_accounted(server: meta.UDPServer, sent: int) -> None:
    """Waits until every datagram of `sent` was taken from the kernel or dropped by it."""
    await eventually(lambda: accounted(server) >= sent, f"the account of {sent} datagrams")


async def error_of(pending: Awaitable[Any]) -> Exception:
    """What `pending` raises: so that it does not end the process in which the test tries it."""
    try:
        await pending
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


async def get_payloads(probe: Probe, count: int) -> list[bytes]:
    """The payloads of the next `count` datagrams."""
    return [bytes((await probe.get()).data) for _ in range(count)]


class Gate:
    """Holds the messages of `Gated` processes until the test lets them pass; keeps what has passed."""

    def __init__(self) -> None:
        self._tickets = asyncio.Semaphore(0)
        self.reached: list[Any] = []
        self.passed: list[Any] = []

    def let(self, count: int = 1) -> None:
        """Lets `count` more messages pass."""
        for _ in range(count):
            self._tickets.release()

    async def enter(self, message: Any) -> None:
        """Waits for the permission to pass."""
        self.reached.append(message)
        await self._tickets.acquire()
        self.passed.append(message)

    async def passed_by(self, count: int) -> None:
        """Waits until `count` messages have passed in all."""
        await eventually(lambda: len(self.passed) >= count, f"the passing of {count} messages")

    def payloads(self) -> list[bytes]:
        """The payloads of the datagrams that have passed."""
        return [bytes(message.data) for message in self.passed]


class Gated(act.Actor):
    """A process as slow as its gate."""

    def init(self, gate: Gate) -> None:
        self.gate = gate

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.gate.enter(message)


class Echo(act.Actor):
    """Opens a server and answers every datagram with itself."""

    async def init(self, options: dict[str, Any] | None = None) -> None:
        self.server = create(**(options or {}))
        self.udp = await self.spawn_meta(self.server)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(message.data))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.udp if request == "alias" else self.server


async def open_echo(node: homing.Node, **options: Any) -> meta.UDPServer:
    """A server whose datagrams come back to whom they came from."""
    server: meta.UDPServer = await node.call(await node.spawn(Echo, options), "server")
    return server


async def still_answers(peer: UDPPeer, server: meta.UDPServer) -> bool:
    """True if an echo server answers a datagram that is sent to it now."""
    return await peer.ask(b"still there?", server.local_address) == b"still there?"


# --- networks of their own ----------------------------------------------------------------------------------

NARROW = "ip link set lo up; tc qdisc add dev lo root tbf rate 2mbit burst 2000 limit 1000000"
"""Makes a loopback so slow that the kernel's send buffer fills."""
_CLONE_NEWNET = 0x40000000


def in_network(command: str, function: Callable[[], T]) -> T:
    """Runs `function` in a network namespace of its own, in which `command` was run before.

    A socket stays in the namespace that it was made in, and the namespace lives as long as its last socket.
    """

    def body() -> T:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        run(command)
        return function()

    return in_thread(body)


def run(command: str) -> None:
    """Runs `command` in a shell, in the network of this thread. Raises if it fails."""
    subprocess.run(["sh", "-ec", command], check=True, timeout=DEADLINE, capture_output=True)
    if " up" in command:
        until_links_work()


def until_links_work() -> None:
    """Waits until nothing is dropped any more that is sent on links which were just set up.

    The kernel begins to send on them a moment later; if links come and go elsewhere on this machine, up to a second.
    """
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout.splitlines()
        if all("state UP" in link or "state UNKNOWN" in link for link in links if "LOWER_UP" in link):
            return
        time.sleep(0.002)
    raise AssertionError("links that were set up do not work")


@cache
def networks_can_be_made() -> bool:
    """True if this system and this user can have network namespaces with a token bucket."""
    if sys.platform != "linux" or not shutil.which("tc") or not shutil.which("ip"):
        return False
    try:
        in_network(NARROW, lambda: None)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


needs_namespaces = pytest.mark.skipif(
    not networks_can_be_made(), reason="makes a network namespace: Linux, CAP_SYS_ADMIN and iproute2 only"
)
