"""`homing run --processes`: several OS processes of one application, kept running and stopped as one."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from homing.cli.processes import Processes
from homing.observe.control.remote import RemoteObserver

from ..examples.test_examples import Program
from ..support import DEADLINE, UDPPeer, eventually, free_port
from .nodes import files, run, run_to_the_end, the_end, tree_alone

COUNT = 2


async def started(running: Program, count: int = COUNT) -> tuple[list[int], list[int]]:
    """The OS processes and the ports that the next `count` banners tell."""
    pids, ports = [], []
    while len(ports) < count:
        line = await running.line_with("")
        if found := re.search(r"OS process +(\d+)", line):
            pids.append(int(found[1]))
        if found := re.match(r"  127\.0\.0\.1:(\d+)", line):
            ports.append(int(found[1]))
    return pids, ports


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_each_process_is_a_node_of_its_own_and_a_signal_stops_all_in_order(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service", "--name", "shop@host", "--processes", "2") as running:
        pids, ports = await started(running)
        assert len(set(pids)) == COUNT
        assert [name for name in files(runtime / "homing") if name.endswith(".sock")] == [
            "shop-1@host.sock",
            "shop-2@host.sock",
            "shop@host.sock",
        ]
        for port in ports:
            assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK"
        running.process.send_signal(signal.SIGTERM)
        assert await the_end(running) == 0
        assert "".join(running.output).count("stopped in order") == COUNT
    assert not any(map(lives, pids))


async def test_all_processes_are_asked_as_one_by_the_name_of_the_application(runtime: Path) -> None:
    arguments = ("served:Service", "--name", "shop@host", "--processes", "2")
    async with run(runtime, *arguments, "--allow") as running:
        await started(running)
        code, out, err = await tree_alone(runtime)
        assert (code, err) == (0, "")
        assert out.startswith("shop@host: running")
        assert "on shop-1@host" in out
        assert "on shop-2@host" in out
        assert await run_to_the_end(runtime, *arguments) == (
            1,
            "homing run: a node shop@host runs already (its control socket is "
            f"{runtime}/homing/shop@host.sock); give this one another --name\n",
        )
        await RemoteObserver("shop@host").ask({"what": "drain"})
        assert await the_end(running) == 0


async def test_a_process_that_is_killed_is_started_again_and_the_others_go_on(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service", "--processes", "2") as running:
        pids, _ = await started(running)
        os.kill(pids[0], signal.SIGKILL)
        await running.line_with("a process was ended by signal 9: it is started again")
        (successor,), (port,) = await started(running, 1)
        assert lives(pids[1])
        assert successor not in pids
        assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK"
        running.process.send_signal(signal.SIGINT)
        assert await the_end(running) == 0


async def test_servers_with_reuse_port_share_a_port_and_a_peer_meets_one_process(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, "served:Sharing", "--env", f"port={port}", "--processes", "2") as running:
        pids, ports = await started(running)
        assert ports == [port, port]
        answers = []
        for _ in range(40):
            with UDPPeer() as peer:
                first, second = [await peer.ask(b"who?", ("127.0.0.1", port)) for _ in range(2)]
                assert first == second
                answers.append(int(first))
        assert set(answers) == set(pids)  # all 40 at one of two: once in 5 * 10**11 runs
        running.process.send_signal(signal.SIGTERM)
        assert await the_end(running) == 0


async def test_all_processes_are_taken_over_by_a_second_command(runtime: Path) -> None:
    port = free_port()
    arguments = ("served:Sharing", "--env", f"port={port}", "--processes", "2")
    async with run(runtime, *arguments) as old:
        old_pids, _ = await started(old)
        async with run(runtime, "--takeover", *arguments) as new:
            new_pids, ports = await started(new)
            assert ports == [port, port]
            assert await the_end(old) == 0
            with UDPPeer() as peer:
                assert int(await peer.ask(b"who?", ("127.0.0.1", port))) in set(new_pids) - set(old_pids)
            new.process.send_signal(signal.SIGTERM)
            assert await the_end(new) == 0


async def test_what_cannot_be_started_is_given_up_and_the_exit_code_says_so(runtime: Path) -> None:
    code, output = await run_to_the_end(runtime, "served:Broken", "--processes", "2")
    assert code == 1
    assert output.count("it is started again") == 5
    assert "a process failed with exit code 1: all are stopped" in output


async def test_processes_that_end_in_order_are_not_started_again(runtime: Path) -> None:
    code, output = await run_to_the_end(runtime, "served:Done", "--processes", "3")
    assert (code, output.count("stopped in order")) == (0, 3)


async def test_a_second_signal_stops_all_at_once(runtime: Path) -> None:
    async with run(runtime, "served:Stubborn", "--processes", "2", "--stop-timeout", "1000") as running:
        for _ in range(COUNT):
            await running.line_with("no UDP server")
        running.process.send_signal(signal.SIGINT)
        for _ in range(COUNT):
            await running.line_with("ending")
        running.process.send_signal(signal.SIGINT)
        assert await the_end(running) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of the end of its parent")
async def test_if_the_supervising_process_is_killed_the_others_stop(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--processes", "2") as running:
        pids, _ = await started(running)
        running.process.kill()
        await eventually(lambda: not any(map(lives, pids)), "the end of both processes")


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
async def test_a_number_of_processes_that_cannot_be_is_refused(runtime: Path, wrong: str) -> None:
    code, output = await run_to_the_end(runtime, "served:Service", "--processes", wrong)
    assert code == 2
    assert "--processes" in output


async def test_the_module_is_looked_for_once_and_not_by_each_process(runtime: Path) -> None:
    code, output = await run_to_the_end(runtime, "served:Nothing", "--processes", "2")
    assert code == 2
    assert output.count("has no 'Nothing'") == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_signal_reaches_the_others_if_one_has_just_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    processes = Processes([["sleep", "60"], ["sleep", "60"]], 5.0, said.append)
    running = asyncio.create_task(processes.run())
    await eventually(lambda: all(slot.process is not None for slot in processes.slots))
    send = asyncio.subprocess.Process.send_signal

    def send_late(process: asyncio.subprocess.Process, number: int) -> None:
        if process is processes.slots[0].process:
            os.kill(process.pid, signal.SIGKILL)
            raise ProcessLookupError
        send(process, number)

    monkeypatch.setattr(asyncio.subprocess.Process, "send_signal", send_late)
    processes.stop()
    assert await asyncio.wait_for(running, DEADLINE) == 1
