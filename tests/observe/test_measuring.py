"""The request `metrics`: its sums."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.observe import Observer, measuring

from ..captures import untap
from ..meta.servers import open_echo
from ..node.actors import Gate
from ..support import UDPPeer, eventually, free_port


class Owner(act.Actor):
    async def init(self, port: int) -> None:
        self.server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=port))
        await self.spawn_meta(self.server)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> int:
        return self.server.statistics().packets_in


async def metrics(node: homing.Node) -> dict[str, Any]:
    return await Observer(node).ask({"what": "metrics"})


async def test_questions_at_once_count_no_datagram_twice(
    node: homing.Node, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "PORTION", 1)
    ports = [free_port() for _ in range(3)]
    pids = [await node.spawn(Owner, port) for port in ports]
    for _ in range(2):
        for port in ports:
            peer.send(b"1", ("127.0.0.1", port))
    await eventually_all(node, pids, 2)
    await asyncio.gather(*[metrics(node) for _ in range(3)])
    node.kill(pids[0])
    found = await metrics(node)
    assert [row["packets_in"] for row in found["sockets"]] == [2, 2, 2]


async def eventually_all(node: homing.Node, pids: list[gen.PID], count: int) -> None:
    for pid in pids:
        while await node.call(pid, "packets") < count:
            await asyncio.sleep(0)


@pytest.mark.parametrize("place", range(4))
async def test_each_message_is_at_one_name(node: homing.Node, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.setattr(measuring, "MOST_NAMES", 2)
    names = ["a", "b", "c"]
    names.insert(place, measuring.OTHER)
    gate = asyncio.Event()
    for name in names:
        await node.spawn(Gate, [], gate, name=name)
        for _ in range(2):
            node.send(name, 1)
    await eventually(lambda: all(node.process_info(name).mailbox.main == 1 for name in names))
    found = await metrics(node)
    assert {row["name"]: row["waiting"] for row in found["names"]} == {"a": 1, "b": 1}
    assert found["other"]["waiting"] == 2
    gate.set()


async def test_datagrams_that_a_tap_records_are_counted(node: homing.Node, peer: UDPPeer, tmp_path: Path) -> None:
    port = free_port()
    server = await open_echo(node, port=port, tap=meta.Tap(tmp_path / "x.pcapng"))
    await peer.ask(b"1", ("127.0.0.1", port))
    await untap(node, server, server.alias)
    (sums,) = (await metrics(node))["sockets"]
    assert (sums["tapped"], sums["tap_missed"]) == (2, 0)
