"""`homing run`: from words on the command line to a running service, and to an exit code that tells how it ended."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import signal
from pathlib import Path

import pytest

from ..examples.test_examples import ROOT, terminate
from ..support import DEADLINE, UDPPeer
from .nodes import HERE, files, run, run_each, run_to_the_end, the_end, udp_port


async def test_an_application_answers_and_ends_in_order_on_sigterm(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service") as running:
        port = await udp_port(running)
        assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK"
        running.process.send_signal(signal.SIGTERM)
        assert await the_end(running) == 0
        assert "stopped in order" in running.output[-1]


@pytest.mark.skipif(shutil.which("nc") is None, reason="nc is not installed")
async def test_the_service_of_the_examples_answers_nc_as_its_docstring_says(runtime: Path) -> None:
    async with run(runtime, "examples.service:Service", "--env", "port=0", cwd=ROOT) as running:
        port = await udp_port(running)
        pipe = asyncio.subprocess.PIPE
        command = ("nc", "-u", "-w1", "127.0.0.1", str(port))
        client = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        async with asyncio.timeout(2 * DEADLINE):
            answer, _ = await client.communicate(b"to be or not to be\n")
        assert answer == b"6 words\n"


async def test_the_banner_says_what_runs_and_what_listens_where(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--name", "shop@host") as running:
        await running.line_with("default)")
        text = "".join(running.output)
        assert "node         shop@host\n" in text
        assert "application  served 1.2 (permanent): for tests\n" in text
        assert "processes    28\n" in text
        assert f"OS process   {running.process.pid}, Python 3." in text
        assert f"control      {runtime}/homing/shop@host.sock (read-only; --allow lets it change the node)\n" in text
        assert "look         homing top shop, homing tree shop\n" in text
        header, server = text.splitlines()[-2:]
        assert header.split("  ")[1].strip() == "UDP server"
        found = re.fullmatch(
            r"  127\.0\.0\.1:\d+ +echo +(native|portable) +[\d,]+ \(asked 65,536\) +[\d,]+ \(default\)", server
        )
        assert found, server
        for column in ("receiver", "backend", "receive buffer", "send buffer"):
            assert server[header.index(column) - 1] == " "
            assert server[header.index(column)] != " "


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_it_in_order(runtime: Path, number: signal.Signals) -> None:
    async with run(runtime, "served:Service") as running:
        await udp_port(running)
        running.process.send_signal(number)
        assert await the_end(running) == 0


async def test_a_second_signal_stops_it_at_once_and_the_exit_code_says_so(runtime: Path) -> None:
    async with run(runtime, "served:Stubborn", "--stop-timeout", "1000") as running:
        await running.line_with("no UDP server")
        running.process.send_signal(signal.SIGINT)
        await running.line_with("ending")
        running.process.send_signal(signal.SIGINT)
        assert await the_end(running) == 1
        assert "stopped by force" in running.output[-1]


async def test_what_does_not_end_within_the_stop_timeout_is_killed_and_the_exit_code_says_so(runtime: Path) -> None:
    async with run(runtime, "served:Stubborn", "--stop-timeout", "0.1") as running:
        await running.line_with("no UDP server")
        assert await terminate(running) == 1


async def test_a_signal_while_it_starts_stops_it(runtime: Path) -> None:
    async with run(runtime, "served:Slow", "--stop-timeout", "0.1") as running:
        await running.line_with("starting")
        running.process.send_signal(signal.SIGTERM)
        assert await the_end(running) == 1
        assert "stopped before it had started, by force" in running.output[-1]
        assert "Traceback" not in running.output[-1]


@pytest.mark.parametrize(
    ("target", "code", "reason"), [("Done", 0, "TerminateNormal()"), ("Crashing", 1, "ValueError('fault')")]
)
async def test_when_the_application_ends_by_itself_the_node_stops_and_the_exit_code_tells_how(
    runtime: Path, target: str, code: int, reason: str
) -> None:
    ended, text = await run_to_the_end(runtime, f"served:{target}")
    assert ended == code
    assert f"application {target.lower()} ended: {reason}" in text
    assert "stopped in order" in text


async def test_an_init_that_raises_is_shown_with_its_traceback(runtime: Path) -> None:
    code, text = await run_to_the_end(runtime, "served:Broken")
    assert code == 1
    assert 'raise ValueError("fault")' in text
    assert text.splitlines()[-1] == "homing run: not started: ValueError('fault')"


async def test_a_port_in_use_is_named_without_a_traceback(runtime: Path, peer: UDPPeer) -> None:
    code, text = await run_to_the_end(runtime, "served:Service", "--env", f"port={peer.address[1]}")
    assert code == 1
    assert f"not started: cannot bind UDP 127.0.0.1:{peer.address[1]}: Address already in use" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("target", ["served:instance", "served:Service", "served:Top", "served:Echo"])
async def test_an_application_its_instance_and_a_behavior_can_be_run(runtime: Path, target: str, peer: UDPPeer) -> None:
    async with run(runtime, target) as running:
        assert await peer.ask(b"hello", ("127.0.0.1", await udp_port(running))) == b"OK"
        assert await terminate(running) == 0


async def test_a_behavior_is_an_application_that_ends_with_it(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Echo") as running:
        peer.send(b"crash", ("127.0.0.1", await udp_port(running)))
        assert await the_end(running) == 1
        assert "application echo ended: RuntimeError('asked for')" in running.output[-1]


async def test_the_environment_given_comes_to_the_processes(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service", "--env", "word=a=b", "--env", "port=0") as running:
        assert await peer.ask(b"hello", ("127.0.0.1", await udp_port(running))) == b"a=b"


async def test_the_log_level_given_is_that_of_the_log(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--log-level", "ERROR") as running:
        await udp_port(running)
        assert await terminate(running) == 0
        assert " INFO " not in "".join(running.output)


@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
async def test_it_runs_on_uvloop(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service", "--uvloop") as running:
        assert "uvloop" in await running.line_with("OS process")
        assert await peer.ask(b"hello", ("127.0.0.1", await udp_port(running))) == b"OK"
        assert await terminate(running) == 0


async def test_without_a_control_socket_none_is_made(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--no-control") as running:
        assert "off (--no-control)" in await running.line_with("control")
        assert files(runtime) == []


async def test_where_others_could_enter_no_control_socket_is_made_and_the_service_runs(
    runtime: Path, peer: UDPPeer
) -> None:
    (runtime / "homing").mkdir(mode=0o755)
    async with run(runtime, "served:Service") as running:
        line = await running.line_with("  control")
        assert f"off: others can enter {runtime}/homing (mode 755); `chmod 700 {runtime}/homing`" in line
        assert await peer.ask(b"hello", ("127.0.0.1", await udp_port(running))) == b"OK"


async def test_a_second_node_of_the_same_name_is_refused(runtime: Path) -> None:
    async with run(runtime, "served:Service") as running:
        await udp_port(running)
        code, text = await run_to_the_end(runtime, "served:Service")
        assert code == 1
        assert "a node served@localhost runs already" in text
        assert "give this one another --name" in text
        assert await terminate(running) == 0


async def test_what_a_killed_node_left_behind_is_replaced(runtime: Path) -> None:
    async with run(runtime, "served:Service") as running:
        await udp_port(running)
        running.process.kill()
        await running.end()
    assert files(runtime / "homing") == ["served@localhost.sock", "served@localhost.takeover"]
    async with run(runtime, "served:Service") as running:
        await udp_port(running)
        assert await terminate(running) == 0
    assert files(runtime / "homing") == []


WRONG: list[tuple[list[str], str]] = [
    (["served"], "'served' is not a target; give module:attribute"),
    ([":Service"], "is not a target; give module:attribute"),
    (["served.py"], "the path of a file; give module:attribute, for example served:App"),
    (["./served.py:Service"], "for example served:Service"),
    (["nothing:App"], f"there is no module 'nothing'; the current directory is {HERE}"),
    (["served.deeper:App"], "there is no module 'served.deeper'"),
    (["missing.deeper:App"], "there is no module 'missing.deeper' (there is no 'missing')"),
    (
        ["served:Servise"],
        "module 'served' has no 'Servise'; did you mean 'Service'? it has: Echo, Sharing, Workers, Top,",
    ),
    (["served:number"], "served:number is of type int, no gen.Application, act.Actor or the like; it has: Echo"),
    (["served:NeedsArguments"], "cannot be created without arguments"),
    (["json:dumps"], "json:dumps is of type function"),
    (["json:dumps"], "nothing there can be run: define a class derived from gen.Application or act.Actor"),
    (["served:Service", "--env", "word"], "'word' is not KEY=VALUE"),
    (["served:Service", "--env", "=x"], "'=x' is not KEY=VALUE"),
    (["served:Service", "--name", "shop"], "name='shop': give name@host"),
    (["served:Service", "--log-level", "loud"], "'loud' is not one of"),
    (["served:Service", "--stop-timeout", "-1"], "stop-timeout"),
    (["served:Service", "--stop-timeout", "inf"], "--stop-timeout=inf: give "),
    ([], "no target"),
]
"""Arguments, and what is said of them."""


@pytest.fixture(scope="module")
def told() -> list[tuple[int, str]]:
    """Exit codes and outputs, one of each of `WRONG`."""
    return run_each(*(arguments for arguments, _ in WRONG))


@pytest.mark.parametrize("number", range(len(WRONG)), ids=lambda number: " ".join(WRONG[number][0]) or "nothing")
def test_wrong_use_is_answered_with_what_to_do_and_exit_code_2(number: int, told: list[tuple[int, str]]) -> None:
    code, output = told[number]
    assert code == 2
    assert WRONG[number][1] in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("source", "code", "text"),
    [
        ("import no_such_module", 2, "module 'broken' imports 'no_such_module', which is not found"),
        ("1 / 0", 1, "broken:App cannot be imported: ZeroDivisionError"),
    ],
)
async def test_a_module_that_cannot_be_imported_shows_why(runtime: Path, source: str, code: int, text: str) -> None:
    (runtime / "broken.py").write_text(source)
    ended, output = await run_to_the_end(runtime, "broken:App", cwd=runtime)
    assert ended == code
    assert text in output
    assert ("Traceback" in output) is (code == 1)


async def test_a_signal_while_a_supervisor_waits_to_restart_a_child_stops_it_in_order(runtime: Path) -> None:
    async with run(runtime, "served:Patient") as running:
        await running.line_with("backing off")
        assert await terminate(running) == 0


async def test_a_supervisor_that_gives_up_ends_the_service_and_the_exit_code_says_so(runtime: Path) -> None:
    code, text = await run_to_the_end(runtime, "served:Impatient")
    assert code == 1
    assert "ended: RestartsExceeded(" in text
