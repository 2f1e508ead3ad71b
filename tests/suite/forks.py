"""`--forks N`: collects the tests once, then runs them side by side in N forks of this program.

With the workers of pytest-xdist each worker would import and collect all tests again, which takes as long as a tenth of
them. A fork has them already, with the memory that they take. The program shares out blocks of tests, gets the reports
of the forks, and is the only one that prints and counts. A fork that crashes fails the test that it runs; another one
runs the rest of its block.

A fork has a network (`isolation`) and a temporary directory of its own. Fixtures of a module live as long as a block: a
file with such fixtures is one block.
"""

from __future__ import annotations

import itertools
import os
import pickle
import selectors
import struct
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import pytest

from .isolation import has_own_network, leave_network

MOST = 1500
"""Blocks, about: their bounds have to fit into a pipe, which holds 16,384 bytes or more."""
FEWEST = 4
"""Tests of a block: fewer would set up what they share again and again."""
BOUNDS = struct.Struct("=II")
"""The first test of a block, and the one after its last."""
LENGTH = struct.Struct("=I")
"""How long the message is that follows."""
CRASHES = 10
"""Forks that may crash until the run ends."""


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "collect once, and run the tests side by side in so many forks of this program"
    parser.getgroup("suite").addoption("--forks", type=int, default=0, metavar="N", help=text)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("forks") and not config.getoption("collectonly"):
        config.pluginmanager.register(Forks(config), "suite-forks")


def blocks_of(items: Sequence[pytest.Item], longest: int) -> list[tuple[int, int]]:
    """Bounds of blocks: neighbours of one file, at most `longest` unless they share a fixture of their module."""
    found: list[tuple[int, int]] = []
    start = 0
    for _, group in itertools.groupby(items, lambda item: item.path):
        tests = list(group)
        size = len(tests) if any(map(_shares, tests)) else longest
        found += [(start + n, start + min(n + size, len(tests))) for n in range(0, len(tests), size)]
        start += len(tests)
    return found


def _shares(item: pytest.Item) -> bool:
    """True if the test has a fixture of its module; those of plugins belong to no place below the root."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = itertools.chain.from_iterable(info.name2fixturedefs.values()) if info else ()
    return any(one.scope == "module" and one.baseid for one in definitions)


@dataclass
class Fork:
    """A fork as the program sees it: its process, the pipe of its messages, and the tests that it has taken."""

    number: int
    pid: int
    pipe: int
    received: bytearray = field(default_factory=bytearray)
    left: list[int] = field(default_factory=list)
    at: int | None = None
    ended: bool = False

    def messages(self) -> Iterator[tuple[str, Any]]:
        """The messages that are complete."""
        while len(self.received) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self.received)[0]
            if len(self.received) < end:
                return
            yield pickle.loads(self.received[LENGTH.size : end])
            del self.received[:end]


class Forks:
    """Runs the tests of a session in forks, in place of pytest's own loop."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.number: int = config.getoption("forks")
        self.crashes = 0
        self.selector = selectors.DefaultSelector()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        self.session = session
        self.tokens = self._share_out()
        self.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined] # where each fork makes its own
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.showfspath = False  # tests of several files run at a time
        try:
            for number in range(min(self.number, len(session.items))):
                self._start(number, [])
            while self.selector.get_map():
                self._receive()
        finally:
            self._end()
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        return True

    def _share_out(self) -> int:
        """Writes the bounds of all blocks into a pipe, which the forks share. Returns its other end."""
        items = self.session.items
        tokens, writing = os.pipe()
        os.set_blocking(writing, False)
        blocks = blocks_of(items, max(FEWEST, -(-len(items) // MOST)))
        os.write(writing, b"".join(BOUNDS.pack(*block) for block in blocks))
        os.close(writing)
        return tokens

    def _start(self, number: int, first: list[int]) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of numpy's, which it starts again
            pid = os.fork()
        if not pid:
            os.close(reading)
            _run_fork(self, number, first, writing)
        os.close(writing)
        self.selector.register(reading, selectors.EVENT_READ, Fork(number, pid, reading, left=first))

    def _receive(self) -> None:
        for key, _ in self.selector.select():
            fork = cast(Fork, key.data)
            data = os.read(fork.pipe, 1 << 20)
            fork.received += data
            for kind, content in fork.messages():
                self._handle(fork, kind, content)
            if not data:
                self._has_ended(fork)

    def _handle(self, fork: Fork, kind: str, content: Any) -> None:
        hook = self.config.hook
        if kind == "takes":
            fork.left += content
        elif kind == "starts":
            fork.at = content
            fork.left.remove(content)
        elif kind == "report":
            report = hook.pytest_report_from_serializable(config=self.config, data=content)
            hook.pytest_runtest_logreport(report=report)
        elif kind == "finishes":
            item = self.session.items[content]
            hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            if self.session.shouldfail or self.session.shouldstop:
                self._take_back()
        elif kind == "ends":
            fork.ended = True
            if content:
                self._fail(fork, f"fixtures of the session failed to end:\n{content}")

    def _take_back(self) -> None:
        while os.read(self.tokens, 1 << 16):
            pass

    def _has_ended(self, fork: Fork) -> None:
        self.selector.unregister(fork.pipe)
        os.close(fork.pipe)
        _, status = os.waitpid(fork.pid, 0)
        if fork.ended:
            return
        self._fail(fork, f"fork {fork.number} crashed in this test: {os.waitstatus_to_exitcode(status)}")
        self.crashes += 1
        if self.crashes > CRASHES:
            raise self.session.Failed(f"{self.crashes} forks crashed")
        if not (self.session.shouldfail or self.session.shouldstop):
            self._start(self.number + self.crashes, fork.left)

    def _fail(self, fork: Fork, why: str) -> None:
        item = self.session.items[fork.at or 0]
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")
        self.config.hook.pytest_runtest_logreport(report=report)

    def _end(self) -> None:
        """Kills the forks that are left after an error."""
        for key in list((self.selector.get_map() or {}).values()):
            os.kill(key.data.pid, 9)
            os.waitpid(key.data.pid, 0)
            os.close(key.data.pipe)
        self.selector.close()
        os.close(self.tokens)


class Telling:
    """In a fork: sends each report to the program."""

    def __init__(self, config: pytest.Config, pipe: int) -> None:
        self.config = config
        self.pipe = pipe

    def tell(self, kind: str, content: Any) -> None:
        message = pickle.dumps((kind, content))
        data = memoryview(LENGTH.pack(len(message)) + message)
        while data:
            data = data[os.write(self.pipe, data) :]

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tell("report", self.config.hook.pytest_report_to_serializable(config=self.config, report=report))


def _run_fork(forks: Forks, number: int, first: list[int], pipe: int) -> NoReturn:
    telling = Telling(forks.config, pipe)
    status = 1
    try:
        _settle(forks.config, number)
        forks.selector.close()
        forks.config.pluginmanager.register(telling, "suite-telling")
        _run_blocks(forks.session, telling, forks.tokens, first)
        telling.tell("ends", _torn_down(forks.session))
        status = 0
    except BaseException:  # it must not go on as if it was the program
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _settle(config: pytest.Config, number: int) -> None:
    """Leaves what belongs to the program: its output, what it counts, its network, its temporary directory."""
    for name in ("terminalreporter", "suite-counting", "suite-forks"):
        if config.pluginmanager.has_plugin(name):
            config.pluginmanager.unregister(name=name)
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    capture.read_global_capture()
    capture.stop_global_capturing()
    capture.start_global_capturing()
    if has_own_network(config):
        leave_network()
    factory: Any = config._tmp_path_factory  # type: ignore[attr-defined]
    factory._basetemp = factory.getbasetemp() / f"fork{number}"
    factory._basetemp.mkdir(mode=0o700)


def _run_blocks(session: pytest.Session, telling: Telling, tokens: int, first: list[int]) -> None:
    block = first
    while True:
        for place, index in enumerate(block):
            item = session.items[index]
            # after the last one of a block all is torn down but what belongs to the session
            following: Any = session.items[block[place + 1]] if place + 1 < len(block) else session
            telling.tell("starts", index)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            telling.tell("finishes", index)
        bounds = os.read(tokens, BOUNDS.size)
        if not bounds:
            return
        block = list(range(*BOUNDS.unpack(bounds)))
        telling.tell("takes", block)


def _torn_down(session: pytest.Session) -> str:
    """Ends the fixtures of the session. Returns what failed."""
    try:
        session._setupstate.teardown_exact(None)
    except BaseException:
        return traceback.format_exc()
    return ""
