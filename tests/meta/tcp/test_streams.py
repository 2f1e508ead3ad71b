"""Frames in parts and in one piece, long answers, and ends: the bytes of a connection arrive whole and in order."""

from __future__ import annotations

import asyncio
import socket

from homing import meta

from ...support import Probe, eventually
from .players import HOST, Stream, connect_tcp, open_echo, open_tcp

LONG = b"0123456789abcdef" * 65536


async def test_an_answer_that_the_system_takes_in_parts_arrives_whole(probe: Probe) -> None:
    frame = meta.LengthPrefix(4, most=4 * len(LONG))
    server = await open_tcp(probe, frame=frame, announce=False, send_buffer=1024)
    async with await Stream.to(server.local_address, limit=1024) as peer:
        peer.send(b"\0\0\0\5hello")
        message = await probe.get()
        for number in range(3):
            await probe.do(lambda actor, number=number: actor.reply(message, LONG + b"%d" % number))
        for number in range(3):
            assert await peer.reader.readexactly(4) == (len(LONG) + 1).to_bytes(4, "big")
            assert await peer.reader.readexactly(len(LONG) + 1) == LONG + b"%d" % number
    statistics = server.statistics()
    assert (statistics.sent, statistics.sent_bytes) == (3, 3 * (len(LONG) + 5))


async def test_a_connection_is_closed_after_all_that_waits_was_sent(probe: Probe) -> None:
    frame = meta.LengthPrefix(4, most=4 * len(LONG))
    server = await open_tcp(probe, frame=frame, announce=False)
    async with await Stream.to(server.local_address, limit=1024) as peer:
        peer.send(b"\0\0\0\5hello")
        message = await probe.get()

        def answer_and_close(actor: object) -> None:
            probe.actor.reply(message, LONG + LONG)
            message.close()

        await probe.do(answer_and_close)
        assert len(await peer.rest()) == 4 + 2 * len(LONG)
    await eventually(lambda: server.statistics().open == 0)
    assert server.statistics().closed_here == 1


async def test_a_frame_in_parts_and_frames_in_one_piece_arrive_the_same(probe: Probe) -> None:
    server = await open_echo(probe)
    async with await Stream.to(server.local_address) as peer:
        for data in (b"one\n", b"t", b"wo\nthree\nfo", b"ur\n", b"\n", b"five\nsix\n"):
            before = server.statistics().received_bytes
            peer.send(data)
            await eventually(lambda data=data, before=before: server.statistics().received_bytes == before + len(data))
        lines = [await peer.line() for _ in range(7)]
    assert lines == [b"OK: " + data + b"\n" for data in (b"one", b"two", b"three", b"four", b"", b"five", b"six")]


async def test_a_frame_longer_than_the_read_buffer_arrives_whole(probe: Probe) -> None:
    server = await open_tcp(probe, read_size=256, frame=meta.Delimiter(b"\n"), announce=False)
    async with await Stream.to(server.local_address) as peer:
        for length in (1, 254, 255, 256, 257, 511, 512, 5000):
            peer.send(b"x" * length + b"\n")
            assert (await probe.get()).data == b"x" * length


async def test_small_answers_are_not_held_back_by_the_system(probe: Probe) -> None:
    server = await open_tcp(probe)
    async with await Stream.to(server.local_address) as peer:
        await eventually(lambda: server.statistics().open == 1)
        (connection,) = server._hub.table.all()
        assert connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.transport.get_extra_info("peername") == peer.address
        assert connection.transport.get_extra_info("ssl_object") is None


async def test_connections_that_end_in_any_way_are_counted_and_leave_nothing_open(probe: Probe) -> None:
    server = await open_echo(probe, idle_timeout=0.2)
    for way in ("close", "reset", "bye", "idle"):
        for _ in range(5):
            async with await Stream.to(server.local_address) as peer:
                if way == "reset":
                    assert await peer.ask(b"hello") == b"OK: hello"
                    peer.reset()
                elif way == "idle":
                    assert await peer.ask(b"hello") == b"OK: hello"
                    assert await peer.rest() == b""
                elif way == "bye":
                    assert await peer.ask(b"bye") == b"OK: bye"
                    assert await peer.rest() == b""
    await eventually(lambda: server.statistics().open == 0)
    statistics = server.statistics()
    assert (statistics.closed_here, statistics.cut_idle) == (5, 5)
    assert statistics.reset + statistics.closed_by_peer == 10


async def test_a_client_that_cannot_agree_on_tls_leaves_nothing_behind(probe: Probe) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is not TLS\n")
        writer.close()

    async with await asyncio.start_server(refuse, HOST, 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        client = meta.create_tcp_client(
            meta.TCPClientOptions(host=HOST, port=port, frame=meta.Delimiter(b"\n"), tls=meta.TLS(check_name=False))
        )
        failure = await probe.do(lambda actor: failure_of_start(actor, client))
    assert "BadOption" in failure or "ConnectFailed" in failure
    assert len(client._hub.table) == 0


async def failure_of_start(actor: object, client: meta.TCPClient) -> str:
    try:
        await actor.spawn_meta(client)  # type: ignore[attr-defined]
    except Exception as error:
        return type(error).__name__
    return ""


async def test_a_client_without_tls_has_its_addresses(probe: Probe) -> None:
    server = await open_echo(probe)
    client = await connect_tcp(probe, server, announce=False)
    assert client.peer_address == server.local_address
    assert (await probe.node.call(client.alias, b"hello")).data == b"OK: hello"
    await eventually(lambda: server.statistics().open == 1)
    assert [one.addr for one in server._hub.table.all()] == [client.local_address]
