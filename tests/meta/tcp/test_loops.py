"""TCP on each event loop: asyncio's own, Homing's, uvloop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import homing
from homing import meta

from ...support import Probe, eventually, in_thread
from .players import Stream, all_ends, connect_tcp, open_echo
from .test_tls import Authority, send_and_close

LOOPS = ["asyncio", "homing", *(["uvloop"] if find_spec("uvloop") else [])]


def factory_of(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        import uvloop

        made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return made
    return homing.new_event_loop if name == "homing" else asyncio.new_event_loop


async def use() -> None:
    """Requests, a pipeline, a slow reader, a reset, a half-closed peer, and a stop of the node, on the running loop."""
    async with homing.start_node("loops@localhost") as node:
        probe = await Probe.start(node)
        server = await open_echo(probe, high_water=16, read_size=1024, send_buffer=10_000, first_byte_timeout=0.2)
        client = await connect_tcp(probe, server, announce=False)
        answers = await asyncio.gather(*(node.call(client.alias, b"%d" % number) for number in range(200)))
        assert [answer.data for answer in answers] == [b"OK: %d" % number for number in range(200)]
        async with await Stream.to(server.local_address) as peer, await Stream.to(server.local_address) as silent:
            peer.send(b"".join(b"%d\n" % number for number in range(5000)))
            assert [await peer.line() for _ in range(5000)] == [b"OK: %d\n" % number for number in range(5000)]
            assert await silent.rest() == b""
            peer.send(b"last\n")
            peer.writer.write_eof()
            assert await peer.rest() == b"OK: last\n"
        broken = await Stream.to(server.local_address)
        assert await broken.ask(b"hello") == b"OK: hello"
        broken.reset()
        await eventually(lambda: server.statistics().reset == 1)
        last = await Stream.to(server.local_address)
        await eventually(lambda: server.statistics().open == 2)
    await last.close()
    await broken.close()
    statistics = server.statistics()
    assert (statistics.open, statistics.cut_first_byte) == (0, 1)
    assert statistics.accepted == all_ends(statistics) == 5


@pytest.mark.parametrize("loop", LOOPS)
def test_tcp_works_on_each_loop(loop: str) -> None:
    def run() -> None:
        with asyncio.Runner(loop_factory=factory_of(loop)) as runner:
            runner.run(use())

    in_thread(run)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancelled_program_closes_all_connections(loop: str) -> None:
    found: list[meta.TCPServer] = []

    async def begin() -> None:
        async with homing.start_node("loops@localhost") as node:
            probe = await Probe.start(node)
            found.append(await open_echo(probe))
            async with await Stream.to(found[0].local_address) as peer:
                assert await peer.ask(b"hello") == b"OK: hello"
                asyncio.current_task().cancel()  # type: ignore[union-attr]
                await asyncio.sleep(30)

    def run() -> None:
        with asyncio.Runner(loop_factory=factory_of(loop)) as runner, pytest.raises(asyncio.CancelledError):
            runner.run(begin())

    in_thread(run)
    assert found[0].statistics().open == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_tls_loses_nothing_on_each_loop(loop: str, tmp_path: Path) -> None:
    async def use_tls() -> None:
        async with homing.start_node("loops@localhost") as node:
            await send_and_close(await Probe.start(node), Authority(tmp_path), 1024)

    def run() -> None:
        with asyncio.Runner(loop_factory=factory_of(loop)) as runner:
            runner.run(use_tls())

    in_thread(run)
