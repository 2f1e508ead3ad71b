"""`handle_child_start` and `handle_child_terminate`: when they run, and what happens if they raise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from .supervision import (
    ALL,
    SIMPLE,
    TEMPORARY,
    Child,
    FailsAgain,
    Given,
    HangsAgain,
    child,
    children,
    crash,
    end,
)


class Noting(Given):
    """Notes what it is told. Raises what the test has put into `faults` for that note."""

    def init(self, spec: act.SupervisorSpec, notes: list[Any], faults: dict[str, Exception]) -> act.SupervisorSpec:
        self.notes = notes
        self.faults = faults
        return super().init(spec)

    def handle_child_start(self, name: str | None, pid: gen.PID) -> Any:
        self.note(f"start {name}", pid)

    def handle_child_terminate(self, name: str | None, pid: gen.PID, reason: Exception) -> Any:
        self.note(f"terminate {name}", pid, type(reason).__name__)

    def note(self, what: str, *facts: Any) -> None:
        self.notes.append((what, *facts))
        if what in self.faults:
            raise self.faults[what]


class NotingLater(Noting):
    """The same, by coroutines."""

    async def handle_child_start(self, name: str | None, pid: gen.PID) -> None:
        await asyncio.sleep(0)
        super().handle_child_start(name, pid)

    async def handle_child_terminate(self, name: str | None, pid: gen.PID, reason: Exception) -> None:
        await asyncio.sleep(0)
        super().handle_child_terminate(name, pid, reason)


BOTH = pytest.mark.parametrize("behavior", [Noting, NotingLater])


async def begin(
    node: homing.Node, behavior: type[Noting], *specs: act.ChildSpec, **options: Any
) -> tuple[gen.PID, list[Any], dict[str, Exception]]:
    notes: list[Any] = []
    faults: dict[str, Exception] = {}
    spec = act.SupervisorSpec(children=specs, **options)
    return await node.spawn(behavior, spec, notes, faults, name="supervisor"), notes, faults


@BOTH
async def test_each_start_and_each_end_is_told_in_order(behavior: type[Noting], node: homing.Node) -> None:
    _, notes, _ = await begin(node, behavior, child([], "a"), child([], "b"), type=ALL)
    old = [node.process_info(name).pid for name in "ab"]
    assert notes == [("start a", old[0]), ("start b", old[1])]
    notes.clear()
    await crash(node, "a")
    await children(node)
    new = [node.process_info(name).pid for name in "ab"]
    assert notes == [
        ("terminate a", old[0], "RuntimeError"),
        ("terminate b", old[1], "TerminateRestart"),
        ("start a", new[0]),
        ("start b", new[1]),
    ]


async def test_what_was_undone_is_told_too(node: homing.Node) -> None:
    events: list[str] = []
    _, notes, _ = await begin(node, Noting, child(events, "a"), child(events, "b", FailsAgain), type=ALL, intensity=1)
    notes.clear()
    await crash(node, "b")
    await eventually(lambda: node.processes() == [])
    assert [(note[0], *note[2:]) for note in notes] == [
        ("terminate b", "RuntimeError"),
        ("terminate a", "TerminateRestart"),
        ("start a",),
        ("terminate a", "TerminateRestart"),
    ]


@BOTH
async def test_what_is_done_on_request_is_told_before_the_answer(behavior: type[Noting], node: homing.Node) -> None:
    _, notes, _ = await begin(node, behavior, child([], "a"))
    a = node.process_info("a").pid
    notes.clear()
    b = await node.call("supervisor", act.StartChild(child([], "b")))
    assert notes == [("start b", b)]
    await node.call("supervisor", act.TerminateChild("a"))
    assert notes[1:] == [("terminate a", a, "TerminateShutdown")]


async def test_an_instance_is_told_without_a_name_unless_it_was_given_one(node: homing.Node) -> None:
    template = act.ChildSpec(name="instance", behavior=Child, args=([], "x"))
    _, notes, _ = await begin(node, Noting, template, type=SIMPLE)
    await node.call("supervisor", act.StartChild())
    await node.call("supervisor", act.StartChild(name="x"))
    assert [note[0] for note in notes] == ["start None", "start x"]


async def test_what_ends_with_the_supervisor_is_not_told(node: homing.Node) -> None:
    supervisor, notes, _ = await begin(node, Noting, child([], "a"))
    notes.clear()
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert notes == []


async def test_the_end_that_a_supervisor_gives_up_for_is_told(node: homing.Node) -> None:
    supervisor, notes, _ = await begin(node, Noting, child([], "a"), child([], "b"), intensity=0)
    await crash(node, "a")
    await eventually(lambda: supervisor not in node.processes())
    assert [note[0] for note in notes] == ["start a", "start b", "terminate a"]


@BOTH
@pytest.mark.parametrize("what", ["start a", "terminate a"])
async def test_a_callback_that_raises_crashes_the_supervisor_which_ends_its_children(
    what: str, behavior: type[Noting], node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    supervisor, _, faults = await begin(node, behavior, child(events, "a"), child(events, "b"))
    await probe.do(lambda actor: actor.monitor(supervisor))
    faults[what] = ValueError("a bad callback")
    await crash(node, "a")
    assert (await probe.get()).reason is faults[what]
    assert events == ["+a", "+b", "-a", "+a", "-b", "-a"]
    assert node.info().crashes == 2
    assert node.processes() == [probe.pid]


async def test_a_callback_that_raises_at_the_start_fails_the_supervisor(node: homing.Node) -> None:
    events: list[str] = []
    spec = act.SupervisorSpec(children=(child(events, "a"), child(events, "b")))
    with pytest.raises(ValueError, match="a bad callback"):
        await node.spawn(Noting, spec, [], {"start a": ValueError("a bad callback")})
    assert events == ["+a", "+b", "-b", "-a"]
    assert node.processes() == []


@BOTH
@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_callback_that_raises_amid_a_request_tells_the_caller_that_the_supervisor_ended(
    succeeds: bool, behavior: type[Noting], node: homing.Node
) -> None:
    events: list[str] = []
    supervisor, _, faults = await begin(node, behavior, child(events, "a", restart=TEMPORARY))
    faults.update({"start b": ValueError("bad"), "terminate a": ValueError("bad")})
    request = act.StartChild(child(events, "b")) if succeeds else act.TerminateChild("a")
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call(supervisor, request)
    assert repr(caught.value.reason) == "ValueError('bad')"
    assert node.processes() == []


async def test_a_supervisor_that_is_killed_runs_no_more_of_them(node: homing.Node) -> None:
    events: list[str] = []
    hanging = child(events, "b", HangsAgain, asyncio.Event())
    supervisor, notes, _ = await begin(node, Noting, child(events, "a"), hanging, type=ALL)
    notes.clear()
    await crash(node, "a")
    await eventually(lambda: "?b" in events)
    node.kill(supervisor)
    await eventually(lambda: node.processes() == [])
    assert notes == []


class Growing(Given):
    """Starts a helper for each child that ends."""

    async def handle_child_terminate(self, name: str | None, pid: gen.PID, reason: Exception) -> None:
        await self.start_child(child([], f"helper of {name}"))


async def test_a_callback_may_start_and_end_children_itself(node: homing.Node) -> None:
    spec = act.SupervisorSpec(children=(child([], "a", restart=TEMPORARY), child([], "b", restart=TEMPORARY)))
    await node.spawn(Growing, spec, name="supervisor")
    await end(node, "a", gen.TerminateNormal())
    assert list(await children(node)) == ["b", "helper of a"]
    await node.call("supervisor", act.TerminateChild("b"))
    assert list(await children(node)) == ["helper of a", "helper of b"]
