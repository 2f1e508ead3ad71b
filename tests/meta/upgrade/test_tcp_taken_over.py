"""TCP servers in an upgrade: the socket that listens passes to the next program, and no connection is refused."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress

import pytest

import homing
from homing import gen, meta
from homing.datagram.sockets import inherited

from ...support import DEADLINE, Probe, UDPPeer, eventually, free_port
from ..tcp.players import HOST, LINES, Echo, Stream, open_tcp
from ..tcp.test_both import EchoOfBoth, ask_both
from .generations import offered, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")


async def echo_on(node: homing.Node, port: int, **options: object) -> meta.TCPServer:
    receiver = await node.spawn(options.pop("receiver", Echo))  # type: ignore[arg-type]
    return await open_tcp(await Probe.start(node), port=port, process=receiver, **options)


async def test_while_generations_follow_each_other_no_connection_is_refused_and_each_request_is_answered(
    node: homing.Node, path: str
) -> None:
    port, answers, over = free_port(), 0, asyncio.Event()
    await echo_on(node, port)
    await offered(node, path)

    async def ask_again_and_again() -> None:
        nonlocal answers
        while not over.is_set():
            async with await Stream.to((HOST, port)) as peer:
                assert await peer.ask(b"%d" % answers) == b"OK: %d" % answers
            answers += 1

    client = asyncio.create_task(ask_again_and_again())
    try:
        async with running(node) as second, running(node) as third:
            for successor in (second, third):
                async with meta.TakeOver(successor, path):
                    await echo_on(successor, port)
                so_far = answers
                await eventually(lambda so_far=so_far: answers > so_far + 5 or client.done())
            over.set()
            async with asyncio.timeout(DEADLINE):
                await client
    finally:
        client.cancel()
        with suppress(asyncio.CancelledError):
            await client
    assert answers > 10


async def test_connections_that_wait_to_be_accepted_are_answered_by_the_successor(node: homing.Node, path: str) -> None:
    port = free_port()
    await echo_on(node, port)
    await offered(node, path)
    async with running(node) as successor:
        async with meta.TakeOver(successor, path):
            server = await echo_on(successor, port)
            async with await Stream.to((HOST, port)) as early:
                assert await early.ask(b"the predecessor serves") == b"OK: the predecessor serves"
            assert server.statistics().accepted == 0
        async with await Stream.to((HOST, port)) as late:
            assert await late.ask(b"hello") == b"OK: hello"
        assert server.statistics().accepted == 1


async def test_a_predecessor_whose_successor_fails_accepts_again(node: homing.Node, path: str) -> None:
    port = free_port()
    server = await echo_on(node, port)
    await offered(node, path)
    async with running(node) as successor:
        with suppress(ZeroDivisionError):
            async with meta.TakeOver(successor, path):
                await echo_on(successor, port)
                raise ZeroDivisionError
        async with await Stream.to((HOST, port)) as peer:
            assert await peer.ask(b"hello") == b"OK: hello"
    assert server.statistics().accepted == 1


async def test_both_sockets_of_one_port_pass_together(node: homing.Node, path: str, peer: UDPPeer) -> None:
    port = free_port()
    await echo_on(node, port, both=True, receiver=EchoOfBoth)
    await offered(node, path)
    async with running(node) as successor:
        async with meta.TakeOver(successor, path):
            server = await echo_on(successor, port, both=True, receiver=EchoOfBoth)
        assert await ask_both(server, peer) == (b"OK: by UDP", b"OK: by TCP")


async def test_a_server_gets_the_socket_that_it_names_and_that_systemd_has_passed(probe: Probe) -> None:
    with socket.create_server((HOST, 0)) as listens:
        port = listens.getsockname()[1]
        passed = inherited.Inherited(listens.detach(), "dns")
    inherited.keep([passed])
    try:
        server = await open_tcp(probe, activation="dns", process=await probe.node.spawn(Echo))
        assert server.local_address == (HOST, port)
        async with await Stream.to((HOST, port)) as peer:
            assert await peer.ask(b"hello") == b"OK: hello"
    finally:
        inherited.discard([passed])


def test_a_socket_of_the_wrong_kind_is_refused_by_name() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind((HOST, 0))
        passed = inherited.Inherited(datagrams.detach(), "dns")
    inherited.keep([passed])
    try:
        with pytest.raises(gen.BadOption, match=r"not for TCP.*ListenStream="):
            meta.create_tcp_server(meta.TCPServerOptions(frame=LINES, activation="dns"))
    finally:
        inherited.discard([passed])


async def test_on_request_idle_connections_pass_and_their_peers_do_not_notice(node: homing.Node, path: str) -> None:
    port = free_port()
    former = await echo_on(node, port, hand_over_idle=True)
    await offered(node, path)
    async with await Stream.to((HOST, port)) as idle, await Stream.to((HOST, port)) as within:
        assert await idle.ask(b"1") == b"OK: 1"
        assert await within.ask(b"1") == b"OK: 1"
        within.send(b"half a fra")
        await eventually(lambda: former.statistics().received_bytes == 14)
        async with running(node) as successor:
            async with meta.TakeOver(successor, path):
                server = await echo_on(successor, port)
                assert await idle.ask(b"2") == b"OK: 2"
            assert await idle.ask(b"3") == b"OK: 3"
            statistics = server.statistics()
            assert (statistics.accepted, statistics.received, former.statistics().handed_over) == (1, 1, 1)
            within.send(b"me\n")
            assert (await within.rest()) in (b"", b"OK: half a frame\n")


async def test_without_the_request_they_stay_with_the_predecessor(node: homing.Node, path: str) -> None:
    port = free_port()
    former = await echo_on(node, port)
    await offered(node, path)
    async with await Stream.to((HOST, port)) as idle, running(node) as successor:
        assert await idle.ask(b"1") == b"OK: 1"
        async with meta.TakeOver(successor, path):
            server = await echo_on(successor, port)
        assert await idle.rest() == b""
        assert (server.statistics().accepted, former.statistics().handed_over) == (0, 0)


async def test_connections_of_a_hand_over_that_fails_go_on_where_they_were(node: homing.Node, path: str) -> None:
    port = free_port()
    former = await echo_on(node, port, hand_over_idle=True)
    await offered(node, path)
    async with await Stream.to((HOST, port)) as idle, running(node) as successor:
        assert await idle.ask(b"1") == b"OK: 1"
        with suppress(ZeroDivisionError):
            async with meta.TakeOver(successor, path):
                await echo_on(successor, port)
                raise ZeroDivisionError
        assert await idle.ask(b"2") == b"OK: 2"
        assert former.statistics().open == 1
