"""TLS of TCP servers and clients: certificates, identities, renewal, and handshakes that fail or never end."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from homing import act, gen, meta

from ...support import Probe, eventually
from .players import HOST, LINES, Stream, connect_tcp, open_echo, open_tcp

trustme = pytest.importorskip("trustme")


class Authority:
    """An authority, and files with its certificates, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.folder = folder
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *identities: str) -> str:
        """Writes a certificate with its key to a file, and returns its path."""
        path = self.folder / f"{name}.pem"
        self.authority.issue_cert(
            *(identities or (HOST, "localhost")), common_name=name
        ).private_key_and_cert_chain_pem.write_to_path(str(path))
        return str(path)

    def context(self) -> ssl.SSLContext:
        """A context of a client that trusts the authority."""
        return ssl.create_default_context(cafile=self.ca)


def spoil(path: str) -> None:
    """Writes something else into a file."""
    Path(path).write_text("nothing")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_frames_are_answered_over_tls(probe: Probe, authority: Authority) -> None:
    server = await open_echo(probe, tls=meta.TLS(certificate=authority.issue("server")))
    async with await Stream.to(server.local_address, ssl=authority.context()) as peer:
        peer.send(b"".join(b"%d\n" % number for number in range(2000)))
        assert [await peer.line() for _ in range(2000)] == [b"OK: %d\n" % number for number in range(2000)]
    await eventually(lambda: server.statistics().open == 0)


async def test_records_that_come_together_are_all_read(probe: Probe, authority: Authority) -> None:
    server = await open_echo(probe, tls=meta.TLS(certificate=authority.issue("server")))
    client = await connect_tcp(probe, server, tls=meta.TLS(ca=authority.ca), announce=False)
    async with await Stream.to(server.local_address, ssl=authority.context()) as peer:
        for number in range(500):
            peer.send(b"%d\n" % number)  # each is a record, and none is read before all are written
        assert [await peer.line() for _ in range(500)] == [b"OK: %d\n" % number for number in range(500)]
    answers = await asyncio.gather(*(probe.node.call(client.alias, b"%d" % number) for number in range(200)))
    assert [answer.data for answer in answers] == [b"OK: %d" % number for number in range(200)]


class Slow(act.Actor):
    """Takes its time for each frame."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(0)


async def send_and_close(probe: Probe, authority: Authority, read_size: int) -> None:
    """A client that never reads closes its connection while much that it has sent was not read: nothing is lost."""
    slow, lines = await probe.node.spawn(Slow), 3000
    tls = meta.TLS(certificate=authority.issue("server"))
    server = await open_tcp(probe, tls=tls, process=slow, high_water=4, announce=False, read_size=read_size)

    def send() -> None:
        with (
            socket.create_connection(server.local_address[:2]) as plain,
            authority.context().wrap_socket(plain, server_hostname=HOST) as secure,
        ):
            for _ in range(lines):
                secure.sendall(b"x" * 199 + b"\n")

    await asyncio.to_thread(send)
    await eventually(lambda: server.statistics().open == 0)
    statistics = server.statistics()
    assert (statistics.received, statistics.closed_by_peer, statistics.reset) == (lines, 1, 0)


@pytest.mark.parametrize("read_size", [256, 16384])
async def test_of_a_client_that_never_reads_and_closes_nothing_is_lost(
    read_size: int, probe: Probe, authority: Authority
) -> None:
    await send_and_close(probe, authority, read_size)


async def test_a_client_checks_the_certificate_of_its_server(
    probe: Probe, authority: Authority, tmp_path: Path
) -> None:
    server = await open_echo(probe, tls=meta.TLS(certificate=authority.issue("server")))
    client = await connect_tcp(probe, server, tls=meta.TLS(ca=authority.ca), announce=False)
    assert (await probe.node.call(client.alias, b"hello")).data == b"OK: hello"
    other = Authority(tmp_path)

    async def failure(actor: Any) -> Any:
        try:
            host, port = server.local_address[:2]
            await meta.connect_tcp(actor, host=host, port=port, frame=LINES, tls=meta.TLS(ca=other.ca))
        except meta.errors.ConnectFailed as error:
            return error

    assert "CERTIFICATE_VERIFY_FAILED" in str(await probe.do(failure))
    await eventually(lambda: server.statistics().handshake_errors == 1)


async def test_a_message_has_the_identity_of_its_client(probe: Probe, authority: Authority) -> None:
    tls = meta.TLS(certificate=authority.issue("server"), client_ca=authority.ca, alpn=("lines",))
    server = await open_tcp(probe, tls=tls)
    own = meta.TLS(ca=authority.ca, certificate=authority.issue("alice", "alice@example.org"), alpn=("lines",))
    client = await connect_tcp(probe, server, tls=own, announce=False)
    connect = await probe.get()
    info = connect.info
    assert (info.common_name, info.names, info.alpn) == ("alice", ("alice@example.org",), "lines")
    assert info.tls in ("TLSv1.2", "TLSv1.3")
    assert info.local == server.local_address
    await probe.do(lambda actor: actor.send(client.alias, b"hello"))
    assert (await probe.get()).info is info


async def test_a_client_without_a_certificate_is_refused(probe: Probe, authority: Authority) -> None:
    server = await open_tcp(probe, tls=meta.TLS(certificate=authority.issue("server"), client_ca=authority.ca))
    async with await Stream.to(server.local_address, ssl=authority.context()) as peer:
        assert await peer.rest() == b""
    await eventually(lambda: server.statistics().handshake_errors == 1)
    assert server.statistics().accepted == 0
    assert probe.waiting() == []


async def test_a_renewed_certificate_is_used_without_a_restart(probe: Probe, authority: Authority) -> None:
    path = authority.issue("renewed")
    server = await open_echo(probe, tls=meta.TLS(certificate=path, reload_seconds=0))

    async def name() -> Any:
        async with await Stream.to(server.local_address, ssl=authority.context()) as peer:
            assert await peer.ask(b"hello") == b"OK: hello"
            return peer.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]

    first = await name()
    assert await name() == first
    authority.issue("renewed")
    second = await name()
    assert second != first
    spoil(path)
    assert await name() == second


async def test_the_owner_may_ask_for_the_certificate_to_be_read_again(probe: Probe, authority: Authority) -> None:
    path = authority.issue("asked")
    server = await open_tcp(probe, tls=meta.TLS(certificate=path, reload_seconds=None))
    authority.issue("asked")
    assert await probe.do(lambda actor: actor.call(server.alias, meta.ReloadCertificate())) == 1
    spoil(path)
    with pytest.raises(gen.BadOption, match="cannot be used"):
        await probe.node.call(server.alias, meta.ReloadCertificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert await probe.do(lambda actor: actor.call(server.alias, meta.ReloadCertificate(context=context))) == 2


async def test_only_the_owner_may_change_the_certificate(probe: Probe, authority: Authority) -> None:
    server = await open_tcp(probe, tls=meta.TLS(certificate=authority.issue("server")))
    other = await Probe.start(probe.node)

    async def refused(actor: Any) -> Any:
        try:
            return await actor.call(server.alias, meta.ReloadCertificate())
        except gen.NotAllowed as error:
            return str(error)

    assert "only its owner" in await other.do(refused)


async def test_handshakes_that_do_not_end_are_bounded_in_number_and_time(probe: Probe, authority: Authority) -> None:
    tls = meta.TLS(certificate=authority.issue("server"))
    server = await open_echo(probe, tls=tls, handshake_timeout=0.3, most_handshakes=3)
    silent = [await Stream.to(server.local_address) for _ in range(6)]
    facts = await probe.do(lambda actor: actor.inspect_meta(server.alias, "beginning"))
    assert facts["beginning"] <= 3
    async with await Stream.to(server.local_address, ssl=authority.context()) as peer:
        assert await peer.ask(b"hello") == b"OK: hello"
    await eventually(lambda: server.statistics().handshake_errors == 6)
    for stream in silent:
        await stream.close()


async def test_a_handshake_with_garbage_or_none_at_all_is_counted(probe: Probe, authority: Authority) -> None:
    server = await open_echo(probe, tls=meta.TLS(certificate=authority.issue("server")))
    for data in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 300, b""):
        async with await Stream.to(server.local_address) as peer:
            peer.send(data)
            peer.writer.write_eof()
            await peer.rest()
    await eventually(lambda: server.statistics().handshake_errors == 3)
    assert (server.statistics().accepted, server.statistics().open) == (0, 0)


async def test_a_server_that_ends_during_a_handshake_closes_the_socket(probe: Probe, authority: Authority) -> None:
    server = await open_echo(probe, tls=meta.TLS(certificate=authority.issue("server")))
    async with await Stream.to(server.local_address) as silent:
        await asyncio.sleep(0.05)
        await probe.do(lambda actor: actor.send_exit_meta(server.alias, gen.TerminateShutdown()))
        assert await silent.rest() == b""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_openssl_gets_an_answer(probe: Probe, authority: Authority) -> None:
    server = await open_echo(probe, tls=meta.TLS(certificate=authority.issue("server")))
    where = f"{HOST}:{server.local_address[1]}"
    command = ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", authority.ca, "-connect", where]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"hello\n")
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"OK: hello\n"
    process.stdin.close()
    process.kill()
    await process.wait()


@pytest.mark.parametrize(
    "make",
    [
        lambda: meta.TLS(key="key.pem"),
        lambda: meta.TLS(alpn="dot"),  # type: ignore[arg-type]
        lambda: meta.TLS(minimum="1.1"),  # type: ignore[arg-type]
        lambda: meta.TCPServerOptions(frame=LINES, tls=meta.TLS()),
        lambda: meta.TCPServerOptions(frame=LINES, tls=ssl.create_default_context()),
        lambda: meta.create_tcp_server(
            meta.TCPServerOptions(host=HOST, frame=LINES, tls=meta.TLS(certificate="/nowhere"))
        ),
    ],
)
def test_options_of_tls_that_cannot_work_are_refused(make: Any) -> None:
    with pytest.raises(gen.BadOption):
        make()


def test_a_socket_stays_with_its_owner_if_the_certificate_cannot_be_read() -> None:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        with pytest.raises(gen.BadOption):
            meta.create_tcp_server(
                meta.TCPServerOptions(socket=sock, frame=LINES, tls=meta.TLS(certificate="/nowhere"))
            )
        assert sock.fileno() >= 0
