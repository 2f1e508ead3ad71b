"""The end of a program: what is asked to stop ends, whatever it has left behind. In programs of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle

import pytest

from ..support import DEADLINE

PROGRAM = """
import asyncio, concurrent.futures, socket, sys, threading, time
import homing
from homing import act, gen, meta

def say(*words):
    print(*words, flush=True)

class Doer(act.Actor):
    async def handle_message(self, sender, function):
        result = function(self)
        if asyncio.iscoroutine(result):
            await result

{body}

if __name__ == "__main__":
    options = gen.NodeOptions(stop_timeout={timeout})
    say("result", homing.run(main, options=options, uvloop={uvloop}))
"""


@contextmanager
def program(body: str, *, timeout: float = 3.0, uvloop: bool = False) -> Iterator[subprocess.Popen[str]]:
    source = PROGRAM.format(body=body, timeout=timeout, uvloop=uvloop)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", source], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str], *numbers: signal.Signals) -> tuple[str, str, int]:
    """What it says from here on, its errors (the log is none), and its exit code."""
    for number in numbers:
        process.send_signal(number)
    out, errors = process.communicate(timeout=2 * DEADLINE)
    lines = [line for line in errors.splitlines(keepends=True) if not line.startswith("INFO homing")]
    return out, "".join(lines), process.returncode


LOOPS = """
async def main(node):
    say("ready")
    try:
        while True:
            await asyncio.sleep(0.01)
    finally:
        say("cleaned up", node.info().state)
"""

loops = pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])


@loops
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_main_that_does_not_wait_for_the_node_is_cancelled_once_that_has_stopped(
    uvloop: bool, number: signal.Signals
) -> None:
    with program(LOOPS, timeout=60, uvloop=uvloop) as process:
        assert end(process, number) == ("cleaned up stopped\nresult None\n", "", 0)


def test_a_main_that_waits_for_the_node_gets_the_time_to_finish() -> None:
    body = """
async def main(node):
    say("ready")
    await node.wait()
    await asyncio.sleep(0.3)
    return "finished"
"""
    with program(body, timeout=60) as process:
        assert end(process, signal.SIGTERM) == ("result finished\n", "", 0)


def test_a_main_that_waits_for_the_node_does_not_outlive_the_stop_timeout() -> None:
    body = """
async def main(node):
    say("ready")
    await node.wait()
    await asyncio.sleep(3600)
"""
    with program(body, timeout=0.5) as process:
        assert end(process, signal.SIGTERM) == ("result None\n", "", 0)


def test_a_main_that_stops_the_node_itself_goes_on_as_long_as_it_likes() -> None:
    body = """
async def main(node):
    say("ready")
    await node.stop()
    await asyncio.sleep(1.5)
    return "finished"
"""
    with program(body, timeout=0.1) as process:
        assert end(process) == ("result finished\n", "", 0)


def test_a_main_that_swallows_its_cancellation_is_left_behind_and_named() -> None:
    body = """
async def main(node):
    say("ready")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            say("swallowed")
"""
    with program(body, timeout=0.5) as process:
        out, errors, code = end(process, signal.SIGTERM)
        assert out.endswith("result None\n")
        assert "main main does not end, even after its cancellation; it is left behind" in errors
        assert code == 0


def test_a_task_that_swallows_its_cancellation_is_left_behind() -> None:
    body = """
async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def main(node):
    task = asyncio.create_task(stubborn())
    say("ready")
    await node.wait()
"""
    with program(body, timeout=0.5) as process:
        out, _, code = end(process, signal.SIGTERM)
        assert (out, code) == ("result None\n", 0)


LEFT = {
    "in the loop's executor": "node.send(doer, lambda actor: asyncio.to_thread(time.sleep, 3600))",
    "in many threads of it": "[asyncio.ensure_future(asyncio.to_thread(time.sleep, 3600)) for _ in range(100)]",
    "in an executor of its own": "node.send(doer, lambda actor: [pool.submit(time.sleep, 3600), None][1])",
    "in a thread": "threading.Thread(target=time.sleep, args=(3600,)).start()",
    "in a resolver": "node.send(doer, resolve)",
    "in a resolver of a UDP client": "node.send(doer, connect)",
    "on a thread of a process": "node.send(await node.spawn(Doer, options=THREAD), lambda actor: time.sleep(3600))",
}


BODY_LEFT = """
THREAD = gen.ProcessOptions(thread=True)
pool = concurrent.futures.ThreadPoolExecutor()

def hang(*args, **kwargs):
    time.sleep(3600)

async def resolve(actor):
    socket.getaddrinfo = hang
    await asyncio.get_running_loop().run_in_executor(None, socket.getaddrinfo, "name", 53)

async def connect(actor):
    if not {uvloop}:  # uvloop has a resolver of its own
        known, socket.getaddrinfo = socket.getaddrinfo, lambda host, *args, **kwargs: (
            hang() if host == "name" and not kwargs.get("flags") else known(host, *args, **kwargs)
        )
        await actor.spawn_meta(meta.create_udp_client(meta.UDPClientOptions(host="name", port=53)))

async def main(node):
    doer = await node.spawn(Doer)
    {left}
    await asyncio.sleep(0.1)
    say("ready")
    await node.wait()
"""


def test_what_a_handler_has_left_behind_does_not_hold_the_program() -> None:
    with ExitStack() as stack:
        programs = {
            name: stack.enter_context(program(BODY_LEFT.format(left=left, uvloop=uvloop), timeout=0.5, uvloop=uvloop))
            for uvloop, (name, left) in zip(cycle((False, True)), LEFT.items())
        }
        begin = time.monotonic()
        for process in programs.values():
            process.send_signal(signal.SIGTERM)
        ends = {name: end(process)[::2] for name, process in programs.items()}  # they all end in the same time
        assert ends == dict.fromkeys(LEFT, ("result None\n", 0))
        assert time.monotonic() - begin < DEADLINE


def test_a_job_in_the_executor_that_ends_in_time_is_waited_for() -> None:
    body = """
def job():
    time.sleep(0.5)
    say("job done")

async def main(node):
    asyncio.get_running_loop().run_in_executor(None, job)
    say("ready")
    await node.wait()
"""
    with program(body, timeout=60) as process:
        assert end(process, signal.SIGTERM) == ("job done\nresult None\n", "", 0)


# --- a second signal ---------------------------------------------------------------------------------------------


WAITS = LOOPS.replace("await asyncio.sleep(0.01)", "await node.wait(); break")


@pytest.mark.parametrize(
    ("delay", "uvloop", "body"),
    [(0.0, False, LOOPS), (0.01, True, LOOPS), (0.05, False, WAITS), (0.1, True, WAITS), (0.2, False, LOOPS)],
)
def test_two_signals_shortly_after_each_other_stop_an_idle_program_in_order(
    delay: float, uvloop: bool, body: str
) -> None:
    with program(body, uvloop=uvloop) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(delay)  # which is what is tested
        assert end(process, signal.SIGTERM, signal.SIGINT) == ("cleaned up stopped\nresult None\n", "", 0)


def test_a_second_signal_counts_after_a_moment_also_when_the_node_has_stopped() -> None:
    body = """
async def main(node):
    say("ready")
    await node.wait()
    say("stopped")
    await asyncio.sleep(3600)
"""
    with program(body, timeout=3600) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopped\n"
        out, errors, code = end(process, signal.SIGTERM)
        assert (out, code) == ("result None\n", 0)
        assert "Traceback" not in errors


@pytest.mark.slow
def test_a_stdout_that_nobody_reads_does_not_hold_a_program_whose_threads_do_not_end() -> None:
    body = """
import os

flushes = True

def say(*words):
    print(*words, flush=flushes)

async def main(node):
    global flushes
    say("ready")
    flushes = False
    sys.stdout = open(1, "w", closefd=False)  # with a buffer, whatever the environment asks for
    await node.wait()
    os.set_blocking(1, False)
    try:
        while True:
            os.write(1, bytes(4096))
    except BlockingIOError:
        os.set_blocking(1, True)
    threading.Thread(target=time.sleep, args=(3600,)).start()
"""
    with program(body, timeout=0.1) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
