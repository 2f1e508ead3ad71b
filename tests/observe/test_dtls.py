"""The sessions and handshakes of DTLS sockets, in `sockets` and `metrics`."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.observe import Observer

from ..meta.dtls.pki import ask, connect, open_echo, refusal
from ..meta.servers import HOST
from ..support import Probe, eventually, free_port

pytest.importorskip("OpenSSL")


async def answer(node: homing.Node, what: str, **fields: Any) -> dict[str, Any]:
    return await Observer(node).ask({"what": what, **fields})


async def sums_of(node: homing.Node, port: int) -> dict[str, Any]:
    found = (await answer(node, "metrics"))["sockets"]
    sums: dict[str, Any] = next(row["dtls"] for row in found if row["socket"] == f"{HOST}:{port}")
    return sums


async def test_sockets_show_sessions_and_the_causes_of_failed_handshakes(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    assert await ask(probe, await connect(probe, server), b"x") == b"x"
    await refusal(probe, server, server_name="other.example")
    plain = await probe.do(lambda actor: meta.listen_udp(actor))
    await eventually(lambda: server.statistics().handshakes_failed["refused"] == 1)
    rows = {row["id"]: row["dtls"] for row in (await answer(node, "sockets"))["sockets"]}
    assert rows[server.alias.id] == {
        "sessions": 1,
        "handshakes_open": 0,
        "handshakes": 2,
        "handshakes_failed": {"refused": 1},
    }
    assert rows[plain.alias.id] is None


async def test_the_sums_of_dtls_never_go_down_when_servers_end(node: homing.Node, probe: Probe) -> None:
    port = free_port()
    for generation in range(1, 3):
        server, pid = await open_echo(node, port=port)
        assert await ask(probe, await connect(probe, server), b"x") == b"x"
        sums = await sums_of(node, port)
        assert (sums["counters"]["handshakes_completed"], sums["open"]["sessions"]) == (generation, 1)
        node.send_exit(pid, gen.TerminateShutdown())
        await eventually(lambda pid=pid: pid not in node.processes())
    sums = await sums_of(node, port)
    assert (sums["counters"]["handshakes_completed"], sums["open"]["sessions"]) == (2, 0)
    assert sums["sessions_ended"]["ended"] == 2


async def test_metrics_of_dtls_have_the_socket_and_the_cause_as_labels(node: homing.Node, probe: Probe) -> None:
    exposition = pytest.importorskip("homing.observe.http.exposition")
    port = free_port()
    server, _ = await open_echo(node, port=port)
    assert await ask(probe, await connect(probe, server), b"x") == b"x"
    measured = exposition.Measured("", await answer(node, "metrics"), {}, 0.0)
    text = exposition.expose([measured], (), "")[0].decode()
    assert f'homing_dtls_open_sessions{{socket="{HOST}:{port}"}} 1.0' in text
    assert f'homing_dtls_completed_handshakes_total{{socket="{HOST}:{port}"}} 1.0' in text
    assert f'homing_dtls_failed_handshakes_total{{cause="psk",socket="{HOST}:{port}"}} 0.0' in text
    assert 'homing_dtls_completed_handshakes_total{socket="client"} 1.0' in text


async def test_a_node_without_dtls_has_no_metrics_of_it(node: homing.Node, probe: Probe) -> None:
    exposition = pytest.importorskip("homing.observe.http.exposition")
    await probe.do(lambda actor: meta.listen_udp(actor))
    measured = exposition.Measured("", await answer(node, "metrics"), {}, 0.0)
    assert b"homing_dtls" not in exposition.expose([measured], (), "")[0]
