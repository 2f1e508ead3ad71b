"""Processes on threads of their own: their callbacks may block, and all of `self` works there."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar

import pytest

import homing
from homing import act, gen
from homing.node.processes.thread_bridge import on_node_thread

from ...support import Probe, eventually
from ..actors import QUIET, Doer, Keeper, Meta
from .threads import THREAD, Block, ended, no_thread, threads_of

pytestmark = pytest.mark.loops

COLOR: ContextVar[str] = ContextVar("COLOR", default="none")


@pytest.fixture
async def doer(node: homing.Node) -> gen.PID:
    """A process on a thread of its own, which runs what it is sent."""
    return await node.spawn(Doer, options=THREAD)


class Everything(act.Actor):
    """Notes in which thread each of its callbacks runs."""

    split_handle = True

    def init(self, where: dict[str, threading.Thread]) -> None:
        self.where = where
        self.note("init")
        self.register_event("topic")
        self.alias = self.create_alias()

    def note(self, callback: str) -> None:
        self.where[callback] = threading.current_thread()

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.note("handle_message")

    def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
        self.note("handle_message_name")

    async def handle_message_alias(self, alias: gen.Alias, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(0)
        self.note("handle_message_alias")

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.note("handle_call")
        return self.alias

    async def handle_call_name(self, name: str, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await asyncio.sleep(0)
        self.note("handle_call_name")
        return self.alias

    def handle_call_alias(self, alias: gen.Alias, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.note("handle_call_alias")
        return self.alias

    def handle_event(self, event: gen.MessageEvent) -> None:
        self.note("handle_event")

    def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
        self.note("handle_inspect")
        return {"items": items}

    def handle_log(self, record: logging.LogRecord) -> None:
        self.note("handle_log")

    async def terminate(self, reason: Exception) -> None:
        self.note("terminate")


async def test_every_callback_runs_on_the_one_thread_of_the_process(node: homing.Node, probe: Probe) -> None:
    where: dict[str, threading.Thread] = {}
    pid = await node.spawn(Everything, where, name="everything", options=THREAD)
    token = await probe.do(lambda actor: actor.register_event("news"))
    process = node._process(pid)
    await node.call(pid, lambda: None)
    process.core.events.subscribe(process, gen.Event("news", node.name), link=False)
    await probe.do(lambda actor: actor.send_event("news", token, 1))
    node.add_log_receiver(pid)
    node.log.warning("something")
    alias = await node.call("everything", "alias")
    await node.call(alias, "alias")
    for address in (pid, "everything", alias):
        node.send(address, 1)
    assert await node.inspect(pid, "a") == {"items": ("a",)}
    await eventually(lambda: {"handle_log", "handle_message_alias", "handle_message"} <= where.keys())
    node.send_exit(pid, gen.TerminateShutdown)
    await ended(node, pid)
    assert {name for name in vars(Everything) if name.startswith("handle_")} | {"init", "terminate"} == where.keys()
    assert {thread.name for thread in where.values()} == {f"homing {pid}"}
    assert len(set(where.values())) == 1
    await no_thread(pid)


async def test_what_is_bound_to_a_thread_works_in_all_callbacks(node: homing.Node) -> None:
    class Table(act.Actor):
        def init(self) -> None:
            self.db = sqlite3.connect(":memory:")
            self.db.execute("create table t (n integer)")

        def handle_message(self, sender: gen.PID, message: int) -> None:
            self.db.execute("insert into t values (?)", (message,))

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.db.execute("select sum(n) from t").fetchone()[0]

        def terminate(self, reason: Exception) -> None:
            self.db.close()

    pid = await node.spawn(Table, options=THREAD)
    for number in range(10):
        node.send(pid, number)
    assert await node.call(pid, "sum") == 45


async def test_others_go_on_while_a_handler_blocks(node: homing.Node, doer: gen.PID) -> None:
    block = Block()
    other = await node.spawn(Doer)
    node.send(doer, block)
    await block.entered()
    assert [await node.call(other, lambda actor, n=n: n) for n in range(100)] == list(range(100))
    assert node.process_info(doer).state is gen.ProcessState.RUNNING
    block.released.set()
    assert await node.call(doer, lambda actor: "done") == "done"


async def test_messages_keep_their_order_and_higher_lanes_get_ahead(node: homing.Node, doer: gen.PID) -> None:
    got: list[int] = []
    first, second = Block(), Block()

    def note(number: int) -> Callable[[Any], None]:
        return lambda actor: got.append(number)

    node.send(doer, first)
    await first.entered()
    node.send(doer, second)
    for number in range(200):
        node.send(doer, note(number))
    first.released.set()
    await second.entered()
    node.send(doer, note(-1), gen.MessagePriority.HIGH)
    node.send(doer, note(-2), gen.MessagePriority.MAX)
    assert node.process_info(doer).mailbox == gen.MailboxInfo(urgent=1, system=1, main=200, log=0)
    second.released.set()
    await eventually(lambda: len(got) == 202)
    assert got == [-2, -1, *range(200)]
    assert node.process_info(doer).messages_in == 204


async def test_a_limit_counts_all_that_waits(node: homing.Node) -> None:
    pid = await node.spawn(Doer, options=gen.ProcessOptions(thread=True, mailbox_size=2))
    block = Block()
    node.send(pid, block)
    await block.entered()
    node.send(pid, print)
    node.send(pid, print)
    with pytest.raises(gen.MailboxFull):
        node.send(pid, print)
    node.kill(pid)
    block.released.set()


# --- self ---------------------------------------------------------------------------------------------------


METHODS = [
    name
    for name in dir(act.Actor)
    if not name.startswith("_") and not hasattr(gen.ProcessBehavior, name) and callable(getattr(act.Actor, name))
]


@pytest.mark.parametrize("name", METHODS)
def test_every_public_method_of_an_actor_crosses_to_the_nodes_thread(name: str) -> None:
    bridged, plain = getattr(on_node_thread(Doer), name), getattr(act.Actor, name)
    assert bridged.__wrapped__ is plain
    assert inspect.iscoroutinefunction(bridged) is inspect.iscoroutinefunction(plain)


class Base(act.Actor):
    """A behavior base with methods that no other has."""

    _runtime_hooks = act.Actor._runtime_hooks

    def where(self, *, fail: bool = False) -> str:
        if fail:
            raise LookupError("by where")
        return threading.current_thread().name

    async def where_later(self) -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request(self)


async def test_a_method_that_a_base_adds_crosses_too(node: homing.Node) -> None:
    class Derived(Base):
        pass

    pid = await node.spawn(Derived, options=THREAD)
    here = threading.current_thread().name
    assert await node.call(pid, lambda actor: actor.where()) == here
    assert await node.call(pid, lambda actor: actor.where_later()) == here

    def caught(actor: Any) -> str:
        try:
            return str(actor.where(fail=True))
        except LookupError as error:
            return f"{error} in {threading.current_thread().name}"

    assert await node.call(pid, caught) == f"by where in homing {pid}"


async def test_an_overridden_method_runs_on_the_thread_and_super_on_the_loop(node: homing.Node, probe: Probe) -> None:
    class Override(Base):
        def send(self, to: Any, message: Any) -> None:
            super().send(to, (threading.current_thread().name, message))

        def where(self, *, fail: bool = False) -> str:
            return f"{threading.current_thread().name}, {super().where()}"

    pid = await node.spawn(Override, options=THREAD)
    here = threading.current_thread().name
    assert await node.call(pid, lambda actor: actor.where()) == f"homing {pid}, {here}"
    await node.call(pid, lambda actor: actor.send_pid(probe.pid, 1))
    assert (await probe.get())[1] == 1


async def test_a_class_that_counts_its_subclasses_counts_no_more(node: homing.Node) -> None:
    class Counting(Doer):
        subclasses: ClassVar[list[type]] = []

        def __init_subclass__(cls, *, tag: str, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.subclasses.append(cls)

    class Tagged(Counting, tag="a"):
        pass

    pids = [await node.spawn(Tagged, options=THREAD) for _ in range(2)]
    assert Counting.subclasses == [Tagged]
    assert await node.call(pids[0], lambda actor: (isinstance(actor, Tagged), type(actor).__name__)) == (True, "Tagged")
    assert node.process_info(pids[1]).behavior == "Tagged"


async def test_everything_that_does_not_wait_works_from_the_thread(
    node: homing.Node, probe: Probe, doer: gen.PID
) -> None:
    other = await node.spawn(Doer, name="other")
    there = await node.spawn(Doer, name="there")

    def use(actor: Any) -> list[Any]:
        actor.register_name("doer")
        alias = actor.create_alias()
        token = actor.register_event("topic")
        found = [
            actor.link(other),
            actor.unlink(other),
            actor.monitor_name("there"),
            actor.demonitor_name("there"),
            actor.demonitor_name("there"),
            actor.send_event("topic", token, 1),
            (actor.pid, actor.name, actor.parent, actor.leader, actor.node, dict(actor.env)),
        ]
        actor.send(probe.pid, "send")
        actor.send_with_priority(probe.pid, "send_with_priority", gen.MessagePriority.NORMAL)
        actor.send_after(probe.pid, "send_after", 0.001)
        actor.forward(probe.pid, "forward", sender=other)
        actor.send_exit(there, gen.TerminateShutdown)
        actor.unregister_event("topic")
        actor.delete_alias(alias)
        actor.unregister_name()
        return found

    found = await node.call(doer, use)
    assert found == [[], True, None, True, False, 0, (doer, "doer", node.pid, node.pid, node.name, {})]
    assert {await probe.get() for _ in range(4)} == {"send", "send_with_priority", "forward", "send_after"}
    await ended(node, there)
    assert node.process_info(doer).messages_out == 4


async def test_errors_are_raised_at_the_caller_on_its_thread(node: homing.Node, doer: gen.PID) -> None:
    def caught(actor: Any) -> list[str]:
        errors = []
        for attempt in (
            partial(actor.send, "nobody", 1),
            partial(actor.send, ["no address"], 1),
            partial(actor.send_exit, actor.pid, gen.TerminateNormal),
            partial(actor.link, actor.pid),
            partial(actor.send_after, "nobody", 1, -1),
            partial(actor.register_name, ""),
        ):
            try:
                attempt()
            except gen.HomingError as error:
                errors.append(type(error).__name__)
        return errors

    names = ["NameUnknown", "BadOption", "NotAllowed", "NotAllowed", "BadOption", "BadOption"]
    assert await node.call(doer, caught) == names


async def test_what_is_sent_keeps_its_order_with_the_answer(node: homing.Node, probe: Probe, doer: gen.PID) -> None:
    def send(actor: Any) -> None:
        for number in range(100):
            actor.send(probe.pid, number)

    await node.call(doer, send)
    assert probe.waiting() == list(range(100))


async def test_timers_are_cancelled_from_the_thread(node: homing.Node, probe: Probe, doer: gen.PID) -> None:
    def use(actor: Any) -> list[bool]:
        cancel = actor.send_after(probe.pid, "never", 60)
        tick = actor.send_every(probe.pid, "tick", 60)
        return [cancel(), cancel(), tick()]

    assert await node.call(doer, use) == [True, False, True]
    assert probe.waiting() == []


async def test_a_thread_that_a_callback_made_may_use_self_as_well(
    node: homing.Node, probe: Probe, doer: gen.PID
) -> None:
    def use(actor: Any) -> None:
        helper = threading.Thread(target=actor.send, args=(probe.pid, "from a helper"))
        helper.start()
        helper.join()

    await node.call(doer, use)
    assert probe.waiting() == ["from a helper"]


async def test_an_unhandled_request_gets_an_error_at_once(node: homing.Node) -> None:
    class Silent(act.Actor):
        pass

    pid = await node.spawn(Silent, options=THREAD)
    with pytest.raises(gen.NotAllowed, match="Silent has no handle_call"):
        await node.call(pid, 1)


async def test_an_answer_may_come_later_and_an_error_goes_to_who_asked(node: homing.Node) -> None:
    class Later(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            if request == "error":
                self.send_response_error(sender, ref, LookupError("asked for"))
            else:
                self.send_response(sender, ref, request)
            return gen.NO_REPLY

        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            raise LookupError("inspected")

    pid = await node.spawn(Later, options=THREAD)
    assert await node.call(pid, 1) == 1
    with pytest.raises(LookupError, match="asked for"):
        await node.call(pid, "error")
    with pytest.raises(LookupError, match="inspected"):
        await node.inspect(pid)
    await eventually(lambda: node.process_info(pid).state is gen.ProcessState.SLEEP)


async def test_what_it_logs_goes_to_log_receivers(node: homing.Node, probe: Probe, doer: gen.PID) -> None:
    node.add_log_receiver(probe.pid)
    await node.call(doer, lambda actor: actor.log.warning("from the thread"))
    record = await probe.get()
    assert (record.getMessage(), record.pid, record.threadName) == ("from the thread", doer, f"homing {doer}")


# --- asynchronous callbacks -----------------------------------------------------------------------------------


async def test_coroutines_run_on_an_event_loop_of_the_thread(node: homing.Node, doer: gen.PID) -> None:
    async def where(actor: Any) -> Any:
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), threading.current_thread().name

    (first, name), (second, _) = [await node.call(doer, where) for _ in range(2)]
    assert first is second is not asyncio.get_running_loop()
    assert name == f"homing {doer}"
    node.kill(doer)
    await no_thread(doer)
    assert first.is_closed()


async def test_everything_that_waits_works_from_the_thread(node: homing.Node, doer: gen.PID) -> None:
    async def use(actor: Any) -> list[Any]:
        child = await actor.spawn(Doer, name="child", options=gen.ProcessOptions(link_parent=True))
        behavior = Meta()
        alias = await actor.spawn_meta(behavior)
        return [
            await actor.call(child, lambda other: other.parent),
            await actor.call(alias, "question"),
            await actor.inspect("child"),
            await actor.inspect_meta(alias, "a"),
        ]

    assert await node.call(doer, use) == [doer, ("answer", "question"), {}, {"items": ("a",)}]
    assert len(node.process_info(doer).metas) == 1


async def test_a_call_from_the_thread_raises_what_any_call_raises(node: homing.Node, doer: gen.PID) -> None:
    dying, busy = await node.spawn(Doer), await node.spawn(Doer)
    block = asyncio.Event()
    node.send(busy, lambda actor: block.wait())

    async def caught(actor: Any, attempt: Callable[[], Any]) -> str:
        try:
            await attempt()
        except gen.HomingError as error:
            return type(error).__name__
        return "nothing"

    async def use(actor: Any) -> list[str]:
        attempts = (
            partial(actor.call, "nobody", 1),
            partial(actor.call, actor.pid, 1),
            partial(actor.call, busy, print, timeout=0.001),
            partial(actor.call, dying, lambda other: other.send_exit("self", 1)),
        )
        return [await caught(actor, attempt) for attempt in attempts]

    assert await node.call(doer, use) == ["NameUnknown", "CallToSelf", "CallTimeout", "ProcessTerminated"]
    block.set()
    assert node.info().open_calls == 0


async def test_processes_on_threads_call_each_other(node: homing.Node) -> None:
    class Chain(act.Actor):
        def init(self, following: gen.PID | None) -> None:
            self.following = following

        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: int) -> int:
            return request if self.following is None else await self.call(self.following, request) + 1

    pid = None
    for _ in range(5):
        pid = await node.spawn(Chain, pid, options=THREAD)
    assert pid is not None
    assert [await node.call(pid, n) for n in range(20)] == [n + 4 for n in range(20)]


async def test_a_process_that_waits_for_an_answer_says_so(node: homing.Node, doer: gen.PID) -> None:
    other = await node.spawn(Doer)
    release = asyncio.Event()
    call = asyncio.create_task(node.call(doer, lambda actor: actor.call(other, lambda it: release.wait())))
    await eventually(lambda: node.process_info(doer).state is gen.ProcessState.WAIT_RESPONSE)
    release.set()
    assert await call is True


async def test_context_variables_start_as_the_nodes_and_stay_with_the_process() -> None:
    COLOR.set("the node's")
    async with homing.start_node("context@localhost", QUIET) as node:
        COLOR.set("the test's")
        first, second = [await node.spawn(Doer, options=THREAD) for _ in range(2)]

        async def later(actor: Any) -> str:
            await asyncio.sleep(0)
            return COLOR.get()

        assert await node.call(first, lambda actor: COLOR.get()) == "the node's"
        await node.call(first, lambda actor: COLOR.set("its own") and None)
        assert await node.call(first, later) == "its own"
        assert await node.call(second, later) == "the node's"
    assert COLOR.get() == "the test's"


# --- what there is to see --------------------------------------------------------------------------------------


async def test_a_snapshot_says_which_processes_have_a_thread(node: homing.Node, probe: Probe, doer: gen.PID) -> None:
    assert [node.process_info(pid).thread for pid in (doer, probe.pid)] == [True, False]
    assert [len(threads_of(pid)) for pid in (doer, probe.pid)] == [1, 0]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_running_time_counts_what_runs_on_the_thread(
    node: homing.Node, doer: gen.PID, asynchronous: bool
) -> None:
    async def later(actor: Any) -> None:
        await asyncio.sleep(0)
        block()

    def block() -> None:
        time.sleep(0.02)

    await node.call(doer, later if asynchronous else lambda actor: block())
    await eventually(lambda: node.process_info(doer).running_time >= 0.02)


@pytest.mark.parametrize("behavior", [act.Pool, act.Router, act.Supervisor])
async def test_a_behavior_that_works_on_the_runtime_gets_no_thread(node: homing.Node, behavior: Any) -> None:
    with pytest.raises(gen.BadOption, match=r"thread=True.*works on the runtime itself") as caught:
        await node.spawn(behavior, options=THREAD)
    assert caught.value.option == "thread"
    assert node.processes() == []


def test_thread_is_true_or_false() -> None:
    with pytest.raises(gen.BadOption, match="thread='yes'"):
        gen.ProcessOptions(thread="yes")  # type: ignore[arg-type]


async def test_a_burst_is_handled_in_order(node: homing.Node) -> None:
    kept: list[int] = []
    pid = await node.spawn(Keeper, kept, options=THREAD)
    for number in range(5000):
        node.send(pid, number)
    await eventually(lambda: len(kept) == 5000)
    assert kept == list(range(5000))
    await eventually(lambda: node.process_info(pid).state is gen.ProcessState.SLEEP)
    assert node.process_info(pid).messages_in == 5000
