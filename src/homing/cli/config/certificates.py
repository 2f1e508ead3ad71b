"""The certificates of TCP servers, which a reload of the configuration reads again as well."""

from __future__ import annotations

from ...datagram import format_address
from ...gen import HomingError
from ...gen.foreign import safe_str
from ...meta import ReloadCertificate, TCPServer
from ...meta.tcp_server.server import acceptor_of
from ...node import Node
from ...node.node import internals
from .build import key_text
from .changes import Change


async def reload_certificates(node: Node) -> tuple[list[Change], list[str]]:
    """Reads those files again that have changed. Returns the certificates that are in force now, and the keys of the
    servers whose files cannot be used, with the reason: these keep the former certificate."""
    applied: list[Change] = []
    failed: list[str] = []
    for meta in tuple(internals(node).core.metas.values()):
        server = meta.behavior
        if not isinstance(server, TCPServer):
            continue
        certificates = acceptor_of(server).certificates
        if certificates is None or not certificates.changed:
            continue
        key = key_text(("servers", meta.hooks.options.name or format_address(server.local_address), "certificate"))
        try:
            await node.call(server.alias, ReloadCertificate())
        except HomingError as error:
            failed.append(f"{key}: {safe_str(error)}")
        else:
            applied.append(Change(key, "", ""))
    return applied, failed
