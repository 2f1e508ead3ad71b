"""A TCP server outlives its owner, and is adopted with its connections by the next one."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually, free_port
from .players import HOST, LINES, Stream, all_ends


def free_stream_port() -> int:
    """A port that no TCP socket of 127.0.0.1 has."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


class Owner(act.Actor):
    """Owns a server of lines, answers with its own number, and crashes if it is asked to."""

    async def init(self, found: list[Any], options: dict[str, Any]) -> None:
        server = await meta.listen_tcp(self, host=HOST, frame=LINES, linger=20.0, **options)
        found.append((self.pid, server))

    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, meta.MessageTCP):
            if message.data == b"crash":
                raise RuntimeError("as asked")
            self.reply(message, b"%d %b" % (self.pid.id, message.data))


async def open_owner(node: homing.Node, found: list[Any], **options: Any) -> None:
    """An owner that is restarted."""
    spec = act.SupervisorSpec(children=(act.ChildSpec(name="owner", behavior=Owner, args=(found, options)),))

    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return spec

    await node.spawn(Top)


async def test_connections_outlive_a_crash_of_the_owner(node: homing.Node) -> None:
    found: list[Any] = []
    await open_owner(node, found, port=free_stream_port())
    (first, server), address = found[0], found[0][1].local_address
    async with await Stream.to(address) as peer:
        assert await peer.ask(b"hello") == b"%d hello" % first.id
        peer.send(b"crash\n")
        await eventually(lambda: len(found) == 2)
        second, successor = found[1]
        assert await peer.ask(b"again") == b"%d again" % second.id
        async with await Stream.to(address) as other:
            assert await other.ask(b"new") == b"%d new" % second.id
        assert (successor.alias, successor.local_address) == (server.alias, address)
        assert second != first
    statistics = successor.statistics()
    assert statistics.accepted == 2
    assert statistics.server_ended == 0


async def test_with_workers_the_connections_stay_and_the_workers_are_new(node: homing.Node) -> None:
    class Worker(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            if isinstance(message, meta.MessageTCP):
                self.reply(message, b"%d" % self.pid.id)

    found: list[Any] = []
    await open_owner(node, found, port=free_stream_port(), worker=Worker, workers=1)
    async with await Stream.to(found[0][1].local_address) as peer:
        before = await peer.ask(b"hello")
        node.send_exit(found[0][0], gen.TerminateKill())
        await eventually(lambda: len(found) == 2)
        assert await peer.ask(b"hello") != before


async def test_a_server_that_nobody_adopts_is_closed(probe: Probe) -> None:
    port = free_stream_port()
    found: list[Any] = []
    pid = await probe.node.spawn(Brief, found, port)
    async with await Stream.to((HOST, port)) as peer:
        await eventually(lambda: found[0].statistics().open == 1)
        probe.node.send_exit(pid, gen.TerminateKill())
        assert await peer.rest() == b""
    statistics = found[0].statistics()
    assert (statistics.open, all_ends(statistics)) == (0, 1)
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(socket.create_connection, (HOST, port), 5)


class Brief(act.Actor):
    async def init(self, found: list[Any], port: int) -> None:
        found.append(await meta.listen_tcp(self, host=HOST, port=port, frame=LINES, linger=0.2))


async def test_a_successor_that_is_not_started_leaves_the_server_lingering(node: homing.Node) -> None:
    port = free_stream_port()
    found: list[Any] = []
    first = await node.spawn(Owner, found, {"port": port})
    async with await Stream.to((HOST, port)) as peer:
        assert await peer.ask(b"hello") == b"%d hello" % first.id
        node.send_exit(first, gen.TerminateKill())
        await eventually(lambda: node.info().processes == 0)
        with meta.create_tcp_server(meta.TCPServerOptions(host=HOST, port=port, frame=LINES)) as unused:
            assert unused.local_address == (HOST, port)
        second = await node.spawn(Owner, found, {"port": port})
        assert await peer.ask(b"again") == b"%d again" % second.id


class Numbered(meta.PeerActor):
    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, meta.MessageTCP):
            self.peer.send(b"%d" % self.pid.id)


def numbered(**options: Any) -> meta.PeerOptions:
    return meta.PeerOptions(worker=Numbered, **options)


async def test_connections_with_processes_of_their_own_keep_them_when_the_owner_crashes(node: homing.Node) -> None:
    found: list[Any] = []
    await open_owner(node, found, port=free_stream_port(), peers=numbered())
    address = found[0][1].local_address
    async with await Stream.to(address) as peer:
        before = await peer.ask(b"hello")
        node.send_exit(found[0][0], gen.TerminateKill())
        assert await peer.ask(b"again") == before
        await eventually(lambda: len(found) == 2)
        async with await Stream.to(address) as other:
            assert await other.ask(b"hello") not in (b"", before)
            assert await peer.ask(b"again") == before
    await eventually(lambda: found[1][1].statistics().open == 0)
    statistics = found[1][1].statistics()
    assert statistics.accepted == all_ends(statistics) == 2
    await eventually(lambda: node.info().processes == 3)  # the supervisor, the owner, and one table


async def test_a_successor_with_other_processes_for_connections_ends_the_former_ones(node: homing.Node) -> None:
    found: list[Any] = []
    port = free_stream_port()
    first = await node.spawn(Owner, found, {"port": port, "peers": numbered()})
    async with await Stream.to((HOST, port)) as peer:
        assert await peer.ask(b"hello")
        node.send_exit(first, gen.TerminateKill())
        await eventually(lambda: first not in node.processes())
        await node.spawn(
            Owner, found, {"port": port, "peers": numbered(worker_options=gen.ProcessOptions(env={"a": 1}))}
        )
        assert await peer.rest() == b""
        async with await Stream.to((HOST, port)) as other:
            assert await other.ask(b"hello")
    await eventually(lambda: node.info().processes == 2)  # the owner, and one table


async def test_a_successor_without_processes_for_connections_ends_the_former_ones(node: homing.Node) -> None:
    found: list[Any] = []
    port = free_stream_port()
    first = await node.spawn(Owner, found, {"port": port, "peers": numbered()})
    async with await Stream.to((HOST, port)) as peer:
        assert await peer.ask(b"hello")
        node.send_exit(first, gen.TerminateKill())
        await eventually(lambda: first not in node.processes())
        second = await node.spawn(Owner, found, {"port": port})
        assert await peer.rest() == b""
        async with await Stream.to((HOST, port)) as other:
            assert await other.ask(b"hello") == b"%d hello" % second.id
    await eventually(lambda: node.info().processes == 1)


class OwnerOfBoth(act.Actor):
    """Owns servers of both protocols, answers both with its own number, and crashes if it is asked to."""

    async def init(self, found: list[Any], options: dict[str, Any]) -> None:
        server = await meta.listen_tcp(self, host=HOST, frame=LINES, **{"linger": 20.0, "both": True, **options})
        found.append((self.pid, server))

    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, meta.MessageTCP | meta.MessageUDP):
            if message.data == b"crash":
                raise RuntimeError("as asked")
            self.reply(message, b"%d %b" % (self.pid.id, bytes(message.data)))


async def open_owner_of_both(node: homing.Node, found: list[Any], **options: Any) -> tuple[str, int]:
    """An owner that is restarted. Returns the address of its servers."""

    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            child = act.ChildSpec(name="owner", behavior=OwnerOfBoth, args=(found, options))
            return act.SupervisorSpec(children=(child,))

    await node.spawn(Top)
    address: tuple[str, int] = found[0][1].local_address
    return address


@pytest.fixture
def both_port() -> int:
    """A port that neither protocol has."""
    return free_port()


async def test_with_udp_beside_both_outlive_a_crash_of_the_owner(
    node: homing.Node, peer: UDPPeer, both_port: int
) -> None:
    found: list[Any] = []
    address = await open_owner_of_both(node, found, port=both_port)
    first, server = found[0]
    async with await Stream.to(address) as stream:
        assert await stream.ask(b"a") == await peer.ask(b"a", address) == b"%d a" % first.id
        stream.send(b"crash\n")
        await eventually(lambda: len(found) == 2)
        second, successor = found[1]
        assert second != first
        assert await stream.ask(b"b") == await peer.ask(b"b", address) == b"%d b" % second.id
        assert (successor.alias, successor.udp.alias) == (server.alias, server.udp.alias)
        node.send_exit(second, gen.TerminateKill())
        await eventually(lambda: len(found) == 3)
        third, _ = found[2]
        assert await stream.ask(b"c") == await peer.ask(b"c", address) == b"%d c" % third.id
    assert found[2][1].statistics().accepted == 1


@pytest.mark.parametrize("ended", ["tcp", "udp"])
async def test_after_an_adoption_each_still_ends_with_the_other(
    ended: str, node: homing.Node, probe: Probe, both_port: int
) -> None:
    found: list[Any] = []
    await open_owner_of_both(node, found, port=both_port)
    node.send_exit(found[0][0], gen.TerminateKill())
    await eventually(lambda: len(found) == 2)
    server = found[1][1]
    await probe.do(lambda actor: actor.monitor(server.alias))
    await probe.do(lambda actor: actor.monitor(server.udp.alias))
    await probe.do(
        lambda actor: actor.send_exit_meta(
            server.alias if ended == "tcp" else server.udp.alias, gen.TerminateShutdown("as asked")
        )
    )
    downs = [await probe.get(), await probe.get()]
    assert {down.alias for down in downs} == {server.alias, server.udp.alias}
    assert [str(down.reason) for down in downs] == ["as asked"] * 2


async def test_a_successor_that_asks_for_no_udp_ends_it_and_keeps_the_connections(
    node: homing.Node, both_port: int
) -> None:
    found: list[Any] = []
    first = await node.spawn(OwnerOfBoth, found, {"port": both_port})
    async with await Stream.to((HOST, both_port)) as stream:
        assert await stream.ask(b"a") == b"%d a" % first.id
        node.send_exit(first, gen.TerminateKill())
        await eventually(lambda: first not in node.processes())
        second = await node.spawn(OwnerOfBoth, found, {"port": both_port, "both": False})
        assert await stream.ask(b"b") == b"%d b" % second.id
        assert found[1][1].udp is None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((HOST, both_port))
        assert await stream.ask(b"c") == b"%d c" % second.id


async def test_a_successor_with_another_udp_socket_binds_that_and_keeps_the_connections(
    node: homing.Node, peer: UDPPeer, both_port: int
) -> None:
    found: list[Any] = []
    first = await node.spawn(OwnerOfBoth, found, {"port": both_port})
    async with await Stream.to((HOST, both_port)) as stream:
        assert await stream.ask(b"a") == b"%d a" % first.id
        node.send_exit(first, gen.TerminateKill())
        await eventually(lambda: first not in node.processes())
        other = meta.UDPServerOptions(buffer_size=1000)
        second = await node.spawn(OwnerOfBoth, found, {"port": both_port, "both": other})
        assert await stream.ask(b"b") == await peer.ask(b"b", (HOST, both_port)) == b"%d b" % second.id


async def test_both_are_closed_if_nobody_adopts_them(node: homing.Node, both_port: int) -> None:
    found: list[Any] = []
    first = await node.spawn(OwnerOfBoth, found, {"port": both_port, "linger": 0.2})
    async with await Stream.to((HOST, both_port)) as stream:
        assert await stream.ask(b"a") == b"%d a" % first.id
        node.send_exit(first, gen.TerminateKill())
        assert await stream.rest() == b""
    await eventually(lambda: node.info().metas == 0)
    with socket.create_server((HOST, both_port)):
        pass


async def test_workers_of_both_serve_on_after_a_crash_of_the_owner(
    node: homing.Node, peer: UDPPeer, both_port: int
) -> None:
    class Worker(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            if isinstance(message, meta.MessageTCP | meta.MessageUDP):
                self.reply(message, b"%d" % self.pid.id)

    found: list[Any] = []
    address = await open_owner_of_both(node, found, port=both_port, worker=Worker, workers=1)
    async with await Stream.to(address) as stream:
        before = await stream.ask(b"a")
        assert await peer.ask(b"a", address) == before
        node.send_exit(found[0][0], gen.TerminateKill())
        await eventually(lambda: len(found) == 2)
        assert await stream.ask(b"b") == await peer.ask(b"b", address)
