"""`homing demo`: what a stranger runs first."""

from __future__ import annotations

import re
import signal
from asyncio.subprocess import PIPE

from ..examples.test_examples import Program, program, terminate
from ..support import UDPPeer, free_port

COMMAND = ("-m", "homing", "demo", "--port", "0")


async def ports(running: Program) -> tuple[int, int]:
    """The ports of the echo server and of the pool's."""
    echo = await running.line_with("  echo   UDP ")
    pool = await running.line_with("  pool   UDP ")
    found = [re.search(r":(\d+) ", line) for line in (echo, pool)]
    first, second = (int(match[1]) for match in found if match)
    return first, second


async def test_the_echo_server_answers_ok_and_the_payload(peer: UDPPeer) -> None:
    async with program(*COMMAND) as running:
        echo, _ = await ports(running)
        assert await peer.ask(b"hello", ("127.0.0.1", echo)) == b"OK: hello"


async def test_three_workers_answer_in_turn(peer: UDPPeer) -> None:
    async with program(*COMMAND) as running:
        _, pool = await ports(running)
        answers = [await peer.ask(b"hello", ("127.0.0.1", pool)) for _ in range(6)]
    workers = [re.fullmatch(rb"worker (\d+): hello", answer) for answer in answers]
    names = [match[1] for match in workers if match]
    assert len(set(names)) == 3
    assert names[:3] == names[3:]


async def test_it_prints_the_commands_that_try_it() -> None:
    async with program(*COMMAND) as running:
        echo, pool = await ports(running)
        assert f"nc -u -w1 127.0.0.1 {echo}" in await running.line_with("nc -u")
        assert f"UDP:127.0.0.1:{pool}" in await running.line_with("socat")


async def test_the_echo_server_answers_again_on_its_port_after_a_crash(peer: UDPPeer) -> None:
    port = free_port()
    async with program("-m", "homing", "demo", "--port", str(port)) as running:
        await ports(running)
        peer.send(b"crash", ("127.0.0.1", port))
        await running.line_with("restarts 1")
        assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK: hello"


async def test_load_is_sent_through_real_sockets_and_every_answer_is_right() -> None:
    async with program(*COMMAND, "--load", "--rate", "500", "--seconds", "3") as running:
        await ports(running)
        await running.line_with("stopped in order")
        assert await running.end() == 0
    counts = [re.search(r"sent ([\d,]+) answered ([\d,]+) wrong (\d+)", line) for line in running.output]
    sent, answered, wrong = (int(number.replace(",", "")) for number in [m for m in counts if m][-1].groups())
    assert sent >= answered > 0
    assert wrong == 0


async def test_ctrl_c_stops_it_in_order() -> None:
    async with program(*COMMAND) as running:
        await ports(running)
        await running.line_with("Ctrl-C")
        running.process.send_signal(signal.SIGINT)
        await running.line_with("stopped in order")
        assert await running.end() == 0


async def test_sigterm_stops_it_in_order() -> None:
    async with program(*COMMAND) as running:
        await ports(running)
        await running.line_with("Ctrl-C")
        assert await terminate(running) == 0


async def test_a_port_in_use_is_named_without_a_traceback(peer: UDPPeer) -> None:
    async with program("-m", "homing", "demo", "--port", str(peer.address[1]), stderr=PIPE) as running:
        assert await running.end() == 1
        stderr = running.process.stderr
        assert stderr is not None
        text = (await stderr.read()).decode()
    assert f"cannot bind UDP 127.0.0.1:{peer.address[1]}: Address already in use" in text
    assert "Traceback" not in text


async def test_on_every_ipv6_interface_it_prints_and_loads_what_can_be_reached() -> None:
    async with program(*COMMAND, "--host", "::", "--load", "--seconds", "1.5") as running:
        assert "[::]:" in await running.line_with("  echo   UDP ")
        assert "nc -u -w1 ::1 " in await running.line_with("nc -u")
        assert "UDP6:[::1]:" in await running.line_with("socat")
        assert "wrong 0" in await running.line_with("answered")
        assert await running.end() == 0
