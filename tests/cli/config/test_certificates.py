"""SIGHUP to `homing run --config`: certificates of TCP servers that have been renewed are used at once."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from pathlib import Path

import pytest

from ...examples.test_examples import Program, terminate
from ...support import DEADLINE, free_port
from ..nodes import run

trustme = pytest.importorskip("trustme")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
HOST = "127.0.0.1"


async def shown(port: int, context: ssl.SSLContext) -> str:
    """The name in the certificate that a new connection gets."""
    async with asyncio.timeout(DEADLINE):
        _, writer = await asyncio.open_connection(HOST, port, ssl=context)
    subject = writer.get_extra_info("peercert")["subject"]
    writer.close()
    return next(str(value) for part in subject for name, value in part if name == "commonName")


async def hang_up(running: Program, line: str) -> None:
    running.process.send_signal(signal.SIGHUP)
    await running.line_with(line)


async def test_a_renewed_certificate_is_used_after_sighup_and_a_bad_file_changes_nothing(runtime: Path) -> None:
    authority, port = trustme.CA(), free_port()
    context, certificate, file = ssl.create_default_context(), runtime / "server.pem", runtime / "app.toml"
    authority.configure_trust(context)

    def issue(name: str) -> None:
        authority.issue_cert(HOST, common_name=name).private_key_and_cert_chain_pem.write_to_path(str(certificate))

    issue("first")
    file.write_text(f'[env]\ncertificate = "{certificate}"\nport = "{port}"\n')
    async with run(runtime, "secured:Service", f"--config={file}") as running:
        await running.line_with(f"{HOST}:{port}")
        assert await shown(port, context) == "first"
        issue("second")
        await hang_up(running, "servers.secured.certificate has changed")
        assert await shown(port, context) == "second"
        certificate.write_text("nothing")
        await hang_up(running, "not applied: servers.secured.certificate: ")
        assert await shown(port, context) == "second"
        issue("third")
        await hang_up(running, "servers.secured.certificate has changed")
        assert await shown(port, context) == "third"
        assert await terminate(running) == 0
