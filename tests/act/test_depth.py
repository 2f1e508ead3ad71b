"""What nests: supervisors, pools, routers, processes and applications go as deep as anybody wants them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ..node.actors import QUIET, Doer, throw
from ..support import Probe, eventually

DEPTH = 1000
PATIENT = gen.ProcessOptions(init_timeout=60.0)  # what begins first has a thousand others to wait for


class Leaf(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if request == "crash":
            raise ValueError(request)
        return "leaf"


class Sick(act.Actor):
    def init(self) -> None:
        raise LookupError("at the bottom")


class Nest(act.Supervisor):
    """Keeps another of its kind, down to one that keeps `leaf`."""

    def init(self, depth: int, leaf: type[act.Actor]) -> act.SupervisorSpec:
        if depth == 0:
            child = act.ChildSpec(name="leaf", behavior=leaf)
        else:
            child = act.ChildSpec(name=f"level {depth}", behavior=Nest, args=(depth - 1, leaf), shutdown=None)
        return act.SupervisorSpec(children=(child,), intensity=1)


class Pools(act.Pool):
    def init(self, depth: int, leaf: type[act.Actor]) -> act.PoolOptions:
        return act.PoolOptions(
            worker=Pools if depth else leaf,
            worker_args=(depth - 1, leaf) if depth else (),
            pool_size=1,
            route=lambda sender, message: "key",
        )

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.add_workers(1)


class Routes(act.Router):
    def init(self, depth: int, leaf: type[act.Actor]) -> act.RouterOptions:
        below = (Routes, (depth - 1, leaf)) if depth else (leaf, ())
        return act.RouterOptions(routes=(act.RouteSpec(name="down", behavior=below[0], args=below[1]),))

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return "down"


class Chain(act.Actor):
    async def init(self, depth: int, leaf: type[act.Actor]) -> None:
        options = gen.ProcessOptions(link_parent=True, init_timeout=60.0)
        self.below = (
            await self.spawn(Chain, depth - 1, leaf, options=options)
            if depth
            else await self.spawn(leaf, options=options)
        )

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return await self.call(self.below, request, timeout=60.0)


KINDS = [Nest, Pools, Routes, Chain]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_nests_deep_starts_works_and_ends(node: homing.Node, kind: Any) -> None:
    pid = await node.spawn(kind, DEPTH, Leaf, options=PATIENT)
    assert node.info().processes == DEPTH + 2
    assert await node.call("leaf" if kind is Nest else pid, "request", timeout=60.0) == "leaf"
    assert node.tree().more == 0
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert node.info().crashes == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_what_fails_at_the_bottom_fails_at_the_top_and_leaves_nothing(node: homing.Node, kind: Any) -> None:
    with pytest.raises(LookupError, match="at the bottom"):
        await node.spawn(kind, DEPTH, Sick, options=PATIENT)
    assert node.processes() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_stops_with_what_nests_deep(kind: Any) -> None:
    async with homing.start_node("deep@localhost", QUIET) as node:
        await node.spawn(kind, DEPTH, Leaf, options=PATIENT)
        assert await node.stop(60.0)
    assert node.info().processes == 0


async def test_a_crash_at_the_bottom_climbs_as_far_as_the_intensities_allow(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    await node.spawn(Nest, 30, Leaf)
    for number in range(1, 8):
        with pytest.raises(gen.ProcessTerminated):
            await node.call("leaf", "crash")
        await eventually(lambda: "leaf" in node._core.registry.routes)
        assert node.info().processes == 32, number
    assert [message for message in caplog.messages if "fault in the runtime" in message] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_start_that_nests_deep_can_be_cancelled(node: homing.Node, kind: Any) -> None:
    begun = asyncio.Event()

    class Hangs(act.Actor):
        async def init(self) -> None:
            begun.set()
            await asyncio.Event().wait()

    start = asyncio.ensure_future(node.spawn(kind, DEPTH, Hangs, options=PATIENT))
    await begun.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await eventually(lambda: node.processes() == [])


async def test_a_process_that_is_killed_in_a_nested_start_ends_it(node: homing.Node, probe: Probe) -> None:
    begun = asyncio.Event()

    class Hangs(act.Actor):
        async def init(self) -> None:
            begun.set()
            await asyncio.Event().wait()

    pid = await node.spawn(Doer)
    node.send(pid, lambda actor: actor.spawn(Nest, 40, Hangs))
    await begun.wait()
    node.kill(pid)
    await eventually(lambda: node.processes() == [probe.pid])


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=lambda error: type(error).__name__
)
async def test_what_is_no_exception_is_raised_through_a_nested_start_and_does_not_leave_the_loop(
    node: homing.Node, error: BaseException
) -> None:
    class Panics(act.Actor):
        async def init(self) -> None:
            raise error

    with pytest.raises(gen.TerminatePanic):
        await node.spawn(Nest, 40, Panics)
    assert node.processes() == []


async def test_pools_behind_pools_change_their_size_however_deep(node: homing.Node) -> None:
    pid = await node.spawn(Pools, DEPTH, Leaf, options=PATIENT)
    node.send(pid, "one more", gen.MessagePriority.HIGH)
    await eventually(lambda: node.info().processes == 2 * (DEPTH + 1) + 1)
    assert await node.call(pid, "request", timeout=60.0) == "leaf"


async def test_a_long_chain_of_applications_starts_in_order(node: homing.Node) -> None:
    class Linked(gen.Application):
        def load(self, node: homing.Node, number: int) -> gen.ApplicationSpec:
            return gen.ApplicationSpec(
                name=f"{number}",
                members=(gen.ApplicationMember(behavior=Leaf),),
                depends=(f"{number + 1}",) if number < DEPTH else (),
            )

    for number in range(DEPTH + 1):
        await node.application_load(Linked, number)
    await node.application_start("0")
    assert node.info().processes == DEPTH + 1
    assert node._core.applications.find(f"{DEPTH}").order == 1


async def test_meta_processes_that_start_meta_processes_go_deep(node: homing.Node, probe: Probe) -> None:
    class Deep(gen.MetaBehavior):
        def __init__(self, depth: int) -> None:
            self.depth = depth

        async def init(self, process: gen.MetaProcess) -> None:  # type: ignore[override]
            self.process = process
            if self.depth:
                await process.spawn_meta(Deep(self.depth - 1))

        async def start(self) -> None:
            await asyncio.Event().wait()

    await probe.do(lambda actor: actor.spawn_meta(Deep(DEPTH)))
    assert node.info().metas == DEPTH + 1
    node.send(await node.spawn(Doer), throw(gen.TerminateNormal))
