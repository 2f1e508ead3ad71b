"""The request `tcp`, and the counters of TCP in `metrics`."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import gen
from homing.observe import Observer

from ..meta.tcp.players import HOST, Stream, connect_tcp, open_echo, open_tcp
from ..support import Probe, eventually, free_port


async def ask(node: homing.Node, what: str, **fields: Any) -> dict[str, Any]:
    return await Observer(node).ask({"what": what, **fields})


async def test_servers_and_clients_of_tcp_are_shown_with_their_counters(node: homing.Node) -> None:
    probe = await Probe.start(node)
    server = await open_echo(probe, deny=("127.0.0.9",))
    client = await connect_tcp(probe, server)
    assert (await probe.do(lambda actor: actor.call(client.alias, b"hello"))).data == b"OK: hello"
    first, second = (await ask(node, "tcp"))["tcp"]
    assert (first["kind"], first["address"], first["peer"]) == ("server", f"{HOST}:{server.local_address[1]}", None)
    assert (first["open"], first["accepted"], first["received"], first["sent"], first["refused"]) == (1, 1, 1, 1, {})
    assert (second["kind"], second["peer"]) == ("client", first["address"])
    assert (await ask(node, "tcp", filter="tcpclient"))["total"] == 1
    assert (await ask(node, "tcp", limit=1))["more"] == 1


async def test_refused_and_ended_connections_are_under_their_causes(node: homing.Node) -> None:
    probe = await Probe.start(node)
    server = await open_tcp(probe, deny=("127.0.0.9",))
    async with await Stream.to(server.local_address, local_addr=("127.0.0.9", 0)) as refused:
        assert await refused.rest() == b""
    async with await Stream.to(server.local_address):
        await eventually(lambda: server.statistics().open == 1)
    await eventually(lambda: server.statistics().open == 0)
    (row,) = (await ask(node, "tcp"))["tcp"]
    assert (row["refused"], row["ended"]) == ({"denied": 1}, {"closed_by_peer": 1})


async def test_the_sums_of_a_label_never_go_down_when_servers_end(node: homing.Node) -> None:
    port = free_port()
    for generation in range(3):
        probe = await Probe.start(node)
        server = await open_echo(probe, port=port)
        async with await Stream.to(server.local_address) as peer:
            assert await peer.ask(b"x") == b"OK: x"
            (sums,) = (await ask(node, "metrics"))["tcp"]
            assert sums["socket"] == f"{HOST}:{port}"
            assert (sums["counters"]["received"], sums["counters"]["open"]) == (generation + 1, 1)
        node.send_exit(probe.pid, gen.TerminateShutdown())
        await eventually(lambda pid=probe.pid: pid not in node.processes())
    (sums,) = (await ask(node, "metrics"))["tcp"]
    assert (sums["counters"]["received"], sums["counters"]["open"]) == (3, 0)
    assert sum(sums["ended"].values()) == sums["counters"]["accepted"] == 3


async def test_metrics_of_tcp_have_the_socket_and_the_cause_as_labels(node: homing.Node) -> None:
    exposition = pytest.importorskip("homing.observe.http.exposition")
    port = free_port()
    server = await open_echo(await Probe.start(node), port=port)
    async with await Stream.to(server.local_address) as peer:
        assert await peer.ask(b"x") == b"OK: x"
        measured = exposition.Measured("", await ask(node, "metrics"), {}, 0.0)
        text = exposition.expose([measured], (), "")[0].decode()
    assert f'homing_tcp_open_connections{{socket="{HOST}:{port}"}} 1.0' in text
    assert f'homing_tcp_received_frames_total{{socket="{HOST}:{port}"}} 1.0' in text
    assert f'homing_tcp_ended_connections_total{{cause="cut_idle",socket="{HOST}:{port}"}} 0.0' in text
