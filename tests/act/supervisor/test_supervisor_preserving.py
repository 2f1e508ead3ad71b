"""What a supervisor does with the mailboxes and sockets of its children: keeps them where it restarts, only there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import eventually, free_port
from .supervision import ALL, ONE, REST, SIMPLE, TEMPORARY, TRANSIENT, Clock, Given

PRESERVE = gen.ProcessOptions(preserve_mailbox=True)
HOST = "127.0.0.1"


class Busy(act.Actor):
    """Handles nothing until its gate is open; then notes (name, message)."""

    def init(self, gate: asyncio.Event, seen: list[tuple[str | None, Any]], errors: list[Exception]) -> None:
        if errors:
            raise errors.pop()
        self.gate = gate
        self.seen = seen

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.gate.wait()
        if isinstance(message, Exception):
            raise message
        self.seen.append((self.name, message))


class Tree:
    """A supervisor of busy children, each of which has a message in hand and 1, 2 waiting."""

    def __init__(self, node: homing.Node) -> None:
        self.node = node
        self.gate = asyncio.Event()
        self.seen: list[tuple[str | None, Any]] = []
        self.errors: list[Exception] = []

    def spec(self, name: str, **options: Any) -> act.ChildSpec:
        args = (self.gate, self.seen, self.errors)
        return act.ChildSpec(name=name, behavior=Busy, args=args, options=PRESERVE, shutdown=0, **options)

    async def start(self, *children: act.ChildSpec, **options: Any) -> None:
        await self.node.spawn(Given, act.SupervisorSpec(children=children, **options), name="supervisor")
        for child in children:
            for message in ("in hand", 1, 2):
                self.node.send(child.name, message)
        await eventually(lambda: all(self.running(child.name) for child in children))

    def running(self, name: str) -> bool:
        return self.node.process_info(name).state is gen.ProcessState.RUNNING

    async def kill(self, name: str, deaths: int = 1) -> None:
        """Kills a child, and waits until it and those of its group have lost what they had in hand."""
        self.node.kill(self.node.process_info(name).pid)
        await eventually(lambda: self.node.info().dead_letters == deaths, f"{deaths} deaths")

    async def saw(self, *expected: tuple[str, Any]) -> None:
        self.gate.set()
        await eventually(lambda: len(self.seen) >= len(expected), str(expected))
        assert sorted(self.seen, key=str) == sorted(expected, key=str)


@pytest.fixture
def tree(node: homing.Node) -> Tree:
    return Tree(node)


async def test_all_for_one_keeps_the_mailboxes_of_all(tree: Tree) -> None:
    await tree.start(tree.spec("a"), tree.spec("b"), type=ALL)
    await tree.kill("a", deaths=2)
    await tree.saw(("a", 1), ("a", 2), ("b", 1), ("b", 2))


async def test_rest_for_one_keeps_the_mailboxes_of_the_rest(tree: Tree) -> None:
    await tree.start(tree.spec("a"), tree.spec("b"), tree.spec("c"), type=REST)
    await tree.kill("b", deaths=2)
    await tree.saw(("a", "in hand"), ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1), ("c", 2))


async def test_a_group_restart_that_fails_keeps_the_mailboxes_for_the_attempt_that_succeeds(tree: Tree) -> None:
    await tree.start(tree.spec("a"), tree.spec("b"), type=ALL)
    tree.errors += [RuntimeError("1"), RuntimeError("2"), RuntimeError("3")]
    await tree.kill("b", deaths=2)
    await tree.saw(("a", 1), ("a", 2), ("b", 1), ("b", 2))
    assert not tree.errors
    assert tree.node.info().discarded == 0


async def test_a_child_that_waits_for_its_restart_keeps_its_mailbox(tree: Tree) -> None:
    backoff = act.Backoff(first=0.01, most=0.01, jitter=0)
    await tree.start(tree.spec("a"), backoff=backoff)
    await tree.kill("a")
    await tree.saw(("a", 1), ("a", 2))


async def test_ending_a_child_that_waits_for_its_restart_discards_its_mailbox(tree: Tree) -> None:
    await tree.start(tree.spec("a"), backoff=act.Backoff(first=3600.0, most=3600.0))
    await tree.kill("a")
    await tree.node.call("supervisor", act.TerminateChild("a"))
    assert tree.node.info().discarded == 2


@pytest.mark.parametrize("request_", [act.TerminateChild("a"), act.DisableChild("a")])
async def test_a_child_that_is_ended_on_request_leaves_nothing_to_its_next_life(tree: Tree, request_: Any) -> None:
    await tree.start(tree.spec("a"))
    await tree.node.call("supervisor", request_)
    again = act.EnableChild("a") if isinstance(request_, act.DisableChild) else act.RestartChild("a")
    await tree.node.call("supervisor", again)
    tree.node.send("a", "new")
    await tree.saw(("a", "new"))
    assert tree.node.info().discarded == 2


async def test_a_temporary_childs_mailbox_is_discarded_at_once(tree: Tree) -> None:
    await tree.start(tree.spec("a", restart=TEMPORARY))
    await tree.kill("a")
    await eventually(lambda: tree.node.info().discarded == 2)


async def test_an_instances_mailbox_goes_to_its_own_successor(tree: Tree) -> None:
    template = act.ChildSpec(
        name="t", behavior=Busy, args=(tree.gate, tree.seen, tree.errors), options=PRESERVE, restart=TRANSIENT
    )
    await tree.node.spawn(Given, act.SupervisorSpec(children=(template,), type=SIMPLE), name="supervisor")
    for name in ("x", "y"):
        await tree.node.call("supervisor", act.StartChild(name=name))
        for message in ("in hand", name):
            tree.node.send(name, message)
    await eventually(lambda: tree.running("x") and tree.running("y"))
    await tree.kill("x")
    await tree.saw(("x", "x"), ("y", "in hand"), ("y", "y"))


async def test_a_supervisor_that_gives_up_discards_what_its_children_left(tree: Tree) -> None:
    await tree.start(tree.spec("a"), tree.spec("b"), intensity=0, clock=Clock())
    await tree.kill("a", deaths=2)
    await eventually(lambda: tree.node.processes() == [])
    assert tree.node.info().discarded == 4


class Listener(act.Actor):
    async def init(self, port: int) -> None:
        options = meta.UDPServerOptions(host=HOST, port=port, linger=60.0)
        await self.spawn_meta(meta.create_udp_server(options))


@pytest.mark.parametrize(("kind", "adoptions"), [(ONE, 0), (ALL, 1)])
async def test_a_socket_outlives_the_restart_of_its_owners_group(
    node: homing.Node, kind: act.SupervisorType, adoptions: int
) -> None:
    tree = Tree(node)
    listener = act.ChildSpec(name="listener", behavior=Listener, args=(free_port(),))
    spec = act.SupervisorSpec(children=(tree.spec("other"), listener), type=kind)
    await node.spawn(Given, spec, name="supervisor")
    alias = node.process_info("listener").metas[0]
    before = node.process_info("other").pid
    node.kill(before)
    await eventually(lambda: "other" in node._core.registry.routes and node.process_info("other").pid != before)
    await eventually(lambda: "listener" in node._core.registry.routes)
    assert node.process_info("listener").metas == (alias,)
    assert (await node.inspect_meta(alias))["adoptions"] == adoptions
