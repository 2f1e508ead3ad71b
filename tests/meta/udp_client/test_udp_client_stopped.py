"""A program that was stopped, or held: replies that wait in its socket are read before a timer gives up or repeats."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest

import homing
from homing import gen, meta

from ...support import DEADLINE, Probe, UDPPeer, eventually
from .clients import PATIENT, ask, asked, by_id, check_account, counted, open_client

pytestmark = [pytest.mark.backends, pytest.mark.loops]

MANY = 250
"""Requests whose replies fit into a receive buffer, and take more than one wake-up of the loop to be read."""

TIMEOUTS = (0.4, 1.5, 6.0)
"""Seconds from a request to its timeout. The next of them, if the machine was too busy to make all requests in time."""

ENDS = ("fails", "is repeated", "is given up by its caller")
"""The end of a request that gets no reply in time."""


def past(seconds: float) -> list[tuple[float, int, float]]:
    """The timeout, retries and patience of a request for each of `ENDS` after so many seconds."""
    return [(seconds, 0, PATIENT), (seconds, 2, PATIENT), (PATIENT, 0, seconds)]


PROGRAM = """
import asyncio, os, signal, sys
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
        return self.client, self.udp

async def main(node, port, timeout, retries, patience, count):
    client, udp = await node.call(await node.spawn(Asker, int(port), float(timeout), int(retries)), "client")
    begun = asyncio.get_running_loop().time()
    questions = [b"%03d" % number for number in range(int(count))]
    calls = [asyncio.ensure_future(node.call(client, one, timeout=float(patience))) for one in questions]
    while udp.statistics().requests < len(questions):
        await asyncio.sleep(0)
    if asyncio.get_running_loop().time() - begun > min(float(timeout), float(patience)) / 2:
        print("too late", flush=True)
        os._exit(0)
    print("open", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    print([type(outcome).__name__ for outcome in outcomes].count("MessageUDP"))
    facts = await node.inspect_meta(client)
    print(*[facts[name] for name in ("answered", "timeouts", "late", "retransmits")])

homing.run(main, *sys.argv[2:], uvloop=sys.argv[1] == "uvloop")
"""
"""Stops itself when all its requests are open, or ends if half of their time is over then."""


def loop_name() -> str:
    return "uvloop" if "uvloop" in type(asyncio.get_running_loop()).__module__ else "homing"


async def stopped_for_a_while(timeout: float, retries: int, patience: float) -> list[bytes] | None:
    """Answers the requests of a program that has stopped itself, and lets it continue when their time is over.

    Returns what it has counted, or None if it was too late to stop.
    """
    with UDPPeer() as peer:
        arguments = [peer.address[1], timeout, retries, patience, MANY]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, loop_name(), *map(str, arguments), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE):
                if await process.stdout.readline() != b"open\n":
                    return None
            stopped = time.monotonic()
            for _ in range(MANY):
                data, source = await peer.receive()
                peer.send(data, source)
            await asyncio.sleep(stopped + min(timeout, patience) + 0.1 - time.monotonic())
            process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(DEADLINE):
                return (await process.stdout.read()).split()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_a_program_that_is_stopped_past_the_timeout_finds_the_replies_that_came_meanwhile() -> None:
    ends = list(range(len(ENDS)))
    for seconds in TIMEOUTS:
        told = await asyncio.gather(*(stopped_for_a_while(*past(seconds)[end]) for end in ends))
        for one in told:
            assert one in (None, [b"%d" % MANY, b"%d" % MANY, b"0", b"0", b"0"])
        ends = [end for end, one in zip(ends, told, strict=True) if one is None]
        if not ends:
            return
    raise AssertionError(f"it takes more than {TIMEOUTS[-1] / 2} s to make {MANY} requests")


@pytest.fixture
async def brief() -> AsyncIterator[homing.Node]:
    """A node that reads for a moment only at a stretch, as by default."""
    options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
    async with homing.start_node("brief@localhost", options) as node:
        yield node


@pytest.mark.parametrize("connected", [True, False])
async def test_what_holds_the_loop_past_a_timeout_makes_no_reply_late(connected: bool, brief: homing.Node) -> None:
    probe = await Probe.start(brief)
    for seconds in TIMEOUTS:
        if await are_answered_while_the_loop_is_held(brief, probe, connected, seconds):
            return
    raise AssertionError(f"it takes more than {TIMEOUTS[-1]} s to make the requests")


async def are_answered_while_the_loop_is_held(
    brief: homing.Node, probe: Probe, connected: bool, seconds: float
) -> bool:
    """Returns False if the time of the requests was over before all of them were open."""
    questions = [b"%03d" % number for number in range(MANY // 2)]
    clients, calls = [], []
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(UDPPeer()) for _ in ENDS]
        for peer, (timeout, retries, patience) in zip(peers, past(seconds), strict=True):
            options = {"key": bytes, "timeout": timeout, "retries": retries, "connected": connected}
            client, alias = await open_client(probe, peer, **options)
            clients.append(client)
            calls += [asyncio.create_task(brief.call(alias, data, timeout=patience)) for data in questions]
        await eventually(lambda: all(client.statistics().requests >= len(questions) for client in clients))
        sources = [(await peer.receive())[1] for peer in peers]
        all_open = time.monotonic()
        if all_open - begun > seconds / 2:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            return False
        for peer, source in zip(peers, sources, strict=True):
            for data in questions:
                peer.send(data, source)
        time.sleep(max(0.0, all_open + seconds + 0.1 - time.monotonic()))  # noqa: ASYNC251 - beyond the end of every wait
        assert [(await task).data for task in calls] == questions * len(ENDS)
    for client in clients:
        assert (client.statistics().timeouts, client.statistics().retransmits, client.statistics().late) == (0, 0, 0)
        check_account(client)
    return True


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
    task = ask(node, alias, b"question", timeout=0.3)
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
