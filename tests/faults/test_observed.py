"""An observed node under flood loses no more than an unobserved one."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import homing
from homing import meta, observe

from ..meta.servers import HOST, create
from .figures import figure
from .test_flood import Counter, Owner, flood

SECONDS = 2.0
SETTLES = 1.2
"""Seconds until the clients have begun, or the last of them has ended."""

ROUNDS = 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.serial,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="sends with UDP_SEGMENT"),
]


CLIENTS = """
import sys, threading, time
from urllib.request import urlopen

url, watched, served = sys.argv[1], threading.Event(), []

def get(path):
    with urlopen(url + path) as answer:
        served.append(answer.read(1))
        answer.read()

def scrape():
    while watched.wait():
        get("metrics")
        get("health/ready")
        time.sleep(1)

def page():
    while watched.wait():
        with urlopen(url + "api/v1/stream/watch?interval=1&sockets=%7B%22limit%22%3A200%7D") as events:
            while watched.is_set():
                if events.readline().startswith(b"data"):
                    get("api/v1/processes?sort=oldest&limit=8")

for run in (scrape, page):
    threading.Thread(target=run, daemon=True).start()
for line in sys.stdin:
    watched.set() if line == "watch\\n" else watched.clear()
    print(len(served), flush=True)
"""
"""A Prometheus and a kubelet that ask once a second, and one page that is open, while they are told to watch."""


@contextmanager
def clients(url: str) -> Iterator[Callable[[bool], int]]:
    """Starts the clients. Yields a function that lets them begin and end to watch, and returns how many answers they
    have had."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", CLIENTS, url]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as program:
        commands, answers = program.stdin, program.stdout
        assert commands is not None
        assert answers is not None

        def watch(wanted: bool) -> int:
            print("watch" if wanted else "rest", file=commands, flush=True)
            return int(answers.readline())

        try:
            yield watch
        finally:
            program.kill()


async def rate(server: meta.UDPServer) -> float:
    """Datagrams that are handled per second."""
    before, began = server.statistics().delivered, time.perf_counter()
    await asyncio.sleep(SECONDS)
    return (server.statistics().delivered - before) / (time.perf_counter() - began)


async def test_an_observed_node_handles_as_much_of_a_flood_as_an_unobserved_one(node: homing.Node) -> None:
    """In turns: the sender always sends more than the node can handle, so that the rest is lost."""
    pid = await node.spawn(Counter, {})
    server = create(host=HOST, process=pid, receive_buffer=1 << 20)
    await node.spawn(Owner, server)
    http = observe.start_http(node, port=0, kernel_drop_rate=None)
    ratios = []
    with flood(server), clients(http.url) as watch:
        await rate(server)
        for number in range(ROUNDS):
            rates = {}
            for observed in (number % 2 == 0, number % 2 == 1):
                watch(observed)
                await asyncio.sleep(SETTLES)
                rates[observed] = await rate(server)
            ratios.append(rates[True] / rates[False])
        assert watch(False) > ROUNDS * SECONDS
    ratio = statistics.median(ratios)
    figure(38, "handled by an observed node, of an unobserved one's", f"{ratio:.3f}")
    assert ratio > 0.95
