"""Links, monitors and exit signals: what is refused, what cannot be trapped, and who is told of what."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, ProbeActor, eventually
from ..actors import Doer, Meta, throw

WAYS = pytest.mark.parametrize("way", ["link", "monitor"])


@WAYS
async def test_what_is_not_there_cannot_be_linked_to_or_monitored(node: homing.Node, probe: Probe, way: str) -> None:
    dead = await node.spawn(Doer, name="dead")
    node.kill(dead)
    cases: list[tuple[Any, type[Exception]]] = [
        (dead, gen.ProcessTerminated),
        (dead._replace(id=999_999), gen.ProcessUnknown),
        (dead._replace(node="far@away"), gen.NodeUnknown),
        ("dead", gen.NameUnknown),
        (gen.ProcessID("dead", "far@away"), gen.NodeUnknown),
        (gen.Alias(node.name, 999_999, dead.creation), gen.AliasUnknown),
        (gen.Event("none", node.name), gen.EventUnknown),
        (gen.Event("none", "far@away"), gen.NodeUnknown),
        (None, gen.BadOption),
        ([], gen.BadOption),
    ]

    def check(actor: act.Actor) -> None:
        for subject, error in cases:
            with pytest.raises(error) as caught:
                getattr(actor, way)(subject)
            assert type(caught.value) is error

    await probe.do(check)
    info = node.process_info(probe.pid)
    assert (info.links, info.monitors) == ((), ())


@WAYS
@pytest.mark.parametrize("kind", ["pid", "name", "alias"])
async def test_a_process_can_neither_link_to_nor_monitor_itself(
    node: homing.Node, probe: Probe, way: str, kind: str
) -> None:
    def check(actor: act.Actor) -> None:
        actor.register_name("me")
        subject: Any = {"pid": actor.pid, "name": "me", "alias": actor.create_alias()}[kind]
        with pytest.raises(gen.NotAllowed, match="itself"):
            getattr(actor, way)(subject)

    await probe.do(check)


async def test_a_link_points_one_way(node: homing.Node) -> None:
    subject = await node.spawn(Doer)
    consumer = await node.spawn(Doer)
    await node.call(consumer, lambda actor: actor.link(subject))
    node.send(consumer, throw(gen.TerminateNormal))
    await eventually(lambda: node.processes() == [subject])
    assert await node.call(subject, lambda actor: "alive") == "alive"


async def test_many_consumers_are_told_each_once(node: homing.Node) -> None:
    subject = await node.spawn(Doer)
    probes = [await Probe.start(node) for _ in range(20)]
    for probe in probes:
        await probe.do(lambda actor: actor.monitor(subject))
    node.kill(subject)
    assert [(await probe.get()).pid for probe in probes] == [subject] * 20


async def test_a_chain_of_links_ends_from_one_end_to_the_other(node: homing.Node) -> None:
    pids = [await node.spawn(Doer)]
    for _ in range(50):
        pids.append(await node.spawn(Doer))
        await node.call(pids[-1], lambda actor: actor.link(pids[-2]))
    node.send(pids[0], throw(ValueError("broken")))
    await eventually(lambda: node.processes() == [])
    assert node.info().crashes == 1


async def test_processes_linked_to_each_other_end_together_and_once(node: homing.Node) -> None:
    reasons: list[Exception] = []
    first, second = await node.spawn(Doer, reasons), await node.spawn(Doer, reasons)
    await node.call(first, lambda actor: actor.link(second))
    await node.call(second, lambda actor: actor.link(first))
    node.kill(first)
    await eventually(lambda: node.processes() == [])
    assert [type(reason) for reason in reasons] == [gen.TerminateKill] * 2


# --- exit signals ----------------------------------------------------------------------------------------


async def test_an_exit_signal_ends_a_process_for_its_reason_without_a_crash(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    reasons: list[Exception] = []
    sender, receiver = await node.spawn(Doer), await node.spawn(Doer, reasons)
    error = ValueError("told to")
    await node.call(sender, lambda actor: actor.send_exit(receiver, error))
    await eventually(lambda: receiver not in node.processes())
    assert reasons == [error]
    assert node.info().crashes == 0
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_trapped_exit_signal_is_a_message(node: homing.Node, probe: Probe) -> None:
    sender = await node.spawn(Doer)
    await node.call(sender, lambda actor: actor.send_exit(probe.pid, gen.TerminateShutdown))
    kind, origin, message = await probe.next()
    assert (kind, origin, type(message), message.pid) == ("message", sender, gen.MessageExitPID, sender)
    assert isinstance(message.reason, gen.TerminateShutdown)


async def test_trap_exit_can_be_set_at_any_time(node: homing.Node) -> None:
    got: list[Any] = []

    class Late(Doer):
        def handle_message(self, sender: gen.PID, message: Any) -> Any:
            got.append(message)

    pid, sender = await node.spawn(Late), await node.spawn(Doer)

    def trap(actor: Late) -> None:
        actor.trap_exit = True

    await node.call(pid, trap)
    assert node.process_info(pid).trap_exit
    await node.call(sender, lambda actor: actor.send_exit(pid, gen.TerminateKill))
    await eventually(lambda: got)
    assert pid in node.processes()


async def test_the_exit_signal_of_the_parent_cannot_be_trapped(node: homing.Node) -> None:
    parent, stranger = await node.spawn(Doer), await node.spawn(Doer)
    probe = Probe(node)
    child = await node.call(parent, lambda actor: actor.spawn(ProbeActor, probe))
    await node.call(stranger, lambda actor: actor.send_exit(child, gen.TerminateShutdown))
    assert isinstance(await probe.get(), gen.MessageExitPID)
    await node.call(parent, lambda actor: actor.send_exit(child, gen.TerminateShutdown("by the parent")))
    await eventually(lambda: child not in node.processes())
    assert str(probe.reason) == "by the parent"


async def test_the_nodes_exit_signal_cannot_be_trapped_by_what_it_spawned(node: homing.Node, probe: Probe) -> None:
    node.send_exit(probe.pid, gen.TerminateShutdown)
    await eventually(probe.ended.is_set)
    assert isinstance(probe.reason, gen.TerminateShutdown)


async def test_the_death_of_a_linked_parent_cannot_be_trapped(node: homing.Node) -> None:
    parent = await node.spawn(Doer)
    probe = Probe(node)
    options = gen.ProcessOptions(link_parent=True)
    await node.call(parent, lambda actor: actor.spawn(ProbeActor, probe, options=options))
    node.kill(parent)
    await eventually(lambda: node.processes() == [])
    assert isinstance(probe.reason, gen.TerminateKill)


async def test_an_exit_signal_waits_for_the_message_in_hand_only(node: homing.Node) -> None:
    notes: list[Any] = []
    pid = await node.spawn(Doer, notes)

    def first(actor: Doer) -> None:
        node.send_exit(pid, gen.TerminateShutdown)
        notes.append("first")

    node.send(pid, first)
    node.send(pid, lambda actor: notes.append("second"))
    await eventually(lambda: node.processes() == [])
    assert [type(note) for note in notes] == [str, gen.TerminateShutdown]


async def test_an_exit_signal_to_itself_or_to_the_parent_is_refused(node: homing.Node) -> None:
    parent = await node.spawn(Doer)
    child = await node.call(parent, lambda actor: actor.spawn(Doer))

    def check(actor: Doer) -> None:
        for pid in (actor.pid, actor.parent):
            with pytest.raises(gen.NotAllowed, match="raise the reason instead"):
                actor.send_exit(pid, gen.TerminateShutdown)

    await node.call(child, check)


async def test_exit_signals_that_cannot_be_sent_are_refused(node: homing.Node, probe: Probe) -> None:
    dead = await node.spawn(Doer)
    node.kill(dead)
    alias = await node.call(await node.spawn(Doer), lambda actor: actor.create_alias())
    good = await node.spawn(Doer)

    def check(actor: act.Actor) -> None:
        for pid, reason, error in [
            (dead, gen.TerminateShutdown, gen.ProcessTerminated),
            (dead._replace(id=999_999), gen.TerminateShutdown, gen.ProcessUnknown),
            ("name", gen.TerminateShutdown, gen.BadOption),
            (good, "shutdown", gen.BadOption),
        ]:
            with pytest.raises(error):
                actor.send_exit(pid, reason)
        for alias_, reason, error in [
            (alias, gen.TerminateShutdown, gen.BadOption),
            (good, gen.TerminateShutdown, gen.BadOption),
            (alias._replace(id=999_999), gen.TerminateShutdown, gen.AliasUnknown),
            (alias, "shutdown", gen.BadOption),
        ]:
            with pytest.raises(error):
                actor.send_exit_meta(alias_, reason)

    await probe.do(check)


async def test_a_process_may_clean_up_its_names_aliases_and_events_in_its_terminate(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    class Tidy(act.Actor):
        def init(self) -> None:
            self.alias = self.create_alias()
            self.register_name("tidy")
            self.register_event("topic")

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.alias

        def terminate(self, reason: Exception) -> None:
            self.delete_alias(self.alias)
            self.unregister_name()
            self.unregister_event("topic")

    pid = await node.spawn(Tidy)
    alias = await node.call(pid, "alias")
    for subject in (alias, "tidy", gen.Event("topic", node.name)):
        await probe.do(lambda actor, subject=subject: actor.monitor(subject))
    node.send_exit(pid, gen.TerminateShutdown)
    reasons = [type((await probe.get()).reason) for _ in range(3)]
    assert reasons == [gen.Unregistered] * 3
    await eventually(lambda: node.processes() == [probe.pid])
    assert caplog.records == []
    assert (node.info().names, node.info().events) == (0, 0)


async def test_a_process_may_link_to_a_meta_process_of_its_own(node: homing.Node, probe: Probe) -> None:
    async def start(actor: act.Actor) -> gen.Alias:
        alias = await actor.spawn_meta(Meta())
        actor.link(alias)
        return alias

    alias = await probe.do(start)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    message = await probe.get()
    assert (type(message), message.alias) == (gen.MessageExitAlias, alias)
