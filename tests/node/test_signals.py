"""SIGINT and SIGTERM: the first stops the node in order, the second at once. In programs of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..support import DEADLINE

PROGRAM = """
import asyncio, signal, sys
import homing
from homing import act, gen

class Noted(act.Actor):
    async def handle_message(self, sender, message):
        if message == "hang":
            print("ready", flush=True)
            await asyncio.Event().wait()
        print("handled", message, flush=True)

    def terminate(self, reason):
        print(self.name, reason, flush=True)

async def main(node):
    before = {before}
    first, second = await node.spawn(Noted, name="first"), await node.spawn(Noted, name="second")
    {body}
    await node.wait()
    print(node.info().state, flush=True)
    print("restored", [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before, flush=True)

async def outer():
    global before
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    async with homing.start_node("demo@localhost", gen.NodeOptions(stop_timeout={timeout})) as node:
        await main(node)

with asyncio.Runner({loop}) as runner:
    runner.run(outer())
"""


@contextmanager
def program(body: str, *, timeout: float = 60, loop: str = "") -> Iterator[subprocess.Popen[str]]:
    source = PROGRAM.format(body=body, timeout=timeout, loop=loop, before="globals()['before']")
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "loop",
    ["", "loop_factory=homing.new_event_loop", "loop_factory=__import__('uvloop').new_event_loop"],
    ids=["asyncio", "homing", "uvloop"],
)
def test_a_signal_stops_the_node_in_order_and_the_handlers_are_restored(number: signal.Signals, loop: str) -> None:
    with program("print('ready', flush=True)", loop=loop) as process:
        assert lines(process, 1) == ["ready"]
        process.send_signal(number)
        assert lines(process, 4) == ["second shutdown", "first shutdown", "stopped", "restored True"]
        assert process.wait(DEADLINE) == 0


def test_a_second_signal_kills_what_the_first_waits_for() -> None:
    with program("node.send(first, 'hang')") as process:
        assert lines(process, 1) == ["ready"]
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert sorted(lines(process, 2))[0] == "first kill"
        assert lines(process, 2) == ["stopped", "restored True"]
        assert process.wait(DEADLINE) == 0


def test_a_signal_lets_the_mailboxes_be_worked_off() -> None:
    body = "node.send(first, 1); node.send(first, 2); signal.raise_signal(signal.SIGTERM)"
    with program(body) as process:
        assert lines(process, 4) == ["handled 1", "handled 2", "second shutdown", "first shutdown"]
        assert process.wait(DEADLINE) == 0


def test_two_nodes_on_one_loop_are_both_stopped_by_one_signal() -> None:
    body = """
    async with homing.start_node("other@localhost") as other:
        third = await other.spawn(Noted, name="third")
        signal.raise_signal(signal.SIGTERM)
        await other.wait()
"""
    with program(body.strip()) as process:
        assert sorted(lines(process, 3)) == ["first shutdown", "second shutdown", "third shutdown"]
        assert lines(process, 2) == ["stopped", "restored True"]
        assert process.wait(DEADLINE) == 0
