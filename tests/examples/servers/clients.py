"""The clients that judge the servers: programs that others wrote."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import homing

from ...support import DEADLINE
from ..test_examples import Program, program, terminate

SERVERS = Path(__file__).parents[3] / "examples" / "servers"
NAMES = sorted(path.stem for path in SERVERS.glob("[!_]*.py"))
"""Each module of examples/servers is a server."""

__all__ = ["NAMES", "SERVERS", "Program", "ask", "client", "load", "program", "serve", "start", "terminate"]


def serve(name: str, *arguments: str) -> AbstractAsyncContextManager[Program]:
    """Runs a server as a program, on any port: `async with serve("stun") as running: port = await running.port()`."""
    return program(f"examples/servers/{name}.py", "0", *arguments)


def load(name: str) -> ModuleType:
    """The module of a server."""
    return import_module(f"examples.servers.{name}")


async def start(node: homing.Node, name: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Starts a server in this process, on any port, and returns that."""
    await node.spawn(load(name).Server, 0)
    return int(capsys.readouterr().out.split("listening on port ")[1].split()[0])


def client(name: str) -> str:
    """The path of a client. Skips the test if it is not installed."""
    path = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


async def ask(*command: str, data: bytes = b"", cwd: Path | None = None, code: int | None = 0) -> str:
    """Runs a client, whose name is the first argument, and returns what it prints, errors included.

    data: its standard input. code: the exit code that it must have; None: any.
    """
    pipe = asyncio.subprocess.PIPE
    errors = asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(
        client(command[0]), *command[1:], cwd=cwd, stdin=pipe, stdout=pipe, stderr=errors
    )
    try:
        async with asyncio.timeout(2 * DEADLINE):
            output = (await process.communicate(data))[0].decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert code is None or process.returncode == code, output
    return output
