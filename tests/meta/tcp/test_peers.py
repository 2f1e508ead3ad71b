"""A process for each connection of a TCP server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing import act, gen, meta

from ...support import Probe, eventually
from .players import HOST, LINES, Stream, open_tcp


class Player(meta.PeerActor):
    """Answers each frame of its connection with its number and the frame, and does what some frames say."""

    def init(self, told: list[Any] | None = None) -> None:
        self.told = [] if told is None else told
        self.count = 0
        self.told.append("init")

    def handle_message(self, sender: Any, message: Any) -> None:
        self.told.append(message)
        if not isinstance(message, meta.MessageTCP):
            return
        match message.data:
            case b"crash":
                raise RuntimeError("as asked")
            case b"end":
                raise gen.TerminateNormal
        self.count += 1
        self.peer.send(b"%d %b" % (self.count, message.data))
        if message.data == b"close":
            self.peer.close()


async def open_players(probe: Probe, told: list[Any] | None = None, **options: Any) -> meta.TCPServer:
    return await open_tcp(probe, peers=meta.PeerOptions(worker=Player, worker_args=(told,), **options))


async def test_each_connection_has_a_process_of_its_own(probe: Probe) -> None:
    told: list[Any] = []
    server = await open_players(probe, told, notify=probe.pid)
    async with await Stream.to(server.local_address) as one, await Stream.to(server.local_address) as other:
        assert [await one.ask(b"a"), await one.ask(b"b"), await other.ask(b"c")] == [b"1 a", b"2 b", b"1 c"]
        ups = [await probe.get(), await probe.get()]
        assert {up.peer.address for up in ups} == {one.address, other.address}
        assert len({up.peer.pid for up in ups}) == 2
    downs = [await probe.get(), await probe.get()]
    assert all(isinstance(down, meta.MessagePeerDown) for down in downs)
    assert {type(down.reason) for down in downs} == {meta.ClosedByPeer}
    assert sum(isinstance(message, meta.MessageTCPDisconnect) for message in told) == 2
    await eventually(lambda: probe.node.info().processes == 2)  # the test's, and the table


async def test_a_process_that_ends_closes_its_connection(probe: Probe) -> None:
    server = await open_players(probe)
    async with await Stream.to(server.local_address) as peer:
        assert await peer.ask(b"a") == b"1 a"
        peer.send(b"end\nmore\n")
        assert await peer.rest() == b""
    await eventually(lambda: server.statistics().open == 0)
    assert server.statistics().closed_here == 1


@pytest.mark.parametrize("last", [b"end", b"crash"])
async def test_frames_that_a_process_has_sent_leave_before_its_end_closes_the_connection(
    last: bytes, probe: Probe
) -> None:
    server = await open_players(probe, restart="never")
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"a\nb\n" + last + b"\nnever\n")
        assert await peer.rest() == b"1 a\n2 b\n"
    await eventually(lambda: server.statistics().open == 0)
    counted = server.statistics()
    assert (counted.closed_here, counted.dropped_closed) == (1, 0)
    assert counted.received == counted.delivered + counted.waiting + counted.dropped


async def test_what_terminate_sends_leaves_before_the_connection_is_closed(probe: Probe) -> None:
    class Polite(meta.PeerActor):
        def handle_message(self, sender: Any, message: Any) -> None:
            if isinstance(message, meta.MessageTCP):
                raise gen.TerminateNormal

        def terminate(self, reason: Exception) -> None:
            self.peer.send(b"good bye")

    server = await open_tcp(probe, peers=meta.PeerOptions(worker=Polite))
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"a\n")
        assert await peer.rest() == b"good bye\n"


async def test_a_process_closes_its_connection_after_what_it_has_sent(probe: Probe) -> None:
    server = await open_players(probe)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"a\nclose\n")
        assert await peer.rest() == b"1 a\n2 close\n"
    await eventually(lambda: probe.node.info().processes == 2)  # the test's, and the table


async def test_a_process_that_crashes_is_restarted_for_the_same_connection(probe: Probe) -> None:
    told: list[Any] = []
    server = await open_players(probe, told)
    async with await Stream.to(server.local_address) as peer:
        assert await peer.ask(b"a") == b"1 a"
        peer.send(b"crash\n")
        await eventually(lambda: told.count("init") == 2)
        assert await peer.ask(b"b") == b"1 b"
        assert server.statistics().open == 1


async def test_a_process_that_is_not_restarted_closes_its_connection(probe: Probe) -> None:
    server = await open_players(probe, restart="never", notify=probe.pid)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"crash\n")
        assert await peer.rest() == b""
    assert isinstance(await probe.get(), meta.MessagePeerUp)
    assert isinstance((await probe.get()).reason, RuntimeError)


async def test_a_start_that_fails_closes_the_connection(probe: Probe) -> None:
    class Bad(meta.PeerActor):
        async def init(self) -> None:
            raise RuntimeError("cannot start")

    server = await open_tcp(probe, peers=meta.PeerOptions(worker=Bad))
    async with await Stream.to(server.local_address) as peer:
        assert await peer.rest() == b""
    await eventually(lambda: server.statistics().open == 0)


async def test_all_processes_end_with_the_server(probe: Probe) -> None:
    told: list[Any] = []
    server = await open_players(probe, told)
    async with await Stream.to(server.local_address) as peer, await Stream.to(server.local_address) as other:
        assert [await peer.ask(b"a"), await other.ask(b"b")] == [b"1 a", b"1 b"]
        await probe.do(lambda actor: actor.send_exit_meta(server.alias, gen.TerminateShutdown()))
        assert await peer.rest() == b""
    await eventually(lambda: probe.node.info().processes == 1)
    ends = [message.reason for message in told if isinstance(message, meta.MessageTCPDisconnect)]
    assert [type(reason) for reason in ends] == [meta.ServerEnded, meta.ServerEnded]


@pytest.mark.parametrize("options", [{"rate": 5.0}, {"key": len}, {"accept": bool}], ids=str)
def test_options_of_datagrams_are_refused(options: dict[str, Any]) -> None:
    peers = meta.PeerOptions(worker=Player, **options)
    with pytest.raises(gen.BadOption, match="peers"):
        meta.TCPServerOptions(frame=meta.Raw(), peers=peers)


class Slow(meta.PeerActor):
    """Answers each frame with it, but handles none before `gate` is set; raises for `crash`."""

    def init(self, gate: asyncio.Event) -> None:
        self.gate = gate

    async def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, meta.MessageTCP):
            await self.gate.wait()
            if message.data == b"crash":
                raise RuntimeError("as asked")
            self.peer.send(message.data)


async def crashed_with_frames_waiting(probe: Probe, preserve: bool, **options: Any) -> tuple[meta.TCPServer, bytes]:
    """The process of a connection crashes while two frames wait. Returns the server, and the answers to the peer."""
    gate = asyncio.Event()
    wanted = gen.ProcessOptions(preserve_mailbox=preserve)
    peers = meta.PeerOptions(worker=Slow, worker_args=(gate,), worker_options=wanted, **options)
    server = await open_tcp(probe, peers=peers)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"crash\na\nb\n")
        await eventually(lambda: server.statistics().delivered == 3)
        gate.set()
        await eventually(lambda: server.statistics().dropped_ended == (0 if preserve else 2))
        if options.get("restart") == "never":
            return server, await peer.rest()
        return server, await peer.ask(b"c") + (b" " + await peer.line() + await peer.line() if preserve else b"")


async def test_frames_that_wait_at_a_process_that_crashes_are_dropped_and_counted(probe: Probe) -> None:
    server, answer = await crashed_with_frames_waiting(probe, False)
    assert answer == b"c"
    statistics = server.statistics()
    assert statistics.dropped_ended == 2
    assert statistics.received == statistics.delivered + statistics.waiting + statistics.dropped == 4


async def test_frames_that_wait_at_a_process_that_crashes_pass_to_its_successor_if_asked_for(probe: Probe) -> None:
    server, answers = await crashed_with_frames_waiting(probe, True)
    assert answers == b"a b\nc\n"
    assert server.statistics().dropped_ended == 0


async def test_frames_that_wait_at_a_process_that_is_not_restarted_are_counted(probe: Probe) -> None:
    server, answers = await crashed_with_frames_waiting(probe, False, restart="never")
    assert answers == b""
    assert server.statistics().dropped_ended == 2
    assert server.statistics().closed_here == 1


async def test_a_process_that_crashes_too_often_closes_its_connection(probe: Probe) -> None:
    told: list[Any] = []
    server = await open_players(probe, told, intensity=2, notify=probe.pid)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"crash\n" * 4)
        for starts in (2, 3):
            await eventually(lambda starts=starts: told.count("init") == starts)  # type: ignore[misc]
            peer.send(b"crash\n")
        assert await peer.rest() == b""
    assert isinstance(await probe.get(), meta.MessagePeerUp)
    assert isinstance((await probe.get()).reason, RuntimeError)
    assert told.count("init") == 3


async def test_the_processes_belong_to_a_table_which_shows_them(probe: Probe) -> None:
    server = await open_players(probe)
    async with await Stream.to(server.local_address) as peer:
        assert await peer.ask(b"a") == b"1 a"
        infos = [probe.node.process_info(pid) for pid in probe.node.processes()]
        (table,) = [info for info in infos if info.kind == "peers"]
        facts = await probe.do(lambda actor: actor.inspect(table.pid))
        assert (facts["peers"], facts["up"], facts["restarts"]) == (1, 1, 0)


async def test_a_server_that_is_given_away_keeps_its_connections_and_their_processes(probe: Probe) -> None:
    class Keeper(act.Actor):
        pass

    server = await open_players(probe)
    keeper = await probe.node.spawn(Keeper)
    owner = await probe.node.spawn(Giver, server_options(), keeper)
    address = await probe.node.call(owner, "address")
    async with await Stream.to(address) as peer, await Stream.to(server.local_address) as other:
        assert await peer.ask(b"a") == b"1 a"
        await probe.node.call(owner, "give")
        probe.node.send_exit(owner, gen.TerminateKill())
        await eventually(lambda: owner not in probe.node.processes())
        assert [await peer.ask(b"b"), await other.ask(b"a")] == [b"2 b", b"1 a"]
        async with await Stream.to(address) as later:
            assert await later.ask(b"new") == b"1 new"
        probe.node.send_exit(keeper, gen.TerminateKill())
        assert await peer.rest() == b""
        assert await other.ask(b"c") == b"2 c"


def server_options() -> meta.TCPServerOptions:
    return meta.TCPServerOptions(host=HOST, frame=LINES, peers=meta.PeerOptions(worker=Player))


class Giver(act.Actor):
    """Owns a server until it is asked to give it to another process."""

    async def init(self, options: meta.TCPServerOptions, to: gen.PID) -> None:
        self.server = meta.create_tcp_server(options)
        await self.spawn_meta(self.server)
        self.to = to

    def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        if request == "give":
            self.give_meta(self.server.alias, self.to)
        return self.server.local_address
