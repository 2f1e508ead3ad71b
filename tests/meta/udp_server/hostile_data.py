"""What users hand to a UDP server, and do with what it hands to them, drawn from a seed: through the public API.

    python -m tests.meta.udp_server.hostile_data --seconds 60 --seed 1 [--case N]

Payloads of all kinds of buffers (with gaps, of several dimensions, released, resized while they wait, of numpy),
classes whose methods raise or send; addresses that are no addresses; views that are kept beyond their time; threads
that send meanwhile. After each case the server must answer, and its account must be exact.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import ctypes
import gc
import logging
import random
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import homing
from homing import act, gen, meta

from ...datagram.backend.hostile import Seed, check, drive
from ...support import eventually

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

STEPS = 40


class Evil:
    """What the methods of hostile objects do when they are called: one thing for each case."""

    act: Callable[[], None] = staticmethod(lambda: None)
    raises: type[BaseException] | None = ValueError

    @classmethod
    def strike(cls) -> None:
        action, cls.act = cls.act, staticmethod(lambda: None)  # once, or it would call itself
        try:
            action()
        finally:
            cls.act = action
        if cls.raises is not None:
            raise cls.raises("a method of a user's object")


def _evil(base: type, *names: str) -> type:
    def method(name: str) -> Callable[..., Any]:
        def struck(self: Any, *args: Any) -> Any:
            Evil.strike()
            return getattr(base, name)(self, *args)

        return struck

    return type(f"Evil{base.__name__}", (base,), {name: method(name) for name in names})


EvilTuple = _evil(tuple, "__len__", "__getitem__", "__iter__", "__eq__", "__hash__", "__repr__")
EvilStr = _evil(str, "__eq__", "__hash__", "__repr__", "__str__", "__contains__", "startswith", "partition", "encode")
EvilInt = _evil(
    int, "__eq__", "__lt__", "__le__", "__ge__", "__hash__", "__repr__", "__index__", "__int__", "__format__"
)
EvilBytes = _evil(bytes, "__len__", "__eq__", "__hash__", "__repr__", "__getitem__", "__buffer__", "__bytes__")
EvilArray = _evil(bytearray, "__len__", "__eq__", "__repr__", "__getitem__", "__buffer__", "__release_buffer__")


class Masked:
    """Says that it is a datagram, and is none."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return meta.MessageUDP

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class Nothing:
    """All of it raises."""

    def __getattribute__(self, name: str) -> Any:
        Evil.strike()
        return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Finalized(bytes):
    """Acts when nobody holds it any more."""

    def __del__(self) -> None:
        with contextlib.suppress(BaseException):
            Evil.strike()


class Cycle:
    """Garbage that acts when it is collected."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        with contextlib.suppress(BaseException):
            Evil.strike()


def payload(draw: random.Random, kept: list[Any]) -> Any:
    size = draw.choice((0, 1, 2, 7, 100, 100, 1200, 1472, 65507, 65508, 70000))
    plain = bytes(size)
    made = draw.randrange(22)
    if made < 5:
        return plain
    if made == 5:
        growing = bytearray(plain)
        kept.append(growing)
        return growing
    if made == 6:
        view = memoryview(bytearray(plain))
        kept.append(view)
        return view
    if made == 7:
        view = memoryview(plain)
        view.release()
        return view
    if made == 8:
        return memoryview(plain)[::2] if size else memoryview(plain)
    if made == 9:
        return memoryview(bytes(size // 8 * 8)).cast("d") if size >= 8 else memoryview(plain)
    if made == 10:
        return array.array("i", range(size // 4))
    if made == 11:
        return (ctypes.c_char * max(1, size))()
    if made == 12 and numpy is not None:
        return numpy.zeros((size // 4 + 1, 4), draw.choice(("u1", ">u4", "f8")))[:: draw.choice((1, 2))]
    if made == 13 and numpy is not None:
        return draw.choice((numpy.zeros(()), numpy.float64(1), numpy.zeros(3, object)))
    if made == 14:
        return EvilBytes(plain)
    if made == 15:
        return EvilArray(plain)
    if made == 16:
        return Finalized(plain)
    return draw.choice((None, "text", 7, [1, 2], object(), Nothing(), meta.MessageUDP(None, ("127.0.0.1", 9), b"")))


def address(draw: random.Random, peer: tuple[Any, ...]) -> Any:
    if draw.random() < 0.6:
        return peer
    port = draw.choice((peer[1], 0, -1, 65536, True, "53", 1.0, EvilInt(peer[1]), 2**70))
    if numpy is not None and draw.random() < 0.2:
        port = draw.choice((numpy.uint16(peer[1]), numpy.int64(peer[1])))
    hosts = (peer[0], "", "localhost", "::ffff:127.0.0.1", "fe80::1%lo", "\0", "\udcff", EvilStr(peer[0]), b"x", 5)
    host = draw.choice(hosts)
    others = ([host, port], EvilTuple((host, port)), (host,), (), None, "text", (host, port, 0, 0, 0))
    return draw.choice(((host, port), *others))


def message(draw: random.Random, peer: tuple[Any, ...], kept: list[Any]) -> Any:
    if draw.random() < 0.05:
        return draw.choice((Masked(), Nothing(), b"no message", None, Cycle()))
    info: Any = None
    if draw.random() < 0.1:
        infos = (meta.PacketInfo(tos=4), meta.PacketInfo(local="127.0.0.1"), meta.PacketInfo(ttl=1), 5, Nothing())
        info = draw.choice(infos)
    made = meta.MessageUDP(None, address(draw, peer), payload(draw, kept), info=info)
    if draw.random() < 0.02:
        made.truncated = True
    return made


class Server(act.Actor):
    """Opens the server; keeps what it receives, and does with it what it should not."""

    async def init(self, draw: random.Random, options: dict[str, Any]) -> None:
        self.draw = draw
        self.kept: list[Any] = []
        self.server = meta.create_udp_server(meta.UDPServerOptions(**options))
        self.udp = await self.spawn_meta(self.server)
        self.accepted = 0

    def handle_message(self, sender: Any, got: Any) -> None:
        if isinstance(got, meta.MessageUDPError):
            repr(got)
            return
        if not isinstance(got, meta.MessageUDP):
            return
        self.misuse(got)
        if self.draw.random() < 0.7:
            self.put(got.reply(got.data))

    def misuse(self, got: meta.MessageUDP) -> None:
        what = self.draw.randrange(8)
        if what == 0:
            self.kept.append(got.data)
        elif what == 1 and numpy is not None and got.data:
            self.kept.append(numpy.frombuffer(got.data, "u1"))
        elif what == 2:
            got.release()
        elif what == 3 and isinstance(got.data, memoryview):
            with contextlib.suppress(BufferError):
                got.data.release()
        elif what == 4:
            self.kept.clear()
        elif what == 5:
            got.data = b"other"
        elif what == 6:
            got.addr = ("127.0.0.1", 0)

    def put(self, thing: Any) -> None:
        """Sends to the server, and counts what it has to account for."""
        try:
            self.send(self.udp, thing)
        except gen.HomingError:
            return
        self.accepted += type(thing) is meta.MessageUDP


class Batches(Server):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        what = self.draw.randrange(5)
        if what == 0:
            self.kept.append(batch)
        elif what == 1:
            self.kept.append(batch.buffer)
        elif what == 2 and numpy is not None:
            self.kept.append(numpy.frombuffer(batch.buffer, "u1"))
        elif what == 3:
            self.kept.append(batch.detach())
        for got in batch:
            self.handle_message(None, got)
        for old in self.kept:
            with contextlib.suppress(gen.HomingError, ValueError, TypeError):
                bytes(old[:1])


def options_of(draw: random.Random) -> dict[str, Any]:
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "send_queue": draw.choice((1, 3, 1000)),
        "send_overflow": draw.choice(("drop_newest", "drop_oldest", "pause")),
        "error_queue": sys.platform == "linux" and draw.random() < 0.3,
        "send_buffer": draw.choice((None, 4096)),
    }
    if draw.random() < 0.2:
        options["reply_limit"] = meta.RateLimit(
            rate=50.0, exempt=(), slip=2, shorten=draw.choice((None, lambda data: data[:1], lambda data: None))
        )
    if draw.random() < 0.3:
        options["buffer_pool"] = meta.BufferPool(1500)
    if draw.random() < 0.2:
        options["send_rate"] = meta.Pacing(bytes_per_second=200_000.0, burst=1000)
    return options


async def case(number: int) -> None:
    draw = random.Random(number)
    async with homing.start_node("hostile@localhost", gen.NodeOptions(handle_signals=False)) as node:
        behavior = draw.choice((Server, Batches))
        kept: list[Server] = []
        made = type("Made", (behavior,), {"init": _keeping(behavior, kept)})
        owner = await node.spawn(made, draw, options_of(draw))
        actor = kept[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.setblocking(False)
            peer.connect(actor.server.local_address)
            arm(draw, actor, peer)
            threads = [threading.Thread(target=_from_afar, args=(node, actor, n)) for n in range(draw.randrange(3))]
            for thread in threads:
                thread.start()
            try:
                for _ in range(STEPS):
                    await step(draw, actor, peer)
            finally:
                Evil.raises, Evil.act = None, staticmethod(lambda: None)
                await asyncio.to_thread(lambda: [thread.join() for thread in threads])
            check(node.process_info(owner) is not None, "the owner lives")
            await eventually(lambda: actor.server.statistics().send_waiting == 0, "all is sent")
            await answers(peer, actor)
            await eventually(lambda: accounted(actor), f"the account: {actor.server.statistics()} of {actor.accepted}")


def arm(draw: random.Random, actor: Server, peer: socket.socket) -> None:
    """Draws what hostile objects do in this case."""

    def send_more() -> None:
        actor.put(meta.MessageUDP(None, peer.getsockname(), b"more"))

    Evil.raises = draw.choice((None, ValueError, KeyError, RecursionError, MemoryError, OverflowError))
    Evil.act = staticmethod(draw.choice((lambda: None, gc.collect, send_more)))  # type: ignore[assignment]


async def step(draw: random.Random, actor: Server, peer: socket.socket) -> None:
    """Sends some of all kinds, resizes what was sent, and lets the server receive something."""
    for _ in range(draw.randrange(1, 8)):
        actor.put(message(draw, peer.getsockname(), actor.kept))
    for growing in actor.kept:
        if isinstance(growing, bytearray) and draw.random() < 0.3:
            with contextlib.suppress(BufferError):
                growing.extend(bytes(5)) if draw.random() < 0.5 else growing.clear()
    with contextlib.suppress(OSError):
        peer.send(bytes(draw.choice((0, 1, 100, 2000))))
    await asyncio.sleep(0)


def _keeping(behavior: type[Server], kept: list[Server]) -> Callable[..., Any]:
    async def init(self: Server, draw: random.Random, options: dict[str, Any]) -> None:
        await behavior.init(self, draw, options)
        kept.append(self)

    return init


def _from_afar(node: homing.Node, actor: Server, number: int) -> None:
    draw = random.Random(number)
    for _ in range(20):
        node.send_threadsafe(actor.udp, draw.choice((Masked(), b"no datagram", None)))


async def answers(peer: socket.socket, actor: Server) -> None:
    """The server lives, and what it is sent goes out."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while True:
            actor.put(meta.MessageUDP(None, peer.getsockname(), b"the last"))
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                async with asyncio.timeout(0.2):
                    while await loop.sock_recv(peer, 70000) != b"the last":
                        pass
                    return


def accounted(actor: Server) -> bool:
    told = actor.server.statistics()
    out = told.packets_out + told.send_waiting + told.dropped_send_queue + told.dropped_send_oldest + told.reply_limited
    return actor.accepted == out + sum(told.send_errors.values())


def run(number: int, seed: Seed) -> None:
    asyncio.run(case(number))


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR) if "--case" in sys.argv else logging.disable()
    sys.exit(drive(run, lies=False))
