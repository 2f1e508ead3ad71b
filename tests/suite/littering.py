"""`--littered`: runs tests while finalizers run in the midst of whatever they do.

The finalizers use what all share (the arenas that are read into, the cache of peers) by sockets of their own, which
they also close, and a lane of their own: so a test finds whatever it expects, or the runtime has mixed something up.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Generator
from functools import cache

import pytest
from hypothesis import HealthCheck, settings

from homing.datagram import MessageUDP
from homing.datagram.backend.contract import open_backend
from homing.node.mailbox.lane import make_lane

from ..garbage import littered

_MOST = 60
"""Objects that a test makes until a finalizer runs, at most: more often, the long ones would take for ever."""
_REOPENED = 50
"""Finalizers until the sockets are closed, and others are opened."""


class Bystander:
    """Sends from one socket to another, receives in all ways, and uses a lane."""

    def __init__(self) -> None:
        self._turn = itertools.count(1)
        self._lane = make_lane()
        self._open()

    def _open(self) -> None:
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in self._sockets:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
        self._sender, self._backend = (open_backend(sock, 2000, info=True) for sock in self._sockets)
        self._to = self._sockets[1].getsockname()

    def act(self) -> None:
        turn = next(self._turn)
        number = turn.to_bytes(8, "big")
        failures: list[tuple[int, Exception]] = []
        assert self._sender.send_many([MessageUDP(None, self._to, number)] * 3, failures) == 3
        assert not failures, failures
        if turn % 3 == 0:
            batch = self._backend.receive_columns(8)
            got = (
                [] if batch is None else [bytes(memoryview(batch[0])[start : start + 8]) for start in _starts(batch[3])]
            )
            if batch is not None:
                batch[1]()
        else:
            got = [message.data for message in self._backend.receive(100, 8, None)]
        assert got == [number] * 3, (got, number)
        self._lane.extend((turn, turn))
        while self._lane:
            assert self._lane.popleft() == turn
        if turn % _REOPENED == 0:
            self._sender.close()
            self._backend.close()
            for sock in self._sockets:
                sock.close()
            self._open()


def _starts(offsets: bytes) -> list[int]:
    return memoryview(offsets).cast("i").tolist()


@cache
def bystander() -> Bystander:
    return Bystander()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("suite").addoption(
        "--littered", action="store_true", help="let finalizers run wherever a test makes an object"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("littered"):
        settings.register_profile(
            "littered", max_examples=10, suppress_health_check=list(HealthCheck), derandomize=True
        )
        settings.load_profile("littered")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    if item.config.getoption("littered"):
        bystander()  # its descriptors are no test's
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    if not item.config.getoption("littered"):
        return (yield)
    with littered(bystander().act, len(item.nodeid), _MOST):
        return (yield)
