"""Links and monitors across nodes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing import gen
from homing.cluster.memory_engine import MemoryNetwork

from .nodes import member, members, until, virtual
from .relating import NONE_LEFT, Linked, Publisher, Watcher, process, reasons, relations_left

KINDS = ("pid", "name", "alias")
DOWN = {"pid": gen.MessageDownPID, "name": gen.MessageDownName, "alias": gen.MessageDownAlias}
EXIT = {"pid": gen.MessageExitPID, "name": gen.MessageExitName, "alias": gen.MessageExitAlias}


def subject_of(kind: str, one: Any) -> gen.Subject:
    """An address of a process, as another node names it."""
    if kind == "name":
        return gen.ProcessID(one.name, one.node)
    return one.pid if kind == "pid" else one.create_alias()


@pytest.mark.parametrize("kind", KINDS)
def test_a_monitor_tells_the_reason_of_the_end_of_a_process_elsewhere(kind: str) -> None:
    @virtual
    async def run() -> None:
        async with members("a", "b") as (a, b):
            subject, watcher = await process(b, name="it"), await process(a)
            address = subject_of(kind, subject)
            watcher.monitor(address)
            await asyncio.sleep(1)
            b.node.send_exit(subject.pid, gen.TerminateShutdown("enough"))
            await until(lambda: watcher.got)
            (notice,) = watcher.got
            assert isinstance(notice, DOWN[kind])
            assert getattr(notice, kind) == address
            assert isinstance(notice.reason, gen.TerminateShutdown)
            assert str(notice.reason) == "enough"

    run()


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_sends_an_exit_signal_for_the_end_of_a_process_elsewhere(kind: str) -> None:
    @virtual
    async def run() -> None:
        async with members("a", "b") as (a, b):
            subject = await process(b, name="it")
            trapping, ending = await process(a), await process(a, Linked)
            address = subject_of(kind, subject)
            for one in (trapping, ending):
                one.link(address)
            await asyncio.sleep(1)
            b.node.kill(subject.pid)
            await until(lambda: trapping.got and ending.pid not in a.node.processes())
            (notice,) = trapping.got
            assert isinstance(notice, EXIT[kind])
            assert isinstance(notice.reason, gen.TerminateKill)

    run()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("broken"), ValueError("broken")),
        (gen.TerminateNormal(), gen.TerminateNormal()),
        (type("OwnError", (Exception,), {})("secret"), gen.RemoteError("OwnError", "secret")),
    ],
)
def test_the_reason_of_a_crash_travels(error: Exception, expected: Exception) -> None:
    @virtual
    async def run() -> None:
        async with members("a", "b") as (a, b):
            subject, watcher = await process(b, Publisher), await process(a)
            watcher.monitor(subject.pid)
            await asyncio.sleep(1)
            b.node.send(subject.pid, error)
            await until(lambda: watcher.got)
            (reason,) = reasons(watcher, gen.MessageDownPID)
            assert type(reason) is type(expected)
            assert str(reason) == str(expected)

    run()


@virtual
async def test_a_subject_that_never_was_there_is_down_at_once() -> None:
    async with members("a", "b") as (a, b):
        watcher = await process(a)
        creation = b.pid.creation
        watcher.monitor(gen.PID(b.node.name, 999_999, creation))
        watcher.monitor(gen.ProcessID("nobody", b.node.name))
        watcher.link(gen.Alias(b.node.name, 999_998, creation))
        await until(lambda: len(watcher.got) == 3)
        assert {type(notice): type(notice.reason) for notice in watcher.got} == {
            gen.MessageDownPID: gen.ProcessUnknown,
            gen.MessageDownName: gen.NameUnknown,
            gen.MessageExitAlias: gen.AliasUnknown,
        }
        assert relations_left(a) == NONE_LEFT
        assert relations_left(b) == NONE_LEFT


@virtual
async def test_a_link_to_a_process_that_has_ended_ends_the_process() -> None:
    async with members("a", "b") as (a, b):
        subject, ending = await process(b), await process(a, Linked)
        b.node.kill(subject.pid)
        ending.link(subject.pid)
        await until(lambda: ending.pid not in a.node.processes())


@virtual
async def test_only_nodes_that_are_up_can_be_watched() -> None:
    async with members("a", "b") as (a, b):
        watcher = await process(a)
        with pytest.raises(gen.NodeUnknown):
            watcher.monitor(gen.PID("c@localhost", 1001, 5))
        earlier = gen.PID(b.node.name, b.pid.id, b.pid.creation - 1)
        with pytest.raises(gen.ProcessTerminated):
            watcher.link(earlier)
        assert relations_left(a) == NONE_LEFT


@virtual
async def test_a_subject_is_watched_once_for_all_processes_of_a_node() -> None:
    async with members("a", "b") as (a, b):
        subject = await process(b)
        watchers = [await process(a) for _ in range(10)]
        for one in watchers:
            one.link(subject.pid)
            one.monitor(subject.pid)
        await asyncio.sleep(1)
        assert (a.cluster.relations.watched(b.node.name), b.cluster.relations.consumed(a.node.name)) == (1, 1)
        b.node.kill(subject.pid)
        await until(lambda: all(len(one.got) == 2 for one in watchers))
        assert relations_left(a) == NONE_LEFT
        assert relations_left(b) == NONE_LEFT


@virtual
async def test_the_same_link_twice_is_refused() -> None:
    async with members("a", "b") as (a, b):
        watcher = await process(a)
        watcher.link(b.pid)
        with pytest.raises(gen.AlreadyLinked):
            watcher.link(b.pid)


@virtual
async def test_a_link_that_was_removed_is_silent_and_leaves_nothing() -> None:
    async with members("a", "b") as (a, b):
        subject, watcher = await process(b), await process(a)
        watcher.link(subject.pid)
        watcher.monitor(subject.pid)
        await asyncio.sleep(1)
        assert watcher.unlink(subject.pid)
        assert not watcher.unlink(subject.pid)
        assert watcher.demonitor(subject.pid)
        await asyncio.sleep(1)
        assert relations_left(b) == NONE_LEFT
        b.node.kill(subject.pid)
        await asyncio.sleep(1)
        assert watcher.got == []


@virtual
async def test_a_monitor_removed_while_its_notice_is_on_its_way_is_silent() -> None:
    async with members("a", "b", network=MemoryNetwork(delay=0.5)) as (a, b):
        subject, watcher = await process(b), await process(a)
        watcher.monitor(subject.pid)
        await asyncio.sleep(1)
        b.node.kill(subject.pid)
        await asyncio.sleep(0.25)
        assert watcher.demonitor(subject.pid)
        await asyncio.sleep(2)
        assert watcher.got == []
        assert relations_left(a) == relations_left(b) == NONE_LEFT


@virtual
async def test_a_name_watched_anew_while_a_notice_is_on_its_way_is_of_its_new_process() -> None:
    async with members("a", "b", network=MemoryNetwork(delay=0.5)) as (a, b):
        first, watcher = await process(b, name="it"), await process(a)
        name = gen.ProcessID("it", b.node.name)
        watcher.monitor(name)
        await asyncio.sleep(1)
        b.node.kill(first.pid)
        await process(b, name="it")
        await asyncio.sleep(0.25)
        watcher.demonitor(name)
        watcher.monitor(name)
        await asyncio.sleep(2)
        assert watcher.got == []
        assert relations_left(b)[3] == 1


@virtual
async def test_the_end_of_the_consumer_ends_its_watches() -> None:
    async with members("a", "b") as (a, b):
        watcher = await process(a)
        watcher.link(b.pid)
        watcher.monitor(gen.ProcessID("keeper", b.node.name))
        await asyncio.sleep(1)
        assert relations_left(b)[3] == 2
        a.node.kill(watcher.pid)
        await asyncio.sleep(1)
        assert relations_left(a) == relations_left(b) == NONE_LEFT


@virtual
async def test_a_name_or_alias_that_is_given_up_is_unregistered_for_others_too() -> None:
    async with members("a", "b") as (a, b):
        subject, watcher = await process(b, name="it"), await process(a)
        alias = subject.create_alias()
        watcher.monitor(gen.ProcessID("it", b.node.name))
        watcher.monitor(alias)
        await asyncio.sleep(1)
        subject.unregister_name()
        subject.delete_alias(alias)
        await until(lambda: len(watcher.got) == 2)
        assert [type(notice.reason) for notice in watcher.got] == [gen.Unregistered] * 2


@virtual
async def test_a_name_that_is_not_exposed_cannot_be_watched() -> None:
    async with members("a", "b", exposed=("pool-*",)) as (a, b):
        watcher = await process(a)
        watcher.monitor(gen.ProcessID("keeper", b.node.name))
        await until(lambda: watcher.got)
        (reason,) = reasons(watcher, gen.MessageDownName)
        assert isinstance(reason, gen.NameUnknown)


@virtual
async def test_the_end_of_a_node_fires_each_link_and_monitor_once() -> None:
    async with members("a", "b", "c") as (a, b, c):
        watcher, beside = await process(a), await process(a)
        watcher.link(b.pid)
        watcher.monitor(b.pid)
        watcher.monitor(gen.ProcessID("keeper", b.node.name))
        beside.monitor(c.pid)
        await asyncio.sleep(1)
        a.engine.network.kill(b.node.name)
        await until(lambda: len(watcher.got) == 3)
        await asyncio.sleep(5)
        assert len(watcher.got) == 3
        assert all(isinstance(notice.reason, gen.NodeDown) for notice in watcher.got)
        assert beside.got == []
        assert relations_left(a) == (0, 1, 0, 1, 0)  # the one of node c


@virtual
async def test_links_and_monitors_fire_before_the_notice_of_the_node() -> None:
    async with members("a", "b") as (a, b):
        publisher, watcher = await process(b, Publisher), await process(a)
        many = [await process(b) for _ in range(300)]
        watcher.monitor_event(gen.Event("news", b.node.name))
        for one in many:
            watcher.monitor(one.pid)
        watcher.link(publisher.pid)
        watcher.monitor_node(b.node.name)
        await asyncio.sleep(1)
        a.engine.network.kill(b.node.name)
        await until(lambda: len(watcher.got) == 303)
        exits = [notice for notice in watcher.got if isinstance(notice, gen.MessageExitPID)]
        others = [notice for notice in watcher.got if not isinstance(notice, gen.MessageExitPID)]
        assert len(exits) == 1  # signals are taken first, by their lane
        assert [notice.pid for notice in others[:300]] == [one.pid for one in many]
        assert [type(notice) for notice in others[300:]] == [gen.MessageDownEvent, gen.MessageNodeDown]


@virtual
async def test_a_node_that_was_started_again_supersedes_the_links_to_it() -> None:
    network = MemoryNetwork()
    async with members("a", "b", network=network) as (a, b):
        subject, watcher = await process(b), await process(a)
        watcher.monitor(subject.pid)
        await asyncio.sleep(1)
        again = await member(network, "b")
        try:
            await until(lambda: watcher.got)
            (reason,) = reasons(watcher, gen.MessageDownPID)
            assert isinstance(reason, gen.Superseded | gen.NodeDown)
            await until(lambda: a.cluster.links.get(again.node.name))
            with pytest.raises(gen.ProcessTerminated):
                watcher.monitor(subject.pid)
            watcher.monitor(again.pid)
            again.node.kill(again.pid)
            await until(lambda: len(watcher.got) == 2)
        finally:
            await again.node.stop()


@virtual
async def test_leaving_the_cluster_ends_the_links_of_both_sides() -> None:
    async with members("a", "b") as (a, b):
        here, there = await process(a), await process(b)
        here.link(there.pid)
        there.monitor(here.pid)
        await asyncio.sleep(1)
        await a.cluster.leave()
        await until(lambda: here.got and there.got)
        assert isinstance(here.got[0].reason, gen.NodeDown)
        assert isinstance(there.got[0].reason, gen.NodeDown)
        assert relations_left(a) == relations_left(b) == NONE_LEFT
        with pytest.raises(gen.NodeUnknown):
            here.link(there.pid)


@virtual
async def test_links_come_again_after_a_partition() -> None:
    async with members("a", "b") as (a, b):
        watcher = await process(a)
        network = a.engine.network
        for times in range(1, 4):
            watcher.monitor(b.pid)
            await asyncio.sleep(1)
            network.partition(a.node.name, b.node.name)
            await until(lambda times=times: len(watcher.got) == times)
            network.heal()
            await until(lambda: a.cluster.links and b.cluster.links)
        assert all(isinstance(notice.reason, gen.NodeDown) for notice in watcher.got)
        assert relations_left(a) == relations_left(b) == NONE_LEFT


class Guard(Watcher):
    """Links itself in `init`, and does not trap exits of its parent."""

    def init(self, subject: gen.Subject) -> None:  # type: ignore[override]
        super().init()
        self.link(subject)


@virtual
async def test_a_signal_of_a_link_elsewhere_is_never_the_parents() -> None:
    async with members("a", "b") as (a, b):
        guard = await process(a, Guard, gen.ProcessID("keeper", b.node.name))
        await asyncio.sleep(1)
        a.engine.network.kill(b.node.name)
        await until(lambda: guard.got)  # it lives: its parent is its own node
        assert guard.pid in a.node.processes()
