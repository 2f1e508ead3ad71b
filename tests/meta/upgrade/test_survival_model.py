"""What survives, survives what else can happen: crashes, kills, changes of options and of the address, other options
asked for by a restarted owner, upgrades that succeed and that fail, and stops, in any order, also while a restart waits
for its backoff. Each datagram is handled
once, in order, or becomes a dead letter, or is counted as dropped by the kernel."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen, meta
from homing.datagram.sockets import inherited
from homing.meta.upgrade import successor as taking_over

from ...cli.nodes import short_directory
from ...support import eventually, examples, free_port
from ..servers import HOST, is_bound

pytestmark = [
    pytest.mark.backends,
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only"),
]

CHANGES: tuple[dict[str, Any], ...] = (
    {"ttl": 9},
    {"tos": 16, "high_water": 7},
    {"receive_buffer": 300_000, "send_queue": 5},
    {"send_overflow": "drop_oldest", "linger": 30.0},
    {"bpf": ((0x06, 0, 0, 0xFFFF),), "receive_batch": 3},
    {"allow": ("127.0.0.0/8",), "multicast_ttl": 3},
)
ASKS: tuple[dict[str, Any], ...] = (
    {},
    {"buffer_size": 512},
    {"gro": False, "receive_ttl": True},
    {"error_queue": True, "receive_local_address": True, "receive_timestamp": True},
    {"buffer_pool": meta.BufferPool(2000)},
    {"buffer_pool": meta.BufferPool(1000), "error_queue": True, "receive_tos": True, "send_queue": 3},
)
"""What an owner can only ask for when it starts."""

BACKOFF = act.Backoff(first=0.02, most=0.02, jitter=0)


class Book:
    """What has happened to the datagrams, by their numbers."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.may_wait: set[int] = set()
        self.handled: dict[str, list[int]] = {}
        self.letters: list[int] = []
        self.servers: dict[str, meta.UDPServer] = {}
        self.failed: list[meta.Statistics] = []
        self.asks: dict[str, Any] = {}

    @property
    def seen(self) -> list[int]:
        return [number for numbers in self.handled.values() for number in numbers] + self.letters

    @property
    def statistics(self) -> list[meta.Statistics]:
        return [*(server.statistics() for server in self.servers.values()), *self.failed]


class Owner(act.Actor):
    """Opens its server at the address that is written in the program."""

    async def init(self, book: Book, generation: str, port: int, asks: dict[str, Any]) -> None:
        self.book, self.generation = book, generation
        options = meta.UDPServerOptions(
            **{"host": HOST, "port": port, "linger": 60.0, "receive_buffer": 400_000, **asks, **book.asks}
        )
        server = meta.create_udp_server(options)
        self.udp = await self.spawn_meta(server)
        book.servers[generation] = server

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message == "crash":
            raise RuntimeError("asked for")
        if type(message) is float:
            await asyncio.sleep(message)
            return
        number = int(message.data)
        if number % 3 == 0:
            await asyncio.sleep(0)
        self.book.handled.setdefault(f"{self.generation} {message.id}", []).append(number)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> gen.Alias:
        return self.udp


class Morgue(act.Actor):
    def init(self, book: Book) -> None:
        self.book = book

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message.message, meta.MessageUDP):
            self.book.letters.append(int(message.message.data))


class Service(act.Supervisor):
    def init(self, *args: Any) -> act.SupervisorSpec:
        options = gen.ProcessOptions(preserve_mailbox=True, dead_letters="morgue")
        owner = act.ChildSpec(name="owner", behavior=Owner, args=args, options=options)
        morgue = act.ChildSpec(name="morgue", behavior=Morgue, args=args[:1])
        return act.SupervisorSpec(children=(morgue, owner), intensity=10_000, backoff=BACKOFF)


class World:
    """The service, the program that it runs in now, and a peer."""

    def __init__(self, stack: AsyncExitStack, path: str, peer: socket.socket) -> None:
        self.book = Book()
        self.ports = [free_port(), free_port()]
        self.node: homing.Node
        self.alias: gen.Alias | None = None
        self._stack = stack
        self._path = path
        self._peer = peer
        self._generation = 0

    async def new_node(self) -> homing.Node:
        options = gen.NodeOptions(handle_signals=False, stop_timeout=20.0, slow_callback_seconds=None)
        return await self._stack.enter_async_context(homing.start_node("model@localhost", options))

    async def begin(self) -> None:
        self.node = await self.take_over(0, "begin")

    async def take_over(self, asked: int, how: str) -> homing.Node:
        """The next generation of the program, which asks for other options."""
        new = await self.new_node()
        self._generation += 1
        generation = str(self._generation)
        asks = {} if how == "begin" else CHANGES[asked % len(CHANGES)]
        with suppress(Fault):
            async with meta.TakeOver(new, self._path):
                await new.spawn(Service, self.book, generation, self.ports[0], asks)
                if how == "fail":
                    raise Fault
            return new
        await new.stop()
        failed = self.book.servers.pop(generation).statistics()  # it may have read before it failed
        self.book.failed.append(replace(failed, kernel_drops=0))
        return self.node

    # --- steps --------------------------------------------------------------------------------------------

    async def send(self, count: int) -> None:
        """To each address that the server has."""
        open_ports = [port for port in self.ports if is_bound((HOST, port))]
        for number in range(count):
            number = len(self.book.sent)
            port = open_ports[number % len(open_ports)]
            self._peer.sendto(b"%d" % number, (HOST, port))
            self.book.sent.append(number)
            if port != self.ports[0]:
                self.book.may_wait.add(number)

    async def crash(self, _: int) -> None:
        self._tell_owner("crash")

    async def hold(self, milliseconds: int) -> None:
        """The owner is busy: what comes waits in its mailbox."""
        self._tell_owner(milliseconds / 1000)

    def _tell_owner(self, message: Any) -> None:
        with suppress(gen.DeliveryError):
            self.node.send("owner", message)

    async def kill(self, _: int) -> None:
        with suppress(gen.HomingError):
            self.node.kill(self.node.process_info("owner").pid)

    async def change(self, which: int) -> None:
        await self._reconfigure(meta.Reconfigure(**CHANGES[which % len(CHANGES)]))

    async def ask(self, which: int) -> None:
        """From its next start on the owner asks for other options."""
        self.book.asks = ASKS[which % len(ASKS)]

    async def move(self, which: int) -> None:
        await self._reconfigure(meta.Reconfigure(grace=60.0, port=self.ports[which % 2]))

    async def _reconfigure(self, request: meta.Reconfigure) -> None:
        with suppress(gen.HomingError):
            self.alias = await self.node.call("owner", "alias")
        with suppress(gen.HomingError):
            if self.alias is not None:
                await self.node.call(self.alias, request)

    async def upgrade(self, asked: int) -> None:
        await self._settle()  # what waits where no server is in the next generation would be lost
        old, self.node = self.node, await self.take_over(asked, "succeed")
        await eventually(lambda: old.info().state == "stopped")

    async def fail(self, asked: int) -> None:
        self.node = await self.take_over(asked, "fail")

    async def fail_late(self, asked: int) -> None:
        """The successor has changed the sockets already."""
        say = taking_over._say

        async def say_but_die(channel: Any, word: str, **more: Any) -> None:
            if word == "reading":
                raise Fault
            await say(channel, word, **more)

        taking_over._say = say_but_die
        try:
            self.node = await self.take_over(asked, "fail late")
        finally:
            taking_over._say = say

    async def rest(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0.001)

    async def _settle(self) -> None:
        """Waits until what was sent to the second address is handled."""
        await eventually(lambda: self.book.may_wait <= set(self.book.seen), f"{self.book.may_wait}")

    # --- the account --------------------------------------------------------------------------------------

    async def check(self, waits: bool) -> None:
        """waits: something may have waited in the kernel when its socket was closed."""
        book = self.book
        drops = 0 if waits else sum(each.kernel_drops or 0 for each in book.statistics)
        if not waits:
            await eventually(lambda: len(book.seen) + drops >= len(book.sent), self.story())
        assert [number for number, count in Counter(book.seen).items() if count > 1] == []
        assert set(book.seen) <= set(book.sent)
        for each in book.handled.values():
            for port in range(len(self.ports)):
                mine = [number for number in each if (number in book.may_wait) == (port == 1)]
                assert mine == sorted(mine)
        assert sum(each.delivered for each in book.statistics) == len(book.seen), self.story()
        assert sum(each.packets_in for each in book.statistics) == len(book.seen)

    def story(self) -> str:
        book = self.book
        return f"sent {len(book.sent)}, handled {book.handled}, letters {book.letters}, {book.statistics}"


class Fault(Exception):
    """What a successor fails of."""


STEPS = [
    "send",
    "send",
    "hold",
    "crash",
    "kill",
    "change",
    "ask",
    "ask",
    "move",
    "upgrade",
    "fail",
    "fail_late",
    "rest",
]
SCRIPT = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 40)), max_size=12)


@settings(max_examples=examples(25, 300), suppress_health_check=list(HealthCheck))
@given(script=SCRIPT, at_once=st.booleans())
@example(script=[("change", 1), ("crash", 1), ("send", 40), ("rest", 40)], at_once=False)
@example(script=[("move", 1), ("crash", 1), ("send", 40), ("rest", 40)], at_once=False)
@example(script=[("hold", 40), ("send", 40), ("rest", 10), ("kill", 1)], at_once=True)
@example(script=[("crash", 1), ("send", 40), ("fail_late", 2), ("send", 10), ("rest", 40)], at_once=False)
@example(script=[("hold", 40), ("send", 40), ("rest", 5), ("kill", 1), ("upgrade", 2), ("send", 10)], at_once=False)
@example(script=[("kill", 1), ("send", 40), ("rest", 13), ("fail_late", 2), ("send", 10)], at_once=False)
@example(script=[("hold", 40), ("send", 40), ("rest", 5), ("ask", 4), ("kill", 1), ("send", 9)], at_once=False)
@example(script=[("move", 1), ("ask", 5), ("kill", 1), ("send", 40), ("ask", 3), ("kill", 1)], at_once=False)
def test_whatever_happens_each_datagram_has_one_end(backend: str, script: list[tuple[str, int]], at_once: bool) -> None:
    asyncio.run(play(script, at_once))
    assert inherited.kept() == []


async def play(script: list[tuple[str, int]], at_once: bool) -> None:
    with short_directory() as directory, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        async with AsyncExitStack() as stack:
            world = World(stack, str(directory / "takeover"), peer)
            await world.begin()
            for step, argument in script:
                await getattr(world, step)(argument)
            if not at_once:
                await world.check(waits=False)
            await world.node.stop()
            await world.check(waits=at_once)
            assert world.node.info().discarded == 0
