"""Everything about connections is bounded, and each cut has its counter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing import act, gen, meta

from ...support import Probe, eventually
from .players import Stream, all_ends, open_echo, open_tcp


async def ends_as(probe: Probe, kind: type[meta.ConnectionEnd]) -> Any:
    """The reason of the next end of a connection, which is of this kind."""
    while not isinstance(message := await probe.get(), meta.MessageTCPDisconnect):
        pass
    assert type(message.reason) is kind
    return message.reason


async def test_more_connections_than_allowed_are_closed_and_counted(probe: Probe) -> None:
    server = await open_echo(probe, most_connections=2)
    async with await Stream.to(server.local_address) as one, await Stream.to(server.local_address) as two:
        assert await one.ask(b"1") == b"OK: 1"
        assert await two.ask(b"2") == b"OK: 2"
        async with await Stream.to(server.local_address) as three:
            assert await three.rest() == b""
        assert server.statistics().refused_full == 1
    await eventually(lambda: server.statistics().open == 0)
    async with await Stream.to(server.local_address) as four:
        assert await four.ask(b"4") == b"OK: 4"


async def test_one_source_has_its_share_of_connections(probe: Probe) -> None:
    server = await open_echo(probe, most_per_source=1)
    async with await Stream.to(server.local_address) as one, await Stream.to(server.local_address) as two:
        assert await one.ask(b"1") == b"OK: 1"
        assert await two.rest() == b""
        async with await Stream.to(server.local_address, local_addr=("127.0.0.2", 0)) as other:
            assert await other.ask(b"2") == b"OK: 2"
    assert server.statistics().refused_per_source == 1


async def test_addresses_of_one_network_may_count_as_one_source(probe: Probe) -> None:
    server = await open_echo(probe, most_per_source=1, prefix4=8)
    async with await Stream.to(server.local_address) as one:
        assert await one.ask(b"1") == b"OK: 1"
        async with await Stream.to(server.local_address, local_addr=("127.9.9.9", 0)) as other:
            assert await other.rest() == b""
    assert server.statistics().refused_per_source == 1


@pytest.mark.parametrize("sources", [{"deny": ("127.0.0.0/8",)}, {"allow": ("192.0.2.0/24",)}], ids=str)
async def test_sources_that_are_not_allowed_are_refused(probe: Probe, sources: dict[str, Any]) -> None:
    server = await open_echo(probe, **sources)
    async with await Stream.to(server.local_address) as peer:
        assert await peer.rest() == b""
    assert (server.statistics().denied, server.statistics().accepted) == (1, 0)


async def test_a_source_that_connects_too_often_is_refused(probe: Probe) -> None:
    server = await open_echo(probe, connect_limit=meta.RateLimit(rate=0.001, burst=2, exempt=()))
    for _ in range(2):
        async with await Stream.to(server.local_address) as peer:
            assert await peer.ask(b"1") == b"OK: 1"
    async with await Stream.to(server.local_address) as peer:
        assert await peer.rest() == b""
    assert server.statistics().connect_limited == 1


async def test_frames_above_the_rate_of_their_source_wait_and_come_in_order(probe: Probe) -> None:
    server = await open_echo(probe, rate_limit=meta.RateLimit(rate=100, burst=5, exempt=()))
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"".join(b"%d\n" % number for number in range(20)))
        assert [await peer.line() for _ in range(20)] == [b"OK: %d\n" % number for number in range(20)]
    assert 1 <= server.statistics().limited <= 15


async def test_a_connection_that_sends_nothing_is_cut(probe: Probe) -> None:
    server = await open_tcp(probe, first_byte_timeout=0.1)
    async with await Stream.to(server.local_address) as peer:
        await ends_as(probe, meta.NoFirstByte)
        assert await peer.rest() == b""
    assert server.statistics().cut_first_byte == 1


async def test_an_idle_connection_is_cut(probe: Probe) -> None:
    server = await open_tcp(probe, idle_timeout=0.2)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"hello\n")
        await ends_as(probe, meta.ConnectionIdle)
        assert await peer.rest() == b""
    assert server.statistics().cut_idle == 1


async def test_a_frame_that_is_not_complete_in_time_is_cut_whatever_bytes_come(probe: Probe) -> None:
    server = await open_tcp(probe, frame_timeout=0.3, announce=True)
    async with await Stream.to(server.local_address) as peer:

        async def dribble() -> None:
            while not peer.writer.is_closing():
                peer.send(b"x")
                await asyncio.sleep(0.02)

        dribbling = asyncio.ensure_future(dribble())
        await ends_as(probe, meta.FrameTimeout)
        dribbling.cancel()
        await peer.rest()
    assert server.statistics().cut_frame_timeout == 1


async def test_the_time_of_a_frame_begins_with_that_frame(probe: Probe) -> None:
    server = await open_tcp(probe, frame_timeout=0.5, announce=False)
    async with await Stream.to(server.local_address) as peer:
        for _ in range(50):
            peer.send(b"end\nbegin")  # there is always a part of a frame
            await asyncio.sleep(0.02)
        assert server.statistics().open == 1


async def test_a_framing_of_the_program_has_a_time_for_each_frame(probe: Probe) -> None:
    class Words:
        def __init__(self) -> None:
            self.rest = b""

        def feed(self, data: bytes) -> list[bytes]:
            *words, self.rest = (self.rest + data).split(b" ")
            return words

        def encode(self, data: bytes) -> bytes:
            return data + b" "

    server = await open_tcp(probe, frame=Words, frame_timeout=0.2)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"one ")
        await eventually(lambda: server.statistics().received == 1)
        peer.send(b"half")
        await ends_as(probe, meta.FrameTimeout)
        assert server.statistics().received == 1


async def test_frames_that_are_too_long_or_bad_are_cut(probe: Probe) -> None:
    server = await open_tcp(probe, frame=meta.LengthPrefix(2, most=10, inclusive=True))
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"\xff\xff")
        assert (await ends_as(probe, meta.CutFrameTooLong)).error.most == 10
        assert await peer.rest() == b""
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"\0\0")
        await ends_as(probe, meta.CutBadFrame)
    statistics = server.statistics()
    assert (statistics.cut_too_long, statistics.cut_bad_frame, statistics.open) == (1, 1, 0)


async def test_a_peer_that_reads_nothing_is_not_read_and_then_cut(probe: Probe) -> None:
    class Talker(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            if isinstance(message, meta.MessageTCP):
                self.reply(message, b"x" * 60_000)

    pid = await probe.node.spawn(Talker)
    server = await open_tcp(probe, process=pid, send_buffer=100_000, send_timeout=0.5, high_water=8)
    async with await Stream.to(server.local_address, limit=1024) as peer:
        peer.send(b"more\n" * 5000)
        await eventually(lambda: server.statistics().cut_slow_reader == 1)
        received = server.statistics().received
    assert received < 5000
    assert server.statistics().sent_bytes < 60_001 * (received + 1)


async def test_too_much_that_waits_for_a_peer_cuts_it_at_once(probe: Probe) -> None:
    server = await open_tcp(probe, send_buffer=1000, send_most=100_000, frame=meta.Delimiter(b"\n", most=100_000))
    async with await Stream.to(server.local_address, limit=1024):
        connect = await probe.get()
        for _ in range(400):
            await probe.do(lambda actor: actor.reply(connect, b"x" * 50_000))
        await ends_as(probe, meta.SlowReader)
    assert server.statistics().cut_slow_reader == 1


async def test_a_slow_receiver_makes_peers_wait_and_loses_nothing(probe: Probe) -> None:
    class Slow(act.Actor):
        async def handle_message(self, sender: Any, message: Any) -> None:
            await asyncio.sleep(0)
            self.reply(message, message.data)

    pid = await probe.node.spawn(Slow)
    server = await open_tcp(probe, process=pid, announce=False, high_water=8, read_size=256)
    streams = [await Stream.to(server.local_address) for _ in range(5)]
    for stream in streams:
        stream.send(b"".join(b"%d\n" % number for number in range(500)))
    for stream in streams:
        assert [await stream.line() for _ in range(500)] == [b"%d\n" % number for number in range(500)]
    statistics = server.statistics()
    assert (statistics.received, statistics.delivered, statistics.dropped) == (2500, 2500, 0)
    assert statistics.pauses > 0
    for stream in streams:
        await stream.close()


async def test_no_peer_is_idle_while_the_receiver_is_slow(probe: Probe) -> None:
    release = asyncio.Event()

    class Held(act.Actor):
        async def handle_message(self, sender: Any, message: Any) -> None:
            await release.wait()
            self.reply(message, message.data)

    pid = await probe.node.spawn(Held)
    times = {"idle_timeout": 0.2, "first_byte_timeout": 0.2, "frame_timeout": 0.2}
    server = await open_tcp(probe, process=pid, announce=False, high_water=1, **times)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"1\n2\n3\n4\n")
        await asyncio.sleep(0.6)
        assert server.statistics().open == 1
        release.set()
        assert [await peer.line() for _ in range(4)] == [b"1\n", b"2\n", b"3\n", b"4\n"]


async def test_the_account_of_connections_adds_up(probe: Probe) -> None:
    server = await open_echo(probe, most_connections=20)
    streams = [await Stream.to(server.local_address) for _ in range(30)]
    await eventually(lambda: server.statistics().refused_full == 10)
    for stream in streams[:10]:
        stream.send(b"hello\n")
    streams[1].reset()
    for stream in streams:
        await stream.close()
    await eventually(lambda: server.statistics().open == 0)
    statistics = server.statistics()
    assert statistics.accepted == 20 == all_ends(statistics)


@pytest.mark.parametrize(
    "options",
    [
        {"most_connections": 0},
        {"most_per_source": 0},
        {"prefix4": 33},
        {"idle_timeout": 0},
        {"send_most": 1},
        {"allow": "10.0.0.0/8"},
        {"rate_limit": 5},
        {"workers": 3},
        {"backlog": 0},
        {"worker": act.Actor, "process": "name"},
        {"peers": 3},
        {"socket": 3},
    ],
    ids=str,
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.TCPServerOptions(frame=meta.Raw(), **options)
    assert caught.value.option in options
