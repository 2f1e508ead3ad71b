"""Targets: a registered name, the text of an address, or its number."""

from __future__ import annotations

import pytest

import homing
from homing import act, gen
from homing.observe import Observer, RequestRefused
from homing.observe.targets import find, node_in

from ..meta.servers import open_server
from ..node.actors import Meta
from ..support import Probe


async def test_a_process_is_found_by_name_address_number_and_alias(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(act.Actor, name="worker")
    alias = await probe.do(lambda actor: actor.create_alias())
    assert find(node, "worker").id == pid
    assert find(node, str(pid)).id == pid
    assert find(node, str(pid.id)).id == pid
    assert find(node, str(gen.ProcessID("worker", node.name))).id == pid
    assert find(node, str(alias)).id == probe.pid


async def test_a_meta_process_is_found_by_address_and_number(node: homing.Node, probe: Probe) -> None:
    alias = await probe.do(lambda actor: actor.spawn_meta(Meta()))
    assert find(node, str(alias)).id == alias
    assert find(node, str(alias.id)).id == alias


async def test_a_udp_socket_is_found_by_its_address(node: homing.Node, probe: Probe) -> None:
    four, alias = await open_server(probe)
    six, other = await open_server(probe, host="::1")
    await probe.do(lambda actor: actor.spawn_meta(Meta()))
    assert find(node, f"127.0.0.1:{four.local_address[1]}").id == alias
    assert find(node, f"[::1]:{six.local_address[1]}").id == other
    assert find(node, f":{four.local_address[1]}").id == alias
    for text in ("127.0.0.1:1", ":1", f"127.0.0.2:{four.local_address[1]}", ":"):
        with pytest.raises(RequestRefused, match="no process has the name"):
            find(node, text)


async def test_a_registered_name_comes_before_a_number(node: homing.Node) -> None:
    first = await node.spawn(act.Actor)
    named = await node.spawn(act.Actor, name=str(first.id))
    assert find(node, str(first.id)).id == named
    assert find(node, str(first)).id == first


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wörker", "no process has the name 'wörker'; similar: 'worker'"),
        ("", "no process has the name ''"),
        ("9999999", "no process <test@localhost.9999999> ever existed on this node"),
        ("0", "no process <test@localhost.0> ever existed on this node"),
        ("²", "no process has the name '²'"),
        ("9" * 30, "no process has the name '9999"),
        ("<other@host.1001>", "belongs to node other@host, not to test@localhost"),
        ("<test@localhost.'nobody'>", "no process has the name 'nobody'"),
        ("<test@localhost.1001", "no process has the name"),
        ("x" * 1000, r"no process has the name 'x{40,70}\.\.\. "),
        ("\x1b[2J", r"no process has the name '\\x1b\[2J'"),
    ],
)
async def test_what_names_nothing_is_refused_with_what_there_is(node: homing.Node, text: str, told: str) -> None:
    await node.spawn(act.Actor, name="worker")
    with pytest.raises(RequestRefused, match=told) as refused:
        find(node, text)
    assert refused.value.code == "unknown_target"


async def test_a_process_that_has_ended_is_told_from_one_that_never_was(node: homing.Node) -> None:
    pid = await node.spawn(act.Actor)
    node.kill(pid)
    with pytest.raises(RequestRefused, match=f"{pid} has terminated"):
        find(node, str(pid))


def test_the_node_of_an_address_is_read_from_its_text() -> None:
    assert node_in("<a.b@host.7>") == node_in("Alias<a.b@host.7>") == node_in("<a.b@host.'x'>") == "a.b@host"
    assert node_in("worker") is None


async def test_resolve_asks_the_process_nothing(node: homing.Node) -> None:
    class Touchy(act.Actor):
        def handle_inspect(self, sender: gen.PID, *items: str) -> object:
            raise AssertionError("it was asked")

    pid = await node.spawn(Touchy, name="touchy")
    assert await Observer(node).ask({"what": "resolve", "target": "touchy"}) == {
        "node": node.name,
        "address": str(pid),
        "id": pid.id,
        "kind": "actor",
    }
