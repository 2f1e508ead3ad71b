"""The supervisor: starts its children in order, brings back those that end, ends them in reverse order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import Probe, eventually


class Child(act.Actor):
    """Notes its start and its end in a list. Ends as the message says."""

    def init(self, events: list[str], label: str) -> None:
        self.events = events
        self.label = label
        events.append(f"+{label}")

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return (self.pid, self.name)

    def terminate(self, reason: Exception) -> None:
        self.events.append(f"-{self.label}")


class Failing(Child):
    def init(self, events: list[str], label: str) -> None:
        raise RuntimeError(f"{label} cannot start")


class Deaf(Child):
    """Takes no exit signal while it handles a message, and forbids nothing to `kill`."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.Event().wait()


def spec(events: list[str], label: str, behavior: type[act.Actor] = Child, **options: Any) -> act.ChildSpec:
    return act.ChildSpec(name=label, behavior=behavior, args=(events, label), **options)


class Supervisor(act.Supervisor):
    def init(self, *children: act.ChildSpec, **options: Any) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=children, **options)


class Strict(Supervisor):
    """Allows two restarts."""

    def init(self, *children: act.ChildSpec, **options: Any) -> act.SupervisorSpec:
        return super().init(*children, intensity=2, period=3600.0)


class Top(Supervisor):
    """A supervisor of supervisors."""


def nested(name: str, *children: act.ChildSpec, behavior: type[act.Supervisor] = Supervisor) -> act.ChildSpec:
    return act.ChildSpec(name=name, behavior=behavior, args=children)


async def test_a_child_that_was_restarted_ends_in_its_old_place(node: homing.Node) -> None:
    events: list[str] = []
    pid = await node.spawn(Supervisor, *(spec(events, label) for label in "abc"))
    node.send("a", ValueError("broken"))
    await eventually(lambda: events.count("+a") == 2)
    events.clear()
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: not node.processes())
    assert events == ["-c", "-b", "-a"]


async def test_children_start_in_order_and_end_in_reverse_order(node: homing.Node) -> None:
    events: list[str] = []
    pid = await node.spawn(Supervisor, *(spec(events, label) for label in "abc"))
    assert events == ["+a", "+b", "+c"]
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_each_child_is_registered_under_its_name_and_is_linked_to_the_supervisor(node: homing.Node) -> None:
    events: list[str] = []
    supervisor = await node.spawn(Supervisor, spec(events, "a"))
    info = node.process_info("a")
    assert (info.name, info.parent) == ("a", supervisor)
    assert supervisor in info.links


async def end_child(node: homing.Node, name: str, reason: Exception) -> gen.PID:
    """Ends the child for `reason`; gives the PID that it had."""
    pid = node.process_info(name).pid
    if isinstance(reason, gen.TerminateKill):
        node.kill(pid)
    else:
        node.send(name, reason)
    await eventually(lambda: pid not in node.processes())
    return pid


REASONS = [gen.TerminateNormal(), gen.TerminateShutdown(), gen.TerminateKill(), RuntimeError("crash"), SystemExit(1)]
RESTARTS = {
    act.RestartStrategy.PERMANENT: [True, True, True, True, True],
    act.RestartStrategy.TRANSIENT: [False, False, True, True, True],
    act.RestartStrategy.TEMPORARY: [False, False, False, False, False],
}


@pytest.mark.parametrize("strategy", list(RESTARTS))
@pytest.mark.parametrize("number", range(len(REASONS)), ids=lambda number: type(REASONS[number]).__name__)
async def test_a_child_that_ends_is_judged_by_its_restart_strategy(
    strategy: act.RestartStrategy, number: int, node: homing.Node
) -> None:
    events: list[str] = []
    supervisor = await node.spawn(Supervisor, spec(events, "a", restart=strategy), spec(events, "b"))
    before = await end_child(node, "a", REASONS[number])  # type: ignore[arg-type]
    facts = await node.inspect(supervisor)
    if RESTARTS[strategy][number]:
        await eventually(lambda: node.info().processes == 3)
        assert (await node.call("a", "who"))[1] == "a"
        assert node.process_info("a").pid != before
        assert (await node.inspect(supervisor))["restarts"] == 1
    else:
        assert facts["children"]["a"] is None
        assert facts["restarts"] == 0
        with pytest.raises(gen.NameUnknown):
            node.send("a", "anybody there?")
    assert events.count("+b") == 1, "the others are left alone"


async def test_a_child_keeps_its_name_through_its_restarts(node: homing.Node) -> None:
    events: list[str] = []
    supervisor = await node.spawn(Supervisor, spec(events, "a"))
    pids = {await end_child(node, "a", RuntimeError("again")) for _ in range(5)}
    await eventually(lambda: node.info().processes == 2)
    pids.add((await node.call("a", "who"))[0])
    assert len(pids) == 6
    assert (await node.inspect(supervisor))["children"]["a"] in pids


async def test_more_restarts_than_the_intensity_end_the_supervisor_and_its_other_children(
    node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    supervisor = await node.spawn(Strict, spec(events, "a"), spec(events, "b"))
    await probe.do(lambda actor: actor.monitor(supervisor))
    for _ in range(2):
        await end_child(node, "a", RuntimeError("again"))
        await eventually(lambda: node.info().processes == 4)
    assert probe.waiting() == []
    cause = RuntimeError("once too often")
    await end_child(node, "a", cause)
    down = await probe.get()
    assert isinstance(down.reason, act.RestartsExceeded)
    assert down.reason.child == "a"
    assert down.reason.__cause__ is cause
    assert events[-1] == "-b"
    assert node.processes() == [probe.pid]


async def test_restarts_of_all_children_count_together(node: homing.Node) -> None:
    events: list[str] = []
    await node.spawn(Strict, spec(events, "a"), spec(events, "b"))
    for name in ("a", "b", "a"):
        await end_child(node, name, RuntimeError("again"))
    await eventually(lambda: node.processes() == [])


async def test_a_supervisor_that_gives_up_is_restarted_by_its_own_supervisor(node: homing.Node) -> None:
    events: list[str] = []
    await node.spawn(Top, nested("inner", spec(events, "a"), spec(events, "b"), behavior=Strict))
    before = node.process_info("inner").pid
    for _ in range(3):
        await eventually(lambda: node.info().processes == 4)
        await end_child(node, "a", RuntimeError("again"))
    await eventually(lambda: node.info().processes == 4)
    assert node.process_info("inner").pid != before
    assert events.count("+b") == 2
    assert (await node.call("a", "who"))[1] == "a"


async def test_a_tree_ends_from_its_last_leaf_to_its_root(node: homing.Node) -> None:
    events: list[str] = []
    top = await node.spawn(
        Top,
        nested("left", spec(events, "a"), spec(events, "b")),
        nested("right", spec(events, "c"), spec(events, "d")),
    )
    node.send_exit(top, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "+c", "+d", "-d", "-c", "-b", "-a"]


async def test_a_supervisor_that_is_killed_takes_its_whole_tree_along(node: homing.Node) -> None:
    events: list[str] = []
    top = await node.spawn(Top, nested("left", spec(events, "a")), spec(events, "b"))
    node.kill(top)
    await eventually(lambda: node.processes() == [])
    assert sorted(events) == ["+a", "+b", "-a", "-b"]


async def test_a_child_whose_init_fails_undoes_the_others_and_fails_the_supervisor(node: homing.Node) -> None:
    events: list[str] = []
    with pytest.raises(RuntimeError, match="c cannot start"):
        await node.spawn(Supervisor, spec(events, "a"), spec(events, "b"), spec(events, "c", Failing))
    assert events == ["+a", "+b", "-b", "-a"]
    assert node.processes() == []


async def test_a_child_whose_name_is_taken_undoes_the_others(node: homing.Node) -> None:
    events: list[str] = []
    other = await Probe.start(node, name="b")
    with pytest.raises(gen.NameTaken):
        await node.spawn(Supervisor, spec(events, "a"), spec(events, "b"))
    assert events == ["+a", "-a"]
    assert node.processes() == [other.pid]


class FailsAgain(Child):
    """Starts once; every restart fails."""

    def init(self, events: list[str], label: str) -> None:
        super().init(events, label)
        if events.count(f"+{label}") > 1:
            raise RuntimeError("not again")


async def test_restarts_that_fail_count_and_end_the_supervisor_instead_of_looping_for_ever(
    node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    supervisor = await node.spawn(Strict, spec(events, "a", FailsAgain))
    await probe.do(lambda actor: actor.monitor(supervisor))
    await end_child(node, "a", RuntimeError("crash"))
    down = await probe.get()
    assert isinstance(down.reason, act.RestartsExceeded)
    assert str(down.reason.__cause__) == "not again"
    assert events.count("+a") == 3


async def test_a_child_that_does_not_end_in_time_is_killed(node: homing.Node) -> None:
    events: list[str] = []
    supervisor = await node.spawn(Supervisor, spec(events, "a"), spec(events, "b", Deaf, shutdown=0.02))
    node.send("b", "wait for ever")
    await eventually(lambda: node.process_info("b").state is gen.ProcessState.RUNNING)
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "-b", "-a"]


async def test_a_busy_child_with_no_time_to_end_is_killed_at_once(node: homing.Node, probe: Probe) -> None:
    events: list[str] = []
    supervisor = await node.spawn(Supervisor, spec(events, "a", Deaf, shutdown=0))
    await probe.do(lambda actor: actor.monitor("a"))
    node.send("a", "wait for ever")
    await eventually(lambda: node.process_info("a").state is gen.ProcessState.RUNNING)
    node.send_exit(supervisor, gen.TerminateShutdown)
    assert isinstance((await probe.get()).reason, gen.TerminateKill)


async def test_a_supervisor_tells_its_children_and_its_limits(node: homing.Node) -> None:
    events: list[str] = []
    supervisor = await node.spawn(Strict, spec(events, "a"), spec(events, "b", restart=act.RestartStrategy.TEMPORARY))
    await end_child(node, "b", gen.TerminateNormal())
    facts = await node.inspect(supervisor)
    assert facts["children"] == {"a": node.process_info("a").pid, "b": None}
    assert (facts["restarts"], facts["intensity"], facts["period"]) == (0, 2, 3600.0)


class Listening(Supervisor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.env["heard"].append(message)


async def test_what_is_no_end_of_a_child_comes_to_the_supervisors_own_handler(node: homing.Node) -> None:
    heard: list[Any] = []
    pid = await node.spawn(Listening, options=gen.ProcessOptions(env={"heard": heard}))
    node.send(pid, "hello")
    await eventually(lambda: heard == ["hello"])


async def test_a_node_that_stops_ends_a_tree_in_order(node: homing.Node) -> None:
    events: list[str] = []
    await node.spawn(Top, nested("left", spec(events, "a"), spec(events, "b")), spec(events, "c"))
    assert await node.stop() is True
    assert events == ["+a", "+b", "+c", "-c", "-b", "-a"]
