"""A TCP server: frames become messages, and messages frames, in order."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, eventually
from .players import HOST, LINES, Echo, Stream, all_ends, open_echo, open_tcp


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def failure_of(pending: Awaitable[Any]) -> Exception | None:
    """The exception that `pending` raises."""
    try:
        await pending
    except Exception as error:
        return error
    return None


async def test_each_frame_arrives_as_a_message_between_the_connection_and_its_end(probe: Probe) -> None:
    server = await open_tcp(probe)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"one\ntwo\nthr")
        connect, one, two = [await probe.get() for _ in range(3)]
        peer.send(b"ee\n")
        three = await probe.get()
    end = await probe.get()
    assert isinstance(connect, meta.MessageTCPConnect)
    assert [message.data for message in (one, two, three)] == [b"one", b"two", b"three"]
    assert {(message.id, message.addr, message.connection) for message in (connect, one, two, three, end)} == {
        (server.alias, peer.address, connect.connection)
    }
    assert isinstance(end, meta.MessageTCPDisconnect)
    assert isinstance(end.reason, meta.ClosedByPeer)
    statistics = server.statistics()
    assert (statistics.accepted, statistics.open, statistics.received, statistics.delivered) == (1, 0, 3, 3)
    assert all_ends(statistics) == 1


async def test_answers_leave_on_their_connections_in_the_order_in_which_they_were_sent(probe: Probe) -> None:
    server = await open_echo(probe)
    async with await Stream.to(server.local_address) as one, await Stream.to(server.local_address) as other:
        one.send(b"".join(b"%d\n" % number for number in range(3000)))
        assert await other.ask(b"hello") == b"OK: hello"
        assert [await one.line() for _ in range(3000)] == [b"OK: %d\n" % number for number in range(3000)]


async def test_an_actor_may_answer_connections_in_any_order(probe: Probe) -> None:
    server = await open_tcp(probe, announce=False)
    async with await Stream.to(server.local_address) as one, await Stream.to(server.local_address) as other:
        one.send(b"a\nb\n")
        first, second = await probe.get(), await probe.get()
        other.send(b"c\n")
        third = await probe.get()
        for message in (third, second, first):
            await probe.do(lambda actor, message=message: actor.send(message.id, message.reply(message.data)))
        assert await other.line() == b"c\n"
        assert [await one.line(), await one.line()] == [b"b\n", b"a\n"]


async def test_a_call_answers_with_the_bytes_or_raises(probe: Probe) -> None:
    server = await open_tcp(probe, announce=False)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"hello\n")
        message = await probe.get()
        assert await probe.do(lambda actor: actor.call(server.alias, message.reply(b"12345"))) == 6
        assert await peer.line() == b"12345\n"
        with pytest.raises(meta.BadFrame):
            await probe.node.call(server.alias, message.reply(b"1\n2"))
        by_address = meta.MessageTCP(addr=peer.address, data=b"by address")
        assert await probe.do(lambda actor: actor.call(server.alias, by_address)) == 11
    await eventually(lambda: server.statistics().open == 0)
    with pytest.raises(meta.ConnectionEnded):
        await probe.node.call(server.alias, message.reply(b"late"))
    with pytest.raises(gen.NotAllowed, match="takes MessageTCP"):
        await probe.node.call(server.alias, "text")
    assert server.statistics().dropped_closed == 1


async def test_a_late_answer_is_counted_and_raises_nothing(probe: Probe) -> None:
    server = await open_tcp(probe, announce=False)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"hello\n")
        message = await probe.get()
    await eventually(lambda: server.statistics().open == 0)
    await probe.do(lambda actor: actor.reply(message, b"late"))
    await eventually(lambda: server.statistics().dropped_closed == 1)


async def test_a_bad_answer_is_counted_and_the_next_one_leaves(probe: Probe) -> None:
    server = await open_tcp(probe, announce=False)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"hello\n")
        message = await probe.get()
        for data in (b"two\nlines", None, 5, b"good"):
            await probe.do(lambda actor, data=data: actor.reply(message, data))
        assert await peer.line() == b"good\n"
        assert server.statistics().send_errors == 3


async def test_a_message_closes_its_connection_after_what_was_sent(probe: Probe) -> None:
    server = await open_echo(probe)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"one\nbye\n")
        assert await peer.rest() == b"OK: one\nOK: bye\n"
    await eventually(lambda: server.statistics().closed_here == 1)


async def test_a_greeting_can_be_sent_before_the_first_frame(probe: Probe) -> None:
    server = await open_tcp(probe)
    async with await Stream.to(server.local_address) as peer:
        connect = await probe.get()
        await probe.do(lambda actor: actor.reply(connect, b"220 ready"))
        assert await peer.line() == b"220 ready\n"


async def test_a_peer_that_ends_its_side_gets_the_answers_to_what_it_has_sent(probe: Probe) -> None:
    server = await open_echo(probe)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"one\ntwo\n")
        peer.writer.write_eof()
        assert await peer.rest() == b"OK: one\nOK: two\n"
    assert server.statistics().closed_by_peer == 1


async def test_a_peer_that_ends_within_a_frame_is_reported(probe: Probe) -> None:
    server = await open_tcp(probe)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"one\nhalf")
    assert [type(await probe.get()) for _ in range(2)] == [meta.MessageTCPConnect, meta.MessageTCP]
    end = await probe.get()
    assert isinstance(end.reason, meta.ClosedByPeer)
    assert end.reason.unfinished == 4


async def test_a_reset_is_reported(probe: Probe) -> None:
    server = await open_tcp(probe)
    peer = await Stream.to(server.local_address)
    await probe.get()
    peer.reset()
    end = await probe.get()
    assert isinstance(end.reason, meta.ConnectionReset)
    assert server.statistics().reset == 1


async def test_a_pool_and_workers_get_the_frames_of_a_peer_at_one_worker(probe: Probe) -> None:
    told: list[Any] = []
    server = await open_tcp(probe, worker=Echo, worker_args=(told,), workers=3)
    streams = [await Stream.to(server.local_address) for _ in range(6)]
    for stream in streams:
        stream.send(b"".join(b"%d\n" % number for number in range(50)))
    for stream in streams:
        assert [await stream.line() for _ in range(50)] == [b"OK: %d\n" % number for number in range(50)]
        await stream.close()
    assert server.statistics().received == 300


async def test_a_receiver_by_name_may_come_later(probe: Probe, node: homing.Node) -> None:
    server = await open_tcp(probe, process="later")
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"hello\n")
        facts = await probe.do(lambda actor: actor.inspect_meta(server.alias, "waiting_for"))
        await node.spawn(Echo, name="later")
        assert await peer.line() == b"OK: hello\n"
    assert facts["waiting_for"] in ("receiver", "")


async def test_a_server_that_ends_closes_its_connections_and_all_sockets_are_closed(probe: Probe) -> None:
    before = descriptors()
    server = await open_tcp(probe)
    streams = [await Stream.to(server.local_address) for _ in range(5)]
    await eventually(lambda: server.statistics().open == 5)
    await probe.do(lambda actor: actor.send_exit_meta(server.alias, gen.TerminateShutdown()))
    for stream in streams:
        assert await stream.rest() == b""
        await stream.close()
    await eventually(lambda: server.statistics().open == 0)
    assert server.statistics().server_ended == 5
    await eventually(lambda: descriptors() == before)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(server.local_address, timeout=5).close()


async def test_the_receiver_is_told_that_the_server_has_ended(probe: Probe, node: homing.Node) -> None:
    told: list[Any] = []
    server = await open_echo(probe, told)
    async with await Stream.to(server.local_address) as peer:
        assert await peer.ask(b"hello") == b"OK: hello"
        await probe.do(lambda actor: actor.send_exit_meta(server.alias, gen.TerminateShutdown()))
        await eventually(lambda: isinstance(told[-1], meta.MessageTCPDisconnect))
    assert isinstance(told[-1].reason, meta.ServerEnded)


async def test_a_failed_start_closes_the_socket(probe: Probe) -> None:
    class Bad(act.Actor):
        def init(self) -> None:
            raise RuntimeError("no worker")

    before = descriptors()
    server = meta.create_tcp_server(meta.TCPServerOptions(host=HOST, frame=LINES, worker=Bad))
    error = await probe.do(lambda actor: failure_of(actor.spawn_meta(server)))
    assert str(error) == "no worker"
    await eventually(lambda: descriptors() == before)


async def test_a_taken_port_is_named(probe: Probe) -> None:
    server = await open_tcp(probe)
    port = server.local_address[1]
    with pytest.raises(meta.errors.BindFailed, match=f"cannot bind TCP {HOST}:{port}"):
        meta.create_tcp_server(meta.TCPServerOptions(host=HOST, port=port, frame=LINES))


async def test_a_socket_that_is_bound_may_be_given(probe: Probe) -> None:
    sock = socket.socket()
    sock.bind((HOST, 0))
    address = sock.getsockname()
    server = await open_echo(probe, host="", socket=sock)
    assert server.local_address == address
    async with await Stream.to(address) as peer:
        assert await peer.ask(b"hello") == b"OK: hello"


async def test_ipv6_peers_are_served(probe: Probe) -> None:
    server = await open_echo(probe, host="::1")
    async with await Stream.to(server.local_address) as peer:
        assert await peer.ask(b"hello") == b"OK: hello"


async def test_connections_that_come_before_the_start_wait(probe: Probe) -> None:
    with meta.create_tcp_server(meta.TCPServerOptions(host=HOST, frame=LINES)) as server:
        async with await Stream.to(server.local_address) as peer:
            peer.send(b"early\n")
            await probe.do(lambda actor: actor.spawn_meta(server))
            assert isinstance(await probe.get(), meta.MessageTCPConnect)
            assert (await probe.get()).data == b"early"


async def test_a_stop_of_the_node_lets_answers_leave(probe: Probe) -> None:
    class Slow(act.Actor):
        async def handle_message(self, sender: Any, message: Any) -> None:
            if isinstance(message, meta.MessageTCP):
                await asyncio.sleep(0.05)
                self.reply(message, b"done " + message.data)

    pid = await probe.node.spawn(Slow)
    server = await open_tcp(probe, process=pid)
    async with await Stream.to(server.local_address) as peer, await Stream.to(server.local_address):
        peer.send(b"work\n")
        await eventually(lambda: server.statistics().delivered == 1 and server.statistics().open == 2)
        stop = asyncio.ensure_future(probe.node.stop(10.0))
        assert await peer.rest() == b"done work\n"
        await stop
    statistics = server.statistics()
    assert (statistics.open, all_ends(statistics)) == (0, 2)


class Hostile:
    """An object that raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("hostile")

    def _raise(self, *args: Any) -> Any:
        raise RuntimeError("hostile")

    __hash__ = __bool__ = __len__ = __repr__ = __str__ = __bytes__ = __eq__ = __add__ = __radd__ = _raise  # type: ignore[assignment]


async def test_objects_of_the_program_in_a_frame_break_nothing(probe: Probe) -> None:
    server = await open_tcp(probe, announce=False)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"hello\n")
        message = await probe.get()

        def send(actor: Any) -> None:
            actor.reply(message, b"before")
            for bad in (Hostile(), [], {}, object(), None, -1, 2**70, 1.5, "text"):
                for field in ("connection", "addr", "data", "is_answer", "id"):
                    frame = message.reply(b"x")
                    setattr(frame, field, bad)
                    if field == "addr":
                        frame.connection = 0
                    actor.send(server.alias, frame)
            actor.send(server.alias, meta.MessageTCP.__new__(meta.MessageTCP))
            actor.send(server.alias, Hostile())
            actor.reply(message, b"after")

        await probe.do(send)
        while await peer.line() != b"after\n":
            pass
        assert server.statistics().open == 1
