"""Programs of others: `openssl s_client` and `s_server`, `gnutls-cli` and `gnutls-serv`, `coap-client-openssl`."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import DEADLINE, Probe, eventually, free_port
from ..servers import HOST, balanced, error_of
from .pki import ask, ca, device, issued, open_echo, own, server_options, written
from .talking import Talk, talking

KEY = b"a key of 20 bytes---"
CCM8 = "PSK-AES128-CCM8:@SECLEVEL=0"
PSK = {"CoAP": KEY, "Client_identity": KEY}


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


openssl, gnutls_cli, gnutls_serv = needs("openssl"), needs("gnutls-cli"), needs("gnutls-serv")
coap_client, coap_server = needs("coap-client-openssl"), needs("coap-server-openssl")


def port_of(server: meta.DTLSServer) -> int:
    return int(server.local_address[1])


# --- clients of others ---------------------------------------------------------------------------------------


@openssl
async def test_openssl_verifies_the_server_and_shows_its_certificate(
    node: homing.Node, tmp_path: Path, probe: Probe
) -> None:
    server, pid = await open_echo(node, client_ca=ca(), notify=probe.pid)
    files = {name: written(tmp_path / name, content) for name, content in device().items()}
    trust = written(tmp_path / "ca", ca())
    command = ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port_of(server)}", "-CAfile", trust]
    verify = ["-verify_return_error", "-verify_ip", HOST]
    async with talking(
        *command, *verify, "-cert", files["certificate"], "-key", files["key"], "-quiet", "-no_ign_eof"
    ) as talk:
        assert isinstance(await probe.get(), meta.MessageSessionUp)
        talk.tell(b"hello\n")
        await talk.until(b"hello\n")
        talk.close()
        await talk.rest()
    assert type((await probe.get()).reason) is meta.SessionClosed
    (message,) = await node.call(pid, "came")
    assert message.info.identity.common_name == "sensor-7"
    balanced(server)


@openssl
async def test_openssl_without_a_certificate_is_refused(node: homing.Node) -> None:
    server, pid = await open_echo(node, client_ca=ca())
    async with talking("openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port_of(server)}", "-quiet") as talk:
        await eventually(lambda: server.statistics().handshakes_failed["certificate"] == 1)
        assert b"alert" in await talk.rest()
    assert await node.call(pid, "came") == []


@openssl
async def test_openssl_does_not_speak_version_1(node: homing.Node) -> None:
    server, _ = await open_echo(node)
    command = ["openssl", "s_client", "-dtls1", "-cipher", "ALL:@SECLEVEL=0", "-connect", f"{HOST}:{port_of(server)}"]
    async with talking(*command, "-quiet") as talk:
        assert b"alert protocol version" in await talk.rest()
    assert server.statistics().handshakes_failed["no_common"] == 1


@openssl
async def test_openssl_with_a_key(node: homing.Node) -> None:
    server, pid = await open_echo(node, psk=PSK, psk_hint="a hint")
    command = ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port_of(server)}", "-psk", KEY.hex()]
    async with talking(*command, "-psk_identity", "CoAP", "-quiet") as talk:
        talk.tell(b"hello\n")
        await talk.until(b"hello\n")
    assert [message.info.identity for message in await node.call(pid, "came")] == ["CoAP"]
    async with talking(*command, "-psk_identity", "nobody", "-quiet") as talk:
        assert b"unknown psk identity" in await talk.rest()
    assert server.statistics().handshakes_failed["psk"] == 1


@openssl
async def test_openssl_with_a_key_and_nothing_but_the_suite_of_coap(node: homing.Node) -> None:
    server, pid = await open_echo(node, psk=PSK)
    command = ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port_of(server)}", "-psk", KEY.hex()]
    async with talking(*command, "-psk_identity", "CoAP", "-cipher", CCM8) as talk:
        talk.tell(b"hello\n")
        await talk.until(b"Cipher is PSK-AES128-CCM8")
        await eventually(lambda: server.statistics().delivered == 1)
    assert [message.info.identity for message in await node.call(pid, "came")] == ["CoAP"]


@openssl
async def test_with_a_certificate_a_tag_of_8_bytes_has_to_be_asked_for(node: homing.Node) -> None:
    for server, found in (
        ((await open_echo(node, psk=PSK, **own()))[0], b"handshake failure"),
        ((await open_echo(node, psk=PSK, ciphers=f"ECDHE+AESGCM:{CCM8}", **own()))[0], b"Cipher is PSK-AES128-CCM8"),
    ):
        command = ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port_of(server)}", "-psk", KEY.hex()]
        async with talking(*command, "-psk_identity", "CoAP", "-cipher", CCM8) as talk:
            await talk.until(found)


@openssl
@pytest.mark.parametrize(
    ("options", "found"),
    [
        (issued(HOST, year=2001), b"certificate has expired"),
        (issued("other.example"), b"IP address mismatch"),
        (issued(HOST, number=1), b"unable to get local issuer certificate"),
    ],
)
async def test_openssl_refuses_a_server_with_a_wrong_certificate(
    options: dict[str, bytes], found: bytes, node: homing.Node, tmp_path: Path
) -> None:
    server, pid = await open_echo(node, **options)
    command = ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port_of(server)}"]
    trust = ["-CAfile", written(tmp_path / "ca", ca()), "-verify_return_error", "-verify_ip", HOST]
    async with talking(*command, *trust) as talk:
        assert found in await talk.rest()
    await eventually(lambda: server.statistics().handshakes_failed["refused"] == 1)
    assert await node.call(pid, "came") == []


@openssl
@pytest.mark.parametrize("mtu", [300, 512])
async def test_flights_are_divided_as_openssl_is_told(mtu: int, node: homing.Node) -> None:
    server, _ = await open_echo(node, mtu=mtu)
    command = ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port_of(server)}", "-mtu", mtu, "-quiet"]
    async with talking(*command) as talk:
        talk.tell(b"hello\n")
        await talk.until(b"hello\n")
    statistics = server.statistics()
    assert statistics.bytes_out <= statistics.packets_out * mtu
    assert statistics.packets_out > 3


@gnutls_cli
async def test_gnutls_verifies_the_server(node: homing.Node, tmp_path: Path) -> None:
    server, pid = await open_echo(node)
    trust = written(tmp_path / "ca", ca())
    command = ["gnutls-cli", "--udp", "--x509cafile", trust, "--port", port_of(server), HOST]
    async with talking(*command) as talk:
        await talk.until(b"Simple Client Mode")
        talk.tell(b"hello\n")
        await talk.until(b"Client Mode:\n\nhello\n")
        talk.close()
        await talk.rest()
    assert len(await node.call(pid, "came")) == 1
    await eventually(lambda: server.statistics().sessions_ended["closed"] == 1)


@gnutls_cli
async def test_gnutls_refuses_a_server_of_another_name(node: homing.Node, tmp_path: Path) -> None:
    server, _ = await open_echo(node, **issued("other.example"))
    trust = written(tmp_path / "ca", ca())
    async with talking("gnutls-cli", "--udp", "--x509cafile", trust, "--port", port_of(server), HOST) as talk:
        assert b"does not match" in await talk.rest()


@gnutls_cli
async def test_gnutls_with_a_key(node: homing.Node) -> None:
    """With a suite of plain keys: with ECDHE-PSK gnutls-cli 3.7.9 crashes."""
    server, pid = await open_echo(node, psk=PSK)
    key = ["--pskusername", "CoAP", "--pskkey", KEY.hex(), "--priority", "NORMAL:-KX-ALL:+PSK"]
    async with talking("gnutls-cli", "--udp", *key, "--port", port_of(server), HOST) as talk:
        await talk.until(b"Simple Client Mode")
        talk.tell(b"hello\n")
        await talk.until(b"Client Mode:\n\nhello\n")
    assert [message.info.identity for message in await node.call(pid, "came")] == ["CoAP"]


class Things(act.Actor):
    """A CoAP server of one line: answers each confirmable request with 2.05 and a payload (RFC 7252)."""

    async def init(self, server: meta.DTLSServer) -> None:
        await self.spawn_meta(server)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        first, _, high, low = message.data[:4]
        token = message.data[4 : 4 + (first & 15)]
        head = bytes([0x60 | len(token), 0x45, high, low])
        self.reply(message, head + token + b"\xff" + str(message.info.identity).encode())


@coap_client
@pytest.mark.parametrize("psk", [True, False])
async def test_coap_client_gets_a_resource(psk: bool, node: homing.Node, tmp_path: Path) -> None:
    server = meta.create_dtls_server(server_options(**({"psk": PSK} if psk else {"client_ca": ca()})))
    await node.spawn(Things, server)
    files = {name: written(tmp_path / name, content) for name, content in device().items()}
    trust = written(tmp_path / "ca", ca())
    how = ["-u", "CoAP", "-k", KEY.decode()] if psk else ["-c", files["certificate"], "-j", files["key"], "-C", trust]
    async with talking(
        "coap-client-openssl", "-m", "get", "-B", 10, *how, f"coaps://{HOST}:{port_of(server)}/x"
    ) as talk:
        printed = await talk.rest()
    assert (b"CoAP" if psk else b"CN=sensor-7") in printed
    assert server.statistics().handshakes_completed == 1


# --- servers of others ---------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def s_server(tmp_path: Path, *more: Any, **options: bytes) -> AsyncIterator[tuple[int, Talk]]:
    """An `openssl s_server`, which prints what it gets, and sends what it is told."""
    port = free_port()
    files = {name: written(tmp_path / f"server-{name}", content) for name, content in (options or own()).items()}
    command = ["openssl", "s_server", "-dtls1_2", "-accept", f"{HOST}:{port}", *more]
    async with talking(*command, "-cert", files["certificate"], "-key", files["key"]) as talk:
        await talk.until(b"ACCEPT")
        yield port, talk


async def exchange(probe: Probe, client: meta.DTLSClient, talk: Talk) -> None:
    """Asks a server of others, which answers by hand."""
    asked = asyncio.ensure_future(ask(probe, client, b"hello\n"))
    await talk.until(b"hello\n")
    talk.tell(b"answer\n")
    async with asyncio.timeout(DEADLINE):
        assert await asked == b"answer\n"


async def connect_to(probe: Probe, port: int, **options: Any) -> meta.DTLSClient:
    given: dict[str, Any] = {"host": HOST, "port": port, **({} if "psk" in options else {"ca": ca()}), **options}
    client: meta.DTLSClient = await probe.do(lambda actor: meta.connect_dtls(actor, **given))
    return client


@openssl
async def test_a_client_of_openssl_is_answered(probe: Probe, tmp_path: Path) -> None:
    async with s_server(tmp_path, "-listen") as (port, talk):
        client = await connect_to(probe, port)
        await exchange(probe, client, talk)
        assert client.server_identity is not None


@openssl
@pytest.mark.parametrize(
    ("options", "detail"),
    [
        (issued(HOST, year=2001), "expired"),
        (issued("other.example"), "not for 127.0.0.1"),
        (issued(HOST, number=1), "not trusted"),
    ],
)
async def test_a_client_refuses_openssl_with_a_wrong_certificate(
    options: dict[str, bytes], detail: str, probe: Probe, tmp_path: Path
) -> None:
    async with s_server(tmp_path, **options) as (port, _):
        given = {"host": HOST, "port": port, "ca": ca()}
        error = await probe.do(lambda actor: error_of(meta.connect_dtls(actor, **given)))
        assert isinstance(error, meta.errors.HandshakeFailed)
        assert detail in error.detail


@openssl
async def test_a_client_shows_openssl_its_certificate(probe: Probe, tmp_path: Path) -> None:
    trust = written(tmp_path / "ca", ca())
    async with s_server(tmp_path, "-Verify", 1, "-CAfile", trust, "-verify_return_error") as (port, talk):
        client = await connect_to(probe, port, **device())
        await exchange(probe, client, talk)


@openssl
async def test_a_client_with_a_key_of_openssl(probe: Probe, tmp_path: Path) -> None:
    more = ["-nocert", "-psk", KEY.hex(), "-psk_identity", "CoAP"]
    port = free_port()
    async with talking("openssl", "s_server", "-dtls1_2", "-accept", f"{HOST}:{port}", *more) as talk:
        await talk.until(b"ACCEPT")
        client = await connect_to(probe, port, psk=("CoAP", KEY))
        await exchange(probe, client, talk)
        assert client.server_identity is None


@openssl
async def test_a_client_with_a_key_speaks_the_suite_of_coap(probe: Probe) -> None:
    more = ["-nocert", "-psk", KEY.hex(), "-psk_identity", "CoAP", "-cipher", CCM8]
    port = free_port()
    async with talking("openssl", "s_server", "-dtls1_2", "-accept", f"{HOST}:{port}", *more) as talk:
        await talk.until(b"ACCEPT")
        client = await connect_to(probe, port, psk=("CoAP", KEY))
        await exchange(probe, client, talk)


@gnutls_serv
async def test_a_client_with_a_key_of_gnutls(probe: Probe, tmp_path: Path) -> None:
    port, keys = free_port(), written(tmp_path / "keys", b"CoAP:" + KEY.hex().encode() + b"\n")
    command = ["gnutls-serv", "--udp", "--port", port, "--echo", "--pskpasswd", keys]
    async with talking(*command, "--priority", "NORMAL:-KX-ALL:+PSK") as talk:
        await talk.until(b"listening on IPv4")
        client = await connect_to(probe, port, psk=("CoAP", KEY))
        assert await ask(probe, client, b"hello") == b"hello"


@coap_server
async def test_a_client_with_a_key_asks_a_coap_server(probe: Probe) -> None:
    """It listens for DTLS at the next port."""
    port = free_port()
    command = ["coap-server-openssl", "-A", HOST, "-p", port - 1, "-k", KEY.decode(), "-h", "hint"]
    async with talking(*command):
        client = await connect_to(probe, port, psk=("CoAP", KEY), handshake_timeout=DEADLINE)
        answer = await ask(probe, client, bytes([0x40, 0x01, 0, 1]))  # GET /
        assert answer[1] == 0x45  # 2.05 Content


@gnutls_serv
async def test_a_client_of_gnutls_is_answered(probe: Probe, tmp_path: Path) -> None:
    files = {name: written(tmp_path / name, content) for name, content in own().items()}
    port = free_port()
    command = ["gnutls-serv", "--udp", "--port", port, "--echo", "--x509certfile", files["certificate"]]
    async with talking(*command, "--x509keyfile", files["key"], "--disable-client-cert") as talk:
        await talk.until(b"listening on IPv4")
        client = await connect_to(probe, port)
        assert await ask(probe, client, b"hello") == b"hello"
