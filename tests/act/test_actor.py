"""Actor: what a process knows of itself, its names, and the callbacks that `split_handle` tells apart."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import Probe, eventually


class Split(act.Actor):
    """Keeps the callback, the address and the message of all that comes."""

    split_handle = True

    def init(self, kept: list[Any]) -> None:
        self.kept = kept
        self.register_name("split")
        self.alias = self.create_alias()

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.kept.append(("message", message))

    def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
        self.kept.append(("name", name, message))

    def handle_message_alias(self, alias: gen.Alias, sender: gen.PID, message: Any) -> None:
        self.kept.append(("alias", alias, message))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return ("call", self.alias)

    def handle_call_name(self, name: str, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return ("name", name, request)

    def handle_call_alias(self, alias: gen.Alias, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return ("alias", alias, request)


class AsyncSplit(Split):
    async def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
        super().handle_message_name(name, sender, message)

    async def handle_message_alias(self, alias: gen.Alias, sender: gen.PID, message: Any) -> None:
        super().handle_message_alias(alias, sender, message)

    async def handle_call_name(self, name: str, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return super().handle_call_name(name, sender, ref, request)


@pytest.mark.parametrize("behavior", [Split, AsyncSplit])
@pytest.mark.parametrize("priority", list(gen.MessagePriority))
async def test_with_split_handle_messages_come_to_the_callback_of_their_address(
    node: homing.Node, behavior: type[act.Actor], priority: gen.MessagePriority
) -> None:
    kept: list[Any] = []
    pid = await node.spawn(behavior, kept)
    alias = (await node.call(pid, "alias?"))[1]
    for number, to in enumerate([pid, "split", gen.ProcessID("split", node.name), alias]):
        node.send(to, number, priority)
    await eventually(lambda: len(kept) == 4)
    assert kept == [("message", 0), ("name", "split", 1), ("name", "split", 2), ("alias", alias, 3)]


@pytest.mark.parametrize("behavior", [Split, AsyncSplit])
async def test_with_split_handle_calls_come_to_the_callback_of_their_address(
    node: homing.Node, behavior: type[act.Actor]
) -> None:
    pid = await node.spawn(behavior, [])
    alias = (await node.call(pid, "alias?"))[1]
    assert await node.call("split", 1) == ("name", "split", 1)
    assert await node.call(gen.ProcessID("split", node.name), 2) == ("name", "split", 2)
    assert await node.call(alias, 3) == ("alias", alias, 3)


async def test_without_split_handle_every_address_leads_to_one_callback(node: homing.Node) -> None:
    class One(Split):
        split_handle = False

    kept: list[Any] = []
    pid = await node.spawn(One, kept)
    alias = (await node.call(pid, "alias?"))[1]
    for number, to in enumerate([pid, "split", alias]):
        node.send(to, number)
    await eventually(lambda: len(kept) == 3)
    assert kept == [("message", 0), ("message", 1), ("message", 2)]
    assert await node.call("split", 1) == ("call", alias)


async def test_split_callbacks_that_are_not_defined_log_messages_and_refuse_calls(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Bare(act.Actor):
        split_handle = True

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.create_alias()

    pid = await node.spawn(Bare, name="bare")
    alias = await node.call(pid, "alias?")
    node.send("bare", 1)
    node.send(alias, 2)
    for to, callback in (("bare", "handle_call_name"), (alias, "handle_call_alias")):
        with pytest.raises(gen.NotAllowed, match=f"Bare has no {callback} .*define it"):
            await node.call(to, "x")
    assert caplog.messages == [
        f"unhandled message of type int to 'bare' from {node.pid}: Bare has no handle_message_name; define it",
        f"unhandled message of type int to {alias} from {node.pid}: Bare has no handle_message_alias; define it",
    ]


async def test_a_callback_whose_name_was_mistyped_is_named_with_the_first_message(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Typo(act.Actor):
        def handle_mesage(self, sender: gen.PID, message: Any) -> None:
            raise AssertionError("nobody calls it")

    node.send(await node.spawn(Typo), 1)
    await eventually(lambda: caplog.messages)
    assert caplog.messages == [
        f"unhandled message of type int from {node.pid}: Typo has no handle_message; rename its handle_mesage"
    ]


async def test_a_process_knows_who_and_where_it_is(node: homing.Node, probe: Probe) -> None:
    child: Probe = Probe(node)

    async def spawn(actor: act.Actor) -> gen.PID:
        return await actor.spawn(type(probe.actor), child, name="child")

    pid = await probe.do(spawn)
    assert (child.actor.pid, child.actor.name, child.actor.node) == (pid, "child", node.name)
    assert (child.actor.parent, child.actor.leader) == (probe.pid, node.pid)


async def test_a_process_has_one_name_which_it_may_give_up_and_take_again(node: homing.Node, probe: Probe) -> None:
    def names(actor: act.Actor) -> None:
        actor.unregister_name()  # it has none: nothing happens
        actor.register_name("first")
        assert actor.name == "first"
        with pytest.raises(gen.NotAllowed, match="one name"):
            actor.register_name("second")
        with pytest.raises(gen.NameTaken):
            actor.register_name("first")
        actor.unregister_name()
        assert actor.name is None
        actor.register_name("second")

    await probe.do(names)
    with pytest.raises(gen.NameUnknown):
        node.send("first", "x")
    node.send("second", "x")
    assert await probe.get() == "x"


async def test_a_process_may_have_many_aliases_and_delete_its_own(node: homing.Node, probe: Probe) -> None:
    aliases = await probe.do(lambda actor: [actor.create_alias() for _ in range(3)])
    assert len(set(aliases)) == 3
    for alias in aliases:
        node.send(alias, alias)
    assert [await probe.get() for _ in range(3)] == aliases
    stranger = await Probe.start(node)

    def delete(actor: act.Actor) -> None:
        with pytest.raises(gen.NotAllowed, match="not an alias"):
            actor.delete_alias(aliases[0])

    await stranger.do(delete)
    await probe.do(lambda actor: actor.delete_alias(aliases[0]))
    await probe.do(lambda actor: delete(actor))
    with pytest.raises(gen.MetaTerminated):
        node.send(aliases[0], "x")
    assert set(node.process_info(probe.pid).aliases) == set(aliases[1:])


async def test_a_behavior_of_its_own_may_define_no_callback_at_all(node: homing.Node) -> None:
    pid = await node.spawn(act.Actor)
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])


async def test_state_of_a_process_is_its_own(node: homing.Node) -> None:
    class Counts(act.Actor):
        def init(self) -> None:
            self.count = 0

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            self.count += 1
            return self.count

    first, second = await node.spawn(Counts), await node.spawn(Counts)
    assert [await node.call(pid, "+") for pid in (first, first, second)] == [1, 2, 1]


async def test_a_behavior_may_have_an_initializer_without_arguments(node: homing.Node) -> None:
    class Initialized(act.Actor):
        def __init__(self) -> None:
            self.mine = self.pid

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.mine

    pid = await node.spawn(Initialized)
    assert await node.call(pid, "?") == pid


async def test_arguments_that_init_does_not_take_are_an_error_of_spawn(node: homing.Node) -> None:
    with pytest.raises(TypeError, match="init"):
        await node.spawn(Split)
    assert node.processes() == []
