"""`homing run --config`, SIGHUP and `homing reload`: what they change, what they name, and what stays."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path

import pytest

from ...cli.load import Load
from ...cli.nodes import HERE, environment, run, the_end, udp_port
from ...examples.test_examples import Program, program, terminate
from ...notified import Manager
from ...support import DEADLINE, UDPPeer, eventually, free_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")


def write(runtime: Path, text: str) -> str:
    """Writes the file as an editor does, so that nobody reads half of it."""
    file = runtime / "app.toml"
    (runtime / "new").write_text(text)
    (runtime / "new").replace(file)
    return str(file)


async def command(runtime: Path, *arguments: str) -> tuple[int, str, str]:
    """`homing` with these arguments: its exit code, and what it printed to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "alone.py"), *arguments),
        env=environment(runtime),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * DEADLINE):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def hang_up(running: Program, line: str) -> str:
    """Sends SIGHUP, and waits for a line."""
    running.process.send_signal(signal.SIGHUP)
    return await running.line_with(line)


async def test_options_come_from_the_command_line_then_the_environment_then_the_file(
    runtime: Path, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(
        runtime,
        'target = "configured:service"\nname = "a@x"\n[servers."words.answer"]\nport = 1\n[app]\nword = "file"\n',
    )
    port = free_port()
    monkeypatch.setenv("HOMING_NAME", "b@x")
    monkeypatch.setenv("HOMING_SERVERS__WORDS_ANSWER__PORT", str(port))
    monkeypatch.setenv("HOMING_LOG_LEVEL", "debug")
    async with run(runtime, "--config", file, "--log-level", "info") as running:
        assert await running.line_with("node  ") == "  node         b@x\n"
        assert await udp_port(running) == port
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"file"
        assert "DEBUG" not in "".join(running.output)


async def test_a_file_with_faults_starts_nothing_and_all_are_named(runtime: Path) -> None:
    file = write(runtime, "spin = -1\nlog-level = 3\n")
    async with run(runtime, "configured:service", "--config", file) as running:
        assert await the_end(running) == 2
        text = "".join(running.output)
        assert f"homing run: {file}, line 1: spin: -1: Expected float >= 0.0\n" in text
        assert "line 2: log-level: there is no such key; did you mean log_level?\n" in text


async def test_a_reload_applies_what_can_change_and_names_what_needs_a_restart(runtime: Path, peer: UDPPeer) -> None:
    port = free_port()
    server = f'[servers."words.answer"]\nport = {port}\n'
    file = write(runtime, server)
    async with run(runtime, "configured:service", "--config", file) as running:
        await udp_port(running)
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"OK"
        other = free_port()
        write(
            runtime,
            'log_level = "debug"\nspin = 1.0\n[env]\nTOKEN = "hunter2"\n[node]\nturn_messages = 9\n'
            f'[servers."words.answer"]\nport = {other}\nhigh_water = 40\nbuffer_size = 999\n[app]\nword = "new"\n',
        )
        await hang_up(running, "buffer_size")
        assert await peer.ask(b"x", ("127.0.0.1", other)) == b"new"
        text = re.sub(r"\S+app.toml", "app.toml", "".join(running.output))
        assert "app.toml: log_level: 'info' -> 'debug'" in text
        assert f'app.toml: servers."words.answer".port: {port} -> {other}' in text
        assert 'app.toml: servers."words.answer".high_water: 50 -> 40' in text
        assert "app.toml: app has changed" in text
        assert "app.toml: spin: 0.0 -> 1.0: this needs a restart" in text
        assert "app.toml: env.TOKEN: not set -> (not shown): this needs a restart" in text
        assert "app.toml: node.turn_messages: 256 -> 9: this needs a restart" in text
        assert 'app.toml: servers."words.answer".buffer_size: 65535 -> 999: this needs a restart' in text
        # What is removed from the file has the program's value again.
        write(runtime, server)
        await hang_up(running, "high_water: 40 -> 50")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("word = [", "it is not TOML"),
        ("spin = -1", "line 1: spin: -1: Expected float >= 0.0"),
        ("http = 'x'", "line 1: http: 'x': give HOST:PORT"),
        ('[servers."words.answer"]\nlow_water = 60', "line 2: low_water=60: "),
        ("[app]\nwrod = 'x'", "line 2: app.wrod: there is no such key; did you mean word?"),
        ("[app]\nfault = true", "line 1: app: fault is set"),
    ],
)
async def test_a_broken_file_leaves_everything_as_it_was(runtime: Path, peer: UDPPeer, text: str, fault: str) -> None:
    file = write(runtime, 'log_level = "info"\n[app]\nword = "old"\n')
    async with run(runtime, "configured:service", "--config", file) as running:
        port = await udp_port(running)
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"old"
        write(runtime, text)
        await hang_up(running, "not reloaded, everything stays as it was:")
        assert fault in await running.line_with("app.toml")
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"old"
        write(runtime, '[app]\nword = "good"\n')
        await hang_up(running, "app has changed")
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"good"


async def test_a_file_that_is_gone_leaves_everything_as_it_was(runtime: Path, peer: UDPPeer) -> None:
    file = write(runtime, '[app]\nword = "old"\n')
    async with run(runtime, "configured:service", "--config", file) as running:
        port = await udp_port(running)
        (runtime / "app.toml").unlink()
        await hang_up(running, "not reloaded, everything stays as it was:")
        assert "it cannot be read: No such file" in await running.line_with("app.toml")
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"old"


async def test_a_pipe_is_not_read_a_second_time(runtime: Path, peer: UDPPeer) -> None:
    file = runtime / "app.toml"
    os.mkfifo(file)
    writer = asyncio.create_task(asyncio.to_thread(file.write_text, '[app]\nword = "secret"\n'))
    async with run(runtime, "configured:service", "--config", str(file)) as running:
        port = await udp_port(running)
        await writer
        await hang_up(running, "not reloaded, everything stays as it was:")
        assert "it can be read only once" in await running.line_with("app.toml")
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"secret"


async def test_hangups_under_load_lose_nothing_also_many_at_once(runtime: Path) -> None:
    port = free_port()
    text = f'[servers."words.answer"]\nport = {port}\nhigh_water = %d\n[app]\nnumbered = true\n'
    file = write(runtime, text % 50)
    async with run(runtime, "configured:service", "--config", file) as running:
        await udp_port(running)
        with Load([port], 0.001) as load:
            for high_water in range(51, 61):
                write(runtime, text % high_water)
                running.process.send_signal(signal.SIGHUP)
                await hang_up(running, f"-> {high_water}")
            load.finish()
            await eventually(lambda: load.answered >= load.sent)
            assert load.numbers() == list(range(load.sent))


async def test_a_port_that_is_taken_is_named_and_the_next_reload_tries_again(runtime: Path, peer: UDPPeer) -> None:
    file = write(runtime, "")
    async with run(runtime, "configured:service", "--config", file) as running:
        port = await udp_port(running)
        write(runtime, f'[servers."words.answer"]\nport = {peer.address[1]}\n')
        assert "Address already in use" in await hang_up(running, "not applied:")
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"OK"
        assert "not applied" in await hang_up(running, "not applied:")


async def test_a_process_that_has_asked_for_it_is_told(runtime: Path) -> None:
    file = write(runtime, "")
    async with run(runtime, "configured:Listening", "--config", file) as running:
        await running.line_with("word OK")
        await running.line_with("no UDP server")
        write(runtime, '[app]\nword = "new"\n')
        await hang_up(running, "word new")


async def test_a_server_in_the_file_that_the_program_does_not_make_is_named(runtime: Path) -> None:
    file = write(runtime, "[servers.answer]\nport = 1\n")
    async with run(runtime, "configured:service", "--config", file) as running:
        line = await running.line_with("the program has made no such UDP server")
        assert "line 1: servers.answer: the program has made" in line
        assert "no such UDP server; did you mean words.answer?" in line


async def test_without_a_file_a_hangup_ends_the_program_as_any_other(runtime: Path) -> None:
    async with run(runtime, "configured:service") as running:
        await udp_port(running)
        running.process.send_signal(signal.SIGHUP)
        assert await the_end(running) == -signal.SIGHUP


async def test_all_processes_read_the_file_again_also_one_that_is_just_starting(runtime: Path, peer: UDPPeer) -> None:
    port = free_port()
    text = f'[servers."words.answer"]\nport = {port}\nreuse_port = true\n[app]\nword = '
    file = write(runtime, f'processes = 2\n{text}"old"\n')
    async with run(runtime, "configured:Listening", "--config", file) as running:
        await running.line_with("word old")  # the other one may still be starting
        running.process.send_signal(signal.SIGHUP)
        for _ in range(2):
            await running.line_with("no UDP server")
        write(runtime, f'processes = 3\n{text}"new"\n')
        running.process.send_signal(signal.SIGHUP)
        seen = []
        while len(seen) < 3:
            line = await running.line_with("")
            seen += [line] if "word new" in line or "processes: 2 -> 3: this needs a restart" in line else []
        assert await terminate(running) == 0


async def test_the_command_reload_names_what_all_processes_together_need_a_restart_for(runtime: Path) -> None:
    file = write(runtime, "processes = 2\n")
    async with run(runtime, "configured:Listening", "--config", file, "--allow") as running:
        for _ in range(2):
            await running.line_with("no UDP server")
        write(runtime, 'processes = 3\nhttp = "127.0.0.1:0"\nlog_level = "warning"\n')
        code, out, err = await command(runtime, "reload", "configured")
        assert (code, err) == (0, "")
        assert out.splitlines() == [
            "configured-1@localhost: applied: log_level: 'info' -> 'warning'",
            "configured-2@localhost: applied: log_level: 'info' -> 'warning'",
            "configured@localhost: needs a restart: processes: 2 -> 3",
            "configured@localhost: needs a restart: http: not set -> '127.0.0.1:0'",
        ]
        assert await terminate(running) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="systemd")
async def test_systemd_is_told_when_a_reload_begins_and_ends(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(runtime, "")
    with Manager() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
        async with run(runtime, "configured:service", "--config", file) as running:
            await manager.until("READY=1")
            for text in ("", "["):
                write(runtime, text)
                running.process.send_signal(signal.SIGHUP)
                assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", await manager.next())
                assert await manager.next() == "READY=1"


async def test_a_program_whose_terminal_is_closed_stops_instead(runtime: Path) -> None:
    file = write(runtime, "")
    controller, terminal = pty.openpty()
    arguments = (
        "-c",
        "import fcntl, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); from homing.cli import main; main()",
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments, "run", "configured:Listening", "--config", file),
        cwd=HERE,
        env=environment(runtime),
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    running = Program(process)
    try:
        await running.line_with("word OK")
        await asyncio.to_thread(_read_until, controller, b"no UDP server")
        os.close(controller)
        assert await running.end() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _read_until(descriptor: int, text: bytes) -> None:
    found = b""
    while text not in found:
        found += os.read(descriptor, 4096)


# --- the commands -----------------------------------------------------------------------------------------


async def test_the_command_reload_prints_what_has_changed(runtime: Path) -> None:
    file = write(runtime, "")
    async with run(runtime, "configured:service", "--config", file, "--allow") as running:
        await udp_port(running)
        write(runtime, '[node]\nturn_messages = 9\n[servers."words.answer"]\nhigh_water = 40\n')
        assert await command(runtime, "reload") == (
            0,
            'applied: servers."words.answer".high_water: 50 -> 40\nneeds a restart: node.turn_messages: 256 -> 9\n',
            "",
        )
        code, out, _ = await command(runtime, "reload", "configured", "--json")
        assert (code, json.loads(out)) == (
            0,
            {
                "file": file,
                "applied": [],
                "restart": [{"key": "node.turn_messages", "old": "256", "new": "9"}],
                "failed": [],
                "unused": [],
            },
        )
        write(runtime, "[servers.answer]\n")
        code, out, _ = await command(runtime, "reload")
        assert code == 0
        assert f"not used: {file}, line 1: servers.answer: the program has made no such UDP server" in out
        write(runtime, "spin = -1\n")
        code, _, err = await command(runtime, "reload")
        assert code == 1
        assert f"{file}, line 1: spin: -1: Expected float >= 0.0" in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [((), "start it with --allow"), (("--allow",), "the program was started without --config")],
)
async def test_the_command_reload_says_why_it_is_refused(runtime: Path, arguments: tuple[str, ...], why: str) -> None:
    async with run(runtime, "configured:service", *arguments) as running:
        await udp_port(running)
        code, out, err = await command(runtime, "reload")
        assert (code, out) == (1, "")
        assert why in err


async def test_the_command_config_prints_an_example_that_it_finds_valid(runtime: Path) -> None:
    code, out, err = await command(runtime, "config", "--example")
    assert (code, err) == (0, "")
    file = write(runtime, out)
    assert await command(runtime, "config", "check", file) == (0, f"{file} is valid\n", "")


async def test_the_command_config_names_all_faults_of_a_file(runtime: Path) -> None:
    file = write(runtime, "spin = -1\nx = 1\n")
    code, out, err = await command(runtime, "config", "check", file)
    assert (code, out) == (2, "")
    assert err.count("homing config: ") == 2


async def test_the_command_config_alone_prints_its_help(runtime: Path) -> None:
    code, out, _ = await command(runtime, "config")
    assert code == 2
    assert "--example" in out


async def test_neither_msgspec_nor_the_parser_is_imported_without_a_configuration(runtime: Path) -> None:
    source = (
        "import sys\n"
        "from homing.cli import main\n"
        "sys.argv[1:] = ['run', 'served:Done']\n"
        "try: main()\n"
        "finally: print(sorted({'msgspec', 'tomllib', 'homing.cli.development'} & sys.modules.keys()), flush=True)\n"
    )
    async with program("-c", source, cwd=HERE, env=environment(runtime)) as running:
        assert await running.line_with("[") == "[]\n"
