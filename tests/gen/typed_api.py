"""Not run, but checked by mypy and pyright: what users call has the types that they expect, and a mistake is an error.

Where there is no error any more, its `type: ignore` is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

import homing
from homing import act, gen, meta


@dataclass(frozen=True)
class Get(gen.Request[int]):
    key: str


@dataclass(frozen=True)
class Keys(gen.Request[list[str]]):
    """Answered with all keys."""


class Store(act.Actor):
    def init(self, path: str, limit: int = 100, *, strict: bool = False) -> None:
        self.path = path

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Get) -> int:
        return len(request.key)


class Echo(act.Actor):
    async def init(self) -> None:
        self.udp = await meta.listen_udp(self, host="127.0.0.1", port=2345, reply_guard=meta.ReplyGuard())
        assert_type(self.udp, meta.UDPServer)
        assert_type(self.udp.alias, gen.Alias)

    def handle_message(self, sender: gen.Alias, message: meta.MessageUDP) -> None:
        self.reply(message, b"OK: " + message.data)

    async def terminate(self, reason: Exception) -> None:
        assert_type(self.udp.statistics().packets_in, int)


class Meter(act.Actor):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            assert_type(message, meta.MessageUDP)
        self.send(batch.id, meta.MessageUDP(addr=batch.address(-1), data=b""))


class Wrong(act.Actor):
    def handle_datagrams(self, batch: int) -> None:  # type: ignore[override]
        """Not what comes."""


class Many(act.Actor):
    def init(self, *numbers: int) -> None: ...


class Lists(act.Actor):
    def init(self, weights: list[float], names: dict[str, int | str]) -> None: ...


# --- call -------------------------------------------------------------------------------------------------


async def calls(actor: act.Actor, node: homing.Node, to: gen.PID, anything: Any) -> None:
    assert_type(await actor.call(to, Get("a")), int)
    assert_type(await actor.call("store", Get("a"), timeout=1, priority=gen.MessagePriority.HIGH), int)
    assert_type(await node.call(to, Keys()), list[str])
    assert_type(await actor.call(to, b"anything"), Any)
    assert_type(await node.call(to, anything), Any)
    assert_type(await node.call(to, act.WhichChildren()), tuple[act.ChildInfo, ...])
    assert_type(await node.call(to, act.CountChildren()), act.ChildCount)
    assert_type(await node.call(to, act.StartChild()), gen.PID)
    assert_type(await node.call(to, act.RemoveRoute("a")), bool)
    assert_type(await node.call(to, act.WhichRoutes()), tuple[act.RouteInfo, ...])
    assert_type(await node.call(to, meta.Reconfigure(port=53)), meta.Reconfigured)
    assert_type(await node.call(to, meta.JoinGroup("239.1.2.3")), tuple[meta.MulticastGroup, ...])
    await actor.call(to)  # type: ignore[call-overload]
    await node.call(to, Get("a"), timeout="soon")  # type: ignore[call-overload]


# --- spawn ------------------------------------------------------------------------------------------------


async def spawns(actor: act.Actor, node: homing.Node, some: type[act.Actor], numbers: list[int]) -> None:
    assert_type(await actor.spawn(Echo), gen.PID)
    assert_type(await node.spawn(Store, "/tmp", name="store", options=gen.ProcessOptions()), gen.PID)
    await node.spawn(Store, "/tmp", 10)
    await node.spawn(Many, 1, 2, 3, 4, 5, 6)
    await node.spawn(Many, *numbers)
    await node.spawn(Lists, [1], {"a": 1})
    await node.spawn(some, 1, "whatever it takes")
    await actor.spawn(Store)  # type: ignore[arg-type]
    await actor.spawn(Store, 1)  # type: ignore[misc]
    await actor.spawn(Store, "/tmp", "ten")  # type: ignore[misc]
    await actor.spawn(Store, "/tmp", 10, True)  # type: ignore[arg-type]
    await node.spawn(Echo, 1)  # type: ignore[arg-type]
    await node.spawn(int)  # type: ignore[arg-type]
    await node.spawn(Echo, nmae="echo")  # type: ignore[call-overload]


# --- sockets ----------------------------------------------------------------------------------------------


async def sockets(actor: act.Actor, process: gen.MetaProcess) -> None:
    client = await meta.connect_udp(actor, host="192.0.2.1", port=53, retries=1)
    assert_type(client, meta.UDPClient)
    assert_type(client.statistics(), meta.UDPClientStatistics)
    await meta.listen_udp(process, port=0)
    await meta.listen_udp(actor, prot=2345)  # type: ignore[call-arg]
    await meta.listen_udp(actor, port="2345")  # type: ignore[arg-type]
    await meta.listen_udp(actor, overflow="drop")  # type: ignore[arg-type]
    await meta.connect_udp(actor, host="192.0.2.1")  # type: ignore[call-arg]
    await meta.listen_udp(port=2345)  # type: ignore[call-arg]
    await meta.listen_udp("self", port=2345)  # type: ignore[arg-type]


# --- services ---------------------------------------------------------------------------------------------

service = homing.Service("echo", state={"count": 0})


@service.udp(port=2345, reply_guard=meta.ReplyGuard())
def echo(packet: meta.MessageUDP) -> bytes:
    return b"OK: " + packet.data


@service.udp(port=2346, concurrency=10)
async def ask(packet: meta.MessageUDP, state: dict[str, int]) -> list[bytes] | None:
    return [packet.data]


@service.udp(port=2347)  # type: ignore[type-var]
def number(packet: meta.MessageUDP) -> int:
    return 1


@service.udp(port=2348)  # type: ignore[type-var]
def nothing() -> bytes:
    return b""


@service.every(1.0)
def report(state: dict[str, int]) -> None: ...


@service.on_start
@service.on_stop
async def opened() -> None: ...


def run_service() -> None:
    assert_type(echo(meta.MessageUDP(addr=("192.0.2.1", 1), data=b"")), bytes)
    assert_type(service.udp(Echo, port=2349), type[Echo])
    service.run(spin=0.1)


async def test_service() -> None:
    async with service.started() as node:
        assert_type(node, homing.Node)
