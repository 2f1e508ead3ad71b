"""Routes whose processes have threads of their own."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import DEADLINE, eventually


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
