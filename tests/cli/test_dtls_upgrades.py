"""DTLS servers of `homing run` in upgrades, and with several OS processes: a session ends with its process, its client
learns that at once, and new sessions work."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import meta

from ..examples.test_examples import Program, terminate
from ..meta.dtls.talking import talking
from ..support import DEADLINE, Probe, free_port
from .dtls_service import KEY
from .nodes import run, the_end
from .test_shared_sockets import HOST, serves

pytest.importorskip("OpenSSL")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")
SLOW_START = 2 * DEADLINE
"""Seconds for a handshake: the successor has to start meanwhile."""


def arguments(port: int, *more: str) -> list[str]:
    return ["dtls_service:Service", f"--env=ports={port}", "--name=taken@localhost", "--log-level=warning", *more]


async def connect(probe: Probe, port: int, **options: Any) -> meta.DTLSClient:
    given = {"host": HOST, "port": port, "psk": ("sensor-7", KEY), "handshake_timeout": SLOW_START, **options}
    client: meta.DTLSClient = await probe.do(lambda actor: meta.connect_dtls(actor, **given))
    return client


async def answered_by(node: homing.Node, client: meta.DTLSClient, data: bytes = b"x") -> int:
    """The OS process that answers a request."""
    answer = bytes((await node.call(client.alias, data, timeout=SLOW_START)).data)
    said, _, pid = answer.rpartition(b" ")
    assert said == data
    return int(pid)


async def banner(running: Program) -> None:
    await running.line_with("default)")


async def test_after_an_upgrade_clients_know_at_once_that_their_session_has_ended(
    runtime: Path, node: homing.Node, probe: Probe
) -> None:
    port = free_port()
    async with run(runtime, *arguments(port)) as old:
        await banner(old)
        client = await connect(probe, port)
        assert await answered_by(node, client) == old.process.pid
        async with run(runtime, *arguments(port), "--takeover") as new:
            await banner(new)
            assert await the_end(old) == 0
            assert await answered_by(node, client) == new.process.pid
            statistics = client.statistics()
            assert (statistics.sessions_ended["closed"], statistics.handshakes_completed) == (1, 2)
            assert statistics.timeouts == 0
            assert await answered_by(node, await connect(probe, port)) == new.process.pid
            assert await terminate(new) == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_openssl_ends_with_the_old_process_and_begins_anew_from_the_same_port(runtime: Path) -> None:
    port, own = free_port(), free_port()
    command = ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port}", "-bind", f"{HOST}:{own}"]
    command += ["-psk", KEY.hex(), "-psk_identity", "sensor-7", "-quiet"]
    async with run(runtime, *arguments(port)) as old:
        await banner(old)
        async with talking(*command) as talk:
            talk.tell(b"hello\n")
            await talk.until(b"hello\n %d" % old.process.pid)
            async with run(runtime, *arguments(port), "--takeover") as new:
                await banner(new)
                assert await the_end(old) == 0
                await talk.rest()
                async with talking(*command) as again:
                    again.tell(b"hello\n")
                    await again.until(b"hello\n %d" % new.process.pid)
                assert await terminate(new) == 0


async def test_a_client_that_did_not_learn_the_end_begins_anew_from_the_same_port(
    runtime: Path, node: homing.Node, probe: Probe
) -> None:
    port = free_port()
    patient = {"timeout": 0.5, "max_timeout": 1.0, "retries": 50}
    async with run(runtime, *arguments(port)) as old:
        await banner(old)
        client = await connect(probe, port, **patient)
        assert await answered_by(node, client) == old.process.pid
        old.process.kill()
        await old.process.wait()
        async with run(runtime, *arguments(port)) as new:
            await banner(new)
            assert await answered_by(node, client) == new.process.pid
            assert client.statistics().sessions_ended["replaced"] == 1
            assert await terminate(new) == 0


async def test_all_records_of_a_session_reach_the_process_that_has_it(
    runtime: Path, node: homing.Node, probe: Probe
) -> None:
    port, count = free_port(), 16
    async with run(runtime, *arguments(port, "--processes=2", "--env=shared=1")) as running:
        processes = set(await serves(running, 2))
        clients = [await connect(probe, port, timeout=0.5, max_timeout=1.0, retries=50) for _ in range(count)]
        homes = [await answered_by(node, client) for client in clients]
        assert set(homes) == processes
        for number in range(5):
            answers = [answered_by(node, client, b"%d" % number) for client in clients]
            assert await asyncio.gather(*answers) == homes
        assert [client.statistics().handshakes for client in clients] == [1] * count
        os.kill(homes[0], signal.SIGKILL)
        (successor,) = await serves(running, 1)
        after = await asyncio.gather(*(answered_by(node, client) for client in clients))
        assert after == [successor if home == homes[0] else home for home in homes]
        running.process.send_signal(signal.SIGUSR2)
        upgraded = set(await serves(running, 2))
        await running.line_with("all 2 processes are upgraded")
        assert set(await asyncio.gather(*(answered_by(node, client) for client in clients))) == upgraded
        assert await terminate(running) == 0
