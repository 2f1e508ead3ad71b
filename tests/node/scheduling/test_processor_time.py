"""What a thread had of the processors, read from any thread, on the real clock of the system."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from homing.node.scheduling.processor_time import ProcessorClock, Reading

from ...support import DEADLINE

pytestmark = [pytest.mark.once, pytest.mark.skipif(sys.platform != "linux", reason="the clocks are those of Linux")]


@pytest.fixture
def clock() -> ProcessorClock:
    return ProcessorClock()


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_it_counts_what_its_thread_burns_and_not_what_it_sleeps(clock: ProcessorClock) -> None:
    before = clock.read()
    time.sleep(0.05)
    slept = clock.read()
    burn(0.05)
    burned = clock.read().since(slept)
    assert burned.cpu is not None
    assert burned.cpu >= 0.05
    assert burned.program >= 0.05
    assert burned.at >= 0.049  # of another clock than `cpu`: the system may slew the one against the other
    asleep = slept.since(before)
    assert asleep.cpu is not None
    assert asleep.at >= 0.05 > asleep.cpu


def test_it_can_be_read_from_another_thread(clock: ProcessorClock) -> None:
    found: list[Reading] = []
    done = threading.Event()

    def read() -> None:
        first = clock.read()
        while not found and not done.is_set():
            span = clock.read().since(first)
            if span.cpu is not None and span.cpu >= 0.02 and clock.ready():
                found.append(span)

    thread = threading.Thread(target=read)
    thread.start()
    end = time.monotonic() + DEADLINE
    while not found and time.monotonic() < end:
        burn(0.001)
    done.set()
    thread.join()
    assert found


def test_it_tells_what_a_thread_had_to_wait_for_a_processor(clock: ProcessorClock) -> None:
    if clock.read().waited is None:
        pytest.skip("this kernel does not tell")
    mine = os.sched_getaffinity(0)
    one = {min(mine)}
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(rival.pid, one)
        os.sched_setaffinity(0, one)
        before = clock.read()
        end = time.monotonic() + DEADLINE
        while (span := clock.read().since(before)).at - span.own < 0.05 and time.monotonic() < end:
            burn(0.005)
    finally:
        os.sched_setaffinity(0, mine)
        rival.kill()
        rival.wait()
    assert span.waited is not None
    assert span.waited >= 0.05
    assert span.cpu is not None
    assert span.own >= 0.5 * span.cpu


def test_of_a_thread_that_has_ended_it_tells_nothing_more_and_raises_nothing() -> None:
    clocks: list[ProcessorClock] = []
    thread = threading.Thread(target=lambda: clocks.append(ProcessorClock()))
    thread.start()
    thread.join()
    end = time.monotonic() + DEADLINE
    while clocks[0].ready() and time.monotonic() < end:
        time.sleep(0.001)  # the system takes its time to end it
    assert not clocks[0].ready()
    reading = clocks[0].read()
    assert reading.waited is None
    assert reading.since(reading).own == 0.0


def test_where_the_system_does_not_tell_all_of_the_time_is_the_threads_own() -> None:
    span = Reading(2.0, None, None, 1.0).since(Reading(1.0, None, None, 0.0))
    assert (span.own, span.cpu, span.waited) == (1.0, None, None)
    assert Reading(1.0, 0.1, 0.7, 0.1).own == pytest.approx(0.3)
    assert Reading(1.0, 0.1, 1.7, 0.1).own == 0.0
