"""Traces datagrams through an echo server and prints each function of Homing that is called, in order: for one of the
first, and, after an empty line, for one that comes alone after others that did.

Run as a program. It imports the sources even if they are compiled, since a profiler does not see compiled functions.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(sys.argv[1]).resolve()
"""The folder that has the package `homing`."""


def tracer(calls: list[str]) -> Callable[[FrameType, str, Any], None]:
    def trace(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT / "homing"):
            module = ".".join(path.relative_to(ROOT / "homing").with_suffix("").parts)
            calls.append(f"{module}.{frame.f_code.co_qualname}")

    return trace


ALONE = 8
"""Datagrams that come alone, after which the next one is traced."""


async def main() -> list[list[str]]:
    import homing
    from homing import act, gen, meta

    calls: list[str] = []
    traces: list[list[str]] = []

    class Echo(act.Actor):
        async def init(self) -> None:
            self.server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=0))
            await self.spawn_meta(self.server)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            calls.append("handle_message")
            self.send(message.id, message.reply(message.data))

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.server.local_address

    async with homing.start_node("road@localhost", gen.NodeOptions(slow_callback_seconds=None)) as node:
        address = await node.call(await node.spawn(Echo), "address")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            profilers = [None, tracer(calls)] + [None] * ALONE + [tracer(calls)]
            for profiler in profilers:  # the first datagram has made what is made only once
                calls.clear()
                sys.setprofile(profiler)
                peer.sendto(b"hello", address)
                await asyncio.get_running_loop().sock_recv(peer, 64)
                sys.setprofile(None)
                if profiler is not None:
                    traces.append(list(calls))
    return traces


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.modules["homing._compiled"] = None  # type: ignore[assignment]  # then the import system says there is none
    os.environ["HOMING_DATAGRAM"] = "portable"
    print("\n\n".join("\n".join(trace) for trace in asyncio.run(main())))
