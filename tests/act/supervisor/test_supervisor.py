"""The supervisor: starts its children in order, keeps their names, shows them, and ends them in reverse order."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from .supervision import (
    ALL,
    ONE,
    REST,
    SIMPLE,
    TEMPORARY,
    TRANSIENT,
    Child,
    Failing,
    FailsSometimes,
    Given,
    child,
    children,
    crash,
    end,
    nested,
    supervise,
)

TYPES = [ONE, ALL, REST]


@pytest.mark.parametrize("kind", TYPES)
async def test_children_start_in_order_and_end_in_reverse_order(kind: act.SupervisorType, node: homing.Node) -> None:
    events: list[str] = []
    pid = await supervise(node, *(child(events, label) for label in "abc"), type=kind)
    assert events == ["+a", "+b", "+c"]
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_a_child_that_was_restarted_ends_in_its_old_place(node: homing.Node) -> None:
    events: list[str] = []
    pid = await supervise(node, *(child(events, label) for label in "abc"))
    await crash(node, "a")
    await children(node)
    events.clear()
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: not node.processes())
    assert events == ["-c", "-b", "-a"]


async def test_each_child_is_registered_under_its_name_and_is_linked_to_the_supervisor(node: homing.Node) -> None:
    supervisor = await supervise(node, child([], "a"))
    info = node.process_info("a")
    assert (info.name, info.parent) == ("a", supervisor)
    assert supervisor in info.links
    assert info.pid in node.process_info(supervisor).links


@pytest.mark.parametrize("kind", TYPES)
async def test_a_child_keeps_its_name_through_its_restarts(kind: act.SupervisorType, node: homing.Node) -> None:
    await supervise(node, child([], "a"), child([], "b"), type=kind)
    used = {await crash(node, "a") for _ in range(5) if await children(node)}
    info = (await children(node))["a"]
    assert await node.call("a", "who") == (info.pid, "a")
    assert len(used | {info.pid}) == 6
    assert info.restarts == 5


async def test_who_monitors_a_child_is_told_why_it_ended_and_who_asks_later_finds_the_next(
    node: homing.Node, probe: Probe
) -> None:
    await supervise(node, child([], "a"), child([], "b"), type=ALL)
    b = node.process_info("b").pid
    await probe.do(lambda actor: actor.monitor(b))
    await probe.do(lambda actor: actor.link("b"))
    await crash(node, "a")
    messages = [await probe.get(), await probe.get()]
    assert {type(message) for message in messages} == {gen.MessageDownPID, gen.MessageExitName}
    assert all(isinstance(message.reason, gen.TerminateRestart) for message in messages)
    assert (await children(node))["b"].pid == node.process_info("b").pid != b


async def test_what_a_supervisor_ends_to_start_it_again_is_no_crash(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    await supervise(node, child([], "a"), child([], "b"), child([], "c"), type=ALL)
    await crash(node, "b")
    assert {name: type(info.reason) for name, info in (await children(node)).items()} == {
        "a": gen.TerminateRestart,
        "b": RuntimeError,
        "c": gen.TerminateRestart,
    }
    assert node.info().crashes == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        message for message in caplog.messages if "crashed" in message
    ]


async def test_what_is_not_to_be_started_again_ends_with_its_group_for_a_plain_shutdown(
    node: homing.Node, probe: Probe
) -> None:
    await supervise(node, child([], "a"), child([], "b", restart=TEMPORARY), type=ALL)
    await probe.do(lambda actor: actor.monitor("b"))
    await crash(node, "a")
    assert type((await probe.get()).reason) is gen.TerminateShutdown


async def test_what_a_supervisor_ends_itself_is_no_message_to_it(node: homing.Node) -> None:
    class Listening(Given):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            heard.append(message)

    heard: list[Any] = []
    specs = tuple(child([], label) for label in "abc")
    await node.spawn(Listening, act.SupervisorSpec(children=specs, type=ALL), name="supervisor")
    node.send("c", RuntimeError("crash"))
    await crash(node, "b")
    await children(node)
    await node.call("supervisor", act.TerminateChild("a"))
    await children(node)
    assert heard == []


async def test_children_that_crash_while_their_group_is_ended_are_no_new_crash(node: homing.Node) -> None:
    events: list[str] = []
    await supervise(node, *(child(events, label) for label in "abc"), type=ALL)
    for label in "abc":
        node.send(label, RuntimeError("all at once"))
    await eventually(lambda: events.count("+c") == 2)
    assert {name: info.restarts for name, info in (await children(node)).items()} == {"a": 1, "b": 1, "c": 1}
    assert (await node.inspect("supervisor"))["restarts"] == 1


# --- its own start ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
async def test_a_child_whose_init_fails_undoes_the_others_and_fails_the_supervisor(
    kind: act.SupervisorType, node: homing.Node
) -> None:
    events: list[str] = []
    with pytest.raises(RuntimeError, match="c cannot start"):
        await supervise(node, child(events, "a"), child(events, "b"), child(events, "c", Failing), type=kind)
    assert events == ["+a", "+b", "-b", "-a"]
    assert node.processes() == []


async def test_a_child_whose_name_is_taken_undoes_the_others(node: homing.Node) -> None:
    events: list[str] = []
    other = await Probe.start(node, name="b")
    with pytest.raises(gen.NameTaken):
        await supervise(node, child(events, "a"), child(events, "b"))
    assert events == ["+a", "-a"]
    assert node.processes() == [other.pid]


async def test_an_init_that_panics_fails_the_supervisor_and_not_the_program(node: homing.Node) -> None:
    events: list[str] = []
    with pytest.raises(gen.TerminatePanic) as caught:
        await supervise(node, child(events, "a"), child(events, "b", FailsSometimes, [SystemExit(3)]))
    assert isinstance(caught.value.__cause__, SystemExit)
    assert events == ["+a", "!b", "-a"]
    assert node.processes() == []


async def test_a_tree_ends_from_its_last_leaf_to_its_root(node: homing.Node) -> None:
    events: list[str] = []
    left = act.SupervisorSpec(children=(child(events, "a"), child(events, "b")))
    right = act.SupervisorSpec(children=(child(events, "c"), child(events, "d")), type=ALL)
    top = await supervise(node, nested("left", left), nested("right", right))
    node.send_exit(top, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "+c", "+d", "-d", "-c", "-b", "-a"]


# --- messages ---------------------------------------------------------------------------------------------


class Own(act.Supervisor):
    """Has callbacks of its own."""

    split_handle = True

    def init(self, heard: list[Any]) -> act.SupervisorSpec:
        self.heard = heard
        return act.SupervisorSpec(children=(child([], "a"),))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.heard.append(message)

    def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
        self.heard.append((name, message))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return ("own", request)

    async def handle_call_name(self, name: str, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return (name, request)

    def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
        return {"heard": len(self.heard), **super().handle_inspect(sender, *items)}


async def test_what_is_no_end_of_a_child_comes_to_the_supervisors_own_callbacks(
    node: homing.Node, probe: Probe
) -> None:
    heard: list[Any] = []
    pid = await node.spawn(Own, heard, name="own")
    node.send(pid, "hello")
    node.send("own", "hello")
    assert await node.call(pid, "what?") == ("own", "what?")
    assert await node.call("own", "what?") == ("own", "what?")
    assert heard == ["hello", ("own", "hello")]
    await probe.do(lambda actor: actor.send_exit(pid, gen.TerminateShutdown))
    exit_signal = gen.MessageExitPID(probe.pid, heard[-1].reason)
    assert heard[-1] == exit_signal
    assert (await node.inspect(pid))["heard"] == 3


async def test_a_supervisor_with_callbacks_of_its_own_answers_its_requests_all_the_same(node: homing.Node) -> None:
    pid = await node.spawn(Own, [], name="own")
    assert list(await children(node, pid)) == list(await children(node, "own")) == ["a"]


async def test_a_request_that_no_supervisor_knows_is_refused(node: homing.Node) -> None:
    await supervise(node)
    with pytest.raises(gen.NotAllowed, match="handle_call"):
        await node.call("supervisor", "what?")


# --- inspect ----------------------------------------------------------------------------------------------


async def test_inspect_shows_the_limits_and_the_children(node: homing.Node) -> None:
    await supervise(
        node,
        child([], "a"),
        child([], "b", restart=TRANSIENT, significant=True),
        child([], "c", restart=TEMPORARY),
        intensity=2,
        period=60.0,
        auto_shutdown=act.AutoShutdown.ALL_SIGNIFICANT,
    )
    await crash(node, "a")
    await end(node, "c", gen.TerminateNormal())
    await node.call("supervisor", act.DisableChild("b"))
    facts = await node.inspect("supervisor")
    reasons = {name: facts["children"][name].pop("reason") for name in facts["children"]}
    assert facts == {
        "type": "one for one",
        "intensity": 2,
        "period": 60.0,
        "restarts": 1,
        "auto_shutdown": "all significant",
        "children": {
            "a": {
                "pid": node.process_info("a").pid,
                "state": "running",
                "restart": "permanent",
                "restarts": 1,
                "significant": False,
            },
            "b": {"pid": None, "state": "disabled", "restart": "transient", "restarts": 0, "significant": True},
        },
    }
    assert (repr(reasons["a"]), type(reasons["b"])) == ("RuntimeError('crash')", gen.TerminateShutdown)


async def test_the_tree_can_be_walked_by_inspect(node: homing.Node) -> None:
    await supervise(node, nested("left", act.SupervisorSpec(children=(child([], "a"),))))
    left = (await node.inspect("supervisor"))["children"]["left"]["pid"]
    assert (await node.inspect(left))["children"]["a"]["pid"] == node.process_info("a").pid


async def test_an_instance_without_a_name_is_shown_by_its_pid(node: homing.Node) -> None:
    template = act.ChildSpec(name="instance", behavior=Child, args=([], "x"))
    pid = await node.spawn(Given, act.SupervisorSpec(children=(template,), type=SIMPLE))
    first = await node.call(pid, act.StartChild())
    await node.call(pid, act.StartChild(name="second"))
    assert list((await node.inspect(pid))["children"]) == [str(first), "second"]
