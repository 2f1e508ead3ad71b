"""The requests that change a node, and that they are refused unless allowed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.observe import Observer, RequestRefused
from homing.observe.observer import REQUESTS

from ..node.actors import Gate, Keeper, Meta
from ..support import Probe, UDPPeer, eventually

CHANGES = sorted(name for name, kind in REQUESTS.items() if kind.changes)


def test_these_requests_change_a_node() -> None:
    assert {"drain", "exit", "kill", "log_level", "reconfigure", "send"} <= set(CHANGES)


@pytest.mark.parametrize("what", CHANGES)
async def test_an_observer_that_only_reads_refuses_each(node: homing.Node, what: str) -> None:
    with pytest.raises(RequestRefused, match=f"{what} changes the node, which allows only reading") as refused:
        await Observer(node).ask({"what": what, "target": "x"})
    assert refused.value.code == "not_allowed"


async def change(node: homing.Node, what: str, **fields: Any) -> dict[str, Any]:
    return await Observer(node, allow=True).ask({"what": what, **fields})


async def refused(node: homing.Node, what: str, **fields: Any) -> tuple[str, str]:
    """The code and the text of a refusal."""
    with pytest.raises(RequestRefused) as caught:
        await change(node, what, **fields)
    return caught.value.code, caught.value.message


async def test_send_delivers_json_in_the_nodes_name(node: homing.Node) -> None:
    probe = await Probe.start(node, name="probe")
    await change(node, "send", target="probe", message={"a": [1, None]})
    assert await probe.next() == ("message", node.pid, {"a": [1, None]})


async def test_send_to_a_full_mailbox_fails(node: homing.Node) -> None:
    gate = asyncio.Event()
    await node.spawn(Gate, [], gate, name="full", options=gen.ProcessOptions(mailbox_size=1))
    for _ in range(2):
        await change(node, "send", target="full", message=1)
        await asyncio.sleep(0)
    code, text = await refused(node, "send", target="full", message=1)
    assert (code, "is full (limit 1 messages)" in text) == ("failed", True)
    gate.set()


@pytest.mark.parametrize(("reason", "kind"), [("shutdown", gen.TerminateShutdown), ("normal", gen.TerminateNormal)])
async def test_exit_ends_a_process_for_a_reason(node: homing.Node, reason: str, kind: type) -> None:
    watching = await Probe.start(node)
    pid = await node.spawn(act.Actor)
    await watching.do(lambda actor: actor.monitor(pid))
    await change(node, "exit", target=str(pid), reason=reason)
    assert type((await watching.get()).reason) is kind


async def test_exit_with_another_text_is_an_abnormal_end(node: homing.Node) -> None:
    watching = await Probe.start(node)
    pid = await node.spawn(act.Actor)
    await watching.do(lambda actor: actor.monitor(pid))
    await change(node, "exit", target=str(pid), reason="maintenance")
    reason = (await watching.get()).reason
    assert (str(reason), gen.is_orderly(reason)) == ("maintenance", False)


async def test_exit_ends_a_meta_process(node: homing.Node, probe: Probe) -> None:
    alias = await probe.do(lambda actor: actor.spawn_meta(Meta()))
    await change(node, "exit", target=str(alias))
    await eventually(lambda: node.info().metas == 0)


async def test_kill_ends_a_process_at_once(node: homing.Node) -> None:
    pid = await node.spawn(act.Actor, name="victim")
    assert await change(node, "kill", target="victim") == {"target": str(pid)}
    assert node.processes() == []


async def test_kill_of_a_meta_process_says_what_to_do(node: homing.Node, probe: Probe) -> None:
    alias = await probe.do(lambda actor: actor.spawn_meta(Meta()))
    code, text = await refused(node, "kill", target=str(alias))
    assert (code, text.endswith("is no process; end it by exit")) == ("bad_request", True)


@pytest.mark.parametrize("what", ["send", "exit", "kill", "reconfigure"])
async def test_a_target_that_is_not_there_is_unknown(node: homing.Node, what: str) -> None:
    more: dict[str, Any] = {"send": {"message": 1}, "reconfigure": {"options": {}}}.get(what, {})
    assert (await refused(node, what, target="nobody", **more))[0] == "unknown_target"


async def test_each_change_is_logged(node: homing.Node, caplog: pytest.LogCaptureFixture) -> None:
    await node.spawn(act.Actor, name="victim")
    await change(node, "kill", target="victim")
    assert "on request of an observer: killed: process <test@localhost." in caplog.text


@pytest.mark.parametrize("reason", ["100% of %s and %d", "two\nlines", "{0}"])
async def test_any_reason_is_logged_as_it_is(node: homing.Node, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    await node.spawn(act.Actor, name="victim")
    await change(node, "exit", target="victim", reason=reason)
    (record,) = [one for one in caplog.records if "on request of an observer" in one.getMessage()]
    assert record.getMessage().endswith(f"('victim') Actor: {reason!r}")


# --- drain ----------------------------------------------------------------------------------------------------


async def test_drain_handles_what_waits_and_then_stops_the_node(peer: UDPPeer) -> None:
    kept: list[Any] = []
    async with homing.start_node("short@localhost", gen.NodeOptions(handle_signals=False)) as node:
        pid = await node.spawn(Keeper, kept)
        for number in range(1000):
            node.send(pid, number)
        observer = Observer(node, allow=True)
        assert await observer.ask({"what": "drain", "timeout": 5}) == {"state": "stopping", "timeout": 5}
        await eventually(lambda: observer.draining or node.info().state == "stopped")
        await node.wait()
    assert len(kept) == 1000


async def test_drain_kills_what_does_not_end_in_time() -> None:
    async with homing.start_node("short@localhost", gen.NodeOptions(handle_signals=False)) as node:
        pid = await node.spawn(Gate, [], asyncio.Event())
        node.send(pid, 1)
        await change(node, "drain", timeout=0.05)
        await node.wait()
        assert node.info().state == "stopped"


# --- reconfigure ----------------------------------------------------------------------------------------------


@pytest.fixture
async def serving(node: homing.Node, probe: Probe) -> meta.UDPServer:
    options = meta.UDPServerOptions(host="127.0.0.1")
    created = meta.create_udp_server(options)
    await probe.do(lambda actor: actor.spawn_meta(created))
    return created


async def test_reconfigure_changes_the_options_of_a_server(
    node: homing.Node, probe: Probe, serving: meta.UDPServer
) -> None:
    found = await change(node, "reconfigure", target=str(serving.alias), options={"high_water": "99", "linger": 2})
    assert (found["options"]["high_water"], found["options"]["linger"]) == (99, 2.0)
    again = await change(node, "reconfigure", target=str(probe.pid), options={})
    assert again["options"]["high_water"] == 99


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"high_water": "many"}, "high_water='many': give an integer"),
        ({"high_watr": 1}, "a UDP server has no option 'high_watr'; did you mean high_water?"),
        ({"gro": False}, "gro=False: it is fixed when the server is created"),
        ({"high_water": 50, "overflow": "spill"}, "overflow='spill': give one of"),
        ({"\x1b[31m": 1}, r"a UDP server has no option '\x1b[31m'; these can change: admit"),
        ({"__class__": 1}, "a UDP server has no option '__class__'; these can change: admit"),
    ],
)
async def test_a_change_that_cannot_be_made_names_the_option_and_changes_nothing(
    node: homing.Node, serving: meta.UDPServer, options: dict[str, Any], text: str
) -> None:
    code, message = await refused(node, "reconfigure", target=str(serving.alias), options=options)
    assert (code, text in message) == ("bad_request", True), message
    now = await change(node, "reconfigure", target=str(serving.alias), options={})
    assert now["options"]["high_water"] == 1024


async def test_reconfigure_of_what_is_no_server_says_so(node: homing.Node, probe: Probe) -> None:
    code, text = await refused(node, "reconfigure", target=str(probe.pid), options={})
    assert (code, "has no UDP server" in text) == ("failed", True)
