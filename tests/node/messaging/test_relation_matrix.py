"""Links and monitors: every kind of subject x every way to end x link, link with trap_exit, monitor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..actors import Doer, Meta, throw, throw_later

ENDS: dict[str, tuple[Callable[[homing.Node, gen.PID], None], type[Exception]]] = {
    "normal": (lambda node, pid: node.send(pid, throw(gen.TerminateNormal)), gen.TerminateNormal),
    "shutdown": (lambda node, pid: node.send(pid, throw(gen.TerminateShutdown)), gen.TerminateShutdown),
    "kill": (lambda node, pid: node.kill(pid), gen.TerminateKill),
    "exit signal": (lambda node, pid: node.send_exit(pid, LookupError), LookupError),
    "SystemExit": (lambda node, pid: node.send(pid, throw(SystemExit(3))), gen.TerminatePanic),
    "KeyboardInterrupt": (lambda node, pid: node.send(pid, throw_later(KeyboardInterrupt)), gen.TerminatePanic),
    "stray CancelledError": (lambda node, pid: node.send(pid, throw_later(asyncio.CancelledError)), gen.TerminatePanic),
    "ValueError": (lambda node, pid: node.send(pid, throw(ValueError("broken"))), ValueError),
    "asynchronous ValueError": (lambda node, pid: node.send(pid, throw_later(ValueError("broken"))), ValueError),
}

KINDS: dict[str, tuple[type, type, str]] = {
    "pid": (gen.MessageExitPID, gen.MessageDownPID, "pid"),
    "name": (gen.MessageExitName, gen.MessageDownName, "name"),
    "process id": (gen.MessageExitName, gen.MessageDownName, "name"),
    "alias": (gen.MessageExitAlias, gen.MessageDownAlias, "alias"),
    "event": (gen.MessageExitEvent, gen.MessageDownEvent, "event"),
}

matrix = [pytest.mark.parametrize("kind", KINDS), pytest.mark.parametrize("end", ENDS)]


async def subject_of(node: homing.Node, kind: str) -> tuple[gen.PID, Any]:
    """A process, and that of it which is linked to or monitored."""
    pid = await node.spawn(Doer, name="subject")
    if kind == "alias":
        return pid, await node.call(pid, lambda actor: actor.create_alias())
    if kind == "event":
        await node.call(pid, lambda actor: actor.register_event("topic"))
    subjects = {
        "pid": pid,
        "name": "subject",
        "process id": gen.ProcessID("subject", node.name),
        "event": gen.Event("topic", node.name),
    }
    return pid, subjects[kind]


def every_case(test: Any) -> Any:
    for mark in matrix:
        test = mark(test)
    return test


@every_case
async def test_a_linked_process_ends_with_its_subject_for_the_same_reason(
    node: homing.Node, kind: str, end: str
) -> None:
    pid, subject = await subject_of(node, kind)
    reasons: list[Exception] = []
    consumer = await node.spawn(Doer, reasons)
    await node.call(consumer, lambda actor: actor.link(subject))
    cause, reason = ENDS[end]
    cause(node, pid)
    await eventually(lambda: node.processes() == [])
    assert [type(each) for each in reasons] == [reason]


@every_case
async def test_a_linked_process_that_traps_exits_gets_a_message_instead(
    node: homing.Node, probe: Probe, kind: str, end: str
) -> None:
    pid, subject = await subject_of(node, kind)
    await probe.do(lambda actor: actor.link(subject))
    cause, reason = ENDS[end]
    cause(node, pid)
    what, sender, message = await probe.next()
    assert (what, sender, type(message)) == ("message", pid, KINDS[kind][0])
    assert getattr(message, KINDS[kind][2]) == subject
    assert isinstance(message.reason, reason)
    assert node.processes() == [probe.pid]


@every_case
async def test_a_monitoring_process_gets_a_message(node: homing.Node, kind: str, end: str) -> None:
    class Watcher(Doer):
        def handle_message(self, sender: gen.PID, message: Any) -> Any:
            got.append((sender, message))

    got: list[Any] = []
    pid, subject = await subject_of(node, kind)
    watcher = await node.spawn(Watcher)
    await node.call(watcher, lambda actor: actor.monitor(subject))
    cause, reason = ENDS[end]
    cause(node, pid)
    [(sender, message)] = await eventually(lambda: got)
    assert (sender, type(message)) == (pid, KINDS[kind][1])
    assert getattr(message, KINDS[kind][2]) == subject
    assert isinstance(message.reason, reason)
    assert node.processes() == [watcher]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", ["link", "monitor"])
async def test_a_meta_process_that_ends_with_its_parent_tells_the_parents_reason(
    node: homing.Node, probe: Probe, way: str, end: str
) -> None:
    parent = await node.spawn(Doer)
    alias = await node.call(parent, lambda actor: actor.spawn_meta(Meta()))
    await probe.do(lambda actor: getattr(actor, way)(alias))
    cause, reason = ENDS[end]
    cause(node, parent)
    message = await probe.get()
    assert type(message) is (gen.MessageExitAlias if way == "link" else gen.MessageDownAlias)
    assert (message.alias, type(message.reason)) == (alias, reason)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pid"])
@pytest.mark.parametrize("way", ["link", "monitor"])
async def test_a_subject_that_is_given_up_is_told_as_unregistered(
    node: homing.Node, probe: Probe, kind: str, way: str
) -> None:
    pid, subject = await subject_of(node, kind)
    await probe.do(lambda actor: getattr(actor, way)(subject))

    def give_up(actor: act.Actor) -> None:
        match kind:
            case "alias":
                actor.delete_alias(subject)
            case "event":
                actor.unregister_event("topic")
            case _:
                actor.unregister_name()

    await node.call(pid, give_up)
    message = await probe.get()
    assert type(message) is KINDS[kind][0 if way == "link" else 1]
    assert getattr(message, KINDS[kind][2]) == subject
    assert isinstance(message.reason, gen.Unregistered)
    node.kill(pid)
    await eventually(lambda: node.processes() == [probe.pid])
    assert await probe.do(lambda actor: "nothing more") == "nothing more"
    assert probe.waiting() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["link", "monitor"])
async def test_what_was_taken_back_brings_nothing(node: homing.Node, probe: Probe, kind: str, way: str) -> None:
    pid, subject = await subject_of(node, kind)
    back = {"link": "unlink", "monitor": "demonitor"}[way]
    await probe.do(lambda actor: getattr(actor, way)(subject))
    assert await probe.do(lambda actor: getattr(actor, back)(subject)) is True
    assert await probe.do(lambda actor: getattr(actor, back)(subject)) is False
    node.kill(pid)
    await eventually(lambda: node.processes() == [probe.pid])
    assert await probe.do(lambda actor: "nothing") == "nothing"
    assert probe.waiting() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["link", "monitor"])
async def test_the_same_twice_is_refused_and_told_once(node: homing.Node, probe: Probe, kind: str, way: str) -> None:
    pid, subject = await subject_of(node, kind)

    def twice(actor: act.Actor) -> None:
        getattr(actor, way)(subject)
        with pytest.raises(gen.AlreadyLinked, match="already"):
            getattr(actor, way)(subject)

    await probe.do(twice)
    node.kill(pid)
    await probe.get()
    assert await probe.do(lambda actor: "nothing more") == "nothing more"
    assert probe.waiting() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_link_and_a_monitor_of_the_same_subject_are_told_each(
    node: homing.Node, probe: Probe, kind: str
) -> None:
    pid, subject = await subject_of(node, kind)
    await probe.do(lambda actor: (actor.link(subject), actor.monitor(subject)))
    assert len(node.process_info(probe.pid).links) == len(node.process_info(probe.pid).monitors) == 1
    node.kill(pid)
    assert [type(await probe.get()) for _ in range(2)] == list(KINDS[kind][:2])
    assert node.process_info(probe.pid).links == node.process_info(probe.pid).monitors == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["link", "monitor", "unlink", "demonitor"])
async def test_each_kind_of_subject_has_a_method_that_refuses_the_others(
    node: homing.Node, probe: Probe, kind: str, way: str
) -> None:
    _, subject = await subject_of(node, kind)
    own = "name" if kind == "process id" else kind

    def check(actor: act.Actor) -> None:
        if way in ("unlink", "demonitor"):
            getattr(actor, {"unlink": "link", "demonitor": "monitor"}[way])(subject)
        for each in ("pid", "name", "alias", "event"):
            method = getattr(actor, f"{way}_{each}")
            if each == own:
                assert method(subject) in (None, [], True)
            else:
                with pytest.raises(gen.BadOption, match="address"):
                    method(subject)

    await probe.do(check)
