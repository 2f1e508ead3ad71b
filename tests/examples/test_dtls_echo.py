"""The example `dtls_echo`, as its own words say to run it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ..meta.dtls.pki import ca, own, written
from ..meta.dtls.talking import Talk, talking
from ..meta.dtls.test_dtls_programs import openssl
from ..support import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "dtls_echo.py"


async def port_of(talk: Talk) -> int:
    await talk.until(b"listening on port")
    await talk.until(b"\n")
    found = re.search(rb"listening on port (\d+)", talk.printed)
    assert found is not None
    return int(found[1])


@openssl
async def test_a_client_with_the_key_is_answered() -> None:
    key = "0123456789abcdef"
    async with talking(sys.executable, EXAMPLE, free_port(), key) as server:
        connect = ["-connect", f"127.0.0.1:{await port_of(server)}", "-psk_identity", "sensor-7", "-psk", key]
        async with talking("openssl", "s_client", "-dtls1_2", *connect, "-quiet", "-no_ign_eof") as client:
            client.tell(b"hello\n")
            await client.until(b"OK: hello\n")
            client.close()
            await client.rest()
        await server.until(b"sensor-7 sent 6 bytes\nsensor-7 has left: closed by the peer\n")


@openssl
async def test_a_client_that_trusts_the_certificate_is_answered(tmp_path: Path) -> None:
    files = [written(tmp_path / name, content) for name, content in own().items()]
    trust = written(tmp_path / "ca", ca())
    async with talking(sys.executable, EXAMPLE, free_port(), *files) as server:
        connect = ["-connect", f"127.0.0.1:{await port_of(server)}", "-CAfile", trust, "-verify_return_error"]
        async with talking("openssl", "s_client", "-dtls1_2", *connect, "-quiet") as client:
            client.tell(b"hello\n")
            await client.until(b"OK: hello\n")
