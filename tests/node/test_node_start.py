"""Starting a node, asking it what it is, and running one from a synchronous program."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop

import homing
from homing import act, gen

from ..support import Probe
from .actors import QUIET, Doer, throw


@pytest.fixture(scope="module", autouse=True)
def _uvloop_was_used() -> None:
    """The first loop of uvloop in a program opens a pipe that is never closed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))


async def test_a_started_node_is_stopped_by_hand_if_it_was_awaited() -> None:
    node = await homing.start_node("hand@localhost", QUIET)
    assert (node.name, node.info().state) == ("hand@localhost", "running")
    assert await node.stop()
    assert node.info().state == "stopped"


async def test_the_end_of_the_block_stops_a_node_used_as_a_context_manager() -> None:
    async with homing.start_node("block@localhost", QUIET) as node:
        pid = await node.spawn(Doer)
        assert node.processes() == [pid]
    assert node.info().state == "stopped"
    assert node.processes() == []


async def test_an_awaited_node_is_a_context_manager_too() -> None:
    async with await homing.start_node("both@localhost", QUIET) as node:
        assert node.info().state == "running"
    assert node.info().state == "stopped"


async def test_an_error_in_the_block_stops_the_node_and_comes_through() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with homing.start_node("error@localhost", QUIET) as node:
            raise LookupError("mine")
    assert node.info().state == "stopped"


@pytest.mark.parametrize("name", ["demo", "", "@localhost", "demo@", "a b@localhost", "a@b@c", 7, None])
def test_a_node_name_without_host_is_refused_by_its_name(name: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        homing.start_node(name)
    assert (caught.value.option, caught.value.value) == ("name", name)


def test_options_that_are_none_are_refused_before_anything_starts() -> None:
    with pytest.raises(gen.BadOption, match=r"^options="):
        homing.start_node("demo@localhost", {"env": 1})  # type: ignore[arg-type]


async def test_a_pid_of_an_earlier_node_of_the_same_name_is_unknown_to_the_next() -> None:
    async with homing.start_node("again@localhost", QUIET) as first:
        old = await first.spawn(Doer)
    async with homing.start_node("again@localhost", QUIET) as second:
        new = await second.spawn(Doer)
        assert new.id == old.id
        with pytest.raises(gen.ProcessUnknown):
            second.send(old, "for the dead")


async def test_two_nodes_live_side_by_side_and_do_not_know_each_other(node: homing.Node, probe: Probe) -> None:
    async with homing.start_node("other@localhost", QUIET) as other:
        with pytest.raises(gen.NodeUnknown) as caught:
            other.send(probe.pid, "hello")
        assert caught.value.node == "test@localhost"


async def test_info_counts_what_there_is(node: homing.Node, probe: Probe) -> None:
    await probe.do(lambda actor: (actor.create_alias(), actor.register_event("tick")))
    await node.spawn(Doer, name="doer")
    info = node.info()
    assert (info.name, info.pid, info.state) == ("test@localhost", node.pid, "running")
    assert (info.processes, info.spawned, info.names, info.aliases, info.events) == (2, 2, 1, 1, 1)
    assert (info.metas, info.zombies, info.crashes, info.open_calls) == (0, 0, 0, 0)
    assert info.uptime > 0
    assert "EventLoop" in info.loop


async def test_processes_are_listed_in_the_order_of_their_start(node: homing.Node) -> None:
    pids = [await node.spawn(Doer) for _ in range(5)]
    node.kill(pids[2])
    assert node.processes() == pids[:2] + pids[3:]


# --- run -------------------------------------------------------------------------------------------------


def test_run_gives_the_result_of_an_async_main() -> None:
    async def main(node: homing.Node, x: int) -> Any:
        pid = await node.spawn(Doer)
        return await node.call(pid, lambda actor: (actor.node, x))

    assert homing.run(main, 7, name="run@localhost", options=QUIET) == ("run@localhost", 7)


def test_run_on_uvloop_runs_on_uvloop() -> None:
    async def main(node: homing.Node) -> str:
        pid = await node.spawn(Doer)
        assert await node.call(pid, lambda actor: 1) == 1
        return node.info().loop

    assert homing.run(main, options=QUIET, uvloop=True) == "uvloop.Loop"


def test_run_lets_the_error_of_its_main_through() -> None:
    async def main(node: homing.Node) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        homing.run(main, options=QUIET)


def test_run_of_a_behavior_ends_with_its_process() -> None:
    class Once(act.Actor):
        def init(self, seen: list[Any]) -> None:
            seen.append(self.pid)
            self.send(self.pid, "go")

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            raise gen.TerminateNormal

    seen: list[Any] = []
    assert homing.run(Once, seen, options=QUIET) is None
    assert len(seen) == 1


def test_run_of_a_behavior_raises_if_its_process_crashed() -> None:
    class Crashes(act.Actor):
        def init(self) -> None:
            self.send(self.pid, "go")

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            raise ValueError("broken")

    with pytest.raises(gen.ProcessTerminated) as caught:
        homing.run(Crashes, options=QUIET)
    assert repr(caught.value.reason) == "ValueError('broken')"


def test_run_refuses_a_main_that_is_not_asynchronous() -> None:
    with pytest.raises(gen.BadOption, match=r"^main="):
        homing.run(lambda node: 1, options=QUIET)  # type: ignore[arg-type, return-value]


# --- what the node tells of its processes ----------------------------------------------------------------


async def test_process_info_tells_who_a_process_is_and_what_it_has_done(node: homing.Node) -> None:
    pid = await node.spawn(Doer, name="doer", options=gen.ProcessOptions(mailbox_size=9, env={"a": 1}))
    for _ in range(3):
        await node.call(pid, lambda actor: sum(range(1000)))
    alias = await node.call(pid, lambda actor: actor.create_alias())
    info = node.process_info("doer")
    assert info == node.process_info("doer") or info.uptime < node.process_info(pid).uptime
    assert (info.pid, info.name, info.behavior, info.parent, info.leader) == (pid, "doer", "Doer", node.pid, node.pid)
    assert (info.mailbox_size, dict(info.env), info.aliases, info.trap_exit) == (9, {"a": 1}, (alias,), False)
    assert info.messages_in == 4
    assert 0 < info.running_time < info.uptime


async def test_messages_sent_and_waiting_are_counted(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Doer)
    node.send(pid, lambda actor: [actor.send(probe.pid, number) for number in range(5)])
    assert node.process_info(pid).mailbox.main == 1
    assert node.process_info(pid).messages_in == 1
    assert [await probe.get() for _ in range(5)] == list(range(5))
    info = node.process_info(pid)
    assert (info.messages_in, info.messages_out, info.mailbox.main) == (1, 5, 0)
    assert node.process_info(probe.pid).messages_in == 5


async def test_what_was_waiting_when_a_process_ended_is_counted_as_discarded(node: homing.Node) -> None:
    pid = await node.spawn(Doer)
    for _ in range(3):
        node.send(pid, throw(gen.TerminateNormal))
    await asyncio.sleep(0)
    assert node.processes() == []
    assert node.info().discarded == 2


@pytest.mark.parametrize("ask", ["process_info", "kill"])
async def test_asking_for_what_is_no_process_tells_what_it_is(node: homing.Node, ask: str) -> None:
    pid = await node.spawn(Doer)
    node.kill(pid)
    function = getattr(node, ask)
    for address, error in [
        (pid, gen.ProcessTerminated),
        (pid._replace(id=999_999), gen.ProcessUnknown),
        (pid._replace(node="x@y"), gen.NodeUnknown),
        ("nobody", gen.NameUnknown),
        ([], gen.BadOption),
        (None, gen.BadOption),
    ]:
        with pytest.raises(error):
            function(address)


async def test_meta_info_of_what_is_no_meta_process_tells_why(node: homing.Node) -> None:
    pid = await node.spawn(Doer)
    for address, error in [
        (gen.Alias(node.name, 999_999, pid.creation), gen.AliasUnknown),
        (gen.Alias(node.name, pid.id, pid.creation), gen.MetaTerminated),
        ([], gen.BadOption),
    ]:
        with pytest.raises(error):
            node.meta_info(address)  # type: ignore[arg-type]


async def test_a_name_can_be_given_from_outside_once(node: homing.Node) -> None:
    first, second = await node.spawn(Doer), await node.spawn(Doer)
    node.register_name("doer", first)
    assert node.process_info("doer").pid == first
    with pytest.raises(gen.NameTaken, match="doer"):
        node.register_name("doer", second)
    with pytest.raises(gen.NotAllowed):
        node.register_name("doer too", first)
    with pytest.raises(gen.BadOption, match="name"):
        node.register_name("", second)


async def test_a_process_that_is_ending_cannot_be_given_a_name(node: homing.Node) -> None:
    gate = asyncio.Event()

    class Slow(act.Actor):
        async def terminate(self, reason: Exception) -> None:
            await gate.wait()

    pid = await node.spawn(Slow)
    node.send_exit(pid, gen.TerminateShutdown)
    while node.process_info(pid).state is not gen.ProcessState.ZOMBIE:
        await asyncio.sleep(0)
    with pytest.raises(gen.NotAllowed):
        node.register_name("slow", pid)
    gate.set()
    with pytest.raises(gen.NameUnknown):
        node.send("slow", "hello")
