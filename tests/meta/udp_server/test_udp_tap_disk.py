"""A disk without room ends the tap of a server, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ...captures import captured
from ...faults.figures import figure
from ...support import DEADLINE


@pytest.mark.skipif(sys.platform == "win32", reason="most of these options are Linux only")
def test_a_full_disk_ends_the_tap_with_whole_packets_and_the_server_goes_on(tmp_path: Path) -> None:
    """A limit of the process stands for the disk: the system refuses to make the file longer."""
    path = tmp_path / "x.pcapng"
    program = f"""
        import asyncio, resource, signal
        import homing
        from homing import gen, meta
        from tests.captures import ended
        from tests.meta.servers import open_echo
        from tests.support import UDPPeer

        async def main():
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
            async with homing.start_node("full@localhost") as node:
                server = await open_echo(node, tap=meta.Tap({str(path)!r}))
                with UDPPeer() as peer:
                    for _ in range(40):
                        await peer.ask(bytes(500), server.local_address)
                    state = await ended(server)
                    assert "File too large" in state["error"], state
                    assert await peer.ask(b"still", server.local_address) == b"still"
                    print(state["recorded"], server.statistics().tapped)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=4 * DEADLINE
    )
    assert done.returncode == 0, done.stderr
    recorded, counted = done.stdout.split()
    figure(51, "datagrams recorded until the disk was full, and answered in all", f"{recorded}, 41")
    assert int(recorded) == int(counted) == len(captured(path)) > 5
