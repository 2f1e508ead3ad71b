"""`homing run --takeover`: a running service goes on in another OS process, and loses, doubles and reorders nothing."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ..captures import captured
from ..examples.test_examples import Program, terminate
from ..faults.figures import figure
from ..meta.servers import is_bound
from ..notified import Manager
from ..support import UDPPeer, eventually, free_port
from .load import HOST, Load, drops
from .nodes import files, run, run_to_the_end, the_end, tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")
INTERVAL = 0.00015


def arguments(target: str, *ports: int, **env: str) -> list[str]:
    variables = {"ports": " ".join(map(str, ports)), **env}
    return [
        f"taken:{target}",
        *(f"--env={name}={value}" for name, value in variables.items()),
        "--name=taken@localhost",
    ]


async def serves(running: Program) -> None:
    """Its banner is there: it serves."""
    await running.line_with("default)")


async def settled(load: Load, ports: list[int]) -> None:
    """Ends the load, and sees that each number was answered once, in order, by one process after the other."""
    load.finish()
    lost = [drops(port) for port in ports]
    assert lost == [0] * len(ports), load.longest
    await eventually(lambda: load.answered >= load.sent, f"{load.sent} answers, beside {load.answered},")
    assert [drops(port) for port in ports] == [0] * len(ports)
    assert load.numbers() == list(range(load.sent))
    assert load.in_order()


# --- without a loss ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["Service", "Batched"])
async def test_under_load_each_datagram_is_answered_once_and_in_order(runtime: Path, target: str) -> None:
    ports = [free_port(), free_port()]
    async with run(runtime, *arguments(target, *ports)) as old:
        await serves(old)
        with Load(ports, INTERVAL) as load:
            await eventually(lambda: load.answered > 1000)
            async with run(runtime, *arguments(target, *ports), "--takeover") as new:
                await serves(new)
                assert await the_end(old) == 0
                assert "stopped in order" in old.output[-1]
                served = load.sent
                await eventually(lambda: load.answered > served + 1000)
                await settled(load, ports)
                assert load.processes() == [[old.process.pid, new.process.pid]] * 4
                figure(31, "datagrams, all answered once and in order, across an upgrade", f"{load.sent:,}")
                figure(31, "longest silence, ms", f"{load.longest * 1000:.0f}")
                assert await terminate(new) == 0
    assert files(runtime / "homing") == []


async def test_workers_that_take_their_time_answer_what_they_have_before_the_successor_reads(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments("Pooled", port)) as old:
        await serves(old)
        with Load([port], 0.01) as load:
            await eventually(lambda: load.answered > 50)
            async with run(runtime, *arguments("Pooled", port), "--takeover") as new:
                await serves(new)
                assert await the_end(old) == 0
                served = load.sent
                await eventually(lambda: load.answered > served + 50)
                await settled(load, [port])
                assert load.processes() == [[old.process.pid, new.process.pid]] * 4


async def test_a_tap_is_continued_by_the_successor_in_the_same_file(runtime: Path, tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "x.pcapng"
    with UDPPeer() as peer:
        async with run(runtime, *arguments("Tapped", port, file=str(path))) as old:
            await serves(old)
            for number in range(20):
                assert await peer.ask(b"%d" % number, (HOST, port)) == b"%d %d" % (number, old.process.pid)
            async with run(runtime, *arguments("Tapped", port, file=str(path)), "--takeover") as new:
                await serves(new)
                for number in range(20, 40):
                    assert await peer.ask(b"%d" % number, (HOST, port)) == b"%d %d" % (number, new.process.pid)
                assert await the_end(old) == 0
                assert await terminate(new) == 0
    found = captured(path)
    assert [one.data for one in found if not one.outgoing] == [b"%d" % number for number in range(40)]
    assert [int(one.data.split()[1]) for one in found if one.outgoing] == [old.process.pid] * 20 + [
        new.process.pid
    ] * 20


async def upgrade(runtime: Path, times: int) -> None:
    """So many upgrades in a row, under load."""
    port = free_port()
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(run(runtime, *arguments("Service", port)))
        await serves(running)
        processes = [running.process.pid]
        with Load([port], INTERVAL) as load:
            for _ in range(times):
                served = load.sent
                await eventually(lambda: load.answered > served + 500)  # noqa: B023
                new = await stack.enter_async_context(run(runtime, *arguments("Service", port), "--takeover"))
                await serves(new)
                assert await the_end(running) == 0
                running = new
                processes.append(new.process.pid)
            served = load.sent
            await eventually(lambda: load.answered > served + 500)
            await settled(load, [port])
            assert load.processes() == [processes] * 4
            figure(31, f"datagrams, all answered once and in order, across {times} upgrades", f"{load.sent:,}")
            figure(31, "longest silence, ms", f"{load.longest * 1000:.0f}")


async def test_two_upgrades_in_a_row_lose_nothing(runtime: Path) -> None:
    await upgrade(runtime, 2)


@pytest.mark.slow
async def test_twenty_upgrades_in_a_row_lose_nothing(runtime: Path) -> None:
    await upgrade(runtime, 20)


async def test_sigusr2_starts_a_successor_and_that_one_the_next(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as running:
        await serves(running)
        processes = [running.process.pid]
        with Load([port], INTERVAL) as load:
            for _ in range(2):
                await eventually(lambda: load.answers[0] and load.answers[0][-1][1] == processes[-1])
                os.kill(processes[-1], signal.SIGUSR2)
                await serves(running)  # it has the outputs of the first
                await eventually(lambda: load.answers[0][-1][1] != processes[-1])
                processes.append(load.answers[0][-1][1])
            await settled(load, [port])
            assert load.processes() == [processes] * 4
        await eventually(lambda: running.process.returncode == 0)
        os.kill(processes[-1], signal.SIGTERM)
        await running.line_with("stopped in order")
        await eventually(lambda: files(runtime / "homing") == [])


# --- where the successor fails ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "code", "text"),
    [("Failing", 1, "not started: ValueError('fault')"), ("Dying", 7, "taking over 1 sockets")],
)
async def test_a_successor_that_fails_in_its_start_changes_nothing(
    runtime: Path, target: str, code: int, text: str
) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as old:
        await serves(old)
        with Load([port], INTERVAL) as load:
            assert await run_to_the_end(runtime, *arguments(target, port), "--takeover") == (code, AnyWith(text))
            await old.line_with("has not taken over: it has ended")
            served = load.sent
            await eventually(lambda: load.answered > served + 500)
            await settled(load, [port])
            assert load.processes() == [[old.process.pid]] * 4
        async with run(runtime, *arguments("Service", port), "--takeover") as new:
            await serves(new)
            assert await the_end(old) == 0


class AnyWith:
    """Equal to every text that contains this one."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __eq__(self, other: object) -> bool:
        return self._text in str(other)

    def __repr__(self) -> str:
        return f"...{self._text}..."

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
async def test_a_successor_that_is_ended_while_it_starts_changes_nothing(
    runtime: Path, peer: UDPPeer, number: signal.Signals, code: int
) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as old:
        await serves(old)
        async with run(runtime, *arguments("Waiting", port, file=f"{runtime}/go"), "--takeover") as new:
            await new.line_with("has its sockets")
            assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % old.process.pid
            new.process.send_signal(number)
            assert await the_end(new) == code
        await old.line_with("has not taken over: it has ended")
        assert await peer.ask(b"2", (HOST, port)) == b"2 %d" % old.process.pid
        assert await terminate(old) == 0


async def test_a_second_successor_is_refused_while_the_first_one_starts(runtime: Path, peer: UDPPeer) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as old:
        await serves(old)
        async with run(runtime, *arguments("Patient", port, file=f"{runtime}/go"), "--takeover") as first:
            await first.line_with("has its sockets")
            code, text = await run_to_the_end(runtime, *arguments("Service", port), "--takeover")
            assert code == 1
            assert "another program is taking over already" in text
            (runtime / "go").touch()
            await serves(first)
            assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % first.process.pid
            assert await the_end(old) == 0


async def test_a_server_that_the_old_one_restarts_meanwhile_finds_its_socket_again(
    runtime: Path, peer: UDPPeer
) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as old:
        await serves(old)
        async with run(runtime, *arguments("Waiting", port, file=f"{runtime}/go"), "--takeover") as new:
            await new.line_with("has its sockets")
            peer.send(b"die", (HOST, port))
            await old.line_with("crashed")
            assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % old.process.pid
            (runtime / "go").touch()
            await serves(new)
            assert await peer.ask(b"2", (HOST, port)) == b"2 %d" % new.process.pid
            assert await the_end(old) == 0


# --- where the old one ends -------------------------------------------------------------------------------


async def test_sigterm_for_the_old_one_leaves_the_service_to_the_successor(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as old:
        await serves(old)
        with Load([port], 0.01) as load:
            async with run(runtime, *arguments("Waiting", port, file=f"{runtime}/go"), "--takeover") as new:
                await new.line_with("has its sockets")
                assert await terminate(old) == 0
                (runtime / "go").touch()
                await serves(new)
                served = load.sent
                await eventually(lambda: load.answered > served + 10)
                await settled(load, [port])
                assert load.processes() == [[old.process.pid, new.process.pid]] * 4
                assert await terminate(new) == 0


async def test_what_waits_for_an_old_one_that_is_killed_is_answered_by_the_successor(
    runtime: Path, peer: UDPPeer
) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as old:
        await serves(old)
        async with run(runtime, *arguments("Waiting", port, file=f"{runtime}/go"), "--takeover") as new:
            await new.line_with("has its sockets")
            old.process.send_signal(signal.SIGSTOP)
            for number in range(20):
                peer.send(b"%d" % number, (HOST, port))
            old.process.kill()
            await old.end()
            (runtime / "go").touch()
            await serves(new)
            assert [(await peer.receive())[0] for _ in range(20)] == [
                b"%d %d" % (k, new.process.pid) for k in range(20)
            ]


async def test_where_the_old_one_is_killed_before_it_answers_the_new_one_serves(runtime: Path, peer: UDPPeer) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as old:
        await serves(old)
        old.process.send_signal(signal.SIGSTOP)
        async with run(runtime, *arguments("Service", port), "--takeover") as new:
            await eventually(lambda: has_connected(runtime))
            old.process.kill()
            await old.end()
            await new.line_with("which was to hand over, has ended")
            await serves(new)
            assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % new.process.pid
            assert await terminate(new) == 0


def has_connected(runtime: Path) -> bool:
    """True if somebody waits to be accepted at the socket by which the old one hands over."""
    sockets = Path("/proc/net/unix").read_text().splitlines()
    return sum(f"{runtime}/homing/taken@localhost.takeover." in line for line in sockets) > 1


async def test_an_old_one_that_is_stopping_is_waited_for(runtime: Path, peer: UDPPeer) -> None:
    port = free_port()
    async with run(runtime, *arguments("Leaving", port, file=f"{runtime}/go")) as old:
        await serves(old)
        old.process.send_signal(signal.SIGTERM)
        await old.line_with("is leaving")
        async with run(runtime, *arguments("Service", port), "--takeover") as new:
            await new.line_with("is stopping: waiting for its end")
            (runtime / "go").touch()
            await serves(new)
            assert await the_end(old) == 0
            assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % new.process.pid
            assert await terminate(new) == 0
    assert files(runtime / "homing") == []


# --- addresses, names, the service manager ----------------------------------------------------------------


async def test_sockets_that_the_successor_does_not_want_are_closed_and_new_ones_bound(
    runtime: Path, peer: UDPPeer
) -> None:
    kept, gone, added = free_port(), free_port(), free_port()
    async with run(runtime, *arguments("Service", kept, gone)) as old:
        await serves(old)
        async with run(runtime, *arguments("Service", kept, added), "--takeover") as new:
            line = await new.line_with("no server was created")
            assert f"closed: {HOST}:{gone} [" in line
            await serves(new)
            assert await the_end(old) == 0
            for port in (kept, added):
                assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % new.process.pid
            assert not is_bound((HOST, gone))


async def test_homing_tree_shows_the_old_one_and_then_the_successor(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port)) as old:
        await serves(old)
        async with run(runtime, *arguments("Patient", port, file=f"{runtime}/go"), "--takeover") as new:
            await new.line_with("has its sockets")
            assert f"OS process {old.process.pid}" in (await tree(runtime, "taken@localhost"))[1]
            (runtime / "go").touch()
            await serves(new)
            assert await the_end(old) == 0
            assert f"OS process {new.process.pid}" in (await tree(runtime, "taken@localhost"))[1]
            assert files(runtime / "homing") == ["taken@localhost.sock", "taken@localhost.takeover"]
            assert await terminate(new) == 0
    assert files(runtime / "homing") == []


async def test_where_none_runs_it_starts_as_without(runtime: Path, peer: UDPPeer) -> None:
    port = free_port()
    async with run(runtime, *arguments("Service", port), "--takeover") as running:
        await serves(running)
        assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % running.process.pid
        assert files(runtime / "homing") == ["taken@localhost.sock", "taken@localhost.takeover"]
        assert await terminate(running) == 0


async def test_without_control_sockets_there_is_nothing_to_take_over_by(runtime: Path) -> None:
    code, text = await run_to_the_end(runtime, *arguments("Service", 0), "--takeover", "--no-control")
    assert (code, "--takeover needs the sockets that --no-control switches off" in text) == (2, True)
    async with run(runtime, *arguments("Service", free_port()), "--no-control") as running:
        await serves(running)
        assert files(runtime) == []


async def test_systemd_is_told_who_the_service_is_now(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with Manager() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
        monkeypatch.setenv("WATCHDOG_USEC", "3600000000")
        async with run(runtime, *arguments("Service", port)) as old:
            assert (await manager.next()).startswith("READY=1\nSTATUS=service (permanent), UDP 127.0.0.1:")
            assert await manager.next() == "WATCHDOG=1"
            await serves(old)
            async with run(runtime, *arguments("Service", port), "--takeover") as new:
                assert await manager.next() == f"MAINPID={new.process.pid}"
                assert (await manager.next()).startswith("READY=1")
                assert await manager.next() == "WATCHDOG=1"
                assert await the_end(old) == 0
                assert manager.waiting() == []
                assert await terminate(new) == 0
        assert manager.waiting() == ["STOPPING=1"]


async def test_an_upgrade_that_fails_is_told_to_systemd_and_can_be_tried_again(
    runtime: Path, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, file = free_port(), runtime / "started"
    with Manager() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
        async with run(runtime, *arguments("OnlyOnce", port, file=str(file))) as running:
            await manager.until("READY=1")
            running.process.send_signal(signal.SIGUSR2)
            assert (await manager.next()).startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert await manager.next() == "READY=1"
            await running.line_with("which was to take over, has ended (1); this program continues")
            assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % running.process.pid
            file.unlink()
            running.process.send_signal(signal.SIGUSR2)
            assert (await manager.next()).startswith("RELOADING=1")
            main = int((await manager.until("MAINPID="))[-1].partition("=")[2])
            assert (await manager.next()).startswith("READY=1")
            assert await peer.ask(b"2", (HOST, port)) == b"2 %d" % main
            await eventually(lambda: running.process.returncode == 0)
            os.kill(main, signal.SIGTERM)
            await manager.until("STOPPING=1")
            await running.line_with("stopped in order")
