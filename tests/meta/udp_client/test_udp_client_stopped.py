"""A program that was stopped, or held: replies that wait in its socket are read before a timer gives up or repeats."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import DEADLINE, Probe, UDPPeer
from .clients import PATIENT, ask, asked, by_id, check_account, counted, open_client

pytestmark = [pytest.mark.backends, pytest.mark.loops]

MANY = 250
"""Requests whose replies fit into a receive buffer, and take more than one wake-up of the loop to be read."""

HELD = 1.5
"""Seconds from a request to its timeout, in which all requests are made on a busy machine too."""

ENDS = ("fails", "is repeated", "is given up by its caller")
"""The end of a request that gets no reply in time."""


def past(seconds: float) -> list[tuple[float, int, float]]:
    """The timeout, retries and patience of a request for each of `ENDS` after so many seconds."""
    return [(seconds, 0, PATIENT), (seconds, 2, PATIENT), (PATIENT, 0, seconds)]


PROGRAM = """
import asyncio, sys
import homing
from homing import act, gen, meta

class Asker(act.Actor):
    async def init(self, port, timeout, retries):
        options = meta.UDPClientOptions(
            host="127.0.0.1", port=port, key=bytes, timeout=timeout, retries=retries, jitter=0
        )
        self.udp = meta.create_udp_client(options)
        self.client = await self.spawn_meta(self.udp)

    def handle_call(self, sender, ref, request):
        return self.client

async def main(node, port, timeout, retries, patience, count):
    options = [int(port), float(timeout), int(retries)]
    client = await node.call(await node.spawn(Asker, *options), "client")
    calls = [node.call(client, b"%03d" % number, timeout=float(patience)) for number in range(int(count))]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    print([type(outcome).__name__ for outcome in outcomes].count("MessageUDP"))
    facts = await node.inspect_meta(client)
    print(*[facts[name] for name in ("answered", "timeouts", "late", "retransmits")])

homing.run(main, *sys.argv[2:], uvloop=sys.argv[1] == "uvloop")
"""


def loop_name() -> str:
    return "uvloop" if "uvloop" in type(asyncio.get_running_loop()).__module__ else "homing"


async def stopped_for_a_while(timeout: float, retries: int, patience: float) -> list[bytes]:
    """Stops a program that has requests open, answers them, and lets it continue. Gives what it has counted."""
    with UDPPeer() as peer:
        arguments = [peer.address[1], timeout, retries, patience, MANY]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, loop_name(), *map(str, arguments), stdout=asyncio.subprocess.PIPE
        )
        try:
            questions = [await peer.receive()]
            process.send_signal(signal.SIGSTOP)
            since = time.monotonic()
            questions += await waiting(peer, MANY - 1)
            for data, source in questions:
                peer.send(data, source)
            while time.monotonic() - since < 0.8:  # time has to pass: that is the test
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGCONT)
            for _ in range(MANY - len(questions)):
                data, source = await peer.receive()
                peer.send(data, source)
            assert process.stdout is not None
            async with asyncio.timeout(DEADLINE):
                return (await process.stdout.read()).split()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_a_program_that_is_stopped_past_the_timeout_finds_the_replies_that_came_meanwhile() -> None:
    told = await asyncio.gather(*(stopped_for_a_while(*waits) for waits in past(0.3)))
    assert told == [[b"%d" % MANY, b"%d" % MANY, b"0", b"0", b"0"]] * len(ENDS)


async def waiting(peer: UDPPeer, count: int) -> list[Any]:
    """What has come to `peer` and comes within a moment, `count` at most: a stopped program sends no more."""
    found: list[Any] = []
    end = time.monotonic() + 0.2
    while len(found) < count and time.monotonic() < end:
        try:
            found.append(peer.socket.recvfrom(100))
        except BlockingIOError:
            await asyncio.sleep(0.001)
    return found


@pytest.fixture
async def brief() -> AsyncIterator[homing.Node]:
    """A node that reads for a moment only at a stretch, as by default."""
    options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
    async with homing.start_node("brief@localhost", options) as node:
        yield node


@pytest.mark.parametrize("connected", [True, False])
async def test_what_holds_the_loop_past_a_timeout_makes_no_reply_late(connected: bool, brief: homing.Node) -> None:
    probe = await Probe.start(brief)
    questions = [b"%03d" % number for number in range(MANY // 2)]
    clients, calls = [], []
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(UDPPeer()) for _ in ENDS]
        for peer, (timeout, retries, patience) in zip(peers, past(HELD), strict=True):
            options = {"key": bytes, "timeout": timeout, "retries": retries, "connected": connected}
            client, alias = await open_client(probe, peer, **options)
            clients.append(client)
            calls += [asyncio.create_task(brief.call(alias, data, timeout=patience)) for data in questions]
        for client in clients:
            await counted(client, open=len(questions))
        all_open = time.monotonic()
        for peer in peers:
            _, source = await peer.receive()
            for data in questions:
                peer.send(data, source)
        time.sleep(max(0.0, all_open + HELD + 0.1 - time.monotonic()))  # noqa: ASYNC251 - beyond the end of every wait
        assert [(await task).data for task in calls] == questions * len(ENDS)
    for client in clients:
        assert (client.statistics().timeouts, client.statistics().retransmits, client.statistics().late) == (0, 0, 0)
        check_account(client)


async def test_a_flood_of_strays_does_not_keep_a_request_open(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, key=by_id, timeout=0.05, retries=1, stray="drop")
    task, source = await asked(node, alias, peer, b"01")
    ended = threading.Event()

    def flood() -> None:
        while not ended.is_set():
            peer.socket.sendto(b"99 stray", source)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        with pytest.raises(gen.RequestTimeout) as caught:
            await task
    finally:
        ended.set()
        await asyncio.to_thread(thread.join)
    assert caught.value.attempts == 2
    await counted(client, open=0, timeouts=1)


async def test_a_call_whose_time_is_over_while_the_loop_is_held_takes_an_answer_that_was_there(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer)
    task = ask(node, alias, b"question", timeout=0.1)
    _, source = await peer.receive()

    def hold() -> None:
        peer.send(b"answer", source)
        time.sleep(0.4)

    asyncio.get_running_loop().call_soon(hold)
    reply = await task
    assert isinstance(reply, meta.MessageUDP)
    assert reply.data == b"answer"
    await counted(client, answered=1, late=0)


async def test_a_call_that_nobody_answers_fails_though_the_loop_was_held(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_client(probe, peer)
    task = ask(node, alias, b"question", timeout=0.1)
    await peer.receive()
    asyncio.get_running_loop().call_soon(time.sleep, 0.4)
    with pytest.raises(gen.CallTimeout):
        await task
