"""A server of every address, on a machine with several: whoever was asked answers.

The numbers are those of the project's list of faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..datagram.traffic import linux_only
from ..meta.servers import in_network, needs_namespaces
from ..support import DEADLINE
from .figures import figure

pytestmark = linux_only
needs_dig = pytest.mark.skipif(
    shutil.which("dig") is None or shutil.which("nsenter") is None, reason="asks with dig, in another network"
)
HOSTS = {
    "0.0.0.0": ["10.14.0.1", "10.14.0.2", "10.14.0.3"],
    "::": ["2001:db8::1", "2001:db8::2", "2001:db8::3"],
}
ADDRESSES = "; ".join(
    ["ip link set lo up"]
    + [f"ip addr add {host}/32 dev lo" for host in HOSTS["0.0.0.0"]]
    + [f"ip addr add {host}/128 dev lo nodad" for host in HOSTS["::"]]
)


class Nameserver(act.Actor):
    """Answers every question, with nothing: a question becomes an answer by one bit (RFC 1035, 4.1.1)."""

    async def init(self, server: meta.UDPServer) -> None:
        await self.spawn_meta(server)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        answer = bytearray(message.data)
        answer[2] |= 0x80
        self.send(message.id, message.reply(answer))


@contextlib.asynccontextmanager
async def nameserver(node: homing.Node, **options: Any) -> AsyncIterator[tuple[int, int]]:
    """Its port, and a descriptor of its network, which has three addresses of each family."""

    def make() -> tuple[meta.UDPServer, int]:
        return meta.create_udp_server(meta.UDPServerOptions(**options)), os.open(
            "/proc/thread-self/ns/net", os.O_RDONLY
        )

    server, network = in_network(ADDRESSES, make)
    try:
        await node.spawn(Nameserver, server)
        yield server.local_address[1], network
    finally:
        os.close(network)


async def dig(network: int, source: str, host: str, port: int, seconds: int = 4) -> int:
    """What `dig` says: 0 is an answer, and it takes none that comes from another address than the one it has asked."""
    enter = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{network}"]
    ask = [
        "dig",
        "+tries=1",
        f"+time={seconds}",
        "+noedns",
        "-b",
        source,
        f"@{host}",
        "-p",
        str(port),
        "example.org",
        "A",
    ]
    run = partial(subprocess.run, [*enter, *ask], capture_output=True, timeout=DEADLINE, check=False)
    return (await asyncio.to_thread(run)).returncode


@needs_namespaces
@needs_dig
@pytest.mark.parametrize("host", HOSTS)
async def test_case_14_dig_gets_its_answer_from_each_address_that_it_asks(host: str, node: homing.Node) -> None:
    async with nameserver(node, host=host, receive_local_address=True) as (port, network):
        for asked in HOSTS[host]:
            for source in HOSTS[host]:
                assert await dig(network, source, asked, port) == 0, f"{source} has asked {asked}"
    figure(
        14,
        "answers that dig took, for each source and address asked",
        f"{len(HOSTS[host]) ** 2} of {len(HOSTS[host]) ** 2}",
    )


@needs_namespaces
@needs_dig
async def test_case_14_without_asking_for_the_address_dig_refuses_the_answer(node: homing.Node) -> None:
    async with nameserver(node, host="0.0.0.0") as (port, network):
        source, asked, _ = HOSTS["0.0.0.0"]
        assert await dig(network, source, asked, port, seconds=1) == 9
        assert await dig(network, source, source, port) == 0
