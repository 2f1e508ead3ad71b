"""`homing run --log-format`, `homing logs` and `homing log-level`, as a user types them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from ..examples.test_examples import terminate
from ..support import DEADLINE, UDPPeer
from .nodes import environment, run, run_to_the_end, udp_port


async def homing(runtime: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed to stdout and stderr."""
    process = await start(runtime, *arguments)
    async with asyncio.timeout(2 * DEADLINE):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def start(runtime: Path, *arguments: str) -> asyncio.subprocess.Process:
    pipes: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), asyncio.subprocess.PIPE)
    command = (sys.executable, "-W", "error", "-m", "homing", *arguments)
    return await asyncio.create_subprocess_exec(*command, env=environment(runtime), **pipes)


async def test_with_json_every_line_of_the_program_is_an_object(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--log-format", "json") as running:
        await running.line_with("listens on")
        await running.line_with("homing.cli")
        assert await terminate(running) == 0
        stdout = running.process.stdout
        rest = "" if stdout is None else (await stdout.read()).decode()
    records = [json.loads(line) for line in ("".join(running.output) + rest).splitlines()]
    assert {"homing.node", "homing.meta", "homing.cli"} <= {record["logger"] for record in records}
    [server] = [record for record in records if "listens on" in record["message"]]
    assert (server["level"], server["node"], server["name"]) == ("INFO", "served@localhost", "echo")


async def test_a_crash_names_the_peer_in_text_too(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service") as running:
        peer.send(b"crash", ("127.0.0.1", await udp_port(running)))
        line = await running.line_with("crashed")
    assert line.rstrip().endswith(f" behavior=Echo peer=127.0.0.1:{peer.address[1]}]")


async def test_a_level_that_is_none_is_not_one_of_the_whole_program(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--allow") as running:
        await udp_port(running)
        code, _, err = await homing(runtime, "log-level", "default")
        assert (code, "level='default': give a level" in err) == (2, True)
        code, _, err = await homing(runtime, "logs", "--level", "loud")
        assert (code, "level='loud': give one of debug, info" in err) == (2, True)


async def test_an_error_of_the_command_is_an_object_too(runtime: Path) -> None:
    code, output = await run_to_the_end(runtime, "served:Nothing", "--log-format", "json")
    assert code == 2
    assert json.loads(output)["level"] == "ERROR"


async def test_the_log_of_a_running_node_is_printed_and_followed(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service") as running:
        address = ("127.0.0.1", await udp_port(running))
        code, out, err = await homing(runtime, "logs", "served", "--last", "1")
        assert (code, err, len(out.splitlines())) == (0, "", 1)
        following = await start(runtime, "logs", "-f", "--json", "--last", "1", "--level", "info")
        assert following.stdout is not None
        async with asyncio.timeout(2 * DEADLINE):
            await following.stdout.readline()
            peer.send(b"crash", address)
            crash = json.loads(await following.stdout.readline())
        assert crash["exception"]["type"] == "RuntimeError"
        assert crash["peer"] == f"127.0.0.1:{peer.address[1]}"
        following.terminate()
        await following.communicate()
        code, out, _ = await homing(runtime, "logs", "--json", "--level", "error")
        assert [json.loads(line)["level"] for line in out.splitlines()] == ["ERROR"]


async def test_levels_change_where_that_is_allowed(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--allow") as running:
        await udp_port(running)
        assert (await homing(runtime, "log-level", "error", "echo"))[:2] == (0, "echo: error\n")
        code, out, _ = await homing(runtime, "log-level", "debug", "--module", "homing.node", "--json")
        assert (code, json.loads(out)) == (0, {"level": "debug", "target": None, "module": "homing.node"})
        code, _, err = await homing(runtime, "log-level", "info", "nobody")
        assert (code, "no process has the name 'nobody'" in err) == (1, True)
        code, _, err = await homing(runtime, "log-level", "info", "echo", "--module", "homing")
        assert (code, "give one of them" in err) == (2, True)


async def test_levels_do_not_change_where_it_is_not_allowed(runtime: Path) -> None:
    async with run(runtime, "served:Service") as running:
        await udp_port(running)
        code, out, err = await homing(runtime, "log-level", "debug")
    assert (code, out) == (1, "")
    assert "--allow" in err
