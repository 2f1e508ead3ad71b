"""The watchdog: whoever holds the loop for too long is named once, with the line, and counted."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import wraps
from itertools import pairwise
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.node.scheduling.processor_time import Reading

from ...meta.servers import create
from ...support import DEADLINE, Probe, UDPPeer, eventually, in_thread
from ..actors import Doer, Meta
from ..processes.threads import Block

pytestmark = [pytest.mark.loops, pytest.mark.serial]  # a busy machine may stall whom nothing stalls

LIMIT = 0.02
WATCHED = gen.NodeOptions(handle_signals=False, stop_timeout=2.0, slow_callback_seconds=LIMIT)


@pytest.fixture
async def watched() -> AsyncIterator[homing.Node]:
    """A node that is watched closely."""
    async with homing.start_node("watched@localhost", WATCHED) as node:
        yield node
    await eventually(lambda: not watchdogs(node), "the end of the watchdog")


def watchdogs(node: homing.Node) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"homing watchdog {node.name}"]


def stalls(caplog: pytest.LogCaptureFixture, who: object) -> list[logging.LogRecord]:
    """The records that name `who`. A busy machine may stall anybody for a moment."""
    return [record for record in caplog.records if str(who) in str(record.args)]


def nap() -> None:
    time.sleep(3 * LIMIT)


class Hold:
    """Blocks the loop until the watchdog has said so."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog

    def __call__(self, actor: Any = None) -> None:
        before, deadline = len(self.caplog.records), time.monotonic() + DEADLINE
        while len(self.caplog.records) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        nap()  # it would say it again if it could


@pytest.fixture
def hold(caplog: pytest.LogCaptureFixture) -> Hold:
    return Hold(caplog)


def decorated(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def wrapper(*args: Any) -> Any:
        return method(*args)

    return wrapper


class Slow(act.Actor):
    """Holds the loop in the callback of which it is told."""

    def init(self, hold: Callable[[], None], where: str) -> Any:
        self.hold = hold
        self.where = where
        if where == "init":
            hold()
        return self.init_later() if where == "init_later" else None

    async def init_later(self) -> None:
        await asyncio.sleep(0)
        self.hold()

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        if message == "sync":
            self.hold()
        return self.later() if message == "async" else None

    async def later(self) -> None:
        await asyncio.sleep(0)
        self.hold()
        await asyncio.sleep(0)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return await self.call(request, self.hold) if isinstance(request, gen.PID) else self.hold()

    @decorated
    def handle_event(self, event: Any) -> None:
        self.hold()

    def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
        return self.helper()

    def helper(self) -> Any:
        return {"held": self.hold()}

    def terminate(self, reason: Exception) -> Any:
        if self.where == "terminate":
            self.hold()
        return self.later() if self.where == "terminate_later" else None


async def test_a_handler_that_holds_the_loop_is_named_once_with_its_line_and_stack(
    watched: homing.Node, hold: Hold, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await watched.spawn(Slow, hold, "", name="slow")
    watched.send(pid, "sync")
    await eventually(lambda: watched.process_info(pid).stalls == 1)
    (record,) = stalls(caplog, pid)
    line = Slow.handle_message.__code__.co_firstlineno + 2
    assert record.levelno == logging.WARNING
    assert record.name == "homing.process"
    assert record.getMessage().startswith(f"process {pid} ('slow') Slow has held the loop for 0.")
    assert re.search(r"held the loop for 0\.\d\d s( \(CPU \d\.\d\d s.*\))?, in", record.getMessage())
    assert record.getMessage().endswith(f", in handle_message (test_watchdog.py:{line})")
    assert (record.funcName, record.lineno, record.pathname) == ("handle_message", line, __file__)
    assert (record.pid, record.behavior, record.process_name) == (pid, "Slow", "slow")
    assert record.stack_info is not None
    frames = [text for text in record.stack_info.splitlines() if text.startswith("  File")]
    assert f'test_watchdog.py", line {line}, in handle_message' in frames[0]
    assert "in __call__" in frames[1]
    info = watched.info()
    assert info.stalls >= 1
    assert info.longest_stall >= LIMIT


@pytest.mark.parametrize(
    ("message", "function", "offset"), [("async", "later", 2), ("event", "handle_event", 2), ("inspect", "helper", 1)]
)
async def test_the_line_is_that_of_the_behaviors_own_code(
    watched: homing.Node, hold: Hold, caplog: pytest.LogCaptureFixture, message: str, function: str, offset: int
) -> None:
    pid = await watched.spawn(Slow, hold, "")
    if message == "inspect":
        await watched.inspect(pid)
    elif message == "event":
        process = watched._process(pid)
        token = process.core.events.register(process, "topic", gen.EventOptions())
        other = watched._process(await watched.spawn(Slow, hold, ""))
        process.core.events.subscribe(other, gen.Event("topic", watched.name), link=False)
        process.core.events.send(process, "topic", token, 1)
        pid = other.id
    else:
        watched.send(pid, message)
    await eventually(lambda: watched.process_info(pid).stalls == 1)
    (record,) = stalls(caplog, pid)
    method = getattr(Slow, function)
    first = getattr(method, "__wrapped__", method).__code__.co_firstlineno
    assert (record.funcName, record.lineno) == (function, first + offset)


@pytest.mark.parametrize("where", ["init", "init_later", "terminate", "terminate_later"])
async def test_init_and_terminate_are_watched(
    watched: homing.Node, hold: Hold, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    pid = await watched.spawn(Slow, hold, where)
    watched.kill(pid)
    await eventually(lambda: pid not in watched.processes())
    (record,) = stalls(caplog, pid)
    assert record.funcName == {"terminate_later": "later"}.get(where, where)
    assert watched.info().stalls >= 1


async def test_of_nested_calls_the_one_that_blocks_is_named_alone(
    watched: homing.Node, hold: Hold, caplog: pytest.LogCaptureFixture
) -> None:
    doer = await watched.spawn(Doer)
    middle = await watched.spawn(Slow, hold, "")
    outer = await watched.spawn(Doer)
    for _ in range(3):
        await watched.call(outer, lambda actor: actor.call(middle, doer))
    assert [len(stalls(caplog, pid)) for pid in (doer, middle, outer)] == [3, 0, 0]
    assert {record.funcName for record in stalls(caplog, doer)} == {"handle_call"}
    assert [watched.process_info(pid).stalls for pid in (doer, middle, outer)] == [3, 0, 0]


async def test_who_blocks_before_and_after_a_call_is_named_once(
    watched: homing.Node, hold: Hold, caplog: pytest.LogCaptureFixture
) -> None:
    other = await watched.spawn(Doer)

    async def twice(actor: Any) -> None:
        hold()
        await actor.call(other, lambda it: None)
        nap()

    pid = await watched.spawn(Doer)
    await watched.call(pid, lambda actor: None)
    await watched.call(pid, twice)
    assert len(stalls(caplog, pid)) == watched.process_info(pid).stalls == 1


async def test_the_receiver_of_a_udp_server_is_watched(
    watched: homing.Node, hold: Hold, caplog: pytest.LogCaptureFixture, peer: UDPPeer
) -> None:
    class Receiver(act.Actor):
        async def init(self) -> None:
            self.server = create()
            await self.spawn_meta(self.server)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            hold()

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.server.local_address

    pid = await watched.spawn(Receiver)
    peer.send(b"x", await watched.call(pid, "address"))
    await eventually(lambda: watched.process_info(pid).stalls == 1)
    (record,) = stalls(caplog, pid)
    assert record.funcName == "handle_message"


@pytest.mark.parametrize("where", ["init", "start", "handle_message"])
async def test_a_meta_process_is_watched(
    watched: homing.Node, hold: Hold, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    class Slowed(Meta):
        def init(self, process: Any) -> Any:
            if where == "init":
                hold()
            return super().init(process)

        async def start(self) -> None:
            await asyncio.sleep(0)
            if where == "start":
                hold()
            await super().start()

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            hold()

    probe = await Probe.start(watched)
    alias = await probe.do(lambda actor: actor.spawn_meta(Slowed()))
    if where == "handle_message":
        watched.send(alias, 1)
    await eventually(lambda: watched.meta_info(alias).stalls == 1)
    (record,) = stalls(caplog, alias)
    assert record.getMessage().startswith(f"meta-process {alias} Slowed has held the loop")
    assert (record.funcName, record.name) == (where, "homing.meta")


async def test_log_receivers_get_it(watched: homing.Node, hold: Hold) -> None:
    probe = await Probe.start(watched)
    watched.add_log_receiver(probe.pid)
    pid = await watched.spawn(Slow, hold, "")
    watched.send(pid, "sync")
    while (record := await probe.get()).pid != pid:
        pass
    assert record.funcName == "handle_message"


async def test_what_keeps_the_interpreters_lock_is_logged_when_it_is_over(
    watched: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    def add(actor: Any) -> float:
        start = time.perf_counter()
        sum(range(5_000_000))
        return time.perf_counter() - start

    pid = await watched.spawn(Doer)
    taken = await watched.call(pid, add)
    assert taken >= LIMIT, "that is too short for this test"
    # the thread may have seen it in the instant before it was over, and have still to write so
    (record,) = await eventually(lambda: stalls(caplog, pid), "the record")
    assert f"process {pid} Doer " in record.getMessage()
    assert " the loop for " in record.getMessage()
    assert watched.info().longest_stall >= taken


async def test_a_callback_that_is_over_is_not_named_again_while_that_is_logged(
    watched: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    watchdog = watched._watchdog

    class LookingOn(logging.Handler):
        """The watchdog's thread has its turn just when the loop writes the record."""

        def handle(self, record: logging.LogRecord) -> bool:
            self.emit(record)  # without the lock: what the thread may log must not wait for this record
            return True

        def emit(self, record: logging.LogRecord) -> None:
            if "was over before" in record.getMessage():
                in_thread(watchdog._look)

    def hold(actor: Any) -> None:
        watchdog._seconds_on_loop = lambda since: 0.0  # type: ignore[method-assign]  # it has not seen it until it is over
        time.sleep(1.5 * LIMIT)
        del watchdog.__dict__["_seconds_on_loop"]

    pid, handler = await watched.spawn(Doer), LookingOn()
    logging.getLogger("homing").addHandler(handler)
    try:
        await watched.call(pid, hold)
    finally:
        logging.getLogger("homing").removeHandler(handler)
    assert len(stalls(caplog, pid)) == 1
    assert not watchdog._reported, "it keeps the process for ever"


async def test_many_short_messages_are_no_stall(watched: homing.Node, caplog: pytest.LogCaptureFixture) -> None:
    times: list[float] = []
    done = asyncio.Event()

    class Busy(act.Actor):
        def init(self) -> None:
            for _ in range(8):
                self.send(self.pid, 1)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            times.append(time.perf_counter())
            if times[-1] < times[0] + 6 * LIMIT:
                self.send(self.pid, 1)
            else:
                done.set()

    pid = await watched.spawn(Busy)
    await done.wait()
    longest = max(later - earlier for earlier, later in pairwise(times))
    assert len(times) > 100
    assert watched.process_info(pid).stalls == 0 or longest > LIMIT / 2, "but not if the machine itself stalled"


async def test_a_process_on_a_thread_of_its_own_is_never_named(
    watched: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    block = Block()
    pid = await watched.spawn(Doer, options=gen.ProcessOptions(thread=True))
    watched.send(pid, block)
    await block.entered()
    await asyncio.sleep(3 * LIMIT)
    block.released.set()
    await watched.call(pid, lambda actor: time.sleep(2 * LIMIT))
    assert watched.process_info(pid).stalls == 0
    assert stalls(caplog, pid) == []


@pytest.mark.parametrize("off", [0, None])
async def test_it_can_be_switched_off(off: float | None, caplog: pytest.LogCaptureFixture) -> None:
    options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=off)
    async with homing.start_node("off@localhost", options) as node:
        pid = await node.spawn(Doer)
        await node.call(pid, lambda actor: time.sleep(0.15))
        assert watchdogs(node) == []
        assert (node.info().stalls, node.info().longest_stall) == (0, 0.0)
    assert caplog.records == []


async def test_it_watches_by_default_and_ends_with_the_node() -> None:
    async with homing.start_node("default@localhost", gen.NodeOptions(handle_signals=False)) as node:
        (thread,) = watchdogs(node)
        assert thread.daemon
    await eventually(lambda: not thread.is_alive())


async def test_it_goes_on_if_there_is_no_memory_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    wait = threading.Event.wait

    def fail(event: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread().name.startswith("homing watchdog"):
            monkeypatch.undo()
            failed.set()
            raise MemoryError
        return wait(event, timeout)

    async with homing.start_node("starved@localhost", WATCHED) as node:
        (thread,) = watchdogs(node)
        monkeypatch.setattr(threading.Event, "wait", fail)
        assert await asyncio.to_thread(failed.wait, DEADLINE)
        pid = await node.spawn(Doer)
        await node.call(pid, lambda actor: time.sleep(2 * LIMIT))
        await eventually(lambda: node.info().stalls + node.info().machine_stalls)
        assert thread.is_alive()


def test_it_ends_with_a_loop_that_was_closed_without_a_stop() -> None:
    async def main() -> homing.Node:
        return await homing.start_node("closed@localhost", WATCHED)

    node = asyncio.run(main())
    for thread in watchdogs(node):
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_a_node_in_another_thread_is_watched_there(hold: Hold, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> gen.PID:
        async with homing.start_node("elsewhere@localhost", WATCHED) as node:
            pid = await node.spawn(Slow, hold, "")
            await node.inspect(pid)
            return pid

    pid = in_thread(lambda: asyncio.run(main()))
    (record,) = stalls(caplog, pid)
    assert record.funcName == "helper"


@pytest.mark.parametrize("value", [-1, "soon", float("inf")])
def test_the_limit_is_a_number_of_seconds(value: Any) -> None:
    with pytest.raises(gen.BadOption, match="slow_callback_seconds"):
        gen.NodeOptions(slow_callback_seconds=value)


# --- whose fault it is ------------------------------------------------------------------------------------------


class FakeClock:
    """Has the loop's thread spend its time as the test says: running, waiting for a processor, or neither."""

    def __init__(self, cpu: float, waited: float | None) -> None:
        self.cpu = cpu
        self.waited = waited

    def read(self) -> Reading:
        now = time.perf_counter()
        waited = None if self.waited is None else now * self.waited
        return Reading(now, now * self.cpu, waited, now * self.cpu)

    def ready(self) -> bool:
        return self.cpu + (self.waited or 0.0) >= 1.0


def with_clock(node: homing.Node, cpu: float, waited: float | None) -> None:
    """From now on the watchdog of `node` reads a clock of the test's."""
    watchdog = node._watchdog
    with watchdog._lock:
        watchdog._clock = FakeClock(cpu, waited)  # type: ignore[assignment]
        watchdog._last = watchdog._before = watchdog._clock.read()
        watchdog._inside = None


@pytest.mark.parametrize("cpu", [0.0, 0.01])  # of a turn that the machine prolongs further, that is still little
async def test_a_turn_that_was_long_for_want_of_a_processor_is_the_machines(
    watched: homing.Node, caplog: pytest.LogCaptureFixture, cpu: float
) -> None:
    pid = await watched.spawn(Doer)
    with_clock(watched, cpu, 1.0 - cpu)
    await watched.call(pid, lambda actor: time.sleep(4 * LIMIT))
    assert stalls(caplog, pid) == []
    info = watched.info()
    assert (info.stalls, info.longest_stall, watched.process_info(pid).stalls) == (0, 0.0, 0)
    assert info.machine_stalls >= 1
    (record,) = [record for record in caplog.records if "machine" in record.getMessage()]
    assert re.fullmatch(
        r"the machine is busy: the loop had to wait for a processor for \d\.\d\d s of \d\.\d\d s", record.getMessage()
    )
    assert record.name == "homing.node"


async def test_a_busy_machine_is_told_of_once_whatever_it_does(
    watched: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await watched.spawn(Doer)
    with_clock(watched, 0.0, 1.0)
    for _ in range(5):
        await watched.call(pid, lambda actor: time.sleep(1.5 * LIMIT))
    assert watched.info().machine_stalls >= 5
    assert len([record for record in caplog.records if "machine" in record.getMessage()]) <= 2


@pytest.mark.parametrize(("cpu", "waited"), [(1.0, 0.0), (0.6, 0.4), (0.0, 0.0), (0.5, None), (0.0, None)])
async def test_a_callback_that_runs_or_blocks_for_that_long_is_named_with_its_processor_time(
    watched: homing.Node, hold: Hold, caplog: pytest.LogCaptureFixture, cpu: float, waited: float | None
) -> None:
    pid = await watched.spawn(Slow, hold, "")
    with_clock(watched, cpu, waited)
    watched.send(pid, "sync")
    await eventually(lambda: watched.process_info(pid).stalls == 1)
    (record,) = stalls(caplog, pid)
    found = re.search(r"has held the loop for (\d\.\d\d) s \(CPU (\d\.\d\d) s\), in", record.getMessage())
    assert found is not None
    assert float(found[2]) == pytest.approx(float(found[1]) * cpu, abs=0.02)
    assert watched.info().machine_stalls == 0


async def test_what_a_callback_burns_and_what_it_sleeps_are_told_apart(
    watched: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    def burn(actor: Any) -> None:
        end = time.thread_time() + 5 * LIMIT
        while time.thread_time() < end:
            pass

    burned: dict[str, float] = {}
    for name, function in (("burn", burn), ("sleep", lambda actor: time.sleep(5 * LIMIT))):
        pid = await watched.spawn(Doer)
        await watched.call(pid, function)
        (record,) = await eventually(lambda pid=pid: stalls(caplog, pid), "the record")
        found = re.search(r"CPU (\d\.\d\d) s", record.getMessage())
        assert found is not None
        burned[name] = float(found[1])
    assert burned["burn"] >= 0.5 * LIMIT
    assert burned["sleep"] <= 0.5 * LIMIT
