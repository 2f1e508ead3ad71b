"""How a supervisor ends its children: in time, or by force; and what happens that it did not ask for meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.node.processes import ending

from ...support import Probe, eventually
from .supervision import ALL, SIMPLE, Child, Deaf, Given, child, children, crash, nested, supervise


async def busy(node: homing.Node, name: str) -> None:
    """Makes a `Deaf` child busy for ever."""
    node.send(name, "wait for ever")
    await eventually(lambda: node.process_info(name).state is gen.ProcessState.RUNNING)


class SlowEnd(Child):
    """Its `terminate` takes as long as the test says."""

    def init(self, events: list[str], label: str, let: asyncio.Event) -> None:
        super().init(events, label)
        self.let = let

    async def terminate(self, reason: Exception) -> None:
        self.events.append(f"~{self.label}")
        await self.let.wait()
        super().terminate(reason)


class Stubborn(Child):
    """Swallows every cancellation, until the test lets it go."""

    def init(self, events: list[str], label: str, let: asyncio.Event) -> None:
        super().init(events, label)
        self.let = let

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        while not self.let.is_set():
            try:
                await self.let.wait()
            except asyncio.CancelledError:
                self.events.append(f"?{self.label}")


async def test_a_child_that_does_not_end_in_time_is_killed(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[str] = []
    supervisor = await supervise(node, child(events, "a"), child(events, "b", Deaf, shutdown=0.02))
    await probe.do(lambda actor: actor.monitor("b"))
    await busy(node, "b")
    node.send_exit(supervisor, gen.TerminateShutdown)
    assert isinstance((await probe.get()).reason, gen.TerminateKill)
    await eventually(lambda: node.processes() == [probe.pid])
    assert events == ["+a", "+b", "-b", "-a"]
    assert sum("did not end within 0.02 s" in message for message in caplog.messages) == 1


async def test_a_child_without_limit_is_waited_for_as_long_as_it_takes(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "KILL_TIMEOUT", 0.001)
    events: list[str] = []
    let = asyncio.Event()
    supervisor = await supervise(node, child(events, "a"), child(events, "b", SlowEnd, let, shutdown=None))
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: "~b" in events)
    await asyncio.sleep(0.02)
    assert events[-1] == "~b"
    let.set()
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "~b", "-b", "-a"]


async def test_a_terminate_that_hangs_is_cancelled_when_the_time_is_up(node: homing.Node) -> None:
    events: list[str] = []
    hanging = child(events, "b", SlowEnd, asyncio.Event(), shutdown=0.02)
    supervisor = await supervise(node, child(events, "a"), hanging)
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "~b", "-a"]


@pytest.mark.parametrize("work", [True, False])
async def test_a_child_with_no_time_to_end_is_killed_at_once(work: bool, node: homing.Node, probe: Probe) -> None:
    supervisor = await supervise(node, child([], "a", Deaf, shutdown=0))
    await probe.do(lambda actor: actor.monitor("a"))
    if work:
        await busy(node, "a")
    node.send_exit(supervisor, gen.TerminateShutdown)
    assert isinstance((await probe.get()).reason, gen.TerminateKill)


async def test_a_killed_child_whose_terminate_hangs_holds_nobody_up(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "KILL_TIMEOUT", 0.01)
    events: list[str] = []
    await supervise(node, child(events, "a", SlowEnd, asyncio.Event(), shutdown=0), child(events, "b"), type=ALL)
    await crash(node, "b")
    await children(node)
    assert events == ["+a", "+b", "-b", "~a", "+a", "+b"]


async def test_a_child_that_swallows_its_cancellation_is_left_behind_and_its_name_is_free(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ending, "KILL_TIMEOUT", 0.01)
    events: list[str] = []
    let = asyncio.Event()
    await supervise(node, child(events, "a", Stubborn, let, shutdown=0.01), child(events, "b"), type=ALL)
    await busy(node, "a")
    before = node.process_info("a").pid
    await crash(node, "b")
    after = await children(node)
    assert after["a"].pid not in (None, before)
    assert isinstance(after["a"].reason, gen.TerminateKill)
    assert before not in node.processes()
    assert sum("ignores its cancellation" in message for message in caplog.messages) == 1
    let.set()
    await eventually(lambda: events.count("?a") == 2)
    assert (await children(node))["a"].pid == after["a"].pid


class TakesAlong(Child):
    """Crashes a neighbour when it ends."""

    def init(self, events: list[str], label: str, neighbour: str) -> None:
        super().init(events, label)
        self.neighbour = neighbour

    def terminate(self, reason: Exception) -> None:
        super().terminate(reason)
        self.send(self.neighbour, RuntimeError("taken along"))


async def test_a_child_that_crashes_during_the_supervisors_own_stop_is_no_matter(node: homing.Node) -> None:
    events: list[str] = []
    supervisor = await supervise(
        node,
        child(events, "a"),
        child(events, "b"),
        child(events, "c", SlowEnd, done()),
        child(events, "d", TakesAlong, "b"),
    )
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert sorted(events[4:]) == ["-a", "-b", "-c", "-d", "~c"]
    assert (events[4], events[-1]) == ("-d", "-a")
    assert node.info().crashes == 1


async def test_a_child_that_crashes_while_its_group_is_ended_is_restarted_once(node: homing.Node) -> None:
    events: list[str] = []
    await supervise(
        node,
        child(events, "a"),
        child(events, "b"),
        child(events, "c", SlowEnd, done()),
        child(events, "d", TakesAlong, "b"),
        type=ALL,
    )
    await crash(node, "a")
    after = await children(node)
    assert events.count("+b") == 2
    assert {name: info.restarts for name, info in after.items()} == dict.fromkeys("abcd", 1)
    assert (await node.inspect("supervisor"))["restarts"] == 1


def done() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def test_a_supervisor_that_is_killed_takes_its_whole_tree_along(node: homing.Node) -> None:
    events: list[str] = []
    left = act.SupervisorSpec(children=(child(events, "a"),))
    top = await supervise(node, nested("left", left), child(events, "b"))
    node.kill(top)
    await eventually(lambda: node.processes() == [])
    assert sorted(events) == ["+a", "+b", "-a", "-b"]


async def test_a_supervisor_that_is_killed_twice_takes_even_a_child_along_that_hangs(node: homing.Node) -> None:
    events: list[str] = []
    top = await supervise(node, child(events, "a"), child(events, "b", SlowEnd, asyncio.Event(), shutdown=None))
    node.kill(top)
    await eventually(lambda: "~b" in events)
    node.kill(top)
    await eventually(lambda: top not in node.processes())
    await eventually(lambda: "a" not in {node.process_info(pid).name for pid in node.processes()})
    assert events[-1] == "-a"
    for pid in node.processes():
        node.kill(pid) if node.process_info(pid).state is not gen.ProcessState.ZOMBIE else None
    assert await node.stop(0) is False


async def test_the_parents_exit_signal_ends_a_supervisor_in_order(node: homing.Node) -> None:
    events: list[str] = []
    inner = act.SupervisorSpec(children=(child(events, "a"), child(events, "b")))
    await supervise(node, nested("inner", inner), child(events, "c"))
    await node.call("supervisor", act.TerminateChild("inner"))
    assert events == ["+a", "+b", "+c", "-b", "-a"]


async def test_a_node_that_stops_ends_a_tree_in_order(node: homing.Node) -> None:
    events: list[str] = []
    left = act.SupervisorSpec(children=(child(events, "a"), child(events, "b")))
    await supervise(node, nested("left", left), child(events, "c"))
    assert await node.stop() is True
    assert events == ["+a", "+b", "+c", "-c", "-b", "-a"]


class Overriding(Given):
    """Says goodbye before its children are ended."""

    def init(self, spec: act.SupervisorSpec, events: list[str]) -> act.SupervisorSpec:
        self.notes = events
        return super().init(spec)

    async def terminate(self, reason: Exception) -> None:
        self.notes.append(type(reason).__name__)
        await super().terminate(reason)


async def test_a_class_may_have_a_terminate_of_its_own(node: homing.Node) -> None:
    events: list[str] = []
    pid = await node.spawn(Overriding, act.SupervisorSpec(children=(child(events, "a"),), intensity=0), events)
    await crash(node, "a")
    await eventually(lambda: pid not in node.processes())
    assert events == ["+a", "-a", "RestartsExceeded"]


# --- instances --------------------------------------------------------------------------------------------


async def test_instances_end_all_at_the_same_time(node: homing.Node) -> None:
    events: list[str] = []
    let = asyncio.Event()
    template = act.ChildSpec(name="instance", behavior=SlowEnd, args=(events,), shutdown=None)
    supervisor = await supervise(node, template, type=SIMPLE)
    for label in "abc":
        await node.call(supervisor, act.StartChild(args=(label, let)))
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: events[3:] == ["~a", "~b", "~c"])
    let.set()
    await eventually(lambda: node.processes() == [])
    assert events[6:] == ["-a", "-b", "-c"]


async def test_instances_share_one_time_to_end(node: homing.Node) -> None:
    events: list[str] = []
    template = act.ChildSpec(name="instance", behavior=SlowEnd, args=(events,), shutdown=0.05)
    supervisor = await supervise(node, template, type=SIMPLE)
    for label in "abcd":
        await node.call(supervisor, act.StartChild(args=(label, done() if label in "bd" else asyncio.Event())))
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert [each for each in events if each[0] == "-"] == ["-b", "-d"]
