"""The UDP client as a socket: what is sent through it, what comes unasked, how it begins and ends."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, Gate, Gated, error_of, is_bound
from .clients import PATIENT, ask, asked, check_account, counted, create_client, open_client

pytestmark = [pytest.mark.backends, pytest.mark.loops]

# --- to the peer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"--bytes--")[2:7]])
async def test_a_payload_that_is_sent_to_the_alias_goes_to_the_peer(data: Any, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer)
    await probe.do(lambda actor: actor.send(alias, data))
    assert await peer.receive() == (b"bytes", client.local_address)


@pytest.mark.parametrize("connected", [True, False])
async def test_a_message_without_an_address_and_one_with_the_peers_go_to_the_peer(
    connected: bool, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, connected=connected)

    def send(actor: Any) -> None:
        actor.send(alias, meta.MessageUDP(None, None, b"none"))
        actor.send(alias, meta.MessageUDP(None, peer.address, b"own"))
        actor.send_with_priority(alias, b"first", gen.MessagePriority.HIGH)

    await probe.do(send)
    assert [(await peer.receive())[0] for _ in range(3)] == [b"first", b"none", b"own"]
    assert client.statistics().packets_out == 3


async def test_what_one_process_sends_leaves_in_order_whatever_form_it_has(probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_client(probe, peer)

    def send(actor: Any) -> None:
        for number in range(200):
            data = b"%d" % number
            actor.send(
                alias, [data, meta.MessageUDP(None, None, data), meta.MessageUDP(1, peer.address, data)][number % 3]
            )

    await probe.do(send)
    assert [int((await peer.receive())[0]) for _ in range(200)] == list(range(200))


async def test_a_call_with_a_message_is_answered_with_the_bytes_that_the_kernel_took(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer)
    assert await node.call(alias, meta.MessageUDP(None, None, b"seven b")) == 7
    assert (await peer.receive())[0] == b"seven b"
    assert client.statistics().requests == 0


async def test_a_connected_client_sends_to_nobody_else(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer)
    with UDPPeer() as other:
        message = meta.MessageUDP(None, other.address, b"to another")
        node.send(alias, message)
        with pytest.raises(gen.BadAddress, match="connected to") as caught:
            await node.call(alias, message)
        assert caught.value.address == other.address
        assert client.statistics().send_errors == {"BadAddress": 2}
        node.send(alias, b"to the peer")
        assert (await peer.receive())[0] == b"to the peer"
        with pytest.raises(BlockingIOError):
            other.socket.recv(10)


async def test_a_client_that_is_not_connected_sends_to_any_address(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_client(probe, peer, connected=False)
    with UDPPeer() as other:
        node.send(alias, meta.MessageUDP(None, other.address, b"to another"))
        assert (await other.receive())[0] == b"to another"


@pytest.mark.parametrize("thing", [None, "text", 5, ("127.0.0.1", 53)])
async def test_what_is_no_payload_is_refused_and_the_client_goes_on(
    thing: Any, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_client(probe, peer)
    node.send(alias, thing)
    with pytest.raises(gen.NotAllowed, match="bytes"):
        await node.call(alias, thing)
    with pytest.raises(gen.NotAllowed, match="bytes"):
        await node.call(alias, meta.UDPRequest(thing))
    node.send(alias, b"still here")
    assert (await peer.receive())[0] == b"still here"


# --- what comes unasked -----------------------------------------------------------------------------------


async def test_what_comes_unasked_goes_to_the_owner_and_can_be_answered(probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer)
    peer.send(b"news", client.local_address)
    message = await probe.get()
    assert (message.id, message.addr, message.data) == (alias, peer.address, b"news")
    await probe.do(lambda actor: actor.send(message.id, message.reply(b"thanks")))
    assert (await peer.receive())[0] == b"thanks"
    assert client.statistics().stray == client.statistics().delivered == 1


async def test_what_comes_unasked_goes_to_the_process_of_the_options_in_order(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, _ = await open_client(probe, peer, process="listener")
    listener = await Probe.start(node, name="listener")
    for number in range(150):
        peer.send(b"%d" % number, client.local_address)
    assert [int((await listener.get()).data) for _ in range(150)] == list(range(150))
    assert probe.waiting() == []


async def test_strays_are_dropped_where_that_is_asked_for(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, stray="drop")
    peer.send(b"news", client.local_address)
    await counted(client, stray=1, dropped_stray=1)
    task, source = await asked(node, alias, peer, b"question")
    peer.send(b"answer", source)
    assert (await task).data == b"answer"
    assert probe.waiting() == []
    check_account(client)


async def test_what_comes_from_another_address_does_not_get_in(probe: Probe, peer: UDPPeer) -> None:
    client, _ = await open_client(probe, peer)
    with UDPPeer("127.0.0.9") as other:
        other.send(b"forged", client.local_address)
        peer.send(b"true", client.local_address)
        assert (await probe.get()).data == b"true"
    assert client.statistics().packets_in == 1


async def test_reading_pauses_while_the_mailbox_is_full_and_nothing_is_lost(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="slow")
    client, _ = await open_client(probe, peer, process="slow", high_water=10)
    for number in range(100):
        peer.send(b"%d" % number, client.local_address)
    await eventually(lambda: client.statistics().pauses)
    assert client.statistics().delivered <= 12
    assert (await node.inspect_meta(client.process.id, "waiting_for")) == {"waiting_for": "mailbox"}
    gate.let(100)
    await gate.passed_by(100)
    assert gate.payloads() == [b"%d" % number for number in range(100)]
    check_account(client)


async def test_a_reply_is_read_although_the_mailbox_is_full_and_what_finds_no_room_is_counted(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="slow")
    client, alias = await open_client(probe, peer, process="slow", high_water=4, key=lambda data: data[:1])
    for _ in range(50):
        peer.send(b"news", client.local_address)
    await eventually(lambda: client.statistics().pauses)
    task, source = await asked(node, alias, peer, b"?")
    peer.send(b"?yes", source)
    assert (await task).data == b"?yes"
    statistics = client.statistics()
    assert statistics.delivered + statistics.dropped_newest == 50
    assert statistics.dropped_newest > 0
    check_account(client)
    gate.let(50)
    await gate.passed_by(statistics.delivered)


async def test_what_comes_unasked_goes_to_a_new_owner(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer)
    other = await Probe.start(node)
    await probe.do(lambda actor: actor.give_meta(alias, other.pid))
    peer.send(b"news", client.local_address)
    assert (await other.get()).data == b"news"


# --- its beginning ----------------------------------------------------------------------------------------


async def test_a_name_is_looked_up_when_the_client_is_started(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client = create_client(("localhost", peer.address[1]))
    for attribute in ("local_address", "peer_address"):
        with pytest.raises(gen.NotAllowed, match="localhost"):
            getattr(client, attribute)
    alias = await probe.do(lambda actor: actor.spawn_meta(client))
    assert client.peer_address == peer.address
    task, source = await asked(node, alias, peer, b"question")
    assert source == client.local_address
    peer.send(b"answer", source)
    assert (await task).data == b"answer"


async def test_the_node_goes_on_while_a_name_is_looked_up(
    node: homing.Node, probe: Probe, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.BaseEventLoop):
        pytest.skip("uvloop's resolver cannot be held up")
    held = loop.create_future()

    async def resolve(host: str, port: int, **_: Any) -> Any:
        await held
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", peer.address)]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    client = create_client(("peer.example", peer.address[1]))
    starting = asyncio.create_task(probe.do(lambda actor: actor.spawn_meta(client)))
    other = await Probe.start(node)
    await other.do(lambda actor: actor.send(actor.pid, "goes on"))
    assert await other.get() == "goes on"
    assert not starting.done()
    held.set_result(None)
    node.send(await starting, b"hello")
    assert (await peer.receive())[0] == b"hello"


async def test_a_client_that_is_terminated_while_its_name_is_looked_up_opens_no_socket(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.BaseEventLoop):
        pytest.skip("uvloop's resolver cannot be held up")
    client = create_client(("peer.example", 9))

    async def resolve(host: str, port: int, **_: Any) -> Any:
        client.terminate(gen.TerminateNormal())
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (HOST, 9))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(client)))
    assert isinstance(error, gen.NotAllowed)
    assert "was terminated" in str(error)
    with pytest.raises(gen.NotAllowed):
        client.local_address  # noqa: B018 - it raises, as there is none


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "with\0null"])
async def test_a_name_that_cannot_be_resolved_is_named_and_the_owner_lives_on(host: str, probe: Probe) -> None:
    client = create_client((host, 53))
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(client)))
    assert isinstance(error, gen.ConnectFailed)
    assert isinstance(error, OSError)
    assert (error.host, error.port) == (host, 53)
    assert await probe.do(lambda actor: actor.pid) == probe.pid


async def test_ipv6_serves_as_well(node: homing.Node, probe: Probe) -> None:
    with UDPPeer("::1") as peer:
        client, alias = await open_client(probe, peer)
        task, source = await asked(node, alias, peer, b"question")
        assert source == client.local_address
        peer.send(b"answer", source)
        assert (await task).addr == peer.address


async def test_the_local_address_may_be_chosen(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    port = free_port()
    client, alias = await open_client(probe, peer, local_host="127.0.0.5", local_port=port)
    assert client.local_address == ("127.0.0.5", port)
    node.send(alias, b"from there")
    assert (await peer.receive())[1] == ("127.0.0.5", port)


@pytest.mark.once
async def test_a_local_port_that_another_has_is_named(peer: UDPPeer) -> None:
    with pytest.raises(gen.BindFailed, match="another socket has this port") as caught:
        create_client((HOST, 9), local_host=HOST, local_port=peer.address[1])
    assert (caught.value.errno, caught.value.port) == (errno.EADDRINUSE, peer.address[1])


@pytest.mark.once
@pytest.mark.parametrize(
    ("peer_host", "local_host", "kind"),
    [(HOST, "::1", gen.ConnectFailed), ("::1", HOST, gen.ConnectFailed), (HOST, "localhost", gen.BadOption)],
)
def test_a_local_host_that_cannot_serve_is_refused(peer_host: str, local_host: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="local_host"):
        create_client((peer_host, 9), local_host=local_host)


@pytest.mark.once
def test_a_peer_to_which_the_system_lets_nobody_connect_is_named_with_what_to_do() -> None:
    with pytest.raises(gen.ConnectFailed, match=r"255\.255\.255\.255:9.*broadcast") as caught:
        create_client(("255.255.255.255", 9))
    assert (caught.value.errno, caught.value.host, caught.value.port) == (errno.EACCES, "255.255.255.255", 9)


@pytest.mark.once
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("host", ""),
        ("host", None),
        ("host", b"localhost"),
        ("port", 0),
        ("port", 65536),
        ("port", "53"),
        ("port", True),
        ("local_host", None),
        ("local_port", -1),
        ("connected", 1),
        ("any_source", "yes"),
        ("any_source", True),
        ("dual_stack", True),
        ("process", ""),
        ("process", 5),
        ("stray", "keep"),
        ("timeout", 0),
        ("timeout", None),
        ("timeout", float("inf")),
        ("timeout", "1"),
        ("retries", -1),
        ("retries", 1.5),
        ("retries", True),
        ("backoff", 0.5),
        ("backoff", "2"),
        ("max_timeout", 0),
        ("jitter", -0.1),
        ("jitter", 1.1),
        ("random", None),
        ("random", 0.5),
        ("key", "id"),
        ("reply_key", 2),
        ("reply_key", bytes),
        ("match", 5),
        ("max_requests", 0),
        ("remember", -1),
        ("buffer_size", 0),
        ("high_water", 0),
        ("low_water", 5000),
        ("receive_batch", 0),
        ("gro", None),
        ("send_queue", 0),
        ("send_overflow", "block"),
        ("on_error", ""),
        ("receive_buffer", 0),
    ],
)
def test_an_option_that_cannot_work_is_named(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.UDPClientOptions(**{"host": HOST, "port": 9, option: value})
    assert caught.value.option in (option, "timeout")


@pytest.mark.once
def test_a_key_and_a_match_do_not_go_together() -> None:
    with pytest.raises(gen.BadOption, match="match"):
        meta.UDPClientOptions(host=HOST, port=9, key=bytes, match=lambda request, reply: True)


@pytest.mark.once
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("match", 5),
        ("timeout", 0),
        ("retries", -1),
        ("backoff", 0),
        ("jitter", 2),
        ("collect", 0),
        ("collect", True),
        ("within", 0),
        ("at_least", 1),
    ],
)
def test_a_setting_of_a_request_that_cannot_work_is_named(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.UDPRequest(b"question", **{option: value})
    assert caught.value.option == option


@pytest.mark.once
@pytest.mark.parametrize("at_least", [-1, 4])
def test_no_more_replies_can_be_necessary_than_are_collected(at_least: int) -> None:
    with pytest.raises(gen.BadOption, match="at_least"):
        meta.UDPRequest(b"question", collect=3, at_least=at_least)


@pytest.mark.once
@pytest.mark.parametrize("options", [None, {}, meta.UDPServerOptions()])
def test_a_client_takes_the_options_of_clients(options: Any) -> None:
    with pytest.raises(gen.BadOption, match="UDPClientOptions"):
        meta.create_udp_client(options)


# --- its end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, "localhost"])
async def test_a_client_that_was_not_started_is_closed_by_its_block_or_by_terminate(host: str, probe: Probe) -> None:
    with create_client((host, 9)) as client:
        pass
    client.terminate(gen.TerminateNormal())
    assert isinstance(await probe.do(lambda actor: error_of(actor.spawn_meta(client))), gen.NotAllowed)


async def test_a_client_starts_once_and_a_block_leaves_a_started_one_alone(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    with create_client(peer.address) as client:
        alias = await probe.do(lambda actor: actor.spawn_meta(client))
        assert isinstance(await probe.do(lambda actor: error_of(actor.spawn_meta(client))), gen.NotAllowed)
    node.send(alias, b"open")
    assert (await peer.receive())[0] == b"open"


@pytest.mark.parametrize("way", ["exit_meta", "owner", "kill"])
async def test_its_end_closes_the_socket_and_fails_every_open_request_at_once(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer)
    tasks = [ask(node, alias, b"%d" % number) for number in range(5)]
    for _ in tasks:
        await peer.receive()
    if way == "exit_meta":
        await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown()))
    elif way == "owner":
        node.send_exit(probe.pid, gen.TerminateShutdown())
    else:
        node.kill(probe.pid)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {gen.MetaTerminated}
    await eventually(lambda: not is_bound(client.local_address))
    assert (client.statistics().cancelled, client.statistics().open) == (5, 0)
    check_account(client)


async def test_a_node_that_stops_lets_open_requests_have_their_answers(peer: UDPPeer) -> None:
    options = gen.NodeOptions(handle_signals=False)
    async with homing.start_node("stopping@localhost", options) as node:
        probe = await Probe.start(node)
        client, alias = await open_client(probe, peer)
        outcomes: list[Any] = []

        class Waiting(act.Actor):
            async def handle_message(self, sender: gen.PID, message: Any) -> None:
                outcomes.append(await self.call(alias, message, timeout=PATIENT))

        node.send(await node.spawn(Waiting), b"question")
        _, source = await peer.receive()
        stopping = asyncio.create_task(node.stop())
        await eventually(lambda: node.info().state == "stopping")
        peer.send(b"answer", source)
        assert await stopping
        assert [outcome.data for outcome in outcomes] == [b"answer"]
        assert client.statistics().answered == 1


async def test_a_node_that_stops_does_not_wait_for_requests_whose_callers_have_gone(peer: UDPPeer) -> None:
    options = gen.NodeOptions(handle_signals=False, stop_timeout=PATIENT)
    async with homing.start_node("stopping@localhost", options) as node:
        client, alias = await open_client(await Probe.start(node), peer)
        task, _ = await asked(node, alias, peer, b"question")
        task.cancel()
        await asyncio.wait([task])
        assert await node.stop()
        assert client.statistics().cancelled == 1


# --- who uses it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thread", [False, True])
async def test_any_process_asks_through_it_also_one_on_a_thread_of_its_own(
    thread: bool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_client(probe, peer)

    class Other(act.Actor):
        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return (await self.call(alias, request)).data

    other = await node.spawn(Other, options=gen.ProcessOptions(thread=thread))
    task = asyncio.create_task(node.call(other, b"question"))
    data, source = await peer.receive()
    assert data == b"question"
    peer.send(b"answer", source)
    assert await task == b"answer"


async def test_inspect_tells_the_counters_and_where_it_is_connected(
    node: homing.Node, probe: Probe, peer: UDPPeer, backend: str
) -> None:
    client, alias = await open_client(probe, peer)
    task, source = await asked(node, alias, peer, b"question")
    facts = await node.inspect_meta(alias)
    assert facts["peer"] == "{}:{}".format(*peer.address)
    assert facts["local"] == "{}:{}".format(*client.local_address)
    assert (facts["connected"], facts["backend"], facts["open"], facts["requests"]) == (True, backend, 1, 1)
    assert facts["process"] == str(probe.pid)
    peer.send(b"answer", source)
    await task
    wanted = ("answered", "open", "replies", "packets_in", "packets_out", "retransmits", "timeouts", "peer")
    facts = await node.inspect_meta(alias, *wanted)
    assert set(facts) == set(wanted)
    assert (facts["answered"], facts["open"], facts["packets_in"], facts["retransmits"]) == (1, 0, 1, 0)


def test_a_client_that_was_not_started_has_no_statistics() -> None:
    with create_client((HOST, 9)) as client, pytest.raises(gen.NotAllowed, match="not been started"):
        client.statistics()
