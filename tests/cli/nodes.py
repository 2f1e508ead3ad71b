"""What the tests of `homing run` and `homing tree` share: a runtime directory of their own, and the two commands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import homing

from ..examples.test_examples import Program, program
from ..support import DEADLINE

HERE = Path(__file__).parent
PACKAGE = Path(homing.__file__).parents[1]


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path is short: those of sockets are limited to 107 bytes, and pytest's are long."""
    with tempfile.TemporaryDirectory(prefix="h-") as path:
        yield Path(path)


def environment(runtime: Path, **more: str) -> dict[str, str]:
    """The environment of a program: sockets in `runtime`, this package, UTF-8; nothing that is for tests alone."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HOMING_NEED_")},
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHONPATH": str(PACKAGE),
        "PYTHONIOENCODING": "utf-8",
        "NO_COLOR": "1",
        "TERMINAL_WIDTH": "200",
        **more,
    }


def files(directory: Path) -> list[str]:
    """The names of what is in a directory."""
    return sorted(path.name for path in directory.iterdir())


@asynccontextmanager
async def run(runtime: Path, *arguments: str, cwd: Path = HERE) -> AsyncIterator[Program]:
    """`homing run` with these arguments; `output` and `line_with` see both its outputs."""
    command = ("-m", "homing", "run", *arguments)
    env = environment(runtime)
    async with program(*command, stderr=asyncio.subprocess.STDOUT, cwd=cwd, env=env) as running:
        yield running


async def run_to_the_end(runtime: Path, *arguments: str, cwd: Path = HERE) -> tuple[int, str]:
    """`homing run`: its exit code, and both its outputs."""
    async with run(runtime, *arguments, cwd=cwd) as running:
        return await the_end(running), "".join(running.output)


def run_each(*arguments: list[str]) -> list[tuple[int, str]]:
    """`homing run` with each of these lists of arguments, which all end by themselves: exit codes, and both outputs."""
    with short_directory() as runtime:
        done = subprocess.run(
            [sys.executable, str(HERE / "several.py"), "homing.cli.app"],
            input=json.dumps([["run", *each] for each in arguments]),
            env=environment(runtime),
            cwd=HERE,
            stdout=subprocess.PIPE,
            text=True,
            timeout=2 * DEADLINE,
            check=True,
        )
    return [(code, output) for code, output in json.loads(done.stdout)]


async def the_end(running: Program) -> int:
    """Reads the rest of the outputs, and gives the exit code."""
    stdout = running.process.stdout
    if stdout is None:
        raise AssertionError("the program has no output")
    async with asyncio.timeout(2 * DEADLINE):
        running.output.append((await stdout.read()).decode())
    return await running.end()


async def udp_port(running: Program) -> int:
    """The port of the UDP server that the banner tells."""
    await running.line_with("UDP server  ")
    line = await running.line_with("127.0.0.1:")
    found = re.search(r"127\.0\.0\.1:(\d+)", line)
    if found is None:
        raise AssertionError(line)
    return int(found[1])


async def tree(
    runtime: Path, *arguments: str, program: tuple[str, ...] = ("-m", "homing"), **env: str
) -> tuple[int, str, str]:
    """`homing tree`: its exit code and what it printed to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        *program,
        "tree",
        *arguments,
        env=environment(runtime, **env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * DEADLINE):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def tree_alone(runtime: Path, *arguments: str) -> tuple[int, str, str]:
    """`homing tree` as where this user runs no node but those in `runtime`."""
    return await tree(runtime, *arguments, program=(str(HERE / "alone.py"),))
