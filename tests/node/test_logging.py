"""Logging: the standard library's, with what the runtime knows, and processes that receive the records."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.node.logs import BoundedLog, RateLimited

from ..support import Probe, eventually
from .actors import QUIET, Doer, Meta


class Receiver(act.Actor):
    """Keeps the records it gets, and logs each itself."""

    def init(self, records: list[logging.LogRecord]) -> None:
        self.records = records

    def handle_log(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.log.warning("I got %s", record.getMessage())

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        return message(self)


async def test_a_process_logs_with_what_identifies_it(node: homing.Node, caplog: pytest.LogCaptureFixture) -> None:
    pid = await node.spawn(Doer, name="doer")
    node.send(pid, lambda actor: actor.log.warning("hello %d", 7, extra={"mine": 1}))
    record: Any = (await eventually(lambda: caplog.records))[0]
    assert (record.name, record.getMessage()) == ("homing.process", "hello 7")
    assert (record.node, record.pid, record.process_name, record.behavior) == (node.name, pid, "doer", "Doer")
    assert (record.alias, record.mine) == (None, 1)


async def test_a_meta_process_logs_with_its_alias_and_its_parent(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    source = Meta()
    pid = await node.spawn(Doer)
    alias = await node.call(pid, lambda actor: actor.spawn_meta(source))
    source.process.log.warning("hello")
    record: Any = caplog.records[0]
    assert (record.name, record.pid, record.alias, record.behavior) == ("homing.meta", pid, alias, "Meta")


async def test_the_node_logs_with_its_name(node: homing.Node, caplog: pytest.LogCaptureFixture) -> None:
    node.log.warning("hello")
    record: Any = caplog.records[0]
    assert (record.name, record.node, record.pid) == ("homing.node", node.name, node.pid)


async def test_a_log_receiver_gets_the_records_of_its_level_and_above(node: homing.Node, probe: Probe) -> None:
    node.add_log_receiver(probe.pid, logging.WARNING)
    node.log.info("too low")
    node.log.warning("right")
    node.log.error("above")
    assert [(await probe.get()).getMessage() for _ in range(2)] == ["right", "above"]
    assert probe.waiting() == []


async def test_a_record_waits_in_the_log_lane_and_is_no_message(node: homing.Node, probe: Probe) -> None:
    node.add_log_receiver(probe.pid)
    node.log.warning("hello")
    assert node.process_info(probe.pid).mailbox.log == 1
    kind, _, record = await probe.next()
    assert (kind, record.getMessage()) == ("log", "hello")


async def test_what_a_receiver_logs_goes_to_the_ordinary_handlers_and_to_no_receiver(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    records: list[logging.LogRecord] = []
    first, second = await node.spawn(Receiver, records), await node.spawn(Receiver, records)
    node.add_log_receiver(first)
    node.add_log_receiver(second)
    node.log.warning("hello")
    await eventually(lambda: len(caplog.records) == 3)
    await node.spawn(Doer)
    assert [record.getMessage() for record in records] == ["hello", "hello"]
    assert caplog.messages == ["hello", "I got hello", "I got hello"]


async def test_a_removed_receiver_gets_nothing_more(node: homing.Node, probe: Probe) -> None:
    node.add_log_receiver(probe.pid)
    assert node.remove_log_receiver(probe.pid) is True
    assert node.remove_log_receiver(probe.pid) is False
    node.log.warning("hello")
    await probe.do(lambda actor: None)
    assert probe.waiting() == []


async def test_a_receiver_added_twice_gets_each_record_once(node: homing.Node, probe: Probe) -> None:
    node.add_log_receiver(probe.pid, logging.WARNING)
    node.add_log_receiver(probe.pid, logging.ERROR)
    node.log.warning("too low by now")
    node.log.error("hello")
    await probe.do(lambda actor: None)
    assert [record.getMessage() for record in probe.waiting()] == ["hello"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_receiver_that_ends_is_removed_and_no_handler_misses_a_record(
    node: homing.Node, asynchronous: bool
) -> None:
    class Ends(Receiver):
        def terminate(self, reason: Exception) -> Any:
            return asyncio.sleep(0) if asynchronous else None

    before = list(logging.getLogger("homing").handlers)
    records: list[logging.LogRecord] = []
    first, second = await node.spawn(Ends, []), await node.spawn(Receiver, records)
    node.add_log_receiver(first)
    node.add_log_receiver(second)
    node.kill(first)
    for number in range(3):
        node.log.warning("%d", number)
        await asyncio.sleep(0)
    await eventually(lambda: len(records) == 3)
    await eventually(lambda: first not in node.processes())
    assert len(logging.getLogger("homing").handlers) == len(before) + 1
    node.kill(second)
    assert logging.getLogger("homing").handlers == before


async def test_a_crash_of_a_receiver_is_logged_and_comes_to_no_receiver(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(act.Actor):
        def handle_log(self, record: logging.LogRecord) -> None:
            raise ValueError("broken")

    node.add_log_receiver(await node.spawn(Fails))
    node.add_log_receiver(probe.pid)
    node.log.warning("hello")
    await eventually(lambda: node.processes() == [probe.pid])
    await probe.do(lambda actor: None)
    assert [record.getMessage() for record in probe.waiting()] == ["hello"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


async def test_records_from_other_threads_arrive_in_order(node: homing.Node, probe: Probe) -> None:
    node.add_log_receiver(probe.pid)

    def log() -> None:
        for number in range(100):
            node.log.warning("%d", number)

    thread = threading.Thread(target=log)
    thread.start()
    assert [int((await probe.get()).getMessage()) for _ in range(100)] == list(range(100))
    thread.join()


async def test_each_node_gets_its_own_records_only(node: homing.Node, probe: Probe) -> None:
    node.add_log_receiver(probe.pid)
    async with homing.start_node("other@localhost", QUIET) as other:
        other.log.warning("theirs")
    node.log.warning("ours")
    assert (await probe.get()).getMessage() == "ours"


async def test_a_stopped_node_leaves_no_handler_behind() -> None:
    before = list(logging.getLogger("homing").handlers)
    async with homing.start_node("log@localhost", QUIET) as node:
        node.add_log_receiver(await node.spawn(Doer))
        assert len(logging.getLogger("homing").handlers) == len(before) + 1
    assert logging.getLogger("homing").handlers == before


def test_logging_after_the_loop_of_a_node_was_closed_raises_nowhere() -> None:
    before = list(logging.getLogger("homing").handlers)

    async def main() -> None:
        node = await homing.start_node("closed@localhost", QUIET)
        node.add_log_receiver(await node.spawn(Doer))

    asyncio.run(main())
    try:
        thread = threading.Thread(target=logging.getLogger("homing.other").warning, args=("late",))
        thread.start()
        thread.join()
    finally:
        left = [handler for handler in logging.getLogger("homing").handlers if handler not in before]
        for handler in left:
            logging.getLogger("homing").removeHandler(handler)
    assert len(left) == 1


async def test_a_slow_receiver_drops_and_counts_what_its_log_lane_cannot_hold(node: homing.Node) -> None:
    gate = asyncio.Event()
    pid = await node.spawn(Receiver, [])
    node.send(pid, lambda actor: gate.wait())
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    node.add_log_receiver(pid)
    for number in range(10_005):
        node.log.warning("%d", number)
    info = node.process_info(pid)
    assert (info.mailbox.log, info.dropped_log) == (10_000, 5)
    node.kill(pid)
    gate.set()


@pytest.mark.parametrize("which", ["dead", "unknown", "ending"])
async def test_what_cannot_receive_is_refused(node: homing.Node, which: str) -> None:
    class Slow(Doer):
        async def terminate(self, reason: Exception) -> None:
            await asyncio.sleep(0)

    pid = await node.spawn(Slow if which == "ending" else Doer)
    node.kill(pid)
    errors = {"dead": gen.ProcessTerminated, "unknown": gen.ProcessUnknown, "ending": gen.NotAllowed}
    with pytest.raises(errors[which]):
        node.add_log_receiver(pid._replace(id=999_999) if which == "unknown" else pid)


def test_of_too_many_crashes_in_a_second_the_first_are_logged_and_the_number_of_the_others_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.LoggerAdapter(logging.getLogger("homing.test"), {})
    crashes = BoundedLog(log, most=3)
    for now in (10.0, 10.1, 10.2, 10.3, 10.9, 11.0, 11.1, 13.0):
        crashes.error(now, log, "crash at %s", now, fault=RuntimeError())
    told = "2 more records were not logged, being more than 3 a second, or 8000 bytes a second in the long run"
    assert caplog.messages == [
        "crash at 10.0",
        "crash at 10.1",
        "crash at 10.2",
        told,
        "crash at 11.0",
        "crash at 11.1",
        "crash at 13.0",
    ]


def test_crashes_are_bounded_in_bytes_at_once_and_in_the_long_run() -> None:
    """A day of 2,000 crashes a second."""
    lines: list[str] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger = logging.Logger("apart")
    logger.addHandler(Keeps())
    log = logging.LoggerAdapter(logger, {})
    crashes = BoundedLog(log, most=500, burst=100_000, rate=800)
    fault, count, seconds = RuntimeError("x" * 400), 0, 200
    for second in range(seconds):
        for number in range(2000):
            crashes.error(second + number / 2000, log, "%s crashed", "process", fault=fault)
            count += 1
    size = sum(map(len, lines))
    assert size <= 100_000 + 800 * seconds + 10_000
    assert size >= 400 * seconds
    told = sum(int(line.split()[0]) for line in lines if "more records" in line)
    logged = sum("crashed" in line for line in lines)
    crashes.error(1e6, log, "%s crashed", "process", fault=fault)
    told += int(lines[-2].split()[0])
    assert logged + told == count


def test_an_end_that_is_not_logged_at_this_level_takes_no_room_of_crashes() -> None:
    lines: list[str] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger = logging.Logger("apart", logging.ERROR)
    logger.addHandler(Keeps())
    log = logging.LoggerAdapter(logger, {})
    crashes = BoundedLog(log, most=1)
    for _ in range(5):
        crashes.write(1.0, log, logging.INFO, "ended", ())
    crashes.error(1.0, log, "crashed", fault=RuntimeError())
    assert lines == ["crashed"]


# --- what others can make a node log ----------------------------------------------------------------------------


class Deaf(act.Actor):
    """Does not know what it is sent, and dies of what is no text."""

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        if isinstance(message, int):
            raise ValueError("x" * 900)
        return super().handle_message(sender, message)


class DeafMeta(gen.MetaBehavior):
    async def start(self) -> None:
        await asyncio.Event().wait()


async def test_what_no_meta_process_handles_is_logged_once_whatever_its_number(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    deaf = await probe.do(lambda actor: actor.spawn_meta(DeafMeta()))
    server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1"))
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    for _ in range(300):
        node.send(deaf, "message")
        node.send(alias, "message")
        await probe.do(lambda actor: actor.send(alias, meta.Reconfigure(port=1, host="nowhere.invalid")))
    await eventually(lambda: node.meta_info(alias).mailbox.main == node.meta_info(deaf).mailbox.main == 0)
    warnings = [record for record in caplog.records if record.levelname == "WARNING" and "backend" not in record.msg]
    assert len({record.getMessage() for record in warnings}) == len(warnings)
    assert 3 <= len(warnings) <= 12


async def test_however_many_processes_log_something_all_of_it_is_bounded(node: homing.Node) -> None:
    """Each logs its first warning, its crash and its end: together they stay within the node's bound."""
    size = 0

    class Measures(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            nonlocal size
            size += len(self.format(record))

    class Loud(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(
                children=(act.ChildSpec(name="deaf", behavior=Deaf),), intensity=10_000, period=1.0
            )

    logger, handler = logging.getLogger("homing"), Measures()
    before, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    node._core.bounded_log = BoundedLog(node._core.log, burst=20_000)
    try:
        begin = node._core.loop.time()
        await node.spawn(Loud)
        for number in range(300):
            await eventually(lambda: "deaf" in node._core.registry.routes)
            node.send("deaf", "warn of this")
            node.send("deaf", number)
            await eventually(lambda number=number: node.info().crashes == number + 1)
        seconds = node._core.loop.time() - begin
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = propagates
    assert size <= 20_000 + 8_000 * (seconds + 1) + 10_000


def test_of_the_failures_of_one_class_the_first_is_logged_and_the_others_are_counted_for_an_interval(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = RateLimited(logging.LoggerAdapter(logging.getLogger("homing.test"), {}), interval=5.0)
    for now, fault in (
        (0.0, ValueError()),
        (1.0, ValueError()),
        (2.0, KeyError()),
        (4.0, ValueError()),
        (5.0, ValueError()),
    ):
        limited.error(now, "failed at %s", now, fault=fault)
    assert [record.getMessage() for record in caplog.records] == [
        "failed at 0.0",
        "failed at 2.0",
        "failed at 5.0 (and 2 more like it)",
    ]
    assert all(record.exc_info for record in caplog.records)
