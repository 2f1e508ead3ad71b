"""A DTLS client: the server's name, waiting messages, failures, and sessions that begin anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.meta import errors

from ...support import DEADLINE, Probe, UDPPeer, eventually
from ..servers import HOST, balanced, error_of
from .flights import Flights
from .pki import PSK, ask, ca, client_options, connect, issued, open_echo, own, refusal, server_options, written

pytestmark = pytest.mark.backends


@pytest.mark.parametrize(
    ("names", "server_name"),
    [
        (("coap.example.org",), "coap.example.org"),
        (("coap.example.org",), "COAP.example.org."),
        (("*.example.org",), "coap.example.org"),
        (("a.example", "coap.example.org"), "coap.example.org"),
        (("xn--bcher-kva.example",), "bücher.example"),
        ((HOST,), None),
        (("::1",), "0:0:0:0:0:0:0:1"),
    ],
)
async def test_a_certificate_for_the_servers_name_is_accepted(
    names: tuple[str, ...], server_name: str | None, node: homing.Node, probe: Probe
) -> None:
    server, _ = await open_echo(node, **issued(*names))
    assert await ask(probe, await connect(probe, server, server_name=server_name), b"x") == b"x"


@pytest.mark.parametrize(
    ("names", "server_name"),
    [
        (("other.example.org",), "coap.example.org"),
        (("*.example.org",), "a.b.example.org"),
        (("*.example.org",), "example.org"),
        (("*.org",), "example.org"),
        (("coap.example.org",), "example.org"),
        (("localhost",), None),
        (("127.0.0.2",), None),
    ],
)
async def test_a_certificate_for_another_name_is_refused(
    names: tuple[str, ...], server_name: str | None, node: homing.Node, probe: Probe
) -> None:
    server, pid = await open_echo(node, **issued(*names))
    error = await refusal(probe, server, server_name=server_name)
    assert error.cause == "certificate"
    assert (server_name or HOST) in error.detail
    await eventually(lambda: server.statistics().handshakes_failed["refused"] == 1)
    assert await node.call(pid, "came") == []


async def test_the_common_name_is_no_name_of_a_server(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, **issued("other.example", common_name="coap.example.org"))
    assert (await refusal(probe, server, server_name="coap.example.org")).cause == "certificate"


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        (issued(HOST, year=2001), "expired"),
        (issued(HOST, year=2990), "not valid yet"),
        (issued(HOST, number=1), "not trusted"),
    ],
)
async def test_expired_early_and_strange_certificates_are_refused(
    options: dict[str, bytes], detail: str, node: homing.Node, probe: Probe
) -> None:
    server, _ = await open_echo(node, **options)
    error = await refusal(probe, server)
    assert error.cause == "certificate"
    assert detail in error.detail
    assert (await refusal(probe, server, verify="authority")).cause == "certificate"
    assert await ask(probe, await connect(probe, server, verify="none"), b"x") == b"x"


async def test_the_authorities_of_the_system_are_trusted_by_default(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    assert (await refusal(probe, server, ca=None)).cause == "certificate"


async def test_any_name_of_an_authority_is_accepted_if_asked_for(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, **issued("other.example"))
    assert await ask(probe, await connect(probe, server, verify="authority"), b"x") == b"x"


async def test_files_are_paths_too(node: homing.Node, probe: Probe, tmp_path: Any) -> None:
    files = {name: written(tmp_path / name, content) for name, content in own().items()}
    server, _ = await open_echo(node, **files)
    client = await connect(probe, server, ca=written(tmp_path / "ca", ca()))
    assert await ask(probe, client, b"x") == b"x"


async def test_a_wrong_key_ends_by_time_and_an_unknown_identity_at_once(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, psk=PSK)
    error = await refusal(probe, server, psk=("sensor-7", b"wrong"), handshake_timeout=0.2)
    assert error.cause == "timeout"
    error = await refusal(probe, server, psk=("sensor-8", b"wrong"))
    assert (error.cause, error.detail) == ("refused", "unknown psk identity")


async def test_a_server_without_a_common_cipher_is_told(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    error = await refusal(probe, server, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    assert error.cause == "refused"
    assert server.statistics().handshakes_failed["no_common"] == 1


# --- messages that wait ------------------------------------------------------------------------------------


async def start(probe: Probe, options: dict[str, Any]) -> meta.DTLSClient:
    """A client whose handshake may not be complete."""
    client = meta.create_dtls_client(meta.DTLSClientOptions(**options))
    await probe.do(lambda actor: actor.spawn_meta(client))
    return client


async def test_requests_wait_for_the_handshake(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    client = await start(probe, client_options(server, key=lambda data: data[:1]))
    answers = await asyncio.gather(*(ask(probe, client, b"%d" % number) for number in range(9)))
    assert answers == [b"%d" % number for number in range(9)]
    assert client.statistics().retransmits == 0
    balanced(client)


async def test_requests_fail_with_the_handshake_and_a_later_one_begins_another(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    client = await start(probe, client_options(server, server_name="other.example"))
    first, second = await asyncio.gather(*(error_of(ask(probe, client, b"x")) for _ in range(2)))
    assert isinstance(first, errors.HandshakeFailed)
    assert isinstance(second, errors.HandshakeFailed)
    assert isinstance(await error_of(ask(probe, client, b"x")), errors.HandshakeFailed)  # at once, by the same failure
    assert client.statistics().handshakes == 1


async def test_no_more_messages_wait_than_the_option_says(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client = await start(
        probe,
        {"host": HOST, "port": peer.address[1], "ca": ca(), "handshake_queue": 2, "handshake_timeout": 0.3},
    )
    found = await asyncio.gather(*(error_of(ask(probe, client, b"x")) for _ in range(3)))
    kinds = sorted(type(error).__name__ for error in found)
    assert kinds == ["HandshakeFailed", "HandshakeFailed", "SendQueueFull"]
    assert client.statistics().handshakes_failed["timeout"] == 1


async def test_a_port_that_nobody_has_is_told_at_once(node: homing.Node, probe: Probe) -> None:
    with UDPPeer() as gone:
        port = gone.address[1]
    client = await start(probe, {"host": HOST, "port": port, "ca": ca()})
    error = await error_of(ask(probe, client, b"x"))
    assert isinstance(error, (errors.PeerRefused, errors.HandshakeFailed))


async def test_a_client_that_ends_meanwhile_is_told(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client = await start(probe, {"host": HOST, "port": peer.address[1], "ca": ca()})
    waiting = asyncio.ensure_future(error_of(client.ready()))
    await asyncio.sleep(0)
    client.process.end(gen.TerminateShutdown())
    async with asyncio.timeout(DEADLINE):
        assert isinstance(await waiting, gen.MetaTerminated)


# --- sessions that begin anew --------------------------------------------------------------------------------


async def test_a_request_after_the_servers_close_begins_another_session(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    client = await connect(probe, server)
    await node.call(server.alias, meta.CloseSession(client.local_address))
    await eventually(lambda: client.statistics().sessions == 0)
    assert await ask(probe, client, b"again") == b"again"
    assert client.statistics().handshakes_completed == 2


async def test_a_request_to_a_server_that_was_restarted_begins_another_session(node: homing.Node, probe: Probe) -> None:
    """The new server knows nothing of the session: its loss is noticed by the silence."""
    server, pid = await open_echo(node)
    port = server.local_address[1]
    client = await connect(probe, server, timeout=0.05, retries=6)
    for endpoint in server._state.endpoints:  # without close_notify, as in a crash of the machine
        endpoint.sessions._open.clear()  # type: ignore[attr-defined]
    node.kill(pid)
    await eventually(lambda: server._state.endpoint.closed)
    again, _ = await open_echo(node, port=port)
    assert await ask(probe, client, b"again") == b"again"
    assert client.statistics().sessions_ended["replaced"] == 1
    assert again.statistics().records_unknown > 0


async def test_a_client_that_begins_anew_from_its_address_replaces_its_session(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node, notify=probe.pid)
    owner = await Probe.start(node)
    client = await connect(owner, server)
    port = client.local_address[1]
    client._session._session = None  # it forgets its session without a word
    client.terminate(gen.TerminateShutdown())
    client.process.end(gen.TerminateShutdown())
    await eventually(lambda: client._connected().endpoint.closed)
    second = await connect(owner, server, local_port=port)
    assert await ask(owner, second, b"new") == b"new"
    kinds = [await probe.get() for _ in range(3)]
    assert [type(each).__name__ for each in kinds] == ["MessageSessionUp", "MessageSessionDown", "MessageSessionUp"]
    assert type(kinds[1].reason) is meta.SessionReplaced


async def test_a_forged_hello_ends_no_session(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    client = await connect(probe, server)
    sessions = server._state.endpoint.sessions  # type: ignore[attr-defined]
    sessions.hear(meta.MessageUDP(server.alias, client.local_address, Flights().hello()))
    assert await ask(probe, client, b"still there") == b"still there"
    assert server.statistics().sessions == 1


async def test_messages_that_answer_no_request_go_to_the_parent(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    client = await connect(probe, server)
    node.send(client.alias, b"plain")
    message = await probe.get()
    assert (message.data, message.addr, message.id) == (b"plain", server.local_address, client.alias)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ports", 2), ("connected", False), ("groups", (meta.MulticastGroup("224.1.1.1"),)), ("verify", "maybe")],
)
def test_options_that_make_no_sense_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.DTLSClientOptions(host=HOST, port=1, ca=ca(), **{name: value})
    assert caught.value.option == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("buffer_pool", meta.BufferPool()),
        ("admit", meta.where.length > 3),
        ("reply_guard", meta.ReplyGuard()),
        ("reuse_port_steering", "cpu"),
        ("mtu", 100),
        ("most_sessions", 0),
        ("handshake_timeout", 0),
        ("certificate", b"no PEM"),
        ("certificate", "/no/such/file"),
        ("key", b"no PEM"),
        ("key", issued("other.example")["key"]),
        ("client_ca", b"no PEM"),
        ("client_certificate", "never"),
        ("ciphers", "NONE-SUCH"),
        ("psk", "text"),
        ("notify", 5),
        ("keylog", "/no/such/directory/file"),
        ("session_idle", -1),
        ("hello_limit", 5),
        ("handshake_rate", 0),
    ],
)
def test_options_of_a_server_are_checked(name: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        server_options(**{**own(), name: value})
    assert caught.value.option == name
    assert "PRIVATE" not in str(caught.value)


def test_a_server_without_keys_is_refused() -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.DTLSServerOptions()
    assert caught.value.option == "certificate"


@pytest.mark.parametrize("given", ["x", ("a",), ("a", "b"), ("", b"x"), ("a", b""), ("a\0b", b"x"), ("a" * 300, b"x")])
def test_a_clients_key_is_an_identity_and_bytes(given: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.DTLSClientOptions(host=HOST, port=1, psk=given)
    assert caught.value.option == "psk"


def test_no_key_is_shown() -> None:
    options = server_options(psk={"a": b"SECRETKEY"}, **own())
    assert "PRIVATE" not in repr(options)
    assert "SECRETKEY" not in repr(options)
    assert "SECRETKEY" not in repr(meta.DTLSClientOptions(host=HOST, port=1, psk=("a", b"SECRETKEY")))
    both = b"".join(own().values())
    assert "PRIVATE" not in repr(meta.DTLSServerOptions(certificate=both))
    assert "PRIVATE" not in repr(meta.DTLSClientOptions(host=HOST, port=1, certificate=both))
    assert repr(meta.Reconfigure(psk={"a": b"SECRETKEY"}, mtu=500, **own())) == (
        "Reconfigure(psk=..., mtu=500, certificate=..., key=...)"
    )
    with pytest.raises(gen.BadOption) as caught:
        meta.Reconfigure(private_key=own()["key"])
    assert "PRIVATE" not in str(caught.value)


async def test_secrets_are_written_to_a_file_only_if_asked_for(
    node: homing.Node, probe: Probe, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, given = tmp_path / "environment", tmp_path / "given"
    monkeypatch.setenv("SSLKEYLOGFILE", str(environment))
    server, _ = await open_echo(node)
    await connect(probe, server)
    assert not environment.exists()
    await connect(probe, server, keylog=given)
    assert given.read_bytes().startswith(b"CLIENT_RANDOM ")
    assert given.stat().st_mode & 0o077 == 0
    assert not environment.exists()
    await connect(probe, server, keylog=True)
    assert environment.read_bytes().count(b"CLIENT_RANDOM ") == 1


async def test_no_key_is_logged(node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    server, _ = await open_echo(node, psk=lambda identity: {}[identity])
    await refusal(probe, server, psk=("sensor-7", b"0123456789abcdef"))
    await node.inspect_meta(server.alias)
    assert "0123456789abcdef" not in caplog.text
    assert b"0123456789abcdef".hex() not in caplog.text
