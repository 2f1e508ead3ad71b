"""Datagrams from an edge to a worker on another node, and the replies back: `python -m bench.cluster_udp [SECONDS]`.

Two programs over zenoh on loopback: the edge with the socket, and the worker. The load generator keeps `WINDOW`
requests of 64 bytes open. Prints replies per second, and per second of the
processor time of edge and worker.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
import tempfile
from typing import Any

import homing
from homing import act, gen, meta

from . import load

WINDOW = 512
"""Datagrams that are not answered yet."""


class Worker(act.Actor):
    """Answers each datagram with its payload."""

    def handle_message(self, sender: Any, message: Any) -> None:
        self.reply(message, message.data)


class Edge(act.Actor):
    """Has the socket."""

    async def init(self, to: Any) -> None:
        self.server = await meta.listen_udp(
            self, host="127.0.0.1", process=to, receive_buffer=1 << 22, high_water=4096, reply_guard=None
        )

    def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        return self.server.local_address[1]


async def serve(role: str, port: str, secret: str) -> None:
    """One of the two nodes. Each line of standard input is answered by the processor time used so far."""
    node = await homing.start_node(f"{role}@localhost")
    own, join = ("0", port) if role == "edge" else (port, "")
    options = gen.ClusterOptions(
        name="bench",
        listen=(f"tcp/127.0.0.1:{own}",),
        join=(f"tcp/127.0.0.1:{join}",) if join else (),
        secret_file=secret,
        link_window=2 << 20,
    )
    cluster = await homing.cluster.join(node, options)
    if role == "edge":
        while not cluster.links:
            await asyncio.sleep(0.01)
        pid = await node.spawn(Edge, gen.ProcessID("worker", "worker@localhost"))
        print(await node.call(pid, "port"), flush=True)
    else:
        await node.spawn(Worker, name="worker")
        print(port, flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(used.ru_utime + used.ru_stime, flush=True)
    await node.stop()


def measure(seconds: float) -> dict[str, float]:
    """Starts the nodes and measures. Returns answers per second (`value`), and per CPU-second of each node."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write("a secret of the benchmark")
        secret.flush()
        nodes = []
        for role in ("worker", "edge"):
            command = [sys.executable, "-m", "bench.cluster_udp", "--serve", role, port, secret.name]
            nodes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            found = nodes[-1].stdout.readline()  # type: ignore[union-attr]
        try:
            load.echo(int(found), min(1.0, seconds), WINDOW)
            before = [used(node) for node in nodes]
            sample = load.echo(int(found), seconds, WINDOW)
            count: float = sample["answered"]
            worker, edge = (used(node) - one for node, one in zip(nodes, before, strict=True))
        finally:
            for node in nodes:
                node.stdin.close()  # type: ignore[union-attr]
                node.wait(10)
                node.stdout.close()  # type: ignore[union-attr]
    return {"value": count / seconds, "edge": count / max(edge, 1e-6), "worker": count / max(worker, 1e-6)}


def main() -> None:
    """Prints what it measures."""
    sample = measure(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
    print(
        f"replies: {sample['value']:,.0f}/s; per second of the worker's processor time {sample['worker']:,.0f}, ",
        end="",
    )
    print(f"of the edge's {sample['edge']:,.0f} ({os.cpu_count()} processors, load {os.getloadavg()[0]:.1f})")


def used(node: subprocess.Popen[str]) -> float:
    """Returns the processor time of a node so far."""
    node.stdin.write("\n")  # type: ignore[union-attr]
    node.stdin.flush()  # type: ignore[union-attr]
    return float(node.stdout.readline())  # type: ignore[union-attr]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        with asyncio.Runner(loop_factory=homing.new_event_loop) as runner:
            runner.run(serve(*sys.argv[2:]))
    else:
        main()
