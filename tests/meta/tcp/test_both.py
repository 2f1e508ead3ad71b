"""`both`: UDP and TCP on one port, for one receiver."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from .players import HOST, LINES, Stream, open_tcp


class EchoOfBoth(act.Actor):
    """Answers datagrams and frames alike."""

    def init(self, told: list[Any] | None = None) -> None:
        self.told = told

    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, meta.MessageUDP | meta.MessageTCP):
            if self.told is not None:
                self.told.append((self.pid, type(message).__name__, message.addr))
            self.reply(message, b"OK: " + message.data)


async def open_both(probe: Probe, told: list[Any] | None = None, **options: Any) -> meta.TCPServer:
    pid = await probe.node.spawn(EchoOfBoth, told)
    return await open_tcp(probe, **{"process": pid, "both": True, **options})


async def ask_both(server: meta.TCPServer, peer: UDPPeer) -> tuple[bytes, bytes]:
    address = server.local_address[:2]
    async with await Stream.to(address) as stream:
        return await peer.ask(b"by UDP", address), await stream.ask(b"by TCP")


async def test_one_receiver_answers_datagrams_and_frames_of_one_port(probe: Probe, peer: UDPPeer) -> None:
    server = await open_both(probe)
    assert server.udp is not None
    assert server.udp.local_address == server.local_address
    assert await ask_both(server, peer) == (b"OK: by UDP", b"OK: by TCP")
    assert (server.statistics().received, server.udp.statistics().ledger.received) == (1, 1)


async def test_each_is_shown_by_its_own_name(probe: Probe) -> None:
    server = await open_both(probe)
    assert server.udp is not None
    infos = [probe.node.meta_info(alias) for alias in (server.alias, server.udp.alias)]
    assert [info.behavior for info in infos] == ["TCPServer", "UDPServer"]


async def test_a_given_port_is_opened_for_both(probe: Probe, peer: UDPPeer) -> None:
    first = await open_both(probe)
    port = first.local_address[1]
    await probe.do(lambda actor: actor.send_exit_meta(first.alias, gen.TerminateShutdown()))
    await eventually(lambda: probe.node.info().metas == 0)
    server = await open_both(probe, port=port)
    assert server.local_address[1] == port
    assert await ask_both(server, peer) == (b"OK: by UDP", b"OK: by TCP")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_if_one_cannot_be_bound_neither_stays_open_and_the_error_names_it(kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind((HOST, 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        name = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        with pytest.raises(meta.errors.BindFailed, match=f"{name} {HOST}:{port}"):
            meta.create_tcp_server(meta.TCPServerOptions(host=HOST, port=port, frame=LINES, both=True))
        free = socket.SOCK_DGRAM if kind == socket.SOCK_STREAM else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, free) as one:
            one.bind((HOST, port))


async def test_workers_serve_both_each_peer_by_one(probe: Probe, peer: UDPPeer) -> None:
    told: list[Any] = []
    server = await open_tcp(probe, both=True, worker=EchoOfBoth, workers=3, worker_args=(told,))
    address = server.local_address[:2]
    async with await Stream.to(address) as stream:
        for _ in range(10):
            assert await peer.ask(b"x", address) == b"OK: x"
            assert await stream.ask(b"y") == b"OK: y"
    workers: dict[Any, set[Any]] = {}
    for pid, _, addr in told:
        workers.setdefault(addr, set()).add(pid)
    assert len(workers) == 2
    assert all(len(pids) == 1 for pids in workers.values())


@pytest.mark.parametrize("ended", ["tcp", "udp"])
async def test_each_ends_with_the_other_for_the_same_reason(ended: str, probe: Probe) -> None:
    server = await open_both(probe)
    udp = server.udp
    assert udp is not None
    await probe.do(lambda actor: actor.monitor(server.alias))
    await probe.do(lambda actor: actor.monitor(udp.alias))
    alias = server.alias if ended == "tcp" else udp.alias
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown("as asked")))
    downs = [await probe.get(), await probe.get()]
    assert {down.alias for down in downs} == {server.alias, udp.alias}
    assert [str(down.reason) for down in downs] == ["as asked"] * 2
    with socket.create_server(server.local_address[:2]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(server.local_address[:2])


async def test_both_close_with_their_owner(node: homing.Node) -> None:
    class Owner(act.Actor):
        async def init(self) -> None:
            self.server = await meta.listen_tcp(self, host=HOST, frame=LINES, both=True)

        def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
            return self.server.local_address

    pid = await node.spawn(Owner)
    address = await node.call(pid, None)
    node.send_exit(pid, gen.TerminateShutdown())
    await eventually(lambda: pid not in node.processes())
    with socket.create_server(address), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(address)


async def test_a_server_that_is_not_started_closes_both(probe: Probe) -> None:
    with meta.create_tcp_server(meta.TCPServerOptions(host=HOST, frame=LINES, both=True)) as server:
        address = server.local_address
    with socket.create_server(address), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(address)


async def test_limits_hold_for_both_unless_udp_has_its_own(probe: Probe, peer: UDPPeer) -> None:
    own = meta.UDPServerOptions(rate_limit=meta.RateLimit(rate=0.001, burst=1, exempt=()))
    server = await open_both(probe, deny=("127.0.0.9",), both=own)
    udp = server.udp
    assert udp is not None
    address = server.local_address[:2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied, socket.socket() as refused:
        denied.bind(("127.0.0.9", 0))
        denied.sendto(b"x", address)
        refused.bind(("127.0.0.9", 0))
        refused.setblocking(False)
        refused.connect_ex(address)
        await eventually(lambda: (udp.statistics().denied, server.statistics().denied) == (1, 1))
    assert await ask_both(server, peer) == (b"OK: by UDP", b"OK: by TCP")
    peer.send(b"too many", address)
    await eventually(lambda: udp.statistics().limited == 1)
    assert server.statistics().limited == 0


async def test_both_go_to_another_owner(probe: Probe, peer: UDPPeer) -> None:
    server = await open_tcp(probe, both=True)
    heir = await probe.node.spawn(EchoOfBoth)
    await probe.do(lambda actor: actor.give_meta(server.alias, heir))
    assert await ask_both(server, peer) == (b"OK: by UDP", b"OK: by TCP")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"both": 1}, "both"),
        ({"both": meta.UDPServerOptions(port=5)}, "both.port"),
        ({"both": meta.UDPServerOptions(process="other")}, "both.process"),
        ({"both": meta.UDPServerOptions(overflow="drop_oldest"), "worker": EchoOfBoth}, "both.overflow"),
    ],
)
def test_settings_that_contradict_are_refused_by_name(options: dict[str, Any], name: str) -> None:
    with pytest.raises(gen.BadOption, match=name):
        meta.TCPServerOptions(host=HOST, frame=LINES, **options)


def test_a_given_socket_and_both_are_refused() -> None:
    with socket.create_server((HOST, 0)) as given, pytest.raises(gen.BadOption, match="socket"):
        meta.TCPServerOptions(frame=LINES, socket=given, both=True)
