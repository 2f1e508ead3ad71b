"""Objects of the program whose methods raise, at supervisors, pools and routers."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from .. import hostile
from ..hostile import Hostile, HostileError, HostileMethod
from ..node.actors import Doer, Keeper, throw
from ..support import Probe, eventually


class Parent(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="child", behavior=Doer),), intensity=50)


@pytest.mark.parametrize("name", hostile.VALUES)
@pytest.mark.parametrize("priority", list(gen.MessagePriority))
async def test_what_is_sent_to_a_behavior_base_is_delivered_whatever_it_is(
    node: homing.Node, probe: Probe, name: str, priority: gen.MessagePriority
) -> None:
    value, kept = hostile.VALUES[name](), []

    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Keeper, worker_args=(kept,), pool_size=1)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            kept.append(message)

    class Routes(act.Router):
        def init(self) -> act.RouterOptions:
            return act.RouterOptions(routes=(act.RouteSpec(name="a", behavior=Keeper, args=(kept,)),))

        def route_message(self, sender: gen.PID, message: Any) -> Any:
            return "a"

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            kept.append(message)

    class Kept(Parent):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            kept.append(message)

    for number, behavior in enumerate((Workers, Routes, Kept)):
        pid = await node.spawn(behavior)
        node.send(pid, value, priority)
        await eventually(lambda number=number: len(kept) == number + 1)
        with pytest.raises((gen.NotAllowed, act.errors.RouteError)):
            await node.call(pid, value, priority=gen.MessagePriority.MAX)
    assert all(each is value for each in kept)
    assert node.info().crashes == 0


@pytest.mark.parametrize("name", [*hostile.VALUES, *hostile.ERRORS])
async def test_a_key_that_cannot_be_used_makes_a_dead_letter_and_the_pool_goes_on(
    node: homing.Node, probe: Probe, name: str
) -> None:
    kept: list[Any] = []

    def key(sender: gen.PID, message: Any) -> Any:
        if message == "odd":
            if name in hostile.VALUES:
                return Unequal()
            raise hostile.ERRORS[name]()
        return message

    class Unequal:
        def __hash__(self) -> int:
            return hash("odd one")

        def __eq__(self, other: object) -> bool:
            raise hostile.HostileMethod

    class Keyed(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Keeper, worker_args=(kept,), route=key)

    pid = await node.spawn(Keyed, options=gen.ProcessOptions(dead_letters=probe.pid))
    for message in ("odd", "odd", "odd one", "end"):
        node.send(pid, message)
    await eventually(lambda: "end" in kept)
    facts = await node.inspect(pid)
    assert facts["messages_forwarded"] + facts["dead_letters"] == 4
    assert node.processes()[0] == probe.pid


@pytest.mark.parametrize("name", hostile.ERRORS)
async def test_a_child_that_cannot_be_started_for_what_cannot_be_shown_is_tried_again(
    node: homing.Node, name: str
) -> None:
    starts: list[int] = []

    class Sick(Doer):
        def init(self) -> None:  # type: ignore[override]
            starts.append(1)
            if len(starts) in (2, 3):
                raise hostile.ERRORS[name]()
            self.reasons = []

    class Keeps(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=(act.ChildSpec(name="sick", behavior=Sick),), intensity=50)

    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Sick, pool_size=1)

    parent = await node.spawn(Keeps)
    node.send("sick", throw(HostileError()))
    await eventually(lambda: len(starts) == 4 and "sick" in node._core.registry.routes)
    [child] = await node.call(parent, act.WhichChildren())
    assert child.state is act.ChildState.RUNNING
    starts.clear()
    pool = await node.spawn(Workers)
    node.send(pool, throw(HostileError()))
    await eventually(lambda: len(starts) == 4)
    assert (await node.inspect(pool))["running"] == 1


@pytest.mark.parametrize("name", hostile.VALUES)
async def test_what_a_router_chooses_is_a_name_or_ends_it_with_the_reason(
    node: homing.Node, probe: Probe, name: str
) -> None:
    class Chooses(act.Router):
        def init(self) -> act.RouterOptions:
            return act.RouterOptions()

        def route_message(self, sender: gen.PID, message: Any) -> Any:
            return hostile.VALUES[name]()

    pid = await node.spawn(Chooses)
    await probe.do(lambda actor: actor.monitor(pid))
    node.send(pid, "x")
    if name == "text":
        await eventually(lambda: node.process_info(pid).mailbox.main == 0)
        node.send_exit(pid, gen.TerminateShutdown)
        await probe.get()
    else:
        assert isinstance((await probe.get()).reason, (gen.BadOption, HostileMethod))
    assert node.processes() == [probe.pid]


@pytest.mark.parametrize("name", hostile.VALUES)
async def test_what_an_init_returns_is_refused_by_name(node: homing.Node, name: str) -> None:
    for base in (act.Supervisor, act.Pool):
        behavior = type("Wrong", (base,), {"init": lambda self: hostile.VALUES[name]()})
        with pytest.raises(gen.BadOption):
            await node.spawn(behavior)
    assert node.processes() == []


async def test_an_answer_and_an_argument_may_be_anything(node: homing.Node) -> None:
    class Takes(act.Actor):
        def init(self, argument: Any) -> None:
            self.argument = argument

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.argument

    class Holds(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            spec = act.ChildSpec(name="takes", behavior=Takes, args=(Hostile(),))
            return act.SupervisorSpec(children=(spec,))

    await node.spawn(Holds)
    assert type(await node.call("takes", Hostile())) is Hostile


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit], ids=lambda error: error.__name__)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_init_that_raises_what_is_no_exception_is_tried_again_and_does_not_leave_the_loop(
    node: homing.Node, error: type[BaseException], asynchronous: bool
) -> None:
    starts: list[int] = []

    class Sick(Doer):
        def init(self) -> Any:  # type: ignore[override]
            return self.begin_later() if asynchronous else self.begin()

        def begin(self) -> None:
            starts.append(1)
            self.reasons = []
            if len(starts) == 2:
                raise error

        async def begin_later(self) -> None:
            self.begin()

    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Sick, pool_size=1)

    class Routes(act.Router):
        def init(self) -> act.RouterOptions:
            return act.RouterOptions(routes=(act.RouteSpec(name="sick", behavior=Sick),))

        def route_message(self, sender: gen.PID, message: Any) -> str:
            return "sick"

    for behavior in (Workers, Routes):
        starts.clear()
        pid = await node.spawn(behavior)
        node.send(pid, throw(HostileError()))
        await eventually(lambda: len(starts) >= 3)
        await eventually(lambda pid=pid: node.process_info(pid).mailbox.main == 0)
        assert node.process_info(pid).state is gen.ProcessState.SLEEP
