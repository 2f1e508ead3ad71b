"""A program that serves where the tests say, and tells what it found: `python -m tests.install.echo`.

Its arguments are calls of `filters`, such as `refuse:299:ENOSYS`; its last line is what it found, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import homing
from homing import gen

from .. import filters
from ..meta.servers import open_echo
from ..support import UDPPeer

COUNT = 100


async def serve() -> dict[str, Any]:
    """Two servers, one after the other; each gets many datagrams of one length, and answers them."""
    found: dict[str, Any] = {"echoed": [], "failed": 0}
    async with homing.start_node("echo@localhost", gen.NodeOptions(handle_signals=False)) as node:
        for _ in range(2):
            server = await open_echo(node)
            with UDPPeer() as peer:
                payloads = [b"%04d" % number for number in range(COUNT)]
                for payload in payloads:
                    peer.send(payload, server.local_address)
                found["echoed"].append([(await peer.receive())[0] for _ in payloads] == payloads)
            found["failed"] += sum(server.statistics().send_errors.values())
            alias = server.process.id
            found.update(await node.inspect_meta(alias, "backend", "gro", "gso"))
    return found


def main() -> None:
    for argument in sys.argv[1:]:
        name, number, error = argument.split(":")
        getattr(filters, name)(int(number), error)
    print(json.dumps(asyncio.run(serve())))


if __name__ == "__main__":
    main()
