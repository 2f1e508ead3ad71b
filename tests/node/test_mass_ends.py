"""Thousands that end at once: nobody who works, and no socket, waits for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..support import DEADLINE, UDPPeer, eventually, examples
from .actors import QUIET, Doer

COUNT = examples(5_000, 20_000)
MOST = COUNT // 3
"""So many may end between a question to the echo and its answer. Told all in one go, all of them do."""


class Echo(act.Actor):
    async def init(self) -> None:
        self.server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=0))
        await self.spawn_meta(self.server)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(message.data))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server.local_address


class Idle(act.Actor):
    """Does nothing. Ends with what it is linked to."""

    def init(self, way: str = "", subject: Any = None) -> None:
        if way:
            getattr(self, way)(subject)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        pass


class Mute(act.Actor):
    """Never answers, and ends when it is told to."""

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return gen.NO_REPLY

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        raise gen.TerminateShutdown


class Asker(act.Actor):
    """Waits for an answer, and ends with an error instead."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        try:
            await self.call(message, "?", timeout=10 * DEADLINE)
        except gen.ProcessTerminated:
            raise gen.TerminateNormal from None


class Stuck(act.Actor):
    """Waits for ever once it has got a message."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.Event().wait()


class Source(gen.MetaBehavior):
    """A meta-process that does nothing."""

    async def start(self) -> None:
        await asyncio.Event().wait()


class Instances(act.Supervisor):
    """So many children of one specification as it is asked for."""

    def init(self, behavior: type[act.Actor], shutdown: float | None) -> act.SupervisorSpec:
        child = act.ChildSpec(name="child", behavior=behavior, shutdown=shutdown)
        return act.SupervisorSpec(children=(child,), type=act.SupervisorType.SIMPLE_ONE_FOR_ONE)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        for _ in range(request):
            await self.start_child()


class Group(act.Supervisor):
    """Children that are all started again when one ends."""

    def init(self, count: int, kind: act.SupervisorType) -> act.SupervisorSpec:
        children = tuple(act.ChildSpec(name=f"child {number}", behavior=Idle) for number in range(count))
        return act.SupervisorSpec(children=children, type=kind)


Left = Callable[[], int]


async def crowd(node: homing.Node, *args: Any) -> Left:
    for _ in range(COUNT):
        await node.spawn(Idle, *args)
    before = len(node.processes()) - COUNT
    return lambda: len(node.processes()) - before


async def linked_to_a_process(node: homing.Node) -> Left:
    subject = await node.spawn(Mute)
    left = await crowd(node, "link", subject)
    node.send(subject, "end")
    return left


async def linked_to_a_name(node: homing.Node) -> Left:
    subject = await node.spawn(Mute, name="subject")
    left = await crowd(node, "link", "subject")
    node.send(subject, "end")
    return left


async def linked_to_an_event(node: homing.Node) -> Left:
    subject = await node.spawn(Doer)
    await node.call(subject, lambda actor: actor.register_event("topic"))
    left = await crowd(node, "link", gen.Event("topic", node.name))
    node.kill(subject)
    return left


async def told_to_end_by_a_process(node: homing.Node) -> Left:
    teller = await node.spawn(Doer)
    left = await crowd(node)
    crew = node.processes()[-COUNT:]
    node.send(teller, lambda actor: [actor.send_exit(pid, gen.TerminateShutdown) for pid in crew] and None)
    return left


async def monitoring_a_process(node: homing.Node) -> Left:
    subject = await node.spawn(Mute)
    await crowd(node, "monitor", subject)
    members = [node._core.processes[pid] for pid in node.processes()[-COUNT:]]
    node.send(subject, "end")
    return lambda: sum(bool(member.monitors) for member in members)


async def waiting_for_an_answer(node: homing.Node) -> Left:
    mute = await node.spawn(Mute)
    for _ in range(COUNT):
        node.send(await node.spawn(Asker), mute)
    await eventually(lambda: len(node._core.calls) == COUNT)
    node.kill(mute)
    return lambda: len(node._core.calls)


async def owned_by_a_process(node: homing.Node) -> Left:
    owner = await node.spawn(Doer)

    async def spawn(actor: act.Actor) -> None:
        for _ in range(COUNT // 10):
            await actor.spawn_meta(Source())

    await node.call(owner, spawn, timeout=10 * DEADLINE)
    node.kill(owner)
    return lambda: (len(node._core.metas) - 1) * 10


async def monitors_and_events_of_one_process(node: homing.Node) -> Left:
    owner = await node.spawn(Doer)

    def subscribe(actor: act.Actor) -> None:
        for number in range(4 * COUNT):
            actor.register_event(f"event {number}")
            actor.monitor(gen.Event(f"event {number}", node.name))

    await node.call(owner, subscribe)
    process = node._core.processes[owner]
    node.kill(owner)
    return lambda: (len(process.monitors or ()) + len(process.events or ())) // 8


async def timers(node: homing.Node) -> Left:
    owner = await node.spawn(Doer)
    await node.call(owner, lambda actor: [actor.send_after(owner, None, 3600) for _ in range(4 * COUNT)] and None)
    process = node._core.processes[owner]
    node.kill(owner)
    return lambda: len(process.timers or ()) // 4


async def messages_that_wait(node: homing.Node) -> Left:
    """For the dead-letter process, which gets them one by one."""
    undertaker = await node.spawn(Idle)
    stuck = await node.spawn(Stuck, options=gen.ProcessOptions(dead_letters=undertaker))
    for number in range(COUNT + 1):
        node.send(stuck, number)
    await eventually(lambda: node.process_info(stuck).mailbox.main == COUNT)
    node.kill(stuck)
    return lambda: COUNT + 1 - node.info().dead_letters


async def instances(behavior: type[act.Actor], shutdown: float | None, node: homing.Node) -> Left:
    supervisor = await node.spawn(Instances, behavior, shutdown)
    await node.call(supervisor, COUNT, timeout=10 * DEADLINE)
    if behavior is Stuck:
        for pid in node.processes()[-COUNT:]:
            node.send(pid, "wait")
        await eventually(lambda: node.info().running >= COUNT)
    before = len(node.processes()) - COUNT - 1
    node.send_exit(supervisor, gen.TerminateShutdown)
    return lambda: len(node.processes()) - before


async def children(node: homing.Node) -> Left:
    supervisor = await node.spawn(Group, COUNT // 4, act.SupervisorType.ONE_FOR_ONE)
    before = len(node.processes()) - COUNT // 4 - 1
    node.send_exit(supervisor, gen.TerminateShutdown)
    return lambda: (len(node.processes()) - before) * 4


async def ask(peer: UDPPeer, address: tuple[Any, ...]) -> None:
    """One question to the echo, without a wait between the looks at its answer."""
    peer.send(b"?", address)
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                peer.socket.recv(16)
                return
            except BlockingIOError:
                await asyncio.sleep(0)


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "begin",
    [
        linked_to_a_process,
        linked_to_a_name,
        linked_to_an_event,
        told_to_end_by_a_process,
        monitoring_a_process,
        waiting_for_an_answer,
        owned_by_a_process,
        monitors_and_events_of_one_process,
        timers,
        messages_that_wait,
        partial(instances, Idle, 5.0),
        partial(instances, Idle, 0),
        partial(instances, Stuck, 0),
        children,
    ],
    ids=lambda begin: getattr(begin, "__name__", "") or f"{begin.args[0].__name__} {begin.args[1]}",
)
async def test_an_echo_is_answered_while_thousands_end(begin: Callable[[homing.Node], Awaitable[Left]]) -> None:
    async with homing.start_node("crowd@localhost", QUIET) as node:
        address = await node.call(await node.spawn(Echo), "where")
        with UDPPeer() as peer:
            await ask(peer, address)
            left = await begin(node)
            steps = [COUNT, left()]
            async with asyncio.timeout(10 * DEADLINE):
                while steps[-1] > 0:
                    await ask(peer, address)
                    steps.append(left())
        fell = [before - after for before, after in pairwise(steps)]
        assert max(fell) <= MOST, fell
        for pid in node.processes():
            node.kill(pid)


async def test_an_echo_is_answered_while_thousands_are_started() -> None:
    async with homing.start_node("crowd@localhost", QUIET) as node:
        address = await node.call(await node.spawn(Echo), "where")
        with UDPPeer() as peer:
            await ask(peer, address)
            start = asyncio.ensure_future(node.spawn(Group, COUNT, act.SupervisorType.ONE_FOR_ONE))
            steps = [len(node.processes())]
            while not start.done():
                await ask(peer, address)
                steps.append(len(node.processes()))
        assert max(after - before for before, after in pairwise(steps)) <= MOST
        for pid in reversed(node.processes()):
            node.kill(pid)
