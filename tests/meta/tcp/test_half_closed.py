"""Peers that end their side after their last question, as `nc -N` does: they get each answer, however many and late."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest

from homing import act, meta

from ...support import DEADLINE, Probe, eventually
from .players import HOST, Stream, open_tcp


class Several(act.Actor):
    """Answers each frame as often as it says: one answer, and after each pass of the gate another one."""

    def init(self, gate: asyncio.Semaphore) -> None:
        self.gate = gate

    async def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, meta.MessageTCP):
            for number in range(int(message.data)):
                await self.gate.acquire()
                self.reply(message, b"%b.%d" % (message.data, number))


class SeveralToOne(meta.PeerActor):
    """The same, as the process of one connection."""

    init = Several.init
    handle_message = Several.handle_message


@pytest.fixture
def gate() -> asyncio.Semaphore:
    return asyncio.Semaphore(0)


async def open_several(probe: Probe, kind: str, gate: asyncio.Semaphore, **options: Any) -> meta.TCPServer:
    """A server whose frames go to one process, to workers, or to a process of their connection."""
    if kind == "process":
        options["process"] = await probe.node.spawn(Several, gate)
    elif kind == "workers":
        options |= {"worker": Several, "worker_args": (gate,), "workers": 2}
    else:
        options["peers"] = meta.PeerOptions(worker=SeveralToOne, worker_args=(gate,))
    return await open_tcp(probe, **options)


KINDS = pytest.mark.parametrize("kind", ["process", "workers", "peers"])


@KINDS
async def test_several_answers_to_each_frame_all_arrive(probe: Probe, gate: asyncio.Semaphore, kind: str) -> None:
    server = await open_several(probe, kind, gate)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"3\n1\n2\n")
        peer.writer.write_eof()
        for line in (b"3.0", b"3.1", b"3.2", b"1.0", b"2.0", b"2.1"):
            gate.release()
            assert await peer.line() == line + b"\n"
        assert await peer.rest() == b""
    assert server.statistics().closed_by_peer == 1


@KINDS
async def test_an_answer_that_takes_longer_than_the_timeout_arrives_while_its_receiver_is_at_work(
    probe: Probe, gate: asyncio.Semaphore, kind: str
) -> None:
    server = await open_several(probe, kind, gate, half_close_timeout=0.05)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"1\n0\n1\n")
        peer.writer.write_eof()
        gate.release()
        assert await peer.line() == b"1.0\n"
        await asyncio.sleep(0.3)  # many times the timeout, in which nothing may happen
        gate.release()
        assert await peer.rest() == b"1.0\n"
    assert server.statistics().closed_by_peer == 1


@KINDS
async def test_frames_without_answers_end_the_connection_after_the_timeout(
    probe: Probe, gate: asyncio.Semaphore, kind: str
) -> None:
    server = await open_several(probe, kind, gate, half_close_timeout=0.05)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"0\n0\n")
        peer.writer.write_eof()
        assert await peer.rest() == b""
    assert server.statistics().closed_by_peer == 1


async def test_a_receiver_that_never_ends_its_work_holds_a_connection_no_longer_than_the_idle_timeout(
    probe: Probe, gate: asyncio.Semaphore
) -> None:
    server = await open_several(probe, "process", gate, half_close_timeout=0.05, idle_timeout=0.4)
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"1\n")
        peer.writer.write_eof()
        assert await peer.rest() == b""
    await eventually(lambda: server.statistics().open == 0)


async def test_an_answer_from_elsewhere_arrives_within_the_timeout(probe: Probe) -> None:
    class Passing(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            if isinstance(message, meta.MessageTCP):
                self.send(probe.pid, message)

    server = await open_tcp(probe, process=await probe.node.spawn(Passing))
    async with await Stream.to(server.local_address) as peer:
        peer.send(b"question\n")
        peer.writer.write_eof()
        message = await probe.get()
        await probe.do(lambda actor: actor.send(message.id, message.reply(b"answer")))
        assert await peer.rest() == b"answer\n"


async def test_a_peer_that_asks_nothing_is_closed_at_once(probe: Probe, gate: asyncio.Semaphore) -> None:
    server = await open_several(probe, "process", gate, half_close_timeout=1000.0)
    async with await Stream.to(server.local_address) as peer:
        peer.writer.write_eof()
        assert await peer.rest() == b""
    assert server.statistics().closed_by_peer == 1


async def test_a_busy_receiver_of_many_connections_answers_each(probe: Probe, gate: asyncio.Semaphore) -> None:
    server = await open_several(probe, "process", gate)
    streams = [await Stream.to(server.local_address) for _ in range(50)]
    for stream in streams:
        stream.send(b"2\n3\n")
        stream.writer.write_eof()
    for _ in range(250):
        gate.release()
    for stream in streams:
        assert await stream.rest() == b"2.0\n2.1\n3.0\n3.1\n3.2\n"
        await stream.close()
    assert server.statistics().closed_by_peer == 50


async def test_netcat_gets_all_answers(probe: Probe, gate: asyncio.Semaphore) -> None:
    if shutil.which("nc") is None:
        pytest.skip("nc is not installed")
    server = await open_several(probe, "process", gate)
    port = server.local_address[1]
    pipe = asyncio.subprocess.PIPE
    netcat = await asyncio.create_subprocess_exec("nc", "-N", HOST, str(port), stdin=pipe, stdout=pipe)
    for _ in range(3):
        gate.release()
    async with asyncio.timeout(DEADLINE):
        out, _ = await netcat.communicate(b"2\n1\n")
    assert out == b"2.0\n2.1\n1.0\n"
