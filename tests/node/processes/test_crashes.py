"""Crashes: a callback that raises ends its own process, once, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, busy_tasks, eventually
from ..actors import Doer, Meta, throw, throw_later

CRASHES: list[BaseException] = [
    ValueError("broken"),
    MemoryError("no more"),
    StopIteration("stop"),
    TimeoutError("late"),
    gen.TerminateKill(),
    ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
]
PANICS: list[BaseException] = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError("stray")]


def name_of(error: Any) -> str:
    return getattr(error, "__name__", type(error).__name__)


@pytest.mark.parametrize("error", [*CRASHES, *PANICS], ids=name_of)
@pytest.mark.parametrize("raiser", [throw, throw_later], ids=name_of)
async def test_what_a_handler_raises_ends_its_process_and_no_other_and_is_logged_once_with_its_traceback(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, error: BaseException, raiser: Any
) -> None:
    if isinstance(error, StopIteration) and raiser is throw_later:
        pytest.skip("Python itself turns it into a RuntimeError")
    reasons: list[Exception] = []
    crashing, bystander = await node.spawn(Doer, reasons), await node.spawn(Doer)
    await probe.do(lambda actor: actor.monitor(crashing))
    node.send(crashing, raiser(error))
    reason = (await probe.get()).reason
    assert reason.__cause__ is error if error in PANICS else reason is error
    assert isinstance(reason, gen.TerminatePanic) == (error in PANICS)
    assert reasons == [reason]
    assert await node.call(bystander, lambda actor: "alive") == "alive"
    assert node.info().crashes == 1
    [record] = caplog.records
    assert (record.name, record.levelname) == ("homing.process", "ERROR")
    assert str(crashing) in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("reason", [gen.TerminateNormal, gen.TerminateShutdown])
@pytest.mark.parametrize("raiser", [throw, throw_later], ids=name_of)
async def test_an_orderly_end_is_not_logged_and_no_crash(
    node: homing.Node, caplog: pytest.LogCaptureFixture, reason: type[Exception], raiser: Any
) -> None:
    reasons: list[Exception] = []
    node.send(await node.spawn(Doer, reasons), raiser(reason))
    await eventually(lambda: node.processes() == [])
    assert [type(each) for each in reasons] == [reason]
    assert caplog.records == []
    assert node.info().crashes == 0


class Fails(act.Actor):
    """Raises in the callback that the test names, and notes each `terminate`."""

    def init(self, reasons: list[Exception]) -> None:
        self.reasons = reasons
        self.link(gen.Event("topic", self.node))

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        raise ValueError("handle_message")

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        raise ValueError("handle_call")

    def handle_event(self, event: gen.MessageEvent) -> Any:
        raise ValueError("handle_event")

    def handle_log(self, record: logging.LogRecord) -> Any:
        raise ValueError("handle_log")

    def terminate(self, reason: Exception) -> None:
        self.reasons.append(reason)


class Counts(Exception):
    """An exit reason that counts how often it is shown."""

    shown = 0

    def __repr__(self) -> str:
        self.shown += 1
        return "Counts()"


@pytest.mark.parametrize(("level", "shown"), [(logging.WARNING, 0), (logging.INFO, 1)])
async def test_an_end_by_a_signal_is_shown_only_to_a_log_that_takes_it(
    node: homing.Node, caplog: pytest.LogCaptureFixture, level: int, shown: int
) -> None:
    reason = Counts()
    with caplog.at_level(level, "homing.process"):
        pid = await node.spawn(Doer)
        node.send_exit(pid, reason)
        await eventually(lambda: not node.processes())
    assert (reason.shown, len(caplog.records)) == (shown, shown)


@pytest.mark.parametrize("callback", ["handle_message", "handle_call", "handle_event", "handle_log"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_every_callback_may_raise_and_its_process_ends_once(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, callback: str, asynchronous: bool
) -> None:
    async def later(self: Any, *args: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError(callback)

    behavior: Any = type("AsyncFails", (Fails,), {callback: later}) if asynchronous else Fails
    token = await probe.do(lambda actor: actor.register_event("topic"))
    reasons: list[Exception] = []
    pid = await node.spawn(behavior, reasons)
    match callback:
        case "handle_message":
            node.send(pid, "x")
        case "handle_call":
            with pytest.raises(gen.ProcessTerminated):
                await node.call(pid, "x")
        case "handle_event":
            await probe.do(lambda actor: actor.send_event("topic", token, "x"))
        case "handle_log":
            node.add_log_receiver(pid)
            node.log.warning("x")
    await eventually(lambda: node.processes() == [probe.pid])
    assert [str(reason) for reason in reasons] == [callback]
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


# --- terminate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("in terminate"), SystemExit(1), asyncio.CancelledError()], ids=name_of)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_terminate_that_raises_is_logged_and_the_process_ends_for_its_first_reason(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, error: BaseException, asynchronous: bool
) -> None:
    class Bad(Doer):
        def terminate(self, reason: Exception) -> Any:
            return throw_later(error)(self) if asynchronous else throw(error)(self)

    pid = await node.spawn(Bad, name="bad")
    await probe.do(lambda actor: actor.monitor(pid))
    node.send(pid, throw(gen.TerminateShutdown))
    assert isinstance((await probe.get()).reason, gen.TerminateShutdown)
    assert node.processes() == [probe.pid]
    [record] = caplog.records
    assert "terminate of process" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    await node.spawn(Doer, name="bad")


async def test_an_asynchronous_terminate_is_awaited_before_anybody_is_told(node: homing.Node, probe: Probe) -> None:
    gate, notes = asyncio.Event(), []

    class Slow(Doer):
        async def terminate(self, reason: Exception) -> None:
            await gate.wait()
            notes.append(reason)

    pid = await node.spawn(Slow)
    await probe.do(lambda actor: actor.monitor(pid))
    node.send(pid, throw_later(gen.TerminateNormal))
    await eventually(lambda: node.process_info(pid).state is gen.ProcessState.ZOMBIE)
    await probe.do(lambda actor: None)
    assert probe.waiting() == []
    gate.set()
    assert (await probe.get()).reason is notes[0]


@pytest.mark.parametrize("end", ["raise", "raise later", "exit", "kill", "kill while waiting", "stop"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_terminate_is_called_exactly_once_however_a_process_ends(end: str, asynchronous: bool) -> None:
    reasons: list[Exception] = []

    class Counted(Doer):
        def terminate(self, reason: Exception) -> Any:
            return self.later(reason) if asynchronous else reasons.append(reason)

        async def later(self, reason: Exception) -> None:
            await asyncio.sleep(0)
            reasons.append(reason)

    async with homing.start_node("once@localhost", gen.NodeOptions(handle_signals=False)) as node:
        pid = await node.spawn(Counted)
        node.send(pid, lambda actor: asyncio.sleep(0) if end != "kill while waiting" else asyncio.Event().wait())
        match end:
            case "raise" | "raise later":
                node.send(pid, (throw if end == "raise" else throw_later)(gen.TerminateNormal))
                await eventually(lambda: node.processes() == [])
            case "exit":
                node.send_exit(pid, gen.TerminateShutdown)
                node.send_exit(pid, gen.TerminateShutdown)
                await eventually(lambda: node.processes() == [])
            case "kill":
                node.kill(pid)
            case "kill while waiting":
                await eventually(lambda: node.process_info(pid).state is gen.ProcessState.RUNNING)
                node.send_exit(pid, gen.TerminateShutdown)
                node.kill(pid)
    await asyncio.sleep(0)
    assert len(reasons) == 1


async def test_a_process_crashes_in_the_middle_of_its_links_and_all_are_told_of_one_reason(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons)
    for _ in range(10):
        await node.call(await node.spawn(Doer, reasons), lambda actor: actor.link(pid))
    error = ValueError("broken")
    node.send(pid, throw(error))
    await eventually(lambda: node.processes() == [])
    assert reasons == [error] * 11
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert node.info().crashes == 1


# --- what a crash must not keep --------------------------------------------------------------------------


@pytest.fixture
def forgetful_log() -> Iterator[None]:
    """No handler of the test keeps the log records, which hold the traceback."""
    loggers = [logging.getLogger("homing.process"), logging.getLogger("homing.meta")]
    for logger in loggers:
        logger.addFilter(_nothing)
    yield
    for logger in loggers:
        logger.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


class Payload:
    """Something that can be weakly referenced, as a pooled buffer's lease."""


def fail(payload: Payload) -> None:
    inner = payload
    try:
        raise KeyError(id(inner))
    except KeyError as first:
        try:
            raise ValueError("in between")
        except ValueError:
            raise ExceptionGroup("outer", [first, LookupError()]) from first


class Fatal(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        fail(message)


class AsyncFatal(act.Actor):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(0)
        fail(message)


class FatalCall(act.Actor):
    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await asyncio.sleep(0)
        fail(request)


@pytest.mark.usefixtures("forgetful_log")
@pytest.mark.parametrize("behavior", [Fatal, AsyncFatal, FatalCall])
async def test_a_crash_keeps_neither_the_message_in_hand_nor_those_that_waited(
    node: homing.Node, probe: Probe, behavior: type[act.Actor]
) -> None:
    payloads = [Payload() for _ in range(3)]
    alive = [weakref.ref(payload) for payload in payloads]
    pid = await node.spawn(behavior)
    await probe.do(lambda actor: actor.monitor(pid))
    for payload in payloads:
        if behavior is FatalCall:
            call = asyncio.create_task(node.call(pid, payload))
            call.add_done_callback(lambda task: task.exception())
            del call
        else:
            node.send(pid, payload)
    del payload, payloads
    message = await probe.get()
    await eventually(lambda: len(busy_tasks(node)) == 1)
    gc.collect()
    assert isinstance(message.reason, ExceptionGroup)
    assert [each() for each in alive] == [None] * 3


@pytest.mark.usefixtures("forgetful_log")
async def test_the_crash_of_a_meta_process_keeps_nothing_either(node: homing.Node, probe: Probe) -> None:
    class Source(Meta):
        def __init__(self, payload: Payload) -> None:
            super().__init__()
            self.payload: Payload | None = payload

        async def start(self) -> None:
            payload, self.payload = self.payload, None
            await asyncio.sleep(0)
            assert payload is not None
            fail(payload)

    source = Source(Payload())
    alive = weakref.ref(source.payload)  # type: ignore[arg-type]
    await probe.do(lambda actor: actor.spawn_meta(source))
    await eventually(lambda: source.reasons)
    gc.collect()
    assert isinstance(source.reasons[0], ExceptionGroup)
    assert alive() is None
