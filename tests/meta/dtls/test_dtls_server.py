"""A DTLS server: identities, sessions and their ends, limits, and all that a UDP server can do besides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.meta import errors

from ...support import DEADLINE, Probe, UDPPeer, eventually
from ..servers import HOST, balanced, error_of
from .flights import Flights
from .pki import PSK, ask, ca, client_options, connect, device, issued, open_echo, own, refusal, server_options

pytestmark = pytest.mark.backends


async def test_a_record_arrives_as_a_message_with_the_subject_of_the_clients_certificate(
    node: homing.Node, probe: Probe
) -> None:
    server, pid = await open_echo(node, client_ca=ca())
    client = await connect(probe, server, **device())
    assert await ask(probe, client, b"hello") == b"hello"
    message = (await node.call(pid, "came"))[0]
    assert (message.data, message.addr, message.id) == (b"hello", client.local_address, server.alias)
    identity = message.info.identity
    assert identity.startswith("CN=sensor-7,")
    assert (identity.kind, identity.common_name) == ("certificate", "sensor-7")
    assert client.server_identity is not None
    assert client.server_identity.kind == "certificate"
    balanced(server)
    balanced(client)


async def test_a_client_that_is_not_asked_has_no_identity(node: homing.Node, probe: Probe) -> None:
    server, pid = await open_echo(node)
    assert await ask(probe, await connect(probe, server), b"x") == b"x"
    assert (await node.call(pid, "came"))[0].info.identity is None


async def test_the_identity_of_a_key_is_that_of_the_message(node: homing.Node, probe: Probe) -> None:
    server, pid = await open_echo(node, psk=PSK)
    client = await connect(probe, server, psk=("sensor-7", PSK["sensor-7"]))
    assert await ask(probe, client, b"x") == b"x"
    identity = (await node.call(pid, "came"))[0].info.identity
    assert (identity, identity.kind, identity.common_name, identity.certificate) == ("sensor-7", "psk", "", b"")


async def test_a_server_may_have_a_certificate_and_keys(node: homing.Node, probe: Probe) -> None:
    server, pid = await open_echo(node, psk=PSK.get, **own())
    assert await ask(probe, await connect(probe, server), b"1") == b"1"
    assert await ask(probe, await connect(probe, server, psk=("sensor-7", PSK["sensor-7"])), b"2") == b"2"
    assert [message.info.identity for message in await node.call(pid, "came")] == [None, "sensor-7"]


@pytest.mark.parametrize(
    ("lookup", "counted"),
    [
        (lambda identity: None, "psk"),
        (lambda identity: "text", "psk"),
        (lambda identity: 1 / 0, "psk"),
        (lambda identity: b"", "psk"),
    ],
)
async def test_a_client_whose_key_is_not_found_is_refused(
    lookup: Any, counted: str, node: homing.Node, probe: Probe
) -> None:
    server, _ = await open_echo(node, psk=lookup)
    error = await refusal(probe, server, psk=("sensor-7", b"0123456789abcdef"))
    assert error.cause == "refused"
    assert server.statistics().handshakes_failed[counted] == 1


async def test_a_lookup_that_is_a_coroutine_refuses_all(node: homing.Node, probe: Probe) -> None:
    async def lookup(identity: str) -> bytes:
        return b"0123456789abcdef"

    server, _ = await open_echo(node, psk=lookup)
    await refusal(probe, server, psk=("sensor-7", b"0123456789abcdef"))


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({}, "certificate required"),
        (issued("x@example.org", number=1), "unknown ca"),
        (issued("x@example.org", year=2001), "certificate expired"),
        (issued("x@example.org", year=2990), "bad certificate"),
    ],
)
async def test_clients_without_a_valid_certificate_are_refused(
    options: dict[str, bytes], detail: str, node: homing.Node, probe: Probe
) -> None:
    server, pid = await open_echo(node, client_ca=ca())
    error = await refusal(probe, server, **options)
    assert error.cause == "refused"
    assert server.statistics().handshakes_failed["certificate"] == 1
    assert server.statistics().sessions == 0
    assert await node.call(pid, "came") == []


async def test_an_optional_certificate_is_an_identity_if_it_is_shown(node: homing.Node, probe: Probe) -> None:
    server, pid = await open_echo(node, client_ca=ca(), client_certificate="optional")
    await ask(probe, await connect(probe, server), b"1")
    await ask(probe, await connect(probe, server, **device()), b"2")
    first, second = [message.info.identity for message in await node.call(pid, "came")]
    assert first is None
    assert second.common_name == "sensor-7"
    await refusal(probe, server, **issued("x@example.org", number=1))


# --- sessions -----------------------------------------------------------------------------------------------


async def test_the_beginning_and_the_end_of_a_session_are_told(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, client_ca=ca(), notify=probe.pid)
    other = await Probe.start(node)
    client = await connect(other, server, **device())
    address = client.local_address
    up = await probe.get()
    assert isinstance(up, meta.MessageSessionUp)
    assert (up.id, up.addr, up.identity.common_name) == (server.alias, address, "sensor-7")
    await node.call(client.alias, meta.CloseSession())
    down = await probe.get()
    assert isinstance(down, meta.MessageSessionDown)
    assert (down.addr, down.identity, type(down.reason)) == (address, up.identity, meta.SessionClosed)
    assert server.statistics().sessions_ended["closed"] == 1
    assert await ask(other, client, b"again") == b"again"  # by another session
    assert isinstance(await probe.get(), meta.MessageSessionUp)
    balanced(server)


async def test_a_session_that_is_closed_here_is_closed_there_too(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, notify=probe.pid)
    client = await connect(await Probe.start(node), server)
    assert await node.call(server.alias, meta.CloseSession(client.local_address)) is True
    assert isinstance((await probe.get()), meta.MessageSessionUp)
    assert type((await probe.get()).reason) is meta.SessionDismissed
    await eventually(lambda: client.statistics().sessions_ended["closed"] == 1)
    assert server.statistics().sessions == 0


async def test_an_idle_session_is_closed(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, notify=probe.pid, session_idle=0.05)
    client = await connect(await Probe.start(node), server)
    assert isinstance(await probe.get(), meta.MessageSessionUp)
    assert type((await probe.get()).reason) is meta.SessionIdle
    await eventually(lambda: client.statistics().sessions_ended["closed"] == 1)


async def test_the_end_of_a_server_closes_its_sessions(node: homing.Node, probe: Probe) -> None:
    server, pid = await open_echo(node)
    client = await connect(probe, server)
    node.kill(pid)
    await eventually(lambda: client.statistics().sessions_ended["closed"] == 1)
    assert server.statistics().sessions_ended["ended"] == 1


async def test_an_answer_without_a_session_fails_with_its_address(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, on_error=probe.pid)
    error = await error_of(node.call(server.alias, meta.MessageUDP(addr=(HOST, 9), data=b"x")))
    assert isinstance(error, errors.NoSession)
    assert error.address == (HOST, 9)
    node.send(server.alias, meta.MessageUDP(addr=(HOST, 9), data=b"x"))
    report = await probe.get()
    assert isinstance(report, meta.MessageUDPError)
    assert server.statistics().send_errors["NoSession"] == 2


@pytest.mark.parametrize("size", [1, 1200, 9000, 16384])
async def test_messages_have_up_to_16384_bytes(size: int, node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    client = await connect(probe, server)
    data = bytes(range(256)) * 64
    assert await ask(probe, client, data[:size]) == data[:size]


@pytest.mark.parametrize("size", [0, 16385])
async def test_messages_of_other_lengths_are_refused_and_harm_no_session(
    size: int, node: homing.Node, probe: Probe
) -> None:
    server, _ = await open_echo(node)
    client = await connect(probe, server)
    error = await error_of(node.call(client.alias, bytes(size)))
    assert isinstance(error, errors.RecordTooLong)
    assert error.length == size
    assert await ask(probe, client, b"still there") == b"still there"


# --- limits ------------------------------------------------------------------------------------------------


async def test_a_newcomer_to_a_full_table_is_refused(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, most_sessions=2)
    for _ in range(2):
        await connect(probe, server)
    error = await refusal(probe, server, handshake_timeout=0.2)
    assert error.cause == "timeout"
    statistics = server.statistics()
    assert statistics.sessions == 2
    assert statistics.hellos_full > 0
    balanced(server)


async def test_handshakes_are_limited_in_rate(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, handshake_rate=0.001)
    await connect(probe, server)
    await refusal(probe, server, handshake_timeout=0.2)
    assert server.statistics().hellos_limited == 1
    assert server.statistics().handshakes == 1


async def test_hellos_of_one_source_are_limited(node: homing.Node, probe: Probe) -> None:
    limit = meta.RateLimit(rate=0.001, burst=2, exempt=())
    server, _ = await open_echo(node, hello_limit=limit)
    await connect(probe, server)
    assert isinstance(await refusal(probe, server, handshake_timeout=0.2), errors.HandshakeFailed)
    assert server.statistics().hellos_limited == 1
    assert server.statistics().cookies_sent == 1


async def test_a_handshake_that_is_not_continued_is_given_up(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, handshake_timeout=0.1)
    first = b""
    with UDPPeer() as peer:
        flights = Flights()
        peer.send(flights.hello(), server.local_address)
        peer.send(flights.answer((await peer.receive())[0]), server.local_address)
        first = (await peer.receive())[0]
        assert server.statistics().handshakes_open == 1
        await eventually(lambda: server.statistics().handshakes_failed["timeout"] == 1)
    assert first
    assert server.statistics().handshakes_open == 0
    balanced(server)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"x",
        bytes(2000),
        b"\x16\xfe\xff" + bytes(40),
        b"\x16\xfe\xff" + bytes(8) + b"\0\x20" + b"\x01" + bytes(31),
        b"\x17\xfe\xfd\0\1" + bytes(6) + b"\0\x20" + bytes(32),
        b"\x15\xfe\xfd\0\0" + bytes(6) + b"\0\2\2\x28",
    ],
)
async def test_garbage_costs_no_state(garbage: bytes, node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_echo(node)
    for _ in range(20):
        peer.send(garbage, server.local_address)
    await eventually(lambda: server.statistics().packets_in == 20)
    statistics = server.statistics()
    assert statistics.hellos_bad + statistics.records_unknown == 20
    assert (statistics.handshakes, statistics.sessions, statistics.packets_out) == (0, 0, 0)
    balanced(server)
    assert await ask(probe, await connect(probe, server), b"x") == b"x"


# --- as a UDP server -----------------------------------------------------------------------------------------


class Counting(act.Actor):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.reply(message, b"%d" % self.pid.id)


class OfPeer(meta.PeerActor):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.peer.send(b"%s of %s" % (message.data, str(message.info.identity).encode()))


class Batched(act.Actor):
    async def init(self, server: meta.DTLSServer) -> None:
        await self.spawn_meta(server)

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            self.reply(message, str(message.info.identity).encode() + bytes(message.data))


async def test_messages_go_to_workers_to_peers_and_to_receivers_of_batches(node: homing.Node, probe: Probe) -> None:
    key = ("sensor-7", PSK["sensor-7"])
    pool, _ = await open_echo(node, psk=PSK, worker=Counting, workers=2, route="source")
    client = await connect(probe, pool, psk=key)
    assert await ask(probe, client, b"x") == await ask(probe, client, b"y")
    peers, _ = await open_echo(node, psk=PSK, peers=meta.PeerOptions(worker=OfPeer))
    assert await ask(probe, await connect(probe, peers, psk=key), b"x") == b"x of sensor-7"
    batches = meta.create_dtls_server(server_options(psk=PSK))
    await node.spawn(Batched, batches)
    assert await ask(probe, await connect(probe, batches, psk=key), b"x") == b"sensor-7x"


async def test_the_process_of_a_peer_is_proven_and_ends_with_the_session(node: homing.Node, probe: Probe) -> None:
    peers = meta.PeerOptions(worker=OfPeer, notify=probe.pid, most=2, unproven_share=0.5)
    server, _ = await open_echo(node, psk=PSK, peers=peers)
    owner, key = await Probe.start(node), ("sensor-7", PSK["sensor-7"])
    clients = [await connect(owner, server, psk=key) for _ in range(2)]
    for client in clients:
        assert await ask(owner, client, b"x") == b"x of sensor-7"
        up = await probe.get()
        assert isinstance(up, meta.MessagePeerUp)
        assert up.peer.is_proven
    await node.call(clients[0].alias, meta.CloseSession())
    down = await probe.get()
    assert isinstance(down, meta.MessagePeerDown)
    assert isinstance(down.reason, meta.SessionClosed)
    assert await ask(owner, clients[0], b"y") == b"y of sensor-7"


async def test_what_the_packet_tells_is_there_beside_the_identity(node: homing.Node, probe: Probe) -> None:
    server, pid = await open_echo(node, psk=PSK, receive_local_address=True, receive_ttl=True)
    await ask(probe, await connect(probe, server, psk=("sensor-7", PSK["sensor-7"])), b"x")
    info = (await node.call(pid, "came"))[0].info
    assert (info.identity, info.local) == ("sensor-7", HOST)
    assert info.ttl


async def test_a_server_on_ipv6_and_with_both_families_serves(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, host="::1")
    assert await ask(probe, await connect(probe, server), b"6") == b"6"
    both, _ = await open_echo(node, host="::", dual_stack=True)
    for host in ("::1", HOST):
        options = {**client_options(both), "host": host}
        client = await probe.do(lambda actor, options=options: meta.connect_dtls(actor, **options))
        assert await ask(probe, client, host.encode()) == host.encode()


async def test_denied_sources_and_amplification_are_as_of_a_udp_server(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, amplification=1.0)
    client = await connect(probe, server)
    assert await ask(probe, client, b"x") == b"x"  # the cookie has proven the address
    assert server.statistics().amplification_limited == 0
    denied, _ = await open_echo(node, deny=("127.0.0.0/8",))
    await refusal(probe, denied, handshake_timeout=0.1)
    assert denied.statistics().denied > 0
    assert denied.statistics().cookies_sent == 0


async def test_a_new_certificate_is_used_for_new_sessions_and_the_old_ones_go_on(
    node: homing.Node, probe: Probe, tmp_path: Any
) -> None:
    files = {name: str(tmp_path / name) for name in ("certificate", "key")}

    def write(options: dict[str, bytes]) -> None:
        for name, content in options.items():
            (tmp_path / name).write_bytes(content)

    write(own())
    server, _ = await open_echo(node, **files)
    before = await connect(probe, server)
    write(issued("renewed.example"))
    await node.call(server.alias, meta.Reconfigure(**files))
    assert await ask(probe, before, b"old") == b"old"
    error = await refusal(probe, server)
    assert "renewed.example" in str(error)
    after = await connect(probe, server, server_name="renewed.example")
    assert await ask(probe, after, b"new") == b"new"
    write(own())
    assert await node.call(server.alias, meta.ReloadCertificate()) == 1
    assert await ask(probe, await connect(probe, server), b"again") == b"again"
    write(issued("renewed.example"))
    assert await node.call(server.alias, meta.ReloadCertificate()) == 2
    (tmp_path / "key").write_bytes(b"no key")
    refused = await error_of(node.call(server.alias, meta.Reconfigure(**files)))
    assert isinstance(refused, gen.BadOption)
    assert refused.option == "key"
    assert await ask(probe, await connect(probe, server, server_name="renewed.example"), b"n") == b"n"


async def test_a_server_that_moves_keeps_its_sessions_for_the_grace(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    client = await connect(probe, server)
    await node.call(server.alias, meta.Reconfigure(port=0, session_idle=50.0))
    assert await ask(probe, client, b"here") == b"here"
    assert await ask(probe, await connect(probe, server), b"there") == b"there"
    assert server.statistics().handshakes_completed == 2


async def test_a_session_outlives_the_crash_of_the_servers_owner(node: homing.Node, probe: Probe) -> None:
    server, pid = await open_echo(node, linger=DEADLINE)
    client = await connect(probe, server)
    port = server.local_address[1]
    node.kill(pid)
    await eventually(lambda: pid not in node.processes())
    successor, _ = await open_echo(node, port=port, linger=DEADLINE)
    assert await ask(probe, client, b"still there") == b"still there"
    assert successor.statistics().handshakes_completed == 1
    assert client.statistics().handshakes == 1


async def test_a_plain_server_does_not_adopt_the_socket_of_a_dtls_server(node: homing.Node, probe: Probe) -> None:
    server, pid = await open_echo(node, linger=DEADLINE)
    client = await connect(probe, server)
    node.kill(pid)
    await eventually(lambda: pid not in node.processes())
    plain = meta.create_udp_server(meta.UDPServerOptions(host=HOST, port=server.local_address[1]))
    other = await Probe.start(node)
    await other.do(lambda actor: actor.spawn_meta(plain))
    assert server._state.endpoint.closed
    assert not hasattr(plain._state.endpoint, "sessions")
    await eventually(lambda: client.statistics().sessions == 0)


async def test_options_of_dtls_are_not_those_of_a_plain_server(node: homing.Node, probe: Probe) -> None:
    server = meta.create_udp_server(meta.UDPServerOptions(host=HOST))
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    error = await error_of(node.call(alias, meta.Reconfigure(certificate="x")))
    assert isinstance(error, gen.BadOption)
    assert error.option == "certificate"


async def test_an_inspection_tells_of_handshakes_and_records(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    client = await connect(probe, server)
    await ask(probe, client, b"x")
    facts = await node.inspect_meta(server.alias)
    assert (facts["handshakes"], facts["handshakes_completed"], facts["sessions"]) == (1, 1, 1)
    assert facts["ledger"]["dropped"]["handshake"] == facts["handshake_packets"] > 0
    facts = await node.inspect_meta(client.alias, "session", "handshakes")
    assert facts == {"session": "open", "handshakes": 1}


async def test_many_clients_have_sessions_at_once(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    clients = [await connect(probe, server) for _ in range(20)]
    async with asyncio.timeout(DEADLINE):
        answers = await asyncio.gather(*(ask(probe, each, b"%d" % n) for n, each in enumerate(clients)))
    assert answers == [b"%d" % n for n in range(20)]
    assert server.statistics().sessions == 20
    balanced(server)
