"""The tap of a client: its requests, their repetitions, and the replies are in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...captures import captured
from ...support import Probe, UDPPeer, eventually
from ..servers import open_echo

pytestmark = pytest.mark.backends


async def connect(probe: Probe, address: tuple[Any, ...], **options: Any) -> tuple[meta.UDPClient, gen.Alias]:
    client = meta.create_udp_client(meta.UDPClientOptions(host=address[0], port=address[1], **options))
    return client, await probe.do(lambda actor: actor.spawn_meta(client))


@pytest.mark.parametrize("ports", [1, 3])
async def test_requests_and_replies_are_recorded(ports: int, node: homing.Node, probe: Probe, tmp_path: Path) -> None:
    server = await open_echo(node)
    path = tmp_path / "x.pcapng"
    client, alias = await connect(probe, server.local_address, ports=ports, tap=meta.Tap(path))
    for number in range(20):
        assert (await node.call(alias, b"%d" % number)).data == b"%d" % number
    assert (await node.inspect_meta(alias))["tap"]["path"] == str(path)
    client.process.end(gen.TerminateNormal())
    await eventually(lambda: not node._core.unwritten)
    found = captured(path)
    assert [one.data for one in found if one.outgoing] == [b"%d" % number for number in range(20)]
    assert [one.data for one in found if not one.outgoing] == [b"%d" % number for number in range(20)]
    assert {one.source for one in found if not one.outgoing} == {server.local_address}
    assert len({one.source for one in found if one.outgoing}) <= max(1, ports)
    assert client.statistics().tapped == 40


async def test_repetitions_are_recorded_and_a_reply_is_for_the_owner(
    node: homing.Node, probe: Probe, peer: UDPPeer, tmp_path: Path
) -> None:
    path = tmp_path / "x.pcapng"
    client, alias = await connect(probe, peer.address, timeout=0.01, retries=2, tap=meta.Tap(path))
    with pytest.raises(gen.HomingError):
        await node.call(alias, b"anybody?")
    client.process.end(gen.TerminateNormal())
    await eventually(lambda: not node._core.unwritten)
    assert [one.data for one in captured(path)] == [b"anybody?"] * 3


def test_a_tap_that_is_none_is_refused() -> None:
    with pytest.raises(gen.BadOption, match="tap="):
        meta.UDPClientOptions(host="127.0.0.1", port=9, tap="x.pcapng")  # type: ignore[arg-type]
