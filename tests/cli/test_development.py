"""`homing run --reload`: a changed file starts a successor, and senders see no gap."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from ..examples.test_examples import Program, terminate
from ..support import UDPPeer, eventually, free_port
from .load import Load, drops
from .nodes import files, run, run_to_the_end, the_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")

TARGET = """\
import homing, words
service = homing.Service("dev")

@service.udp(host="127.0.0.1", port={port}, receive_buffer=1 << 20)
def answer(packet):
    return words.answer(packet)
"""


def say(word: str) -> str:
    return f"def answer(packet): return b'{word}'\n"


class Project:
    """A directory with a program in two modules."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.write("dev.py", TARGET.format(port=self.port))
        self.write("words.py", say("one"))

    def write(self, name: str, text: str) -> None:
        """Saves a file, as an editor does: under another name first."""
        new = self.directory / f"{name}.new"
        new.write_text(text)
        new.replace(self.directory / name)

    async def says(self, peer: UDPPeer, word: str) -> None:
        assert await peer.ask(b"x", ("127.0.0.1", self.port)) == word.encode()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


async def serves(running: Program) -> int:
    """Waits for a banner, and gives the number of the OS process that serves."""
    line = await running.line_with("OS process  ")
    await running.line_with("(asked")
    return int(line.split()[2].rstrip(","))


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


async def test_each_good_save_is_served_and_a_broken_one_leaves_the_old_program_serving(
    runtime: Path, project: Project, peer: UDPPeer
) -> None:
    async with run(runtime, "dev:service", "--reload", cwd=project.directory) as running:
        first = await serves(running)
        await project.says(peer, "one")
        project.write("words.py", say("two"))
        await running.line_with("changed: words.py")
        second = await serves(running)
        await project.says(peer, "two")
        for broken, error in (("def answer(", "SyntaxError"), ("1 / 0", "ZeroDivisionError")):
            project.write("words.py", broken)
            await running.line_with(error)
            await running.line_with(f"OS process {second} continues to serve; waiting for a changed file")
            await project.says(peer, "two")
        project.write("words.py", say("three"))
        third = await serves(running)
        await project.says(peer, "three")
        await eventually(lambda: not lives(first) and not lives(second))
        running.process.send_signal(signal.SIGINT)
        assert await the_end(running) == 0
        assert not lives(third)
    assert files(runtime / "homing") == []


async def test_under_load_each_datagram_is_answered_once_by_one_program_after_the_other(
    runtime: Path, project: Project
) -> None:
    project.write("words.py", "import os\ndef answer(packet): return packet.data + b' %d' % os.getpid()\n")
    async with run(runtime, "dev:service", "--reload", cwd=project.directory) as running:
        first = await serves(running)
        with Load([project.port], 0.0003) as load:
            await eventually(lambda: load.answered > 500)
            os.utime(project.directory / "words.py", (1, 1))
            second = await serves(running)
            served = load.sent
            await eventually(lambda: load.answered > served + 500)
            load.finish()
            await eventually(lambda: load.answered >= load.sent)
            assert drops(project.port) == 0
            assert load.numbers() == list(range(load.sent))
            assert load.processes() == [[first, second]] * 4
        assert await terminate(running) == 0


async def test_a_successor_that_has_just_taken_over_is_not_killed_for_a_newer_one(
    runtime: Path, project: Project
) -> None:
    slow = "\nimport time, homing.cli.run\nhoming.cli.run.open_http = lambda *_, **__: time.sleep(1) or ''\n"
    project.write("dev.py", TARGET.format(port=project.port) + slow)  # slow after it has taken over
    text = "import os\ndef answer(packet): return packet.data + b' %d' % os.getpid()\n"
    project.write("words.py", text)
    async with run(runtime, "dev:service", "--reload", cwd=project.directory) as running:
        await serves(running)
        with Load([project.port], 0.001) as load:
            for number in range(2):
                project.write("words.py", f"{text}# {number}\n")
                await running.line_with("has taken over")
            served = load.sent
            await eventually(lambda: load.answered > served + 100)
            load.finish()
            await eventually(lambda: load.answered >= load.sent)
            assert load.numbers() == list(range(load.sent))
        assert await terminate(running) == 0


async def test_a_module_that_is_missing_is_watched_for(runtime: Path, project: Project, peer: UDPPeer) -> None:
    project.write("words.py", "import later\nanswer = later.answer\n")
    async with run(runtime, "dev:service", "--reload", cwd=project.directory) as running:
        await running.line_with("nothing serves now; waiting for a changed file")
        project.write("later.py", say("late"))
        await serves(running)
        await project.says(peer, "late")
        assert await terminate(running) == 0


async def test_a_successor_that_hangs_is_replaced_at_the_next_save(
    runtime: Path, project: Project, peer: UDPPeer
) -> None:
    async with run(runtime, "dev:service", "--reload", cwd=project.directory) as running:
        await serves(running)
        # It reports its modules before it hangs: in a start that never ends.
        project.write(
            "dev.py",
            TARGET.format(port=project.port) + "\n@service.on_start\nasync def wait():\n"
            "    import asyncio; print('hanging', flush=True); await asyncio.sleep(50)\n",
        )
        await running.line_with("hanging")
        await project.says(peer, "one")
        project.write("dev.py", TARGET.format(port=project.port))
        project.write("words.py", say("two"))
        await serves(running)
        await project.says(peer, "two")
        assert await terminate(running) == 0


async def test_a_changed_configuration_starts_a_successor_too(runtime: Path, project: Project) -> None:
    project.write("app.toml", "")
    async with run(runtime, "dev:service", "--reload", "--config", "app.toml", cwd=project.directory) as running:
        await serves(running)
        project.write("app.toml", '[servers."dev.answer"]\nhigh_water = 10\n')
        await running.line_with("changed: app.toml")
        await serves(running)
        assert await terminate(running) == 0


async def test_a_hangup_is_passed_on_to_the_program(runtime: Path, project: Project) -> None:
    project.write("app.toml", "")
    async with run(runtime, "dev:service", "--reload", "--config", "app.toml", cwd=project.directory) as running:
        await serves(running)
        running.process.send_signal(signal.SIGHUP)
        await running.line_with("app.toml was read again: nothing has changed")
        assert await terminate(running) == 0


async def test_a_program_that_crashes_is_started_at_the_next_save(
    runtime: Path, project: Project, peer: UDPPeer
) -> None:
    async with run(runtime, "dev:service", "--reload", cwd=project.directory) as running:
        pid = await serves(running)
        os.kill(pid, signal.SIGKILL)
        await running.line_with("ended by signal 9; waiting for a changed file")
        project.write("words.py", say("two"))
        await serves(running)
        await project.says(peer, "two")
        assert await terminate(running) == 0


async def test_a_program_that_has_ended_in_order_ends_the_command(runtime: Path) -> None:
    code, output = await run_to_the_end(runtime, "served:Done", "--reload")
    assert code == 0
    assert "stopped in order" in output


async def test_when_the_command_is_killed_the_program_ends(runtime: Path, project: Project) -> None:
    async with run(runtime, "dev:service", "--reload", cwd=project.directory) as running:
        pid = await serves(running)
        running.process.kill()
        await eventually(lambda: not lives(pid), f"the end of {pid}")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["served:Service", "--no-control"], "--reload needs the sockets that --no-control switches off"),
        (["served:Service", "--processes", "2"], "--reload runs one OS process"),
        (["no_such_module:App"], "there is no module 'no_such_module'"),
        (["served:Service", "--env", "word"], "'word' is not KEY=VALUE"),
    ],
)
async def test_wrong_use_ends_at_once_with_exit_code_2(runtime: Path, arguments: list[str], text: str) -> None:
    code, output = await run_to_the_end(runtime, *arguments, "--reload")
    assert code == 2
    assert text in output
