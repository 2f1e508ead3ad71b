"""Sending: whatever is given as an address, and the error that tells why it leads nowhere."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..actors import Doer, Meta


@pytest.fixture
async def addresses(node: homing.Node, probe: Probe) -> dict[str, Any]:
    """Everything that leads to the probe."""
    node.register_name("probe", probe.pid)
    alias = await probe.do(lambda actor: actor.create_alias())
    return {"pid": probe.pid, "name": "probe", "process id": gen.ProcessID("probe", node.name), "alias": alias}


@pytest.mark.parametrize("kind", ["pid", "name", "process id", "alias"])
@pytest.mark.parametrize("outside", [True, False])
async def test_every_kind_of_address_leads_to_its_process(
    node: homing.Node, probe: Probe, addresses: dict[str, Any], kind: str, outside: bool
) -> None:
    to, doer = addresses[kind], await node.spawn(Doer)
    if outside:
        node.send(to, "hello")
        assert await probe.next() == ("message", node.pid, "hello")
        assert await node.call(to, "hello") == ("answer", "hello")
    else:
        node.send(doer, lambda actor: actor.send(to, "hello"))
        assert await probe.next() == ("message", doer, "hello")
        assert await node.call(doer, lambda actor: actor.call(to, "hello")) == ("answer", "hello")


async def test_the_typed_ways_of_sending_take_their_kind_and_refuse_the_others(
    node: homing.Node, probe: Probe, addresses: dict[str, Any]
) -> None:
    ways = {"send_pid": ["pid"], "send_name": ["name", "process id"], "send_alias": ["alias"]}

    def send(actor: act.Actor) -> None:
        for way, kinds in ways.items():
            for kind, address in addresses.items():
                if kind in kinds:
                    getattr(actor, way)(address, (way, kind))
                else:
                    with pytest.raises(gen.BadOption):
                        getattr(actor, way)(address, "never")

    await node.call(await node.spawn(Doer), send)
    got = [await probe.get() for _ in range(4)]
    assert got == [("send_pid", "pid"), ("send_name", "name"), ("send_name", "process id"), ("send_alias", "alias")]
    assert probe.waiting() == []


async def unreachable(node: homing.Node) -> list[tuple[Any, type[Exception], str]]:
    """Addresses that lead nowhere, with the error that says so and a word that is in its text."""
    parent = await node.spawn(Doer)
    ended_meta = await node.call(parent, lambda actor: actor.spawn_meta(Meta()))
    deleted = await node.call(parent, lambda actor: actor.create_alias())
    await node.call(parent, lambda actor: actor.delete_alias(deleted))
    await node.call(parent, lambda actor: actor.send_exit_meta(ended_meta, gen.TerminateShutdown))
    await eventually(lambda: node.info().metas == 0)
    dead = await node.spawn(Doer, name="dead")
    node.kill(dead)
    return [
        (dead, gen.ProcessTerminated, str(dead)),
        (dead._replace(id=999_999), gen.ProcessUnknown, "999999"),
        (dead._replace(creation=1), gen.ProcessUnknown, str(dead)),
        (dead._replace(id=1), gen.ProcessUnknown, "ever existed"),
        ("dead", gen.NameUnknown, "'dead'"),
        ("", gen.NameUnknown, "''"),
        (gen.ProcessID("dead", node.name), gen.NameUnknown, "'dead'"),
        (gen.ProcessID("x", "far@away"), gen.NodeUnknown, "far@away"),
        (dead._replace(node="far@away"), gen.NodeUnknown, "far@away"),
        (ended_meta, gen.MetaTerminated, str(ended_meta)),
        (deleted, gen.MetaTerminated, str(deleted)),
        (deleted._replace(id=999_999), gen.AliasUnknown, "999999"),
        (deleted._replace(node="far@away"), gen.NodeUnknown, "far@away"),
        (None, gen.BadOption, "None"),
        (7, gen.BadOption, "7"),
        (b"name", gen.BadOption, "name"),
        (["unhashable"], gen.BadOption, "unhashable"),
        (gen.Ref(node.name, 1001, 1), gen.BadOption, "to="),
        (gen.Event("tick", node.name), gen.BadOption, "tick"),
    ]


@pytest.mark.parametrize("way", ["send", "send_with_priority", "call", "inspect", "node.send", "node.call"])
async def test_an_address_that_leads_nowhere_is_an_error_that_tells_why(node: homing.Node, way: str) -> None:
    doer = await node.spawn(Doer)
    for address, kind, word in await unreachable(node):

        async def attempt(actor: act.Actor, address: Any = address) -> None:
            match way:
                case "send":
                    actor.send(address, "x")
                case "send_with_priority":
                    actor.send_with_priority(address, "x", gen.MessagePriority.HIGH)
                case "call":
                    await actor.call(address, "x")
                case "inspect":
                    await actor.inspect(address)
                case "node.send":
                    node.send(address, "x")
                case "node.call":
                    await node.call(address, "x")

        async def check(actor: act.Actor) -> Exception:
            with pytest.raises(gen.HomingError) as caught:
                await attempt(actor)
            return caught.value

        error = await node.call(doer, check)
        assert (type(error), word in str(error)) == (kind, True), (address, error)
    assert node.process_info(doer).messages_out == 0


@pytest.mark.parametrize("priority", [0, 1, "HIGH", None])
async def test_a_priority_that_is_none_is_refused(node: homing.Node, priority: Any) -> None:
    pid = await node.spawn(Doer)
    with pytest.raises(gen.BadOption, match="priority"):
        node.send(pid, "x", priority)
    with pytest.raises(gen.BadOption, match="priority"):
        await node.call(pid, "x", priority=priority)
    assert node.process_info(pid).messages_in == 0


async def test_a_message_is_handed_over_as_it_is(node: homing.Node, probe: Probe) -> None:
    message: dict[str, Any] = {"a": [1]}
    node.send(probe.pid, message)
    assert await probe.get() is message


@pytest.mark.parametrize("message", [None, (), (1, 2), ("x",), NotImplemented])
async def test_anything_can_be_a_message(node: homing.Node, probe: Probe, message: Any) -> None:
    node.send(probe.pid, message)
    assert await probe.next() == ("message", node.pid, message)


async def test_a_process_may_send_to_itself(node: homing.Node, probe: Probe) -> None:
    await probe.do(lambda actor: actor.send(actor.pid, "me"))
    assert await probe.next() == ("message", probe.pid, "me")


async def test_a_process_may_still_send_in_its_terminate(node: homing.Node, probe: Probe) -> None:
    class Last(act.Actor):
        def terminate(self, reason: Exception) -> None:
            self.send(probe.pid, "farewell")

    pid = await node.spawn(Last)
    node.kill(pid)
    assert await probe.next() == ("message", pid, "farewell")


async def test_an_unhandled_message_is_logged_by_type_and_sender(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await node.spawn(act.Actor)
    node.send(pid, {"secret": 1})
    await eventually(lambda: caplog.records)
    assert caplog.messages == [
        f"unhandled message of type dict from {node.pid}: Actor has no handle_message; define it"
    ]
    assert pid in node.processes()
