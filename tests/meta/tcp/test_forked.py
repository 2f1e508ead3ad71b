"""A forked child keeps no connection and no listening socket of its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from ...support import Probe, eventually
from .players import HOST, Stream, connect_tcp, open_echo

pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs os.fork")


async def test_a_peer_sees_the_end_of_its_connection_although_a_child_lives(probe: Probe) -> None:
    server = await open_echo(probe)
    client = await connect_tcp(probe, server)
    async with await Stream.to(server.local_address) as peer:
        assert await peer.ask(b"hello") == b"OK: hello"
        await eventually(lambda: server.statistics().open == 2)
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
        try:
            peer.send(b"bye\n")
            assert await peer.rest() == b"OK: bye\n"  # and the end
            client.terminate(RuntimeError("ended"))
            await eventually(lambda: server.statistics().open == 0)
            server.terminate(RuntimeError("ended"))
            with pytest.raises(ConnectionRefusedError):
                await Stream.to((HOST, server.local_address[1]))
        finally:
            os.kill(child, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, child, 0)
