"""A behavior does in the kit what it does in a node: random programs run in both, and leave the same traces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen
from homing.testing import run_virtual, unit

Trace = list[Any]
MOMENT = 1e-6
"""Virtual seconds in which a node comes to rest."""


class Subject(act.Actor):
    """Does what its messages say, and writes down all that it sees. "store" is a process that answers with a count."""

    def init(self, trace: Trace, trap: bool) -> None:
        self.trace = trace
        self.trap_exit = trap
        self.cancel: Callable[[], bool] = lambda: False
        self.alias: gen.Alias | None = None
        self.open: tuple[gen.PID, gen.Ref] | None = None

    async def handle_message(self, sender: Any, message: Any) -> None:
        self.trace.append(described(message))
        if isinstance(message, str) and hasattr(self, f"do_{message}"):
            try:
                result = getattr(self, f"do_{message}")()
                if asyncio.iscoroutine(result):
                    result = await result
                self.trace.append(("done", message, described(result)))
            except gen.HomingError as error:
                if isinstance(error, gen.TerminateReason):
                    raise
                self.trace.append(("refused", type(error).__name__))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.trace.append(("asked", request))
        if request == "later":
            self.open = sender, ref
            return gen.NO_REPLY
        if request == "crash":
            raise ValueError("asked to crash")
        return "answer"

    def handle_event(self, event: gen.MessageEvent) -> None:
        self.trace.append(("event", event.message))

    def terminate(self, reason: Exception) -> None:
        self.trace.append(("terminate", described(reason)))

    def do_send(self) -> None:
        self.send("store", "hello")

    async def do_call(self) -> Any:
        return await self.call("store", "get")

    async def do_call_nobody(self) -> Any:
        return await self.call("nobody", "get")

    async def do_sleep(self) -> None:
        await asyncio.sleep(2)

    def do_after(self) -> None:
        self.cancel = self.send_after(self.pid, "timer", 1.0)

    def do_every(self) -> None:
        self.cancel = self.send_every(self.pid, "tick", 1.0)

    def do_cancel(self) -> bool:
        return self.cancel()

    def do_monitor(self) -> Any:
        return self.monitor("store")

    def do_demonitor(self) -> bool:
        return self.demonitor("store")

    def do_link(self) -> Any:
        return self.link("store")

    def do_unlink(self) -> bool:
        return self.unlink("store")

    def do_urgent(self) -> None:
        self.send(self.pid, "second")
        self.send_with_priority(self.pid, "first", gen.MessagePriority.MAX)

    def do_respond(self) -> None:
        if self.open is not None:
            self.send_response(*self.open, "late")

    def do_create_alias(self) -> bool:
        self.alias = self.create_alias()
        self.send(self.alias, "by alias")
        return self.delete_alias(self.alias) is None

    def do_register_name(self) -> None:
        self.register_name("subject")

    def do_event(self) -> int:
        return self.send_event("news", self.register_event("news", gen.EventOptions(buffer=2)), 1)

    def do_stop(self) -> None:
        raise gen.TerminateNormal

    def do_crash(self) -> None:
        raise ValueError("crashed")


def described(value: Any) -> Any:
    """A form that is the same in two nodes: without PIDs."""
    if isinstance(value, BaseException):
        return type(value).__name__, str(value).partition("<")[0]
    reason = getattr(value, "reason", None)
    return value if reason is None else (type(value).__name__, described(reason))


DOES = st.sampled_from(sorted(name[3:] for name in vars(Subject) if name.startswith("do_")))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("message"), DOES),
        st.tuples(st.just("call"), st.sampled_from(["now", "now", "later", "later", "crash"])),
        st.tuples(st.just("advance"), st.sampled_from([0.618, 1.618, 5.123])),
        st.tuples(st.just("store ends"), st.none()),
        st.tuples(st.just("parent ends it"), st.none()),
    ),
    max_size=12,
)


# --- in the kit ---------------------------------------------------------------------------------------------------


def in_the_kit(steps: list[tuple[str, Any]], trap: bool) -> Any:
    trace: Trace = []
    outcomes: Trace = []
    subject = unit(Subject, trace, trap, node="test@localhost")
    count = iter(range(1000))
    subject.on_call("store").by(lambda request: next(count))
    subject.absent("nobody")
    with subject:
        store_lives = True
        for kind, what in steps:
            try:
                match kind:
                    case "message":
                        subject.message(what)
                    case "call":
                        outcomes.append(subject.call(what))
                    case "advance":
                        subject.fire_timers(what)
                    case "store ends":
                        if store_lives:
                            subject.down("store", ValueError("store"))
                        store_lives = False
                    case "parent ends it":
                        subject.exit(gen.TerminateShutdown)
            except (ValueError, gen.HomingError) as error:
                outcomes.append(type(error).__name__ if isinstance(error, gen.HomingError) else "crash")
        got, reason = subject.sent(to="store"), described(subject.exited)
    return trace, outcomes, got, reason


# --- in a node ----------------------------------------------------------------------------------------------------


class Store(act.Actor):
    def init(self, got: list[Any]) -> None:
        self.got = got
        self.count = iter(range(1000))

    def handle_message(self, sender: Any, message: Any) -> None:
        self.got.append(message)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> int:
        return next(self.count)


class Parent(act.Actor):
    async def init(self, trace: Trace, trap: bool, spawned: list[gen.PID]) -> None:
        spawned.append(await self.spawn(Subject, trace, trap))

    def handle_message(self, sender: Any, message: Any) -> None:
        message(self)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return await request(self)


async def in_a_node(steps: list[tuple[str, Any]], trap: bool) -> Any:
    trace: Trace = []
    outcomes: Trace = []
    got: list[Any] = []
    spawned: list[gen.PID] = []
    ended: list[Exception] = []
    async with homing.start_node("test@localhost") as node:
        store = await node.spawn(Store, got, name="store")
        parent = await node.spawn(Parent, trace, trap, spawned)
        pid = spawned[0]
        watcher = await node.spawn(Watcher, pid, ended)
        store_lives = True
        for kind, what in steps:
            crashes = node.info().crashes
            try:
                match kind:
                    case "message":
                        node.send(pid, what)
                        await asyncio.sleep(2 + MOMENT if what == "sleep" and not ended else MOMENT)
                    case "call":
                        task = asyncio.create_task(node.call(pid, what))
                        await asyncio.sleep(MOMENT)
                        if task.done():
                            outcomes.append(task.result())
                        else:
                            outcomes.append(gen.NO_REPLY)
                            task.add_done_callback(lambda task: task.cancelled() or task.exception())
                    case "advance":
                        await asyncio.sleep(what)
                    case "store ends":
                        if store_lives:
                            node.send_exit(store, ValueError("store"))
                        store_lives = False
                    case "parent ends it":
                        node.send(parent, lambda self: None if ended else self.send_exit(pid, gen.TerminateShutdown))
                        if ended:
                            node.send(pid, None)  # raises as the signal would
                await asyncio.sleep(MOMENT)
                if node.info().crashes > crashes:
                    raise ValueError
            except (ValueError, gen.HomingError) as error:
                crashed = node.info().crashes > crashes
                outcomes.append("crash" if crashed else type(error).__name__)
        result = list(got), described(ended[0]) if ended else None
        if not ended:
            node.send(parent, lambda self: self.send_exit(pid, gen.TerminateShutdown))
            await asyncio.sleep(MOMENT)
        assert node.process_info(watcher)
    return trace, outcomes, *result


class Watcher(act.Actor):
    def init(self, pid: gen.PID, ended: list[Exception]) -> None:
        self.ended = ended
        self.monitor(pid)

    def handle_message(self, sender: Any, message: Any) -> None:
        self.ended.append(message.reason)


@given(STEPS, st.booleans())
def test_a_behavior_does_in_the_kit_what_it_does_in_a_node(steps: list[tuple[str, Any]], trap: bool) -> None:
    assert in_the_kit(steps, trap) == run_virtual(in_a_node, steps, trap)
