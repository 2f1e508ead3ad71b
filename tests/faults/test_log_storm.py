"""Case 43: who sends datagrams does not fill the log. The numbers in the log add up all the same."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator

import pytest

import homing
from homing import act, gen, meta

from ..meta.servers import open_server
from ..support import Probe, UDPPeer, eventually
from .figures import figure

pytestmark = pytest.mark.backends

DATAGRAMS = 3000


class Lines(logging.Handler):
    """Keeps the lines; the records would keep all the frames of each crash."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []
        self.tracebacks = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record.getMessage())
        self.tracebacks += record.exc_info is not None


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    logger = logging.getLogger("homing")
    monkeypatch.setattr(logger, "propagate", False)
    handler = Lines()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


class Dying(act.Actor):
    """Dies of every datagram, and would put it in the log."""

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        raise ValueError(message.data.decode())


class Deaf(act.Actor):
    """Does not know what datagrams are."""


async def pour(peer: UDPPeer, server: meta.UDPServer) -> None:
    """Sends so many datagrams, no more at a time than the kernel's buffer holds."""
    for number in range(DATAGRAMS):
        peer.send(b"\x1b[2J\nINFO homing: all is well", server.local_address)
        if number % 100 == 99:
            await eventually(lambda number=number: server.statistics().packets_in == number + 1)


async def test_case_43_a_flood_of_what_workers_die_of_is_no_flood_of_tracebacks(
    node: homing.Node, probe: Probe, peer: UDPPeer, lines: Lines
) -> None:
    server, _ = await open_server(probe, worker=Dying, workers=4)
    clock = asyncio.get_running_loop().time
    begin = clock()
    await pour(peer, server)
    await eventually(lambda: node.info().crashes == DATAGRAMS)
    seconds = int(clock() - begin) + 1
    told = sum(int(number) for line in lines.all for number in re.findall(r"^(\d+) more records", line))
    held_back = node._core.bounded_log._held_back
    figure(
        43,
        "tracebacks of 3,000 crashes, and crashes that only a number tells of",
        f"{lines.tracebacks}, {told + held_back}",
    )
    assert lines.tracebacks <= 500 * seconds
    assert lines.tracebacks + told + held_back == DATAGRAMS
    assert all(line.isprintable() for line in lines.all)


async def test_case_43_a_flood_of_what_nobody_handles_is_one_line(
    node: homing.Node, probe: Probe, peer: UDPPeer, lines: Lines
) -> None:
    pid = await node.spawn(Deaf)
    server, _ = await open_server(probe, process=pid)
    begin = asyncio.get_running_loop().time()
    await pour(peer, server)
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    seconds = asyncio.get_running_loop().time() - begin
    unhandled = [line for line in lines.all if "unhandled message of type MessageUDP" in line]
    figure(43, "lines about 3,000 datagrams that nobody handles", len(unhandled))
    assert 1 <= len(unhandled) <= 1 + seconds // 5
