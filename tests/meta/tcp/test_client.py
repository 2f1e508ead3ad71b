"""A TCP client: requests and their answers, frames that answer nothing, and the end of the connection."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from homing import act, gen, meta

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


def number_of(data: bytes) -> bytes:
    """The word before the space, with which requests and answers begin."""
    return data.split(b" ")[0]


async def test_answers_with_a_key_may_come_in_any_order(probe: Probe) -> None:
    server = await open_tcp(probe, announce=False)
    client = await connect_tcp(probe, server, announce=False, key=number_of, request_timeout=30)
    calls = [asyncio.ensure_future(probe.node.call(client.alias, b"%d ask" % number)) for number in range(3)]
    requests = [await probe.get() for _ in range(3)]
    with pytest.raises(meta.errors.RequestKeyTaken):
        await probe.node.call(client.alias, b"1 again")
    await probe.do(lambda actor: actor.reply(requests[0], b"7 unasked"))
    assert (await probe.get()).data == b"7 unasked"
    for request in reversed(requests):
        await probe.do(lambda actor, request=request: actor.reply(request, request.data + b"ed"))
    assert [(await call).data for call in calls] == [b"0 asked", b"1 asked", b"2 asked"]


async def test_a_request_with_a_key_that_is_not_answered_leaves_the_connection_open(probe: Probe) -> None:
    server = await open_tcp(probe, announce=False)
    client = await connect_tcp(probe, server, announce=False, key=number_of, request_timeout=0.1)
    with pytest.raises(gen.CallTimeout):
        await probe.node.call(client.alias, b"1 ask", timeout=30)
    await probe.do(lambda actor: actor.send(client.alias, b"2 more"))
    assert [(await probe.get()).data for _ in range(2)] == [b"1 ask", b"2 more"]
    assert client.statistics().open == 1


async def test_a_receiver_that_awaits_an_answer_gets_it_though_its_mailbox_is_full(probe: Probe) -> None:
    class Talker(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            if isinstance(message, meta.MessageTCP):
                for number in range(100):
                    self.reply(message, b"news %d" % number)
                self.reply(message, b"ask answered")

    pid = await probe.node.spawn(Talker)
    server = await open_tcp(probe, process=pid)
    client = await connect_tcp(probe, server, announce=False, key=number_of, high_water=2)
    answer = await probe.do(lambda actor: actor.call(client.alias, b"ask", timeout=30))
    assert answer.data == b"ask answered"
    assert [(await probe.get()).data for _ in range(100)] == [b"news %d" % number for number in range(100)]


async def test_a_client_connects_again(probe: Probe) -> None:
    server = await open_echo(probe)
    backoff = act.Backoff(first=0.01, most=0.05)
    client = await connect_tcp(probe, server, reconnect=backoff)
    for _ in range(3):
        assert isinstance(await probe.get(), meta.MessageTCPConnect)
        assert (await probe.node.call(client.alias, b"bye")).data == b"OK: bye"
        assert isinstance(await probe.get(), meta.MessageTCPDisconnect)
    assert isinstance(await probe.get(), meta.MessageTCPConnect)
    port = server.local_address[1]
    await probe.do(lambda actor: actor.send_exit_meta(server.alias, gen.TerminateShutdown()))
    assert isinstance(await probe.get(), meta.MessageTCPDisconnect)
    with pytest.raises(meta.ConnectionEnded):
        await probe.node.call(client.alias, b"hello")
    await eventually(lambda: client.statistics().connect_errors > 1)
    await open_echo(probe, port=port)
    assert isinstance(await probe.get(), meta.MessageTCPConnect)
    assert (await probe.node.call(client.alias, b"hello")).data == b"OK: hello"
