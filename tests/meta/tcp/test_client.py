"""A TCP client: requests and their answers, frames that answer nothing, and the end of the connection."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from homing import gen, meta

from ...support import Probe, eventually
from .players import HOST, LINES, connect_tcp, open_echo, open_tcp


async def test_a_call_returns_the_answer_to_its_request(probe: Probe) -> None:
    server = await open_echo(probe)
    client = await connect_tcp(probe, server, announce=False)
    answers = await asyncio.gather(*(probe.node.call(client.alias, b"%d" % number) for number in range(100)))
    assert [answer.data for answer in answers] == [b"OK: %d" % number for number in range(100)]
    assert client.peer_address == server.local_address
    assert client.statistics().received == client.statistics().delivered == 100


async def test_frames_that_answer_no_request_go_to_the_parent(probe: Probe) -> None:
    server = await open_tcp(probe, announce=True)
    client = await connect_tcp(probe, server, announce=False)
    connect = await probe.get()
    await probe.do(lambda actor: actor.reply(connect, b"hello"))
    message = await probe.get()
    assert (message.id, message.data) == (client.alias, b"hello")
    await probe.do(lambda actor: actor.reply(message, b"thanks"))
    assert (await probe.get()).data == b"thanks"
    await probe.do(lambda actor: actor.send(client.alias, b"plain bytes"))
    assert (await probe.get()).data == b"plain bytes"


async def test_the_client_ends_with_its_connection(probe: Probe) -> None:
    server = await open_echo(probe)
    client = await connect_tcp(probe, server)
    assert isinstance(await probe.get(), meta.MessageTCPConnect)
    await probe.do(lambda actor: actor.monitor(client.alias))
    assert (await probe.node.call(client.alias, b"bye")).data == b"OK: bye"
    end, down = await probe.get(), await probe.get()
    assert isinstance(end, meta.MessageTCPDisconnect)
    assert isinstance(end.reason, meta.ClosedByPeer)
    assert isinstance(down, gen.MessageDownAlias)


async def test_a_request_that_is_not_answered_fails_and_closes_the_connection(probe: Probe) -> None:
    server = await open_tcp(probe)
    client = await connect_tcp(probe, server, request_timeout=0.2, announce=False)
    with pytest.raises(gen.CallTimeout):
        await probe.node.call(client.alias, b"hello", timeout=30)
    await eventually(lambda: client.statistics().closed_here == 1)


async def test_open_requests_fail_when_the_connection_ends(probe: Probe) -> None:
    with socket.create_server((HOST, 0)) as listener:
        client: meta.TCPClient = await probe.do(
            lambda actor: meta.connect_tcp(actor, host=HOST, port=listener.getsockname()[1], frame=LINES)
        )
        accepted = listener.accept()[0]
        pending = asyncio.ensure_future(probe.node.call(client.alias, b"hello"))
        await eventually(lambda: client.statistics().sent == 1)
        accepted.close()
        with pytest.raises(meta.ConnectionEnded):
            await pending


async def test_a_refused_connection_is_named(probe: Probe) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]

    async def failure(actor: Any) -> Exception | None:
        try:
            await meta.connect_tcp(actor, host=HOST, port=port, frame=LINES)
        except meta.errors.ConnectFailed as error:
            return error
        return None

    error = await probe.do(failure)
    assert str(error).startswith(f"cannot connect TCP to {HOST}:{port}: Connection refused (no program")


async def test_too_many_requests_are_refused(probe: Probe) -> None:
    server = await open_tcp(probe)
    client = await connect_tcp(probe, server, max_requests=1)
    pending = asyncio.ensure_future(probe.node.call(client.alias, b"one"))
    await eventually(lambda: client.statistics().sent == 1)
    with pytest.raises(gen.TooManyRequests):
        await probe.node.call(client.alias, b"two")
    pending.cancel()
