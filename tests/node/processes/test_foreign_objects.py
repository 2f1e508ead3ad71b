"""Objects of the program whose methods raise: they end no more than what they were handed to, and every end is told."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.node.logs import TRACEBACK_LIMIT, Complaints

from ... import hostile
from ...hostile import FrozenError, Hostile, HostileError, HostileMethod
from ...support import DEADLINE, Probe, eventually
from ..actors import Doer, Meta, throw, throw_later


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the runtime has logged of faults of its own."""
    return [message for message in caplog.messages if "fault in the runtime" in message]


def shown(caplog: pytest.LogCaptureFixture) -> list[str]:
    """All that was logged, as a handler would print it."""
    formatter = logging.Formatter("%(message)s")
    return [formatter.format(record) for record in caplog.records]


class Child(Doer):
    """Answers and dies on demand."""

    def init(self) -> None:  # type: ignore[override]
        self.reasons = []


def supervisor() -> type[act.Supervisor]:
    class Parent(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=(act.ChildSpec(name="child", behavior=Child),), intensity=100)

    return Parent


# --- what a handler raises ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile.ERRORS)
@pytest.mark.parametrize("raiser", [throw, throw_later], ids=["at once", "later"])
async def test_a_process_that_dies_of_what_cannot_be_shown_ends_as_any_other(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, name: str, raiser: Any
) -> None:
    caplog.set_level(logging.INFO)
    error = hostile.ERRORS[name]()
    parent = await node.spawn(supervisor())
    first = node._core.registry.names["child"].id
    await probe.do(lambda actor: actor.monitor(first))
    call = asyncio.create_task(node.call("child", lambda actor: asyncio.Event().wait()))
    await eventually(lambda: node.process_info(first).state is gen.ProcessState.RUNNING)
    node.kill(first)
    with pytest.raises(gen.ProcessTerminated):
        await call
    second = await eventually(lambda: node._core.registry.names.get("child"))
    await probe.get()
    await probe.do(lambda actor: actor.monitor(second.id))
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call("child", raiser(error))
    assert caught.value.reason is error
    assert (await probe.get()).reason is error
    third = await eventually(lambda: node._core.registry.names.get("child"))
    assert third.id not in (first, second.id)
    assert await node.call("child", lambda actor: "alive") == "alive"
    [child] = await node.call(parent, act.WhichChildren())
    assert (child.state.value, child.pid, child.reason is error) == ("running", third.id, True)
    assert error.__traceback__ is None or name == "frozen"
    assert faults(caplog) == []
    assert all(len(text) < TRACEBACK_LIMIT + 3000 for text in shown(caplog))


@pytest.mark.parametrize("name", hostile.ERRORS)
async def test_where_it_is_raised_does_not_matter(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    make = hostile.ERRORS[name]

    class FailsToStart(act.Actor):
        def init(self) -> None:
            raise make()

    class FailsToEnd(Doer):
        def terminate(self, reason: Exception) -> None:
            raise make()

    class FailsToTell(Doer):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            raise make()

    class FailingSource(Meta):
        async def start(self) -> None:
            raise make()

    with pytest.raises(type(make())):
        await node.spawn(FailsToStart)
    ending = await node.spawn(FailsToEnd)
    await probe.do(lambda actor: actor.monitor(ending))
    node.send_exit(ending, make())
    await probe.get()
    telling = await node.spawn(FailsToTell)
    with pytest.raises(type(make())):
        await node.inspect(telling)
    source = FailingSource()
    await probe.do(lambda actor: actor.spawn_meta(source))
    await eventually(lambda: source.reasons)
    threaded = await node.spawn(Doer, options=gen.ProcessOptions(thread=True))
    with pytest.raises(gen.ProcessTerminated):
        await node.call(threaded, throw(make()))
    assert set(node.processes()) == {probe.pid, telling}
    assert node.info().metas == 0
    assert faults(caplog) == []


async def test_the_text_of_an_exception_in_the_log_is_bounded(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await node.spawn(supervisor())
    node.send("child", throw(ValueError(b"\0" * 60_000)))
    await eventually(lambda: node.info().crashes == 1 and "child" in node._core.registry.names)
    texts = shown(caplog)
    assert sum(map(len, texts)) < 10_000
    assert "characters)" in texts[0] or "long)" in texts[0]


async def test_pooled_buffers_come_back_from_handlers_that_die_of_frozen_errors(
    node: homing.Node, probe: Probe
) -> None:
    class Payload:
        alive = 0

        def __init__(self) -> None:
            Payload.alive += 1

        def __del__(self) -> None:
            Payload.alive -= 1

    class Fatal(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            raise FrozenError

    logging.getLogger("homing.process").addFilter(_nothing)
    try:
        for _ in range(20):
            pid = await node.spawn(Fatal)
            await probe.do(lambda actor, pid=pid: actor.monitor(pid))
            node.send(pid, Payload())
            await probe.get()
    finally:
        logging.getLogger("homing.process").removeFilter(_nothing)
    await eventually(lambda: Payload.alive == 0)


def _nothing(record: logging.LogRecord) -> bool:
    return False


# --- what is sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile.VALUES)
async def test_what_cannot_be_looked_at_is_delivered_answered_and_published_as_anything(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    value = hostile.VALUES[name]()

    class Echo(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return request

    pid = await node.spawn(Echo)
    for behavior in (Echo, type("AsyncEcho", (Echo,), {"handle_call": _echo_later})):
        echo = await node.spawn(behavior)
        assert (await node.call(echo, value)) is value
    node.send(pid, value)  # nobody handles it
    node.send(probe.pid, value)
    assert (await probe.get()) is value
    await probe.do(lambda actor: actor.send_after(actor.pid, value, 0))
    assert (await probe.get()) is value
    node.send_threadsafe(probe.pid, value)
    assert (await probe.get()) is value

    token = await probe.do(lambda actor: actor.register_event("topic"))
    await probe.do(lambda actor: actor.monitor(gen.Event("topic", actor.node)) and None)

    def publish(actor: Any) -> None:
        with pytest.raises(gen.BadOption):
            actor.send_event("topic", value, "wrong token")
        actor.send_event("topic", token, value)

    await probe.do(publish)
    assert (await probe.get()).message is value
    assert faults(caplog) == []


async def _echo_later(self: Any, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
    await asyncio.sleep(0)
    return request


@pytest.mark.parametrize("name", hostile.VALUES)
async def test_what_is_no_address_is_refused_where_it_is_used(node: homing.Node, probe: Probe, name: str) -> None:
    value = hostile.VALUES[name]()

    def use(actor: Any) -> None:
        for function in (actor.send, actor.send_with_priority):
            arguments = ("x",) if function == actor.send else ("x", gen.MessagePriority.HIGH)
            with pytest.raises((gen.BadOption, gen.NameUnknown)):
                function(value, *arguments)
        for function in (actor.link, actor.monitor):
            with pytest.raises((gen.BadOption, gen.NameUnknown)):
                function(value)
        with pytest.raises((gen.BadOption, gen.NameUnknown)):
            actor.send_exit(value, ValueError())
        with pytest.raises((gen.BadOption, gen.NameUnknown)):
            actor.forward(probe.pid, "x", sender=value)

    await node.call(await node.spawn(Doer), use)
    with pytest.raises((gen.BadOption, gen.NameUnknown)):
        await node.call(value, "x")
    before = node.info().threadsafe_failures
    node.send_threadsafe(value, "x")
    node.send_threadsafe(probe.pid, "behind it")
    assert await probe.get() == "behind it"
    assert node.info().threadsafe_failures == before + 1


@pytest.mark.parametrize("name", hostile.VALUES)
@pytest.mark.parametrize("overflow", ["raise", "drop_newest", "drop_oldest"])
async def test_what_overflows_or_is_left_is_counted_whatever_it_is(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, name: str, overflow: Any
) -> None:
    make = hostile.VALUES[name]
    gate = asyncio.Event()

    class Busy(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await gate.wait()
            raise HostileError(message)

    options = gen.ProcessOptions(mailbox_size=2, overflow=overflow, preserve_mailbox=True, dead_letters=probe.pid)
    pid = await node.spawn(Busy, options=options)
    node.send(pid, make())
    await eventually(lambda: node.process_info(pid).state is gen.ProcessState.RUNNING)
    for _ in range(4):
        try:
            node.send(pid, make())
        except gen.MailboxFull:
            pass
    gate.set()
    letters = [await probe.get() for _ in range(3)]
    assert [letter.in_hand for letter in letters] == [True, False, False]
    await eventually(lambda: node.processes() == [probe.pid])
    assert faults(caplog) == []


async def test_names_of_a_class_of_the_programs_lead_where_plain_names_do(node: homing.Node, probe: Probe) -> None:
    class Name(str):
        __slots__ = ()
        broken = False

        def __hash__(self) -> int:
            if Name.broken:
                raise HostileMethod
            return str.__hash__(self)

        def __eq__(self, other: object) -> bool:
            if Name.broken:
                raise HostileMethod
            return str.__eq__(self, other)  # type: ignore[no-any-return]

    pid = await node.spawn(Doer, name=Name("name"))
    await node.call(pid, lambda actor: actor.register_event(Name("topic")))
    await probe.do(lambda actor: actor.monitor("name"))
    Name.broken = True
    node.send("name", throw(ValueError("end")))
    assert isinstance(await probe.get(), gen.MessageDownName)
    assert node.info().names == 0
    assert node.info().events == 0


VARIABLE: ContextVar[Any] = ContextVar("variable", default=None)


@pytest.mark.parametrize("name", hostile.VALUES)
async def test_context_variables_may_hold_what_cannot_be_compared(caplog: pytest.LogCaptureFixture, name: str) -> None:
    values: list[Any] = []

    class Sets(act.Actor):
        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            values.append(VARIABLE.get())
            VARIABLE.set(hostile.VALUES[name]())
            return len(values)

    base = hostile.VALUES[name]()
    VARIABLE.set(base)
    async with homing.start_node("context@localhost", gen.NodeOptions(handle_signals=False)) as node:
        pid = await node.spawn(Sets)
        assert [await node.call(pid, "x") for _ in range(5)] == [1, 2, 3, 4, 5]
    assert all(value is base for value in values)
    assert faults(caplog) == []


async def test_a_look_at_the_node_does_not_fail_for_one_process(node: homing.Node) -> None:
    class Shy(Doer):
        @property
        def trap_exit(self) -> Any:  # type: ignore[override]
            raise HostileMethod

    await node.spawn(Shy)
    assert [tree.info.trap_exit for tree in node.tree().processes] == [False]


@pytest.mark.parametrize("name", hostile.VALUES)
async def test_options_that_cannot_be_compared_are_refused_by_name(name: str) -> None:
    value = hostile.VALUES[name]()
    for make in (
        lambda: gen.ProcessOptions(overflow=value),
        lambda: act.RouterOptions(overflow=value),
        lambda: act.PoolOptions(worker=Doer, overflow=value),
        lambda: gen.MetaOptions(overflow=value),
    ):
        with pytest.raises(gen.BadOption):
            make()


async def test_a_stop_goes_on_whatever_a_meta_process_says_of_its_drain(caplog: pytest.LogCaptureFixture) -> None:
    class Undrainable(Meta):
        def drain(self) -> None:
            raise SystemExit

        def drained(self) -> Any:
            return Hostile()

    source = Undrainable()
    async with homing.start_node("drain@localhost", gen.NodeOptions(handle_signals=False)) as node:
        pid = await node.spawn(Doer)
        await node.call(pid, lambda actor: actor.spawn_meta(source))
    assert len(source.reasons) == 1
    assert node.info().processes == 0


# --- behaviors that refuse attributes -------------------------------------------------------------------------


async def test_a_behavior_that_takes_no_attributes_is_refused_at_its_spawn(node: homing.Node) -> None:
    class Frozen(act.Actor):
        def __setattr__(self, name: str, value: Any) -> None:
            raise HostileMethod

    class FrozenMeta(gen.MetaBehavior):
        def __setattr__(self, name: str, value: Any) -> None:
            raise HostileMethod

    with pytest.raises(HostileMethod):
        await node.spawn(Frozen, name="frozen")
    assert node.processes() == []
    pid = await node.spawn(Doer, name="frozen")
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call(pid, lambda actor: actor.spawn_meta(FrozenMeta()))
    assert isinstance(caught.value.reason, HostileMethod)
    assert (node.processes(), node.info().metas) == ([], 0)


# --- log handlers ---------------------------------------------------------------------------------------------


class Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise HostileMethod


@pytest.fixture
def raising_handler(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The program's log handler raises, and no other is there."""
    logger, handler, before = logging.getLogger("homing"), Raising(), Complaints.total
    logger.addHandler(handler)
    Complaints.told_at = float("-inf")
    yield
    logger.removeHandler(handler)
    assert Complaints.total > before
    Complaints.total = before
    assert capsys.readouterr().err.count("a log handler raised HostileMethod()") == 1


@pytest.mark.usefixtures("raising_handler")
async def test_a_log_handler_that_raises_ends_nothing_and_is_told_on_standard_error(
    node: homing.Node, probe: Probe
) -> None:
    await node.spawn(supervisor())
    first = node._core.registry.names["child"].id
    node.send("child", lambda actor: actor.log.warning("logs"))
    node.send("child", throw(ValueError("crash")))
    names = node._core.registry.names
    await eventually(lambda: (child := names.get("child")) is not None and child.id != first)
    assert await node.call("child", lambda actor: "alive") == "alive"


async def test_what_a_process_logs_still_comes_from_where_it_is_logged(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.send(await node.spawn(Doer), lambda actor: actor.log.warning("here"))
    await eventually(lambda: caplog.records)
    assert (caplog.records[0].filename, caplog.records[0].funcName) == ("test_foreign_objects.py", "<lambda>")


# --- every step of an end -------------------------------------------------------------------------------------


class Failing:
    """An object of the runtime, of which one method raises."""

    def __init__(self, inner: Any, method: str) -> None:
        self._inner = inner
        self._method = method
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._inner, name)
        self.calls += 1
        return self._fail

    def __len__(self) -> int:
        return len(self._inner)

    def _fail(self, *args: Any, **kwargs: Any) -> Any:
        raise SystemExit("injected")


STEPS = [
    ("bounded_log", "error"),
    ("delivery", "send"),
    ("calls", "callee_gone"),
    ("links", "consumer_gone"),
    ("links", "subject_gone"),
    ("events", "owner_gone"),
    ("applications", "process_ended"),
]


@pytest.mark.parametrize(("part", "method"), STEPS)
async def test_whatever_step_of_an_end_fails_those_after_it_are_taken(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, part: str, method: str
) -> None:
    options = gen.ProcessOptions(dead_letters="nobody")
    pid = await node.spawn(Doer, name="ending", options=options)
    process = node._core.processes[pid]
    process.application = "application"
    ended: list[str] = []
    process.when_ended(lambda: ended.append("ended"))
    alias = await node.call(pid, lambda actor: actor.create_alias())
    await node.call(pid, lambda actor: actor.monitor(probe.pid))
    await node.call(pid, lambda actor: actor.register_event("topic"))
    source = Meta()
    await node.call(pid, lambda actor: actor.spawn_meta(source))
    core: Any = node._core
    inner = getattr(core, part)
    failing = Failing(inner, method)
    setattr(core, part, failing)
    try:
        inner_send = process.routes[pid]
        inner_send.put_runtime((probe.pid, throw(HostileError())), 0)
        await eventually(lambda: process.state is gen.ProcessState.TERMINATED)
    finally:
        setattr(core, part, inner)
    assert failing.calls > 0
    assert ended == ["ended"]
    assert (node.processes(), node.info().names, node.info().metas) == ([probe.pid], 0, 0)
    assert alias not in core.registry.routes
    assert len(source.reasons) == 1
    await node.spawn(Doer, name="ending")
    if part not in ("bounded_log", "delivery"):
        assert faults(caplog)


async def test_a_callback_of_the_end_that_fails_does_not_keep_the_others_from_being_called(node: homing.Node) -> None:
    pid = await node.spawn(Doer)
    process = node._core.processes[pid]
    called: list[int] = []

    def fail() -> None:
        called.append(1)
        raise HostileMethod

    process.when_ended(fail)
    process.when_ended(lambda: called.append(2))
    node.kill(pid)
    assert called == [1, 2]
    assert node.processes() == []


# --- attributes that are code -----------------------------------------------------------------------------------


class Attribute:
    """An attribute of a class that raises when it is asked for."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        raise HostileMethod


async def test_a_handler_that_cannot_be_found_ends_its_process_alone(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    class Lacks(act.Actor):
        handle_message = Attribute()  # type: ignore[assignment]

    pid = await node.spawn(Lacks)
    await probe.do(lambda actor: actor.monitor(pid))
    node.send(pid, "x")
    assert isinstance((await probe.get()).reason, HostileMethod)
    assert faults(caplog) == []


async def test_a_start_that_cannot_be_found_ends_its_meta_process(node: homing.Node, probe: Probe) -> None:
    class Lacks(Meta):
        start = Attribute()  # type: ignore[assignment]

    source = Lacks()

    async def spawn(actor: Any) -> str:
        with pytest.raises(HostileMethod):
            await actor.spawn_meta(source)
        return "refused"

    assert await probe.do(spawn) == "refused"
    assert [type(reason) for reason in source.reasons] == [HostileMethod]
    assert node.info().metas == 0


async def test_what_is_called_when_a_node_stops_may_raise(caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []

    def fail() -> None:
        raise SystemExit

    node = await homing.start_node("stops@localhost", gen.NodeOptions(handle_signals=False))
    node.on_stopped(fail)
    node.on_stopped(lambda: called.append("stopped"))
    assert await node.stop()
    await node.wait()
    assert called == ["stopped"]


async def test_the_watchdog_survives_classes_whose_attributes_raise_or_wrap_themselves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Itself:
        def __getattr__(self, name: str) -> Any:
            return self

    class Slow(Doer):
        handle_call = Attribute()  # type: ignore[assignment]
        blocks = Itself()

        def handle_message(self, sender: gen.PID, message: Any) -> Any:
            return message(self)

    def blocks(actor: Any) -> None:
        end = time.monotonic() + DEADLINE
        while not caplog.records and time.monotonic() < end:
            time.sleep(0.005)

    class Plain(Doer):
        blocks = Itself()

    options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=0.02)
    async with homing.start_node("watched@localhost", options) as node:
        node.send(await node.spawn(Plain), blocks)
        await eventually(lambda: caplog.records)
        process = node._process(await node.spawn(Slow))
        caplog.clear()

        def handle_call() -> None:
            blocks(None)

        node.send(process.id, lambda actor: handle_call())
        await eventually(lambda: caplog.records)
        assert [thread.is_alive() for thread in threading.enumerate() if "watched@localhost" in thread.name] == [True]
