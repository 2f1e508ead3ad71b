"""Supervised children with threads of their own: what they leave when they crash, or are killed while they block."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.node.processes import ending

from ...node.processes.threads import Block, bounded, no_thread
from ...support import Probe, UDPPeer, eventually, free_port
from .supervision import ALL, Given

HOST = "127.0.0.1"
HIGH, MAX = gen.MessagePriority.HIGH, gen.MessagePriority.MAX


class Blocking(act.Actor):
    """Notes what it handles; runs what can be called, as itself, and notes nothing of that."""

    def init(self, seen: list[Any]) -> None:
        self.seen = seen
        seen.append("start")

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if callable(message):
            message(self)
        else:
            self.seen.append(message)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.handle_message(sender, request)
        return self.pid


def throw(actor: Any) -> None:
    raise LookupError("as asked")


def options(**changes: Any) -> gen.ProcessOptions:
    return gen.ProcessOptions(**{"thread": True, "preserve_mailbox": True, **changes})


def child(seen: list[Any], name: str = "child", behavior: type[act.Actor] = Blocking, **changes: Any) -> act.ChildSpec:
    return act.ChildSpec(name=name, behavior=behavior, args=(seen,), shutdown=0, options=options(**changes))


async def supervise(node: homing.Node, *children: act.ChildSpec, **spec: Any) -> None:
    await node.spawn(Given, act.SupervisorSpec(children=children, **spec), name="supervisor")


async def block_child(node: homing.Node, name: str = "child") -> tuple[gen.PID, Block]:
    """A child's PID, once its callback blocks."""
    block = Block()
    node.send(name, block)
    await block.entered()
    return node.process_info(name).pid, block


async def test_the_successor_of_one_that_is_killed_while_it_blocks_starts_when_the_callback_has_returned(
    node: homing.Node,
) -> None:
    seen: list[Any] = []
    await supervise(node, child(seen))
    pid, block = await block_child(node)
    for number in range(100):
        node.send("child", number)
    node.kill(pid)
    assert node.process_info(pid).state is gen.ProcessState.ZOMBIE
    with pytest.raises(gen.ProcessUnknown):
        node.send("child", "lost")
    with pytest.raises(gen.NameTaken):
        await node.spawn(Blocking, seen, name="child")
    assert await node.call("supervisor", act.CountChildren())
    assert seen == ["start"]
    block.released.set()
    await eventually(lambda: len(seen) == 102)
    assert seen == ["start", "start", *range(100)]
    assert (node.info().dead_letters, node.info().discarded) == (0, 0)
    await no_thread(pid)


async def test_each_lane_of_one_that_blocks_is_kept_in_order(node: homing.Node) -> None:
    seen: list[Any] = []
    await supervise(node, child(seen))
    first = Block()
    node.send("child", first)
    await first.entered()
    second = Block()
    for message in (second, "m1", "m2", "m3"):
        node.send("child", message)
    first.released.set()
    await second.entered()  # what follows is the thread's now
    node.send("child", "m4")
    for number in range(3):
        node.send("child", f"h{number}", priority=HIGH)
        node.send("child", f"x{number}", priority=MAX)
    node.kill(node.process_info("child").pid)
    second.released.set()
    await eventually(lambda: len(seen) == 12)
    assert seen == ["start", "start", "x0", "x1", "x2", "h0", "h1", "h2", "m1", "m2", "m3", "m4"]


async def test_a_request_in_hand_is_answered_when_the_callback_returns_and_one_that_waits_by_the_successor(
    node: homing.Node,
) -> None:
    seen: list[Any] = []
    await supervise(node, child(seen))
    block = Block()
    in_hand = asyncio.create_task(node.call("child", block))
    await block.entered()
    waiting = asyncio.create_task(node.call("child", "waiting"))
    pid = node.process_info("child").pid
    await eventually(lambda: node.process_info(pid).mailbox.main == 1)
    node.kill(pid)
    block.released.set()
    assert await bounded(in_hand) == pid
    assert await bounded(waiting) not in (pid, None)


async def test_what_a_killed_one_raises_in_the_end_makes_the_message_in_hand_a_dead_letter(
    node: homing.Node, probe: Probe
) -> None:
    seen: list[Any] = []
    await supervise(node, child(seen, dead_letters=probe.pid))
    block = Block()

    def fail(actor: Any) -> None:
        block()
        throw(actor)

    node.send("child", fail)
    await block.entered()
    node.send("child", 1)
    node.kill(node.process_info("child").pid)
    block.released.set()
    letter = await probe.get()
    assert (letter.message, letter.in_hand, repr(letter.reason)) == (fail, True, repr(gen.TerminateKill()))
    await eventually(lambda: seen == ["start", "start", 1])
    assert probe.waiting() == []


async def test_what_a_crash_leaves_becomes_dead_letters_in_order(node: homing.Node, probe: Probe) -> None:
    seen: list[Any] = []
    await supervise(node, child(seen, preserve_mailbox=False, dead_letters=probe.pid))
    _, block = await block_child(node)
    for message in (1, throw, 2, 3):
        node.send("child", message)
    block.released.set()
    letters = [await probe.get() for _ in range(3)]
    assert [(letter.message, letter.in_hand) for letter in letters] == [(throw, True), (2, False), (3, False)]
    await eventually(lambda: seen == ["start", 1, "start"])


async def test_a_group_does_not_wait_for_a_member_that_blocks_and_the_message_in_hand_is_a_dead_letter(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "KILL_TIMEOUT", 0.05)
    seen: list[Any] = []
    await supervise(node, child([], "other"), child(seen, dead_letters=probe.pid), type=ALL)
    pid, block = await block_child(node)
    for number in range(10):
        node.send("child", number)
    node.send("other", throw)
    await eventually(lambda: len(seen) == 12)
    assert seen == ["start", "start", *range(10)]
    assert not block.released.is_set()
    assert node.process_info("child").pid != pid
    letter = await probe.get()
    assert (letter.message, letter.in_hand) == (block, True)
    block.released.set()
    await no_thread(pid)
    assert seen == ["start", "start", *range(10)]


class Listening(act.Actor):
    """Owns a socket that lingers; notes each number in a list of the test's; blocks where told."""

    async def init(self, seen: list[int], port: int, blocks: list[Block]) -> None:
        self.seen = seen
        self.blocks = blocks
        options = meta.UDPServerOptions(host=HOST, port=port, linger=30.0, receive_buffer=200_000)
        await self.spawn_meta(meta.create_udp_server(options))

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data == b"block":
            self.blocks.pop()()
        else:
            self.seen.append(int(message.data))


@pytest.mark.parametrize("group", [False, True])
async def test_the_socket_of_one_that_blocks_lingers_until_its_successor_adopts_it(
    node: homing.Node, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch, group: bool
) -> None:
    monkeypatch.setattr(ending, "KILL_TIMEOUT", 0.05)
    seen: list[int] = []
    block, port = Block(), free_port()
    args = (seen, port, [block])
    listener = act.ChildSpec(name="child", behavior=Listening, args=args, shutdown=0, options=options())
    other = [child([], "other")] if group else []
    await supervise(node, *other, listener, **({"type": ALL} if group else {}))
    alias = node.process_info("child").metas[0]
    before = node.process_info("child").pid
    for number in range(50):
        peer.send(b"%d" % number, (HOST, port))
    peer.send(b"block", (HOST, port))
    for number in range(50, 100):
        peer.send(b"%d" % number, (HOST, port))
    await block.entered()
    if group:
        node.send("other", throw)
    else:
        node.kill(before)
    for number in range(100, 150):
        peer.send(b"%d" % number, (HOST, port))
    if not group:
        assert node.process_info(before).state is gen.ProcessState.ZOMBIE
        block.released.set()
    await eventually(lambda: len(seen) == 150)
    block.released.set()
    assert seen == list(range(150))
    assert node.process_info("child").pid != before
    facts = await node.inspect_meta(alias)
    assert (facts["adoptions"], facts["packets_in"], facts["delivered"]) == (1, 151, 151)
    await no_thread(before)
