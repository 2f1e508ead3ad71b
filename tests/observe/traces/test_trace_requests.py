"""The stream `trace` of an observer: its targets, its items, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

import homing
from homing import act, meta
from homing.node.node import internals
from homing.observe import Observer, RequestRefused

from ...meta.servers import create
from ...support import DEADLINE, UDPPeer, eventually


class Echo(act.Actor):
    async def init(self, options: dict[str, Any] | None = None) -> None:
        self.server = create(**(options or {}))
        self.alias = await self.spawn_meta(self.server)

    def handle_message(self, sender: Any, message: Any) -> None:
        self.reply(message, bytes(message.data))

    def handle_call(self, sender: Any, ref: Any, request: str) -> Any:
        return getattr(self, request)


async def items(node: homing.Node, peer: UDPPeer, server: meta.UDPServer, **request: Any) -> list[Any]:
    """The items of a stream that ends by its limit, as packets come."""
    found = []

    async def read() -> None:
        async for item in Observer(node).stream({"what": "trace", **request}):
            found.append(json.loads(json.dumps(item)))

    async with asyncio.timeout(DEADLINE):
        reading = asyncio.create_task(read())
        while not reading.done():
            await peer.ask(b"hello", server.local_address)
        await reading
    return found


async def test_its_items_are_traces_and_then_a_summary(node: homing.Node, peer: UDPPeer) -> None:
    pid = await node.spawn(Echo, name="echo")
    server = await node.call(pid, "server")
    one, two, summary = await items(node, peer, server, limit=2)
    assert [item["item"] for item in (one, two, summary)] == ["trace", "trace", "summary"]
    assert [one["number"], two["number"]] == [1, 2]
    assert (summary["count"], summary["ended"], summary["target"]) == (2, "limit", None)


async def test_a_target_is_a_name_an_address_of_a_process_or_the_address_of_a_socket(
    node: homing.Node, peer: UDPPeer
) -> None:
    pid = await node.spawn(Echo, name="echo")
    server = await node.call(pid, "server")
    alias = await node.call(pid, "alias")
    host, port = server.local_address
    for target in ("echo", str(pid), str(pid.id), str(alias), str(alias.id), f"{host}:{port}", f":{port}"):
        _, summary = await items(node, peer, server, limit=1, target=target)
        assert (summary["count"], summary["target"]) == (1, target)


async def test_the_address_of_several_servers_is_refused_with_their_aliases(node: homing.Node) -> None:
    one = await node.spawn(Echo, {"reuse_port": True})
    server, first = await node.call(one, "server"), await node.call(one, "alias")
    port = server.local_address[1]
    second = await node.call(await node.spawn(Echo, {"reuse_port": True, "port": port}), "alias")
    with pytest.raises(RequestRefused, match="2 UDP servers") as caught:
        await anext(Observer(node).stream({"what": "trace", "target": f":{port}"}))
    assert caught.value.code == "bad_request"
    assert str(first) in caught.value.message
    assert str(second) in caught.value.message


@pytest.mark.parametrize("target", ["nobody", ":1", "127.0.0.1:1", "<test@localhost.999>", "<other@host.1001>", ""])
async def test_an_unknown_target_is_refused(node: homing.Node, target: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        await anext(Observer(node).stream({"what": "trace", "target": target}))
    assert caught.value.code == "unknown_target"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", 0),
        ("limit", 10_001),
        ("limit", 1.5),
        ("seconds", 0),
        ("seconds", 1e9),
        ("rate", 0),
        ("rate", 1e9),
        ("payload", "yes"),
        ("target", 7),
        ("targets", "echo"),
    ],
)
async def test_a_field_that_does_not_fit_is_refused_by_its_name(node: homing.Node, field: str, value: Any) -> None:
    with pytest.raises(RequestRefused, match=field) as caught:
        await anext(Observer(node).stream({"what": "trace", field: value}))
    assert caught.value.code == "bad_request"


async def test_a_stream_that_its_reader_closes_traces_no_more(node: homing.Node, peer: UDPPeer) -> None:
    pid = await node.spawn(Echo)
    server = await node.call(pid, "server")
    async with asyncio.timeout(DEADLINE), aclosing(Observer(node).stream({"what": "trace"})) as stream:  # type: ignore[type-var]
        first = asyncio.ensure_future(anext(stream))
        while not first.done():
            await peer.ask(b"hello", server.local_address)
    tracer = internals(node).core.tracer
    assert tracer is not None
    await eventually(lambda: not tracer.recorders)
