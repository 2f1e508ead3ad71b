"""Children that come and go while the supervisor runs: by its own methods, and by requests from elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from .supervision import (
    ALL,
    DISABLED,
    ONE,
    REST,
    RUNNING,
    SIMPLE,
    TEMPORARY,
    TERMINATED,
    Child,
    Failing,
    FailsSometimes,
    Given,
    child,
    children,
    crash,
    end,
    nested,
    pids,
    states,
)

Ask = Callable[[Any], Any]


class Doing(Given):
    """Runs the functions it is asked to run, as itself."""

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        try:
            return await request(self)
        except gen.HomingError as error:
            self.send_response_error(sender, ref, error)
            return gen.NO_REPLY


METHODS: dict[type, Callable[[Any, Any], Any]] = {
    act.StartChild: lambda sup, ask: sup.start_child(*([ask.spec] if ask.spec else ask.args), name=ask.name),
    act.TerminateChild: lambda sup, ask: sup.terminate_child(ask.child),
    act.RestartChild: lambda sup, ask: sup.restart_child(ask.child),
    act.DeleteChild: lambda sup, ask: sup.delete_child(ask.child),
    act.EnableChild: lambda sup, ask: sup.enable_child(ask.child),
    act.DisableChild: lambda sup, ask: sup.disable_child(ask.child),
    act.WhichChildren: lambda sup, ask: sup.which_children(),
    act.CountChildren: lambda sup, ask: sup.count_children(),
}


@pytest.fixture(params=["node", "process", "method"])
def ask(request: pytest.FixtureRequest, node: homing.Node, probe: Probe) -> Ask:
    """Asks the supervisor: the node does, or a process, or the supervisor itself by its method."""

    async def asking(what: Any) -> Any:
        if request.param == "node":
            return await node.call("supervisor", what)
        if request.param == "process":
            caught: list[Exception] = []

            async def as_process(actor: act.Actor) -> Any:
                try:
                    return await actor.call("supervisor", what)
                except gen.HomingError as error:
                    caught.append(error)

            answer = await probe.do(as_process)
            if caught:
                raise caught[0]
            return answer
        return await node.call("supervisor", lambda supervisor: METHODS[type(what)](supervisor, what))

    return asking


async def start(node: homing.Node, *specs: act.ChildSpec, **options: Any) -> gen.PID:
    return await node.spawn(Doing, act.SupervisorSpec(children=specs, **options), name="supervisor")


async def test_a_child_is_started_behind_all_others(node: homing.Node, ask: Ask) -> None:
    events: list[str] = []
    supervisor = await start(node, child(events, "a"), type=REST)
    pid = await ask(act.StartChild(child(events, "b")))
    info = (await children(node))["b"]
    assert (info.pid, info.state, info.restarts, info.reason) == (pid, RUNNING, 0, None)
    assert (node.process_info("b").pid, node.process_info("b").parent) == (pid, supervisor)
    await crash(node, "a")
    await children(node)
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: supervisor not in node.processes())
    assert events == ["+a", "+b", "-a", "-b", "+a", "+b", "-b", "-a"]


async def test_a_child_that_can_not_be_started_is_not_there_and_the_caller_is_told_why(
    node: homing.Node, probe: Probe
) -> None:
    supervisor = await start(node)
    with pytest.raises(RuntimeError, match="a cannot start"):
        await node.call(supervisor, act.StartChild(child([], "a", Failing)))
    with pytest.raises(gen.TerminatePanic):
        await node.call(supervisor, act.StartChild(child([], "a", FailsSometimes, [KeyboardInterrupt()])))
    other = await Probe.start(node, name="taken")
    with pytest.raises(gen.NameTaken):
        await node.call(supervisor, act.StartChild(child([], "taken")))
    assert await states(node) == {}
    assert set(node.processes()) == {supervisor, probe.pid, other.pid}
    assert (await node.inspect(supervisor))["restarts"] == 0


async def test_a_name_that_a_child_has_is_refused_whatever_its_state(node: homing.Node, ask: Ask) -> None:
    await start(node, child([], "a"), child([], "b"), child([], "c"))
    await ask(act.TerminateChild("b"))
    await ask(act.DisableChild("c"))
    for name, state in (("a", RUNNING), ("b", TERMINATED), ("c", DISABLED)):
        with pytest.raises(act.ChildExists, match=f"'{name}' exists and is {state.value}") as caught:
            await ask(act.StartChild(child([], name)))
        assert (caught.value.child, caught.value.state) == (name, state)


async def test_a_terminated_child_stays_known_and_can_be_restarted_or_deleted(node: homing.Node, ask: Ask) -> None:
    events: list[str] = []
    await start(node, child(events, "a"), child(events, "b"))
    before = await pids(node)
    assert await ask(act.TerminateChild("a")) is None
    assert await ask(act.TerminateChild("a")) is None, "again: nothing happens"
    info = (await children(node))["a"]
    assert (info.state, info.pid, type(info.reason)) == (TERMINATED, None, gen.TerminateShutdown)
    pid = await ask(act.RestartChild("a"))
    assert await pids(node) == {"a": pid, "b": before["b"]}
    assert (await children(node))["a"].restarts == 0, "it was asked for"
    await ask(act.TerminateChild("a"))
    assert await ask(act.DeleteChild("a")) is None
    assert await states(node) == {"b": RUNNING}
    assert events == ["+a", "+b", "-a", "+a", "-a"]
    assert (await node.inspect("supervisor"))["restarts"] == 0


async def test_a_child_can_be_named_by_its_pid(node: homing.Node, ask: Ask) -> None:
    await start(node, child([], "a"))
    pid = node.process_info("a").pid
    await ask(act.DisableChild(pid))
    assert await states(node) == {"a": DISABLED}
    with pytest.raises(act.ChildUnknown):
        await ask(act.EnableChild(pid))


async def test_a_temporary_child_that_is_terminated_is_forgotten(node: homing.Node, ask: Ask) -> None:
    await start(node, child([], "a", restart=TEMPORARY))
    await ask(act.TerminateChild("a"))
    assert await states(node) == {}
    with pytest.raises(act.ChildUnknown):
        await ask(act.RestartChild("a"))


async def test_what_runs_is_neither_restarted_nor_deleted(node: homing.Node, ask: Ask) -> None:
    await start(node, child([], "a"))
    for request in (act.RestartChild("a"), act.DeleteChild("a")):
        with pytest.raises(act.ChildRunning, match="terminate it first") as caught:
            await ask(request)
        assert caught.value.pid == node.process_info("a").pid


@pytest.mark.parametrize(
    "request_", [act.TerminateChild, act.RestartChild, act.DeleteChild, act.EnableChild, act.DisableChild]
)
async def test_a_child_that_is_not_there_is_unknown(request_: Any, node: homing.Node, ask: Ask) -> None:
    supervisor = await start(node, child([], "a"))
    for who in ("b", supervisor):
        with pytest.raises(act.ChildUnknown, match="which_children") as caught:
            await ask(request_(who))
        assert caught.value.child == who


async def test_a_restart_on_request_that_fails_tells_the_caller_and_leaves_the_child_terminated(
    node: homing.Node,
) -> None:
    errors: list[BaseException] = []
    await start(node, child([], "a", FailsSometimes, errors))
    await node.call("supervisor", act.TerminateChild("a"))
    errors.append(RuntimeError("not now"))
    with pytest.raises(RuntimeError, match="not now"):
        await node.call("supervisor", act.RestartChild("a"))
    assert await states(node) == {"a": TERMINATED}
    await node.call("supervisor", act.RestartChild("a"))
    assert await states(node) == {"a": RUNNING}


# --- enabled and disabled ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ONE, ALL, REST])
async def test_a_disabled_child_is_started_by_no_restart_until_it_is_enabled(
    kind: act.SupervisorType, node: homing.Node, ask: Ask
) -> None:
    events: list[str] = []
    await start(node, *(child(events, label) for label in "abc"), type=kind)
    await ask(act.DisableChild("b"))
    await ask(act.DisableChild("b"))
    await ask(act.TerminateChild("b"))
    await crash(node, "a")
    assert await states(node) == {"a": RUNNING, "b": DISABLED, "c": RUNNING}
    with pytest.raises(act.ChildDisabled, match="enable it"):
        await ask(act.RestartChild("b"))
    pid = await ask(act.EnableChild("b"))
    assert await ask(act.EnableChild("b")) == pid, "again: nothing happens"
    assert await states(node) == dict.fromkeys("abc", RUNNING)
    assert node.process_info("b").pid == pid
    assert events.count("+b") == 2
    await crash(node, "b")
    assert await states(node) == dict.fromkeys("abc", RUNNING)


async def test_a_disabled_child_can_be_deleted_and_a_temporary_one_stays_known(node: homing.Node, ask: Ask) -> None:
    await start(node, child([], "a"), child([], "b", restart=TEMPORARY))
    await ask(act.DisableChild("a"))
    await ask(act.DisableChild("b"))
    await ask(act.DeleteChild("a"))
    assert await states(node) == {"b": DISABLED}
    await ask(act.EnableChild("b"))
    assert await states(node) == {"b": RUNNING}


async def test_enabling_that_fails_tells_the_caller_and_leaves_the_child_enabled_but_terminated(
    node: homing.Node,
) -> None:
    errors: list[BaseException] = []
    await start(node, child([], "a", FailsSometimes, errors))
    await node.call("supervisor", act.DisableChild("a"))
    errors.append(RuntimeError("not now"))
    with pytest.raises(RuntimeError, match="not now"):
        await node.call("supervisor", act.EnableChild("a"))
    assert await states(node) == {"a": TERMINATED}


@pytest.mark.parametrize("kind", [ALL, REST])
async def test_a_terminated_child_comes_back_with_its_group(kind: act.SupervisorType, node: homing.Node) -> None:
    """OTP's rule: `terminate_child` ends the process, it does not take the child out of the group."""
    await start(node, *(child([], label) for label in "abc"), type=kind)
    await node.call("supervisor", act.TerminateChild("b"))
    await crash(node, "c")
    assert (await states(node))["b"] is (RUNNING if kind is ALL else TERMINATED)
    await crash(node, "a")
    assert await states(node) == dict.fromkeys("abc", RUNNING)


# --- counting, order, misuse ------------------------------------------------------------------------------


async def test_children_are_counted(node: homing.Node, ask: Ask) -> None:
    inner = act.SupervisorSpec(children=(child([], "leaf"),))
    await start(node, child([], "a"), child([], "b"), nested("inner", inner))
    await ask(act.TerminateChild("b"))
    assert await ask(act.CountChildren()) == act.ChildCount(specs=3, active=2, supervisors=1, workers=2)


class SlowStart(Child):
    """Its `init` lasts until the test lets it go on."""

    async def init(self, events: list[str], label: str, let: asyncio.Event) -> None:
        await let.wait()
        super().init(events, label)


async def test_a_request_waits_until_what_came_before_is_done(node: homing.Node) -> None:
    let = asyncio.Event()
    await start(node, child([], "a"))
    starting = asyncio.create_task(node.call("supervisor", act.StartChild(child([], "b", SlowStart, let))))
    await eventually(lambda: node.info().processes == 3)
    counting = asyncio.create_task(node.call("supervisor", act.CountChildren()))
    await crash(node, "a")
    assert not counting.done()
    let.set()
    assert (await counting).active == 2
    assert await states(node) == {"a": RUNNING, "b": RUNNING}
    assert await starting == node.process_info("b").pid


async def test_a_supervisor_that_ends_amid_a_request_tells_its_caller_and_ends_what_it_was_starting(
    node: homing.Node,
) -> None:
    supervisor = await start(node, child([], "a"))
    starting = asyncio.create_task(node.call("supervisor", act.StartChild(child([], "b", SlowStart, asyncio.Event()))))
    await eventually(lambda: node.info().processes == 3)
    node.kill(supervisor)
    with pytest.raises(gen.ProcessTerminated):
        await starting
    await eventually(lambda: node.processes() == [])


async def test_a_child_can_be_added_by_a_child(node: homing.Node) -> None:
    class Adding(Child):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await self.call(self.parent, act.StartChild(message))

    await start(node, child([], "a", Adding))
    node.send("a", child([], "b"))
    await eventually(lambda: node.info().processes == 3)
    assert await states(node) == {"a": RUNNING, "b": RUNNING}


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: act.StartChild("a"), "spec"),  # type: ignore[arg-type]
        (lambda: act.StartChild(args=[]), "args"),  # type: ignore[arg-type]
        (lambda: act.StartChild(name=""), "name"),
        (lambda: act.TerminateChild(5), "child"),  # type: ignore[arg-type]
        (lambda: act.DeleteChild(None), "child"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_request_is_refused_where_it_is_made(make: Callable[[], Any], option: str) -> None:
    with pytest.raises(gen.BadOption) as caught:
        make()
    assert caught.value.option == option


@pytest.mark.parametrize(
    "request_", [act.StartChild(), act.StartChild(args=(1,)), act.StartChild(child([], "a"), args=(1,))]
)
async def test_a_named_child_is_started_by_its_spec_alone(request_: Any, node: homing.Node) -> None:
    await start(node)
    with pytest.raises(gen.BadOption, match="spec"):
        await node.call("supervisor", request_)
    with pytest.raises(gen.BadOption, match="spec"):
        await node.call("supervisor", lambda sup: sup.start_child(*request_.args, name="a"))
    assert await states(node) == {}


class Early(act.Supervisor):
    async def init(self) -> Any:
        await self.start_child(child([], "a"))


async def test_there_are_no_children_before_init_has_returned(node: homing.Node) -> None:
    with pytest.raises(gen.NotAllowed, match="SupervisorSpec"):
        await node.spawn(Early)


# --- instances --------------------------------------------------------------------------------------------


async def instances(node: homing.Node, **options: Any) -> list[str]:
    events: list[str] = []
    template = act.ChildSpec(name="instance", behavior=Child, args=(events,), **options)
    await start(node, template, type=SIMPLE)
    return events


async def test_an_instance_gets_the_templates_arguments_and_its_own(node: homing.Node, ask: Ask) -> None:
    events = await instances(node)
    assert await states(node) == {}
    first = await ask(act.StartChild(args=("a",)))
    second = await ask(act.StartChild(args=("b",), name="b"))
    assert events == ["+a", "+b"]
    assert (node.process_info(first).name, node.process_info("b").pid) == (None, second)
    assert await pids(node) == {str(first): first, "b": second}
    assert await ask(act.CountChildren()) == act.ChildCount(specs=1, active=2, supervisors=0, workers=2)


async def test_an_instance_keeps_the_name_that_it_was_given_through_its_restarts(node: homing.Node) -> None:
    events = await instances(node)
    await node.call("supervisor", act.StartChild(args=("a",), name="x"))
    before = await crash(node, "x")
    assert (await children(node))["x"].pid == node.process_info("x").pid != before
    assert events == ["+a", "-a", "+a"]


async def test_an_instance_is_terminated_by_pid_or_name_and_forgotten(node: homing.Node, ask: Ask) -> None:
    events = await instances(node)
    first = await ask(act.StartChild(args=("a",)))
    await ask(act.StartChild(args=("b",), name="b"))
    await ask(act.TerminateChild(first))
    await ask(act.TerminateChild("b"))
    assert await states(node) == {}
    assert events == ["+a", "+b", "-a", "-b"]
    await ask(act.StartChild(args=("c",), name="b"))
    with pytest.raises(act.ChildExists):
        await ask(act.StartChild(args=("d",), name="b"))


async def test_an_instance_that_can_not_be_started_is_not_there(node: homing.Node) -> None:
    template = act.ChildSpec(name="instance", behavior=Failing, args=([],))
    await start(node, template, type=SIMPLE)
    with pytest.raises(RuntimeError, match="x cannot start"):
        await node.call("supervisor", act.StartChild(args=("x",)))
    assert await states(node) == {}


@pytest.mark.parametrize("request_", [act.RestartChild, act.DeleteChild, act.EnableChild, act.DisableChild])
async def test_instances_are_started_and_terminated_only(request_: Any, node: homing.Node, ask: Ask) -> None:
    await instances(node)
    await ask(act.StartChild(args=("a",), name="a"))
    with pytest.raises(gen.NotAllowed, match=request_.__name__):
        await ask(request_("a"))
    assert await states(node) == {"a": RUNNING}


async def test_an_instance_is_not_started_by_a_spec(node: homing.Node) -> None:
    await instances(node)
    with pytest.raises(gen.BadOption, match="spec"):
        await node.call("supervisor", act.StartChild(child([], "b")))
    assert await states(node) == {}


async def test_ten_thousand_instances_come_and_go(node: homing.Node) -> None:
    class Small(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            raise message

    template = act.ChildSpec(name="instance", behavior=Small, restart=act.RestartStrategy.TRANSIENT)
    supervisor = await start(node, template, type=SIMPLE, intensity=10_000)
    started = [await node.call(supervisor, act.StartChild()) for _ in range(10_000)]
    for number, pid in enumerate(started):
        if number % 4 == 0:
            node.send(pid, gen.TerminateNormal())
        elif number % 4 == 1:
            node.send(pid, gen.TerminateKill())  # restarted
    await eventually(lambda: node.info().spawned == 12_501)
    assert (await node.call(supervisor, act.CountChildren())).active == 7_500
    assert len(await node.call(supervisor, act.WhichChildren())) == 7_500
    for pid in started[2::4]:
        await node.call(supervisor, act.TerminateChild(pid))
    assert (await node.call(supervisor, act.CountChildren())).active == 5_000
    await end(node, supervisor, gen.TerminateKill())
    assert node.processes() == []
