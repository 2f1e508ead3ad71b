"""Sending through a server: by `send`, `send_alias` and `call`; and that nothing sent can stop it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, create, in_network, is_bound, needs_namespaces, open_echo, open_server, still_answers

pytestmark = [pytest.mark.backends, pytest.mark.loops]

BAD_ADDRESSES: list[Any] = [
    None,
    "127.0.0.1",
    ("127.0.0.1",),
    ("127.0.0.1", 70000),
    ("127.0.0.1", -1),
    ("127.0.0.1", "53"),
    ("localhost", 53),
    ("example.invalid", 53),
    ("", 53),
    ("::1", 53, 0, 0),
    ("127.0.0.1", 53, 0, 0),
    ("127.0.0.1", 53, 0, 0, 0),
    ["127.0.0.1", 53],
    {"host": "127.0.0.1"},
]
BAD_DATA: list[Any] = [None, "text", 5, [b"list"], object(), memoryview(b"with gaps")[::2]]


def message_to(address: Any, data: Any = b"payload") -> meta.MessageUDP:
    return meta.MessageUDP(None, address, data)


@pytest.mark.parametrize("method", ["send", "send_alias"])
async def test_a_message_sent_to_the_alias_goes_out_to_its_address(method: str, probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    await probe.do(lambda actor: getattr(actor, method)(alias, message_to(peer.address)))
    assert await peer.receive() == (b"payload", server.local_address)


async def test_a_call_answers_with_the_number_of_bytes_sent(probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_server(probe)
    assert await probe.do(lambda actor: actor.call(alias, message_to(peer.address))) == 7
    assert (await peer.receive())[0] == b"payload"


async def test_any_process_may_send_through_a_server_and_so_may_the_program_outside(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe)
    other = await Probe.start(node)
    await other.do(lambda actor: actor.send(alias, message_to(peer.address, b"process")))
    assert await peer.receive() == (b"process", server.local_address)
    node.send(alias, message_to(peer.address, b"program"))
    assert await peer.receive() == (b"program", server.local_address)
    assert await node.call(alias, message_to(peer.address, b"call")) == 4


class Port:
    """An integer that is no `int`, as the ports of a batch are to numpy."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


async def test_a_port_may_be_an_integer_of_another_class(probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    host, port = peer.address
    for _ in range(2):  # the second one is remembered
        await probe.do(lambda actor: actor.send(alias, message_to((host, Port(port)))))
        assert await peer.receive() == (b"payload", server.local_address)
    with pytest.raises(gen.BadAddress, match="the port must be an integer"):
        await probe.node.call(alias, message_to((host, Port(65536))))


@pytest.mark.parametrize("id", [None, gen.Alias("elsewhere@host", 1, 1), "anything"])
async def test_the_id_of_a_message_is_ignored_in_sending(id: Any, probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    await probe.do(lambda actor: actor.send(alias, meta.MessageUDP(id, peer.address, b"x")))
    assert await peer.receive() == (b"x", server.local_address)


async def test_an_answer_may_leave_through_another_server_than_the_question_came_by(
    probe: Probe, peer: UDPPeer
) -> None:
    first, _ = await open_server(probe)
    second, alias = await open_server(probe)
    peer.send(b"question", first.local_address)
    message = await probe.get()
    await probe.do(lambda actor: actor.send(alias, message.reply(b"answer")))
    assert await peer.receive() == (b"answer", second.local_address)


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), memoryview(b"--bytes--")[2:7]])
async def test_data_may_be_any_bytes_like_object(data: Any, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_server(probe)
    assert await probe.do(lambda actor: actor.call(alias, message_to(peer.address, data))) == 5
    assert (await peer.receive())[0] == b"bytes"


async def test_datagrams_sent_by_one_process_leave_in_order(probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_server(probe)

    def send_all(actor: Any) -> None:
        for number in range(100):
            actor.send(alias, message_to(peer.address, b"%d" % number))

    await probe.do(send_all)
    assert [(await peer.receive())[0] for _ in range(100)] == [b"%d" % number for number in range(100)]


# --- what fails ---------------------------------------------------------------------------------------------


FAILURES = [
    pytest.param((HOST, 9), b"x" * 65508, "EMSGSIZE", errno.EMSGSIZE, id="longer than any datagram"),
    pytest.param((HOST, 0), b"x", "EINVAL", errno.EINVAL, id="port 0"),
    pytest.param(("255.255.255.255", 9), b"x", "EACCES", errno.EACCES, id="broadcast"),
]


@pytest.mark.parametrize(("address", "data", "name", "number"), FAILURES)
async def test_what_the_kernel_refuses_is_counted_by_its_errno_and_told_to_a_caller(
    address: Any, data: bytes, name: str, number: int, node: homing.Node, peer: UDPPeer
) -> None:
    server = await open_echo(node)
    alias = server.process.id
    node.send(alias, message_to(address, data))
    with pytest.raises(OSError, match=r".") as caught:
        await node.call(alias, message_to(address, data))
    assert caught.value.errno == number
    assert server.statistics().send_errors == {name: 2}
    assert (await node.inspect_meta(alias))["send_errors"] == {name: 2}
    assert await still_answers(peer, server)


@pytest.mark.parametrize("address", BAD_ADDRESSES)
async def test_a_bad_address_is_counted_and_told_to_a_caller_and_the_server_goes_on(
    address: Any, node: homing.Node, peer: UDPPeer
) -> None:
    server = await open_echo(node)
    node.send(server.process.id, message_to(address))
    with pytest.raises(gen.BadAddress) as caught:
        await node.call(server.process.id, message_to(address))
    assert caught.value.address == address
    assert server.statistics().send_errors == {"BadAddress": 2}
    assert await still_answers(peer, server)


@pytest.mark.parametrize("data", BAD_DATA)
async def test_data_that_are_no_bytes_are_counted_and_told_to_a_caller_and_the_server_goes_on(
    data: Any, node: homing.Node, peer: UDPPeer
) -> None:
    server = await open_echo(node)
    node.send(server.process.id, message_to(peer.address, data))
    with pytest.raises((TypeError, BufferError)) as caught:
        await node.call(server.process.id, message_to(peer.address, data))
    assert server.statistics().send_errors == {type(caught.value).__name__: 2}
    assert await still_answers(peer, server)


@pytest.mark.parametrize("thing", [b"bytes", None, "text", ("127.0.0.1", 53), 5])
async def test_a_message_of_another_type_is_refused_and_the_server_goes_on(
    thing: Any, node: homing.Node, peer: UDPPeer
) -> None:
    server = await open_echo(node)
    node.send(server.process.id, thing)
    with pytest.raises(gen.NotAllowed, match="MessageUDP"):
        await node.call(server.process.id, thing)
    assert await still_answers(peer, server)


async def test_failures_of_one_kind_are_logged_at_a_bounded_rate_whatever_their_addresses(
    node: homing.Node, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    server = await open_echo(node)
    with caplog.at_level(logging.WARNING, "homing"):
        for number in range(500):
            node.send(server.process.id, message_to((f"host-{number}.invalid", 53)))
            node.send(server.process.id, message_to((HOST, 0)))
        await eventually(lambda: sum(server.statistics().send_errors.values()) == 1000)
    assert server.statistics().send_errors == {"BadAddress": 500, "EINVAL": 500}
    assert len(caplog.records) == 2
    assert await still_answers(peer, server)


async def test_a_peer_that_has_closed_its_socket_harms_neither_the_server_nor_another_peer(
    node: homing.Node, peer: UDPPeer
) -> None:
    server = await open_echo(node)
    for number in range(20):
        with UDPPeer() as gone:
            gone.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().packets_out == 20)
    for number in range(20):
        assert await peer.ask(b"%d" % number, server.local_address) == b"%d" % number
    assert server.statistics().send_errors == {}


@needs_namespaces
async def test_an_unreachable_network_is_counted_and_the_server_goes_on(node: homing.Node, probe: Probe) -> None:
    make: Callable[[], tuple[meta.UDPServer, UDPPeer]] = lambda: (create(), UDPPeer())  # noqa: E731
    server, peer = in_network("ip link set lo up", make)
    with peer:
        alias = await probe.do(lambda actor: actor.spawn_meta(server))
        with pytest.raises(OSError, match="unreachable") as caught:
            await node.call(alias, message_to(("192.0.2.1", 53)))
        assert caught.value.errno == errno.ENETUNREACH
        assert server.statistics().send_errors == {"ENETUNREACH": 1}
        assert await node.call(alias, message_to(peer.address)) == 7
        assert (await peer.receive())[0] == b"payload"


async def test_sending_to_a_server_that_has_ended_is_an_error_of_the_alias(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    await eventually(lambda: not is_bound(server.local_address))
    with pytest.raises(gen.MetaTerminated):
        node.send(alias, message_to((HOST, 9)))
    with pytest.raises(gen.MetaTerminated):
        await node.call(alias, message_to((HOST, 9)))


async def test_a_flood_of_failing_sends_delays_no_good_one(node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node)
    for number in range(100):
        node.send(server.process.id, message_to((HOST, 0)))
        node.send(server.process.id, message_to(peer.address, b"%d" % number))
    got = [(await peer.receive())[0] for _ in range(100)]
    assert got == [b"%d" % number for number in range(100)]
    assert server.statistics().send_errors == {"EINVAL": 100}
