"""Tests of the thermometer at three levels: a function, an actor in virtual time, and a program on a real socket.

pytest examples/cookbook/test_thermometer.py
"""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

from thermometer import Thermometer, parse

import homing
from homing.testing import FakeNetwork, run_virtual


# Level 1: what a payload means is a function. Most cases belong here: each takes microseconds.
def test_a_reading_has_a_room_and_a_temperature():
    assert parse(b"kitchen 21.5\n") == (b"kitchen", 21.5)


def test_what_is_no_reading_is_refused():
    for payload in (b"", b"kitchen", b"kitchen warm", b"kitchen nan", b"kitchen 1e9", b" 5", b"k" * 21 + b" 5"):
        assert parse(payload) is None


# Level 2: what an actor does over time, on a fake network. The minute takes no time.
def test_a_room_is_forgotten_when_it_is_silent_for_a_minute():
    async def main():
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost") as node:
                await node.spawn(Thermometer, "10.0.0.1", 4000)
                sensor = network.socket("10.0.0.2")
                sensor.send(b"kitchen 21.5", ("10.0.0.1", 4000))
                await asyncio.sleep(59)
                sensor.send(b"kitchen", ("10.0.0.1", 4000))
                assert await sensor.receive() == (b"21.5\n", ("10.0.0.1", 4000))
                await asyncio.sleep(2)
                sensor.send(b"kitchen", ("10.0.0.1", 4000))
                await asyncio.sleep(1)
                assert sensor.waiting() == []

    run_virtual(main)


# Level 3: the program as it is started, asked by a socket of the system. A few of these are enough.
def test_the_program_answers():
    command = [sys.executable, Path(__file__).with_name("thermometer.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            port = int(program.stdout.readline().split()[-1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sensor:
                sensor.settimeout(20)
                for payload in (b"kitchen 21.5", b"kitchen"):
                    sensor.sendto(payload, ("127.0.0.1", port))
                assert sensor.recv(100) == b"21.5\n"
        finally:
            program.terminate()
