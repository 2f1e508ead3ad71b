"""Completion in a shell: of commands, options, and names of nodes."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path

import pytest

from homing.cli import completing
from homing.observe.control import client
from homing.observe.control.directory import ControlError

from ..support import DEADLINE
from .nodes import environment, run

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="completes in bash")

COMMAND = f"#!{sys.executable}\nfrom homing.cli import main\nmain()\n"
SCRIPT = """
{script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p homing | sed 's/.*-F \\([^ ]*\\) .*/\\1/') homing
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@cache
def script_for_bash() -> str:
    """The script that `homing --show-completion` prints for bash, which is the same each time."""
    with tempfile.TemporaryDirectory() as path:
        command = Path(path, "homing")
        command.write_text(COMMAND)
        command.chmod(0o700)
        env = environment(Path(path))
        done = subprocess.run(
            ["bash", "--norc", "-c", 'printf %s "$(homing --show-completion)"'],
            env={**env, "PATH": f"{path}:{env['PATH']}"},
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE,
            check=True,
        )
    assert done.stderr == ""
    return done.stdout


async def completions(runtime: Path, words: str) -> list[str]:
    """What bash proposes at the end of a line of these words."""
    command = runtime / "bin" / "homing"
    command.parent.mkdir(exist_ok=True)
    command.write_text(COMMAND)
    command.chmod(0o700)
    env = environment(runtime)
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c", SCRIPT.format(script=script_for_bash(), words=words)),
        env={**env, "PATH": f"{command.parent}:{env['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * DEADLINE):
        out, err = await process.communicate()
    assert err.decode() == ""
    return out.decode().split()


async def test_a_command_is_completed(runtime: Path) -> None:
    assert await completions(runtime, "homing n") == ["new", "nodes"]


async def test_a_target_of_the_node_that_the_line_names_is_completed(runtime: Path) -> None:
    async with run(runtime, "served:Service") as one, run(runtime, "served:Service", "--name", "other@host") as two:
        await one.line_with("UDP server  ")
        await two.line_with("UDP server  ")
        assert await completions(runtime, "homing inspect --node other ech") == ["echo"]
        assert await completions(runtime, "homing inspect --node none ech") == []


async def test_an_option_is_completed(runtime: Path) -> None:
    assert await completions(runtime, "homing new --d") == ["--directory"]


async def test_a_node_that_runs_is_completed(runtime: Path) -> None:
    async with AsyncExitStack() as stack:
        for name in ("own-first@localhost", "own-second@localhost"):  # others may run on this machine
            running = await stack.enter_async_context(run(runtime, "served:Service", "--name", name))
            await running.line_with("UDP server  ")
        assert await completions(runtime, "homing tree own-") == ["own-first", "own-second"]
        assert await completions(runtime, "homing tree own-s") == ["own-second"]
        assert await completions(runtime, "homing tree own-x") == []


def test_a_name_that_two_hosts_have_is_completed_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = dict.fromkeys(["a@one", "b@one", "b@two"], Path())
    monkeypatch.setattr(client, "running_nodes", lambda: nodes)
    assert completing.complete_node("") == ["a", "b@one", "b@two"]
    assert completing.complete_node("b@t") == ["b@two"]


@pytest.mark.parametrize("error", [ControlError("others can enter"), PermissionError(13, "denied")])
def test_a_directory_of_sockets_that_is_not_safe_completes_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> dict[str, Path]:
        raise error

    monkeypatch.setattr(client, "running_nodes", fail)
    assert completing.complete_node("") == []
