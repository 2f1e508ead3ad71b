"""Numbers at the edge of what is taken: a server, a client and a node with them work."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.datagram.sockets import inherited
from homing.gen.options import LEAST_SECONDS, MOST, MOST_SECONDS

from ...meta.servers import HOST, open_echo, open_server
from ...support import DEADLINE, Probe, UDPPeer

pytestmark = [pytest.mark.backends, pytest.mark.loops]

EDGES: list[dict[str, Any]] = [
    {"receive_batch": 4096},
    {"receive_batch": 1},
    {"high_water": MOST, "low_water": MOST - 1},
    {"high_water": MOST, "overflow": "drop_oldest"},
    {"high_water": 1, "low_water": 0},
    {"send_queue": MOST},
    {"send_queue": MOST, "send_overflow": "pause"},
    {"send_queue": 1, "send_overflow": "pause"},
    {"linger": MOST_SECONDS},
    {"buffer_size": 1},
    {"send_rate": meta.Pacing(bytes_per_second=1e12, burst=MOST)},
    {"send_rate": meta.Pacing(bytes_per_second=1e-9, burst=MOST)},
    {"rate_limit": meta.RateLimit(rate=1e12, burst=MOST, exempt=(), slip=1 << 20)},
    {"rate_limit": meta.RateLimit(rate=1e-9, burst=MOST, exempt=())},
    {"reply_limit": meta.RateLimit(rate=1e12, exempt=(), capacity=1)},
    {"amplification": 1e6},
    {"amplification": meta.Amplification(factor=1e6, capacity=1, exempt=(), validity=MOST_SECONDS)},
    {"reply_guard": meta.ReplyGuard(rate=1e12, burst=MOST, amplification=1e6)},
]


@pytest.mark.parametrize("options", EDGES, ids=str)
async def test_a_server_with_a_number_at_the_edge_answers(
    node: homing.Node, peer: UDPPeer, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = await open_echo(node, **options)
    for number in range(20):
        assert await peer.ask(b"%d" % (number % 10), server.local_address) == b"%d" % (number % 10)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("value", [0, 4097, 2**31, 2**63, 10**400])
async def test_a_server_refuses_a_batch_that_it_could_not_read(probe: Probe, value: int) -> None:
    with pytest.raises(gen.BadOption, match="receive_batch"):
        meta.create_udp_server(meta.UDPServerOptions(host=HOST, receive_batch=value))
    server, alias = await open_server(probe)
    with pytest.raises(gen.BadOption, match="receive_batch"):
        await probe.node.call(alias, meta.Reconfigure(receive_batch=value))
    with UDPPeer() as peer:
        peer.send(b"goes on", server.local_address)
        assert (await probe.get()).data == b"goes on"


CLIENTS: list[dict[str, Any]] = [
    {"timeout": MOST_SECONDS, "max_timeout": MOST_SECONDS, "backoff": 1000, "retries": 1000},
    {"max_requests": MOST, "remember": 1 << 24},
    {"high_water": MOST, "send_queue": MOST, "receive_batch": 4096},
]


@pytest.mark.parametrize("options", CLIENTS, ids=str)
async def test_a_client_with_a_number_at_the_edge_gets_its_answer(
    node: homing.Node, probe: Probe, options: dict[str, Any]
) -> None:
    server = await open_echo(node)
    wanted = meta.UDPClientOptions(host=HOST, port=server.local_address[1], **options)
    client = await probe.do(lambda actor: actor.spawn_meta(meta.create_udp_client(wanted)))
    assert (await probe.do(lambda actor: actor.call(client, b"hello"))).data == b"hello"


NODES: list[gen.NodeOptions] = [
    gen.NodeOptions(turn_messages=MOST, turn_seconds=MOST_SECONDS, slow_callback_seconds=MOST_SECONDS),
    gen.NodeOptions(turn_messages=1, turn_seconds=LEAST_SECONDS, slice_seconds=LEAST_SECONDS),
    gen.NodeOptions(slow_callback_seconds=5e-324),
    gen.NodeOptions(stop_timeout=MOST_SECONDS),
]


@pytest.mark.parametrize("options", NODES, ids=str)
async def test_a_node_with_a_number_at_the_edge_works_and_stops(options: gen.NodeOptions) -> None:
    class Ticks(act.Actor):
        def init(self) -> None:
            self.ticks = 0
            self.send_after(self.pid, "late", MOST_SECONDS)
            self.send_every(self.pid, "tick", LEAST_SECONDS)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.ticks += 1

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.ticks

    async with homing.start_node("edge@localhost", options) as node:
        pid = await node.spawn(Ticks, options=gen.ProcessOptions(mailbox_size=MOST, init_timeout=MOST_SECONDS))
        async with asyncio.timeout(DEADLINE):
            while await node.call(pid, "ticks", timeout=MOST_SECONDS) < 10:
                await asyncio.sleep(0.001)
        node.kill(pid)


# --- numbers from the environment -------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    "count", ["99999999999", "2147483645", str(2**64), "9" * 400, "9" * 5000, "-1", "1e3", "٣", " 1", ""]
)
def test_a_count_of_passed_sockets_that_cannot_be_meant_takes_no_memory_and_raises_nothing(
    count: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LISTEN_PID", str(os.getpid())), ("LISTEN_FDS", count), ("LISTEN_FDNAMES", "a:b")):
        monkeypatch.setenv(name, value)
    # From where the descriptors of this program end: what it has open was not passed to it.
    end = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    monkeypatch.setattr(inherited, "_FIRST", end)
    before = inherited.kept()
    inherited.read_environment()
    assert inherited.kept() == before
    assert "LISTEN_FDS" not in os.environ


@pytest.mark.once
def test_fewer_sockets_than_were_told_are_taken_as_far_as_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    end = max(int(name) for name in os.listdir("/proc/self/fd")) + 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        os.dup2(sock.fileno(), end)
    for name, value in (("LISTEN_PID", str(os.getpid())), ("LISTEN_FDS", "2147483000"), ("LISTEN_FDNAMES", "a")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(inherited, "_FIRST", end)
    before = inherited.kept()
    inherited.read_environment()
    taken = [one for one in inherited.kept() if one not in before]
    assert [one.name for one in taken] == ["a"]
    inherited.discard(taken)
