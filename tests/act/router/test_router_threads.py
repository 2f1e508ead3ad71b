"""Routes whose processes have threads of their own."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import homing
from homing import act, gen

from ...node.processes.threads import Block, bounded, ended, no_thread
from ...support import DEADLINE, eventually


class Blocking(act.Actor):
    """Blocks in its `init` where it is started again, until the test lets it go on."""

    def init(self, starts: list[int], released: threading.Event) -> None:
        starts.append(len(starts))
        if len(starts) > 1:
            released.wait(2 * DEADLINE)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if request[1] == "crash":
            raise LookupError(request)
        return threading.current_thread().name


class Plain(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


class Routes(act.Router):
    def init(self, starts: list[int], released: threading.Event) -> act.RouterOptions:
        options = gen.ProcessOptions(thread=True)
        blocking = act.RouteSpec(name="blocking", behavior=Blocking, args=(starts, released), options=options)
        return act.RouterOptions(routes=(blocking, act.RouteSpec(name="plain", behavior=Plain)))

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return str(message[0])


def restarted(node: homing.Node, router: gen.PID) -> bool:
    behavior: Any = node._process(router).behavior
    return behavior.routes()[0].state == "enabled"


async def test_a_route_that_blocks_while_it_starts_again_holds_up_no_other(node: homing.Node) -> None:
    starts: list[int] = []
    released = threading.Event()
    router = await node.spawn(Routes, starts, released)
    name = await node.call(router, ("blocking", "name"))
    assert name.startswith("homing <")
    with pytest.raises(gen.ProcessTerminated):
        await node.call(router, ("blocking", "crash"))
    await eventually(lambda: len(starts) == 2)
    assert [await node.call(router, ("plain", n)) for n in range(10)] == [("plain", n) for n in range(10)]
    assert not released.is_set()
    released.set()
    await eventually(lambda: restarted(node, router))
    assert await node.call(router, ("blocking", "name")) != name


class Keeping(act.Actor):
    """Notes what it handles; what is held blocks its thread first."""

    def init(self, seen: list[Any], held: dict[Any, Block]) -> None:
        self.seen = seen
        self.held = held

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        block = self.held.pop(message, None)
        if block is not None:
            block()
        self.seen.append(message)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.handle_message(sender, request)
        return self.pid


class ByName(act.Router):
    """Two routes with threads, "a" and "b"."""

    def init(self, seen: list[Any], held: dict[Any, Block], limit: int, overflow: Any) -> act.RouterOptions:
        options = gen.ProcessOptions(thread=True, preserve_mailbox=True, mailbox_size=limit)
        routes = [act.RouteSpec(name=name, behavior=Keeping, args=(seen, held), options=options) for name in "ab"]
        return act.RouterOptions(routes=tuple(routes), overflow=overflow)

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return str(message[0])


class Routed:
    """A router whose route "a" blocks, with 1 to 9 behind."""

    def __init__(self, node: homing.Node) -> None:
        self.node = node
        self.seen: list[Any] = []
        self.block = Block()
        self.behind = [("a", number) for number in range(1, 10)]

    async def start(self, limit: int = 0, overflow: Any = "drop") -> gen.PID:
        self.router = await self.node.spawn(ByName, self.seen, {("a", 0): self.block}, limit, overflow)
        for number in range(10):
            self.node.send(self.router, ("a", number))
        await self.block.entered()
        found: act.RouteInfo = self.behavior.routes()[0]
        assert found.pid is not None
        return found.pid

    @property
    def behavior(self) -> Any:
        return self.node._process(self.router).behavior

    async def saw(self, *expected: Any) -> None:
        await eventually(lambda: len(self.seen) >= len(expected), f"{len(expected)} messages")
        assert self.seen == list(expected)


@pytest.fixture
def routed(node: homing.Node) -> Routed:
    return Routed(node)


@pytest.mark.parametrize("limit", [0, 100])
async def test_a_route_that_blocks_holds_up_no_other(node: homing.Node, routed: Routed, limit: int) -> None:
    await routed.start(limit)
    for number in range(10):
        assert await node.call(routed.router, ("b", number))
    facts = await node.inspect(routed.router)
    assert (facts["routes"]["a"]["waiting"], facts["messages_waiting"]) == (9, 0)
    routed.block.released.set()
    await routed.saw(*(("b", number) for number in range(10)), ("a", 0), *routed.behind)


async def test_with_overflow_wait_a_full_route_that_blocks_holds_the_router_until_it_goes_on(
    node: homing.Node, routed: Routed
) -> None:
    await routed.start(4, "wait")
    facts = await node.inspect(routed.router)
    assert (facts["routes"]["a"]["waiting"], facts["messages_waiting"]) == (
        3,
        6,
    )  # it waits until half of the mailbox is free
    routed.block.released.set()
    await routed.saw(("a", 0), *routed.behind)


@pytest.mark.parametrize("limit", [0, 100])
async def test_a_route_killed_while_it_blocks_is_restarting_until_the_callback_has_returned(
    node: homing.Node, routed: Routed, limit: int
) -> None:
    pid = await routed.start(limit)
    node.kill(pid)
    with pytest.raises(act.RouteRestarting):
        await node.call(routed.router, ("a", "meanwhile"))
    assert await node.call(routed.router, ("b", "meanwhile"))
    routed.block.released.set()
    await routed.saw(("b", "meanwhile"), ("a", 0), *routed.behind)
    assert await bounded(node.call(routed.router, ("a", "again"))) != pid
    await no_thread(pid)


@pytest.mark.parametrize("limit", [0, 100])
@pytest.mark.parametrize("change", ["remove", "disable"])
async def test_a_route_that_blocks_and_is_taken_out_handles_what_waits_there_and_ends(
    node: homing.Node, routed: Routed, limit: int, change: str
) -> None:
    pid = await routed.start(limit)
    request = act.RemoveRoute("a") if change == "remove" else act.DisableRoute("a")
    await node.call(routed.router, request, priority=gen.MessagePriority.HIGH)
    assert pid in node.processes()
    routed.block.released.set()
    await routed.saw(("a", 0), *routed.behind)
    await ended(node, pid)


async def test_a_killed_route_that_is_removed_while_it_blocks_leaves_what_waited_as_discarded(
    node: homing.Node, routed: Routed
) -> None:
    pid = await routed.start()
    node.kill(pid)
    await node.call(routed.router, act.RemoveRoute("a"), priority=gen.MessagePriority.HIGH)
    routed.block.released.set()
    await ended(node, pid)
    await eventually(lambda: node.info().discarded == 9)
    assert routed.seen == [("a", 0)]
    assert (await node.inspect(routed.router))["routes_ending"] == 0
