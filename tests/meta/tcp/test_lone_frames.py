"""Frames that come alone, and answers that leave together: the shorter ways keep every promise of the longer ones."""

from __future__ import annotations

import asyncio
from typing import Any

import homing
from homing import act, gen, meta
from homing.meta.tcp.decoding import decoder_of

from ...support import Probe, eventually
from .players import HOST, LINES, Stream, connect_tcp, open_tcp


class Server(act.Actor):
    """Has a server whose frames come here, and `handle` for them."""

    async def init(self, told: list[Any], options: dict[str, Any]) -> None:
        self.told = told
        self.server = await meta.listen_tcp(self, **{"host": HOST, "frame": LINES, "announce": False, **options})
        self.told.append(self.server)


class Mixed(Server):
    """Answers `now` at once, and `later` after `go` has come from elsewhere; then in the order of the answers."""

    def handle_message(self, sender: Any, message: Any) -> None:
        if message == "go":
            self.reply(self.kept, b"kept")
        elif message.data == b"keep":
            self.kept = message
        elif message.data == b"twice":
            self.reply(message, b"first")
            self.send(message.id, message.reply(b"second"))
            self.told.append(self.server.statistics())
        else:
            self.reply(message, b"OK: " + message.data)


class Slow(Server):
    """Takes its time for `slow`, and answers each frame in its turn."""

    async def handle_message(self, sender: Any, message: Any) -> None:
        if message.data == b"slow":
            await self.told[1].wait()
        self.reply(message, message.data)


class Chat(Server):
    """Sends what comes on one connection to all."""

    def handle_message(self, sender: Any, message: Any) -> None:
        known = self.told[1:]
        if message.connection not in [one.connection for one in known]:
            self.told.append(message)
        for one in self.told[1:]:
            self.send(self.server.alias, meta.MessageTCP(data=message.data, connection=one.connection))


class Fragile(act.Actor):
    """Answers under a name, and raises for `crash`."""

    def handle_message(self, sender: Any, message: Any) -> None:
        self.reply(message, b"before " + message.data)
        if message.data == b"crash":
            raise RuntimeError("as asked")


async def started(node: homing.Node, kind: type[Server], *more: Any, **options: Any) -> tuple[gen.PID, list[Any]]:
    told: list[Any] = []
    pid = await node.spawn(kind, told, options)
    told += more
    return pid, told


async def test_answers_of_one_turn_and_later_ones_leave_in_the_order_in_which_they_were_sent(node: homing.Node) -> None:
    pid, told = await started(node, Mixed)
    async with await Stream.to(told[0].local_address) as peer:
        for _ in range(20):
            peer.send(b"keep\n")
            assert await peer.ask(b"one") == b"OK: one"
            node.send(pid, "go")
            assert await peer.line() == b"kept\n"
            assert [await peer.ask(b"twice"), await peer.line()] == [b"first", b"second\n"]
    statistics = told[0].statistics()
    assert (statistics.received, statistics.delivered, statistics.sent) == (60, 60, 80)


async def test_a_frame_is_counted_before_its_receiver_looks(node: homing.Node) -> None:
    _, told = await started(node, Mixed)
    async with await Stream.to(told[0].local_address) as peer:
        for number in range(1, 6):
            assert await peer.ask(b"twice") == b"first"
            assert await peer.line() == b"second\n"
            assert (told[number].received, told[number].delivered) == (number, number)


async def test_frames_that_come_one_by_one_while_the_receiver_is_busy_wait_in_their_order(node: homing.Node) -> None:
    go = asyncio.Event()
    _, told = await started(node, Slow, go)
    async with await Stream.to(told[0].local_address) as peer, await Stream.to(told[0].local_address) as other:
        assert await peer.ask(b"quick") == b"quick"
        for data in (b"slow", b"1", b"2", b"3"):
            peer.send(data + b"\n")
            await eventually(
                lambda data=data: told[0].statistics().received == 2 + (int(data) if data.isdigit() else 0)
            )
        other.send(b"other\n")
        await eventually(lambda: told[0].statistics().received == 6)
        go.set()
        assert [await peer.line() for _ in range(4)] == [b"slow\n", b"1\n", b"2\n", b"3\n"]
        assert await other.line() == b"other\n"


async def test_a_frame_that_comes_alone_may_be_sent_to_other_connections(node: homing.Node) -> None:
    _, told = await started(node, Chat)
    async with await Stream.to(told[0].local_address) as one, await Stream.to(told[0].local_address) as other:
        assert await one.ask(b"1") == b"1"
        assert await other.ask(b"2") == b"2"
        assert await one.line() == b"2\n"
        for number in range(3, 20):
            assert await one.ask(b"%d" % number) == b"%d" % number
            assert await other.line() == b"%d\n" % number


async def test_what_a_receiver_sent_before_it_crashed_leaves_and_its_successor_gets_the_next_frame(
    node: homing.Node, probe: Probe
) -> None:
    async def again() -> None:
        await node.spawn(Fragile, name="fragile")

    await again()
    server = await open_tcp(probe, process="fragile", announce=False)
    async with await Stream.to(server.local_address) as peer:
        for _ in range(3):
            assert await peer.ask(b"hello") == b"before hello"
            assert await peer.ask(b"crash") == b"before crash"
            peer.send(b"waits\n")
            await eventually(lambda: server.handle_inspect(server.process.id)["waiting_for"] == "receiver")
            await again()
            assert await peer.line() == b"before waits\n"
    statistics = server.statistics()
    assert (statistics.received, statistics.delivered, statistics.dropped) == (9, 9, 0)


async def test_each_kind_of_frames_may_come_alone(node: homing.Node) -> None:
    for frame in (meta.LengthPrefix(2), meta.LengthPrefix(8), meta.Delimiter(b"\r\n"), meta.Raw()):
        _, told = await started(node, Mixed, frame=frame)
        async with await Stream.to(told[0].local_address) as peer:
            for data in (b"hello", b"x" * 1000):
                sent, answer = [decoder_of(frame).encode(content) for content in (data, b"OK: " + data)]
                peer.send(sent)
                assert await peer.reader.readexactly(len(answer)) == answer


async def test_a_connection_alone_is_idle_after_its_last_answer(node: homing.Node) -> None:
    _, told = await started(node, Mixed, idle_timeout=0.3, first_byte_timeout=None)
    async with await Stream.to(told[0].local_address) as peer:
        assert await peer.ask(b"hello") == b"OK: hello"
        assert await peer.rest() == b""
    assert told[0].statistics().cut_idle == 1


async def test_a_client_gets_answers_and_other_frames_past_each_other(node: homing.Node, probe: Probe) -> None:
    _, told = await started(node, Chat)
    async with await Stream.to(told[0].local_address) as peer:
        assert await peer.ask(b"first") == b"first"
        client = await connect_tcp(probe, told[0], announce=False)
        for number in range(20):
            answer = await node.call(client.alias, b"%d" % number)
            assert (answer.data, await peer.line()) == (b"%d" % number, b"%d\n" % number)
            assert await peer.ask(b"to all") == b"to all"
            assert (await probe.get()).data == b"to all"
