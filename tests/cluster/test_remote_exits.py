"""Exit signals, inspections and what a node does only with its own processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing import act, gen

from .nodes import members, until, virtual
from .relating import Linked, Watcher, process


@virtual
async def test_an_exit_signal_ends_a_process_of_another_node() -> None:
    async with members("a", "b") as (a, b):
        ending, trapping, watcher = await process(b, Linked), await process(b), await process(a)
        watcher.send_exit(ending.pid, gen.TerminateShutdown("go"))
        watcher.send_exit(trapping.pid, KeyError("x"))
        await until(lambda: ending.pid not in b.node.processes() and trapping.got)
        (notice,) = trapping.got
        assert notice.pid == watcher.pid
        assert isinstance(notice.reason, KeyError)


@virtual
async def test_the_node_sends_an_exit_signal_to_a_process_of_another_node() -> None:
    async with members("a", "b") as (a, b):
        trapping = await process(b)
        a.node.send_exit(trapping.pid, gen.TerminateShutdown)
        await until(lambda: trapping.got)
        assert trapping.got[0].pid == a.node.pid


@virtual
async def test_a_process_refuses_signals_and_inspections_of_other_nodes_if_it_says_so() -> None:
    async with members("a", "b", inspect=True) as (a, b):
        options = gen.ProcessOptions(remote=False)
        closed, watcher = await process(b, Linked, options=options), await process(a)
        watcher.send_exit(closed.pid, gen.TerminateKill)
        watcher.send(closed.pid, "a message still comes")
        with pytest.raises(gen.NotAllowed):
            await watcher.inspect(closed.pid)
        await until(lambda: closed.got)
        assert closed.pid in b.node.processes()
        assert b.cluster.node(a.node.name).undelivered["refused"] == 2


@virtual
async def test_a_process_that_refuses_signals_gets_those_of_its_own_links() -> None:
    async with members("a", "b") as (a, b):
        subject = await process(a)
        closed = await process(b, Linked, options=gen.ProcessOptions(remote=False))
        closed.link(subject.pid)
        await asyncio.sleep(1)
        a.node.kill(subject.pid)
        await until(lambda: closed.pid not in b.node.processes())


class Meta(gen.MetaBehavior):
    """A meta-process that waits."""

    def init(self, process: Any) -> None:
        self.process = process


@virtual
async def test_an_exit_signal_ends_a_meta_process_of_another_node() -> None:
    async with members("a", "b") as (a, b):
        owner, watcher = await process(b), await process(a)
        alias = await owner.spawn_meta(Meta())
        watcher.monitor(alias)
        await asyncio.sleep(1)
        watcher.send_exit_meta(alias, gen.TerminateShutdown)
        await until(lambda: watcher.got)
        assert isinstance(watcher.got[0], gen.MessageDownAlias)
        assert owner.pid in b.node.processes()


@virtual
async def test_a_process_is_inspected_from_elsewhere_only_if_its_node_allows_it() -> None:
    async with members("a", "b", inspect=True) as (a, b):
        watcher, subject = await process(a), await process(b)
        assert await watcher.inspect(subject.pid, "x", "y") == {"items": "x,y"}
        assert await a.node.inspect(subject.pid, "z") == {"items": "z"}
    async with members("a", "b") as (a, b):
        watcher, subject = await process(a), await process(b)
        with pytest.raises(gen.NotAllowed, match="inspect=True"):
            await watcher.inspect(subject.pid)


@virtual
async def test_a_node_kills_and_describes_only_its_own_processes() -> None:
    async with members("a", "b") as (a, b):
        for what in (a.node.kill, a.node.process_info):
            with pytest.raises(gen.NotAllowed, match="b@localhost"):
                what(b.pid)
        assert b.pid in b.node.processes()


@virtual
async def test_a_meta_process_is_not_given_to_another_node() -> None:
    async with members("a", "b") as (a, b):
        owner = await process(a)
        alias = await owner.spawn_meta(Meta())
        with pytest.raises(gen.NotAllowed, match="stays on its node"):
            owner.give_meta(alias, b.pid)


class Keeping(act.Supervisor):
    """A supervisor with a link to a process of another node."""

    def init(self, other: gen.PID) -> act.SupervisorSpec:
        self.got: list[Any] = []
        self.link(other)
        return act.SupervisorSpec(
            type=act.SupervisorType.ONE_FOR_ONE, children=(act.ChildSpec(name="child", behavior=Watcher),)
        )

    def handle_message(self, sender: Any, message: Any) -> None:
        self.got.append(message)


@virtual
async def test_a_supervisor_gets_the_signal_of_a_link_elsewhere_as_a_message_as_from_any_process_but_a_child() -> None:
    async with members("a", "b") as (a, b):
        supervisor = await process(a, Keeping, b.pid)
        before = a.node.processes()
        await asyncio.sleep(1)
        b.node.kill(b.pid)
        await until(lambda: supervisor.got)
        assert isinstance(supervisor.got[0], gen.MessageExitPID)
        assert a.node.processes() == before


class Serving(act.Pool):
    """A pool that ends with a process of another node."""

    def init(self, other: gen.PID) -> act.PoolOptions:
        self.link(other)
        return act.PoolOptions(worker=Watcher, pool_size=2)


@virtual
async def test_a_pool_linked_to_a_process_elsewhere_ends_with_it_and_ends_its_workers() -> None:
    async with members("a", "b") as (a, b):
        before = len(a.node.processes())
        pool = await a.node.spawn(Serving, b.pid)
        await asyncio.sleep(1)
        b.node.kill(b.pid)
        await until(lambda: pool not in a.node.processes())
        await until(lambda: len(a.node.processes()) == before)
