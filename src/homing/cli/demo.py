"""The service that `homing demo` runs.

supervisor
+-- echo      UDP server on `port`; answers "OK: " and the payload
+-- workers   a pool of three
+-- gateway   UDP server on `port` + 1; its packets go to the pool
+-- load      with --load: sends packets to both, checks the answers
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from statistics import median
from typing import Any

from .. import act, gen, meta
from ..datagram import format_address
from ..node import Node
from ..node.output import tell
from .load import LoadGenerator, LoadReport


class _Server(act.Actor):
    """Owns a UDP server. Its `handle_inspect` returns the server's counters."""

    async def init(self, host: str, port: int, rate: int, process: str | None = None) -> None:
        guard = meta.ReplyGuard(rate=max(rate, 10), burst=max(rate, 20))  # all requests of the load have one address
        self.server = await meta.listen_udp(self, host=host, port=port, process=process, reply_guard=guard)

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, Any]:
        return {"address": self.server.local_address, "statistics": self.server.statistics()}


class Echo(_Server):
    """Answers each packet. The payload "crash" crashes the process: the supervisor starts it again."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message.data.strip() == b"crash":
            raise RuntimeError(f"{message.addr[0]} asked for it")
        self.reply(message, b"OK: " + message.data)


class Worker(act.Actor):
    """Answers with its own PID and the payload."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message.data.strip() == b"crash":
            raise RuntimeError(f"{message.addr[0]} asked for it")
        self.reply(message, f"worker {self.pid.id}: ".encode() + message.data)


class Workers(act.Pool):
    """A pool of three workers."""

    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=Worker, pool_size=3)


class Load(act.Actor):
    """Owns the load generator and keeps its last report."""

    async def init(self, targets: list[tuple[str, int]], rate: int) -> None:
        self.report = LoadReport(0, 0, 0, ())
        await self.spawn_meta(LoadGenerator(targets, rate))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.report = message

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, Any]:
        return {"report": self.report}


class DemoSupervisor(act.Supervisor):
    """Restarts the parts of the demo."""

    def init(self, host: str, port: int, rate: int) -> act.SupervisorSpec:
        second = port + 1 if port else 0
        return act.SupervisorSpec(
            children=(
                act.ChildSpec(name="echo", behavior=Echo, args=(host, port, rate)),
                act.ChildSpec(name="workers", behavior=Workers),
                act.ChildSpec(name="gateway", behavior=_Server, args=(host, second, rate, "workers")),
            ),
            intensity=1000,  # anybody may send "crash", and often: that must not end the demo
            backoff=act.Backoff(most=1.0),
        )


async def demo(node: Node, host: str, port: int, seconds: float, rate: int) -> bool:
    """Runs the demo until Ctrl-C or SIGTERM, or for `seconds` (0: no limit). Returns True if it stopped in order."""
    await node.spawn(DemoSupervisor, host, port, rate, name="supervisor")
    echo = (await node.inspect("echo"))["address"]
    pool = (await node.inspect("gateway"))["address"]
    _print_banner(node, echo, pool)
    if rate:
        await node.spawn(Load, [_near(echo), _near(pool)], rate, name="load")
    shown = [""]
    reporter = asyncio.create_task(_report(node, rate > 0, shown))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds or None):
            await node.wait()
    reporter.cancel()
    begin = time.monotonic()
    if node.info().state == "running":
        shown[0] = await _line(node, rate > 0) or shown[0]
    clean = await node.stop()
    if shown[0]:
        _show(shown[0])
    if sys.stdout.isatty():
        tell("", sys.stdout)
    tell(f"stopped {'in order' if clean else 'by force'} after {time.monotonic() - begin:.2f} s", sys.stdout)
    return clean


def _near(address: tuple[Any, ...]) -> tuple[str, int]:
    """Returns the address by which a client on this machine reaches a server that is bound to `address`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0]), address[1]


def _print_banner(node: Node, echo: tuple[Any, ...], pool: tuple[Any, ...]) -> None:
    host, port = _near(echo)
    socat = f"UDP6:{format_address(_near(pool))}" if ":" in host else f"UDP:{format_address(_near(pool))}"
    lines = (
        f"Node {node.name} runs on {node.info().loop.partition('.')[0]}.\n",
        f"  echo   UDP {format_address(echo)}   answers OK: and what you send",
        f"  pool   UDP {format_address(pool)}   three workers answer in turn\n",
        "Try it from another terminal:",
        f"  echo hello | nc -u -w1 {host} {port}",
        f"  echo hello | socat -t1 - {socat}",
        f"  echo crash | nc -u -w1 {host} {port}     # crashes the handler; the supervisor restarts it",
        "Ctrl-C stops it.\n",
    )
    tell("\n".join(lines), sys.stdout)


async def _report(node: Node, load: bool, shown: list[str]) -> None:
    """Shows the line of counters once a second, and keeps it in `shown`."""
    while True:
        await asyncio.sleep(1)
        line = await _line(node, load)
        if line is not None:
            shown[0] = line
            _show(line)


def _show(line: str) -> None:
    """Prints the line: over the previous one on a terminal, otherwise below it."""
    if sys.stdout.isatty():
        tell(f"\r\x1b[2K{line}", sys.stdout, end="")
    else:
        tell(line, sys.stdout)


async def _line(node: Node, load: bool) -> str | None:
    """Returns the counters in one line; None while a part is being restarted."""
    try:
        supervisor = await node.inspect("supervisor")
        echo = (await node.inspect("echo"))["statistics"]
        pool = (await node.inspect("gateway"))["statistics"]
        workers = await node.inspect("workers")
        report = (await node.inspect("load"))["report"] if load else None
    except gen.HomingError:
        return None
    restarts = supervisor["restarts"] + workers["worker_restarts"]
    waiting = workers["messages_waiting"] + sum(worker["waiting"] for worker in workers["workers"].values())
    drops = (echo.kernel_drops or 0) + (pool.kernel_drops or 0)
    line = (
        f"echo in {echo.packets_in:,} out {echo.packets_out:,} | pool in {pool.packets_in:,} out {pool.packets_out:,} "
        f"waiting {waiting} | dropped {drops} | restarts {restarts}"
    )
    if report is not None:
        line += f" | load sent {report.sent:,} answered {report.answered:,} wrong {report.wrong}"
        if report.round_trips:
            line += f" p50 {median(report.round_trips) * 1e3:.2f} ms"
    return line
