"""Certificates for tests, and servers and clients that use them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import trustme

import homing
from homing import act, gen, meta
from homing.meta import errors

from ...support import Probe
from ..servers import HOST, error_of

PSK = {"sensor-7": b"0123456789abcdef"}


@cache
def authority(number: int) -> trustme.CA:
    """An authority; another for each number."""
    return trustme.CA()


def ca() -> bytes:
    """The certificate of the authority, in PEM."""
    return authority(0).cert_pem.bytes()


@cache
def issued(*names: str, number: int = 0, common_name: str | None = None, year: int = 0) -> dict[str, bytes]:
    """A certificate for these names and its key, as options. year: in which it was valid, if not now."""
    made = authority(number).issue_cert(
        *names,
        common_name=common_name,
        not_before=datetime(year or 2001, 1, 1, tzinfo=UTC),
        not_after=datetime(year + 1 if year else 2999, 1, 1, tzinfo=UTC),
    )
    chain = b"".join(part.bytes() for part in made.cert_chain_pems)
    return {"certificate": chain, "key": made.private_key_pem.bytes()}


def own() -> dict[str, bytes]:
    """The certificate of a server on this machine, with its key."""
    return issued("localhost", HOST, "::1")


def device(name: str = "sensor-7") -> dict[str, bytes]:
    """The certificate of a client, with its key."""
    return issued(f"{name}@example.org", common_name=name)


def written(path: Path, content: bytes) -> str:
    """A file with this content."""
    path.write_bytes(content)
    return str(path)


def server_options(**options: Any) -> meta.DTLSServerOptions:
    """Options of a server on this machine with a certificate."""
    return meta.DTLSServerOptions(**{"host": HOST, **({} if "psk" in options else own()), **options})


class Echo(act.Actor):
    """Opens a DTLS server and answers each message with itself; keeps all that came."""

    async def init(self, server: meta.DTLSServer) -> None:
        self.came: list[Any] = []
        self.server = server
        await self.spawn_meta(server)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.came.append(message)
        if isinstance(message, meta.MessageUDP):
            self.reply(message, message.data)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.came


async def open_echo(node: homing.Node, **options: Any) -> tuple[meta.DTLSServer, gen.PID]:
    """A DTLS server whose messages come back to whom they came from, and its process."""
    server = meta.create_dtls_server(server_options(**options))
    return server, await node.spawn(Echo, server)


def client_options(server: meta.DTLSServer, **options: Any) -> dict[str, Any]:
    """Options of a client of `server` that trusts the authority."""
    host, port = server.local_address[:2]
    return {"host": host, "port": port, **({} if "psk" in options or "ca" in options else {"ca": ca()}), **options}


async def connect(probe: Probe, server: meta.DTLSServer, **options: Any) -> meta.DTLSClient:
    """A client of `server`, whose handshake is complete."""
    given = client_options(server, **options)
    client: meta.DTLSClient = await probe.do(lambda actor: meta.connect_dtls(actor, **given))
    return client


async def refusal(probe: Probe, server: meta.DTLSServer, **options: Any) -> errors.HandshakeFailed:
    """The error of a client of `server` that cannot be connected."""
    given = client_options(server, **options)
    error = await probe.do(lambda actor: error_of(meta.connect_dtls(actor, **given)))
    assert isinstance(error, errors.HandshakeFailed), error
    return error


async def ask(probe: Probe, client: meta.DTLSClient, data: bytes) -> bytes:
    """The answer to a request."""
    return bytes((await probe.node.call(client.alias, data)).data)
