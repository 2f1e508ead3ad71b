"""Meta-processes: an outside source on one side, a mailbox on the other, an alias, a parent."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import DEADLINE, Probe, busy_tasks, eventually
from ..actors import Doer, Meta, throw, throw_later


async def start(node: homing.Node, source: gen.MetaBehavior, **options: Any) -> tuple[gen.PID, gen.Alias]:
    """A parent and its meta-process."""
    parent = await node.spawn(Doer)
    return parent, await node.call(parent, lambda actor: actor.spawn_meta(source, gen.MetaOptions(**options)))


class Thread(Meta):
    """Its `start` blocks in a thread of its own, until `terminate` lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.thread: int | None = None
        self.work: Any = None
        self.ended = threading.Event()

    def start(self) -> None:  # type: ignore[override]
        self.thread = threading.get_ident()
        if self.work is not None:
            self.work(self)
        self.gate.wait()
        self.ended.set()

    def terminate(self, reason: Exception) -> None:
        super().terminate(reason)
        self.gate.set()


async def test_a_meta_process_is_reached_by_its_alias_and_answers(node: homing.Node, probe: Probe) -> None:
    source = Meta()
    parent, alias = await start(node, source)
    assert (source.process.id, source.process.parent) == (alias, parent)
    await probe.do(lambda actor: (actor.send(alias, "one"), actor.send_alias(alias, "two")))
    await eventually(lambda: len(source.got) == 2, "the second message")
    assert source.got == [(probe.pid, "one"), (probe.pid, "two")]
    assert await node.call(alias, "what?") == ("answer", "what?")
    assert await probe.do(lambda actor: actor.call(alias, "what?")) == ("answer", "what?")


async def test_what_it_sends_comes_from_its_alias_and_an_answer_comes_to_it(node: homing.Node, probe: Probe) -> None:
    answers: asyncio.Queue[Any] = asyncio.Queue()

    class Hears(Meta):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            answers.put_nowait((sender, message))

    source = Hears()
    _, alias = await start(node, source)
    source.process.send(probe.pid, "from outside")
    source.process.send_with_priority(probe.pid, "urgent", gen.MessagePriority.MAX)
    assert [await probe.next() for _ in range(2)] == [
        ("message", alias, "urgent"),
        ("message", alias, "from outside"),
    ]
    assert node.meta_info(alias).messages_out == 2
    await probe.do(lambda actor: actor.send(alias, "an answer"))
    async with asyncio.timeout(DEADLINE):
        assert await answers.get() == (probe.pid, "an answer")


async def test_an_asynchronous_start_runs_as_a_task_of_the_loop(node: homing.Node) -> None:
    seen: list[Any] = []

    class Task(Meta):
        async def start(self) -> None:
            seen.append((asyncio.current_task(), threading.get_ident()))
            await super().start()

    await start(node, Task())
    [(task, thread)] = await eventually(lambda: seen)
    assert task is not None
    assert thread == threading.get_ident()


async def test_a_blocking_start_runs_in_a_thread_and_what_it_sends_keeps_its_order(
    node: homing.Node, probe: Probe
) -> None:
    source = Thread()
    source.work = lambda self: [self.process.send(probe.pid, number) for number in range(1000)]
    _, alias = await start(node, source)
    got = [await probe.next() for _ in range(1000)]
    assert got == [("message", alias, number) for number in range(1000)]
    assert source.thread != threading.get_ident()
    assert node.meta_info(alias).messages_out == 1000


async def test_a_blocking_start_can_answer_a_call_from_its_thread(node: homing.Node) -> None:
    requests: asyncio.Queue[Any] = asyncio.Queue()

    class Answers(Thread):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            threading.Thread(target=self.process.send_response, args=(sender, ref, request + 1)).start()
            return gen.NO_REPLY

    _, alias = await start(node, Answers())
    assert requests.empty()
    assert await node.call(alias, 41) == 42


async def test_what_a_thread_sends_to_nobody_is_counted(node: homing.Node) -> None:
    source = Thread()
    source.work = lambda self: self.process.send("nobody", "x")
    await start(node, source)
    await eventually(lambda: node.info().threadsafe_failures == 1)


async def test_timers_are_refused_in_a_thread(node: homing.Node) -> None:
    refused: list[str] = []

    def work(self: Thread) -> None:
        for way in (self.process.send_after, self.process.send_every):
            with pytest.raises(gen.NotAllowed, match="thread"):
                way(self.process.parent, "x", 1)
            refused.append(way.__name__)

    source = Thread()
    source.work = work
    await start(node, source)
    await eventually(lambda: len(refused) == 2)


async def test_what_a_blocking_start_sent_before_it_returned_is_delivered(node: homing.Node, probe: Probe) -> None:
    source = Thread()
    source.gate.set()
    source.work = lambda self: [self.process.send(probe.pid, number) for number in range(100)]
    _, alias = await start(node, source)
    await eventually(lambda: node.info().metas == 0)
    assert [await probe.get() for _ in range(100)] == list(range(100))
    with pytest.raises(gen.MetaTerminated):
        node.send(alias, "late")


@pytest.mark.parametrize("kind", [Meta, Thread])
async def test_a_start_that_returns_ends_the_meta_process_with_normal(
    node: homing.Node, probe: Probe, kind: type[Meta]
) -> None:
    class Short(kind):  # type: ignore[misc, valid-type]
        if kind is Meta:

            async def start(self) -> None:
                await gate.wait()
        else:

            def start(self) -> None:
                thread_gate.wait()

    gate, thread_gate = asyncio.Event(), threading.Event()
    source = Short()
    parent, alias = await start(node, source)
    await probe.do(lambda actor: actor.monitor(alias))
    gate.set()
    thread_gate.set()
    message = await probe.get()
    assert (message.alias, type(message.reason)) == (alias, gen.TerminateNormal)
    assert [type(reason) for reason in source.reasons] == [gen.TerminateNormal]
    assert parent in node.processes()


@pytest.mark.parametrize("error", [OSError("socket gone"), SystemExit(1)], ids=["OSError", "SystemExit"])
@pytest.mark.parametrize("blocking", [False, True])
async def test_a_start_that_raises_ends_the_meta_process_with_that_and_is_logged_once(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, error: BaseException, blocking: bool
) -> None:
    gate, thread_gate = asyncio.Event(), threading.Event()

    class Fails(Meta):
        async def start(self) -> None:
            await gate.wait()
            raise error

    class FailsInThread(Meta):
        def start(self) -> None:  # type: ignore[override]
            thread_gate.wait()
            raise error

    source = FailsInThread() if blocking else Fails()
    parent, alias = await start(node, source)
    await probe.do(lambda actor: actor.monitor(alias))
    gate.set()
    thread_gate.set()
    reason = (await probe.get()).reason
    assert error in (reason, reason.__cause__)
    assert source.reasons == [reason]
    assert parent in node.processes()
    assert node.info().crashes == 1
    [record] = caplog.records
    assert (record.name, record.exc_info is not None) == ("homing.meta", True)


async def test_a_meta_process_whose_start_does_nothing_ends_at_once_with_normal(node: homing.Node) -> None:
    class Nothing(gen.MetaBehavior):
        def terminate(self, reason: Exception) -> None:
            reasons.append(reason)

    reasons: list[Exception] = []
    await start(node, Nothing())
    await eventually(lambda: reasons)
    assert [type(reason) for reason in reasons] == [gen.TerminateNormal]


# --- mailbox ---------------------------------------------------------------------------------------------


async def test_a_meta_process_has_a_system_and_a_main_lane(node: homing.Node) -> None:
    source = Meta()
    gate = asyncio.Event()
    _, alias = await start(node, source)
    node.send(alias, lambda self: gate.wait())
    await eventually(lambda: node.meta_info(alias).state is gen.ProcessState.RUNNING)
    for priority in gen.MessagePriority:
        node.send(alias, priority, priority)
    mailbox = node.meta_info(alias).mailbox
    assert (mailbox.urgent, mailbox.system, mailbox.main) == (0, 2, 1)
    gate.set()
    await eventually(lambda: len(source.got) == 4)
    assert [message.name for _, message in source.got[1:]] == ["HIGH", "MAX", "NORMAL"]


async def test_a_full_mailbox_of_a_meta_process_refuses_and_lets_inspections_and_exits_pass(node: homing.Node) -> None:
    source = Meta()
    gate = asyncio.Event()
    parent, alias = await start(node, source, mailbox_size=1)
    node.send(alias, lambda self: gate.wait())
    await eventually(lambda: node.meta_info(alias).state is gen.ProcessState.RUNNING)
    for priority in (gen.MessagePriority.NORMAL, gen.MessagePriority.HIGH):
        node.send(alias, "fits", priority)
        with pytest.raises(gen.MailboxFull, match="limit 1"):
            node.send(alias, "does not", priority)
    inspection = asyncio.create_task(node.inspect_meta(alias, "a", "b"))
    await eventually(lambda: node.info().open_calls)
    await node.call(parent, lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    gate.set()
    assert await inspection == {"items": ("a", "b")}
    await eventually(lambda: source.reasons)
    assert isinstance(source.reasons[0], gen.TerminateShutdown)


async def test_one_message_at_a_time_also_beside_its_start(node: homing.Node) -> None:
    inside: list[int] = []

    class Careful(Meta):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            inside.append(message)
            await asyncio.sleep(0)
            self.got.append((sender, tuple(inside)))
            inside.remove(message)

    source = Careful()
    _, alias = await start(node, source)
    for number in range(20):
        node.send(alias, number)
    await eventually(lambda: len(source.got) == 20)
    assert [seen for _, seen in source.got] == [(number,) for number in range(20)]


async def test_a_call_to_a_meta_process_that_ends_is_told_at_once(node: homing.Node) -> None:
    _, alias = await start(node, Meta())
    error = ValueError("broken")
    with pytest.raises(gen.MetaTerminated) as caught:
        await node.call(alias, throw(error), timeout=3600)
    assert (caught.value.target, caught.value.reason) == (alias, error)


# --- links and info --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda node, parent, alias: node.send(alias, throw(ValueError("x"))), ValueError),
        (lambda node, parent, alias: node.send(alias, throw_later(ValueError("x"))), ValueError),
        (lambda node, parent, alias: node.send(alias, throw(gen.TerminateNormal)), gen.TerminateNormal),
        (lambda node, parent, alias: node.send(alias, throw(SystemExit)), gen.TerminatePanic),
        (lambda node, parent, alias: exit_meta(node, parent, alias), LookupError),
        (lambda node, parent, alias: node.kill(parent), gen.TerminateKill),
        (lambda node, parent, alias: node.send_exit(parent, gen.TerminateShutdown), gen.TerminateShutdown),
        (lambda node, parent, alias: node.send(parent, throw(ValueError("x"))), ValueError),
    ],
    ids=["crash", "later crash", "normal", "panic", "exit", "parent killed", "parent's exit", "parent's crash"],
)
@pytest.mark.parametrize("way", ["link", "monitor"])
@pytest.mark.parametrize("kind", [Meta, Thread])
async def test_who_is_linked_to_a_meta_process_or_monitors_it_is_told_its_reason(
    node: homing.Node, probe: Probe, end: Any, reason: type[Exception], way: str, kind: type[Meta]
) -> None:
    source = kind()
    parent, alias = await start(node, source)
    await probe.do(lambda actor: getattr(actor, way)(alias))
    end(node, parent, alias)
    kind_, sender, message = await probe.next()
    assert (kind_, sender, message.alias, type(message.reason)) == ("message", parent, alias, reason)
    assert type(message) is (gen.MessageExitAlias if way == "link" else gen.MessageDownAlias)
    assert [type(each) for each in source.reasons] == [reason]
    assert node.info().metas == 0


def exit_meta(node: homing.Node, parent: gen.PID, alias: gen.Alias) -> None:
    node.send(parent, lambda actor: actor.send_exit_meta(alias, LookupError))


async def test_a_meta_process_may_start_another_of_the_same_parent(node: homing.Node) -> None:
    first, second = Meta(), Meta()
    parent, alias = await start(node, first)
    child = await node.call(alias, lambda self: self.process.spawn_meta(second))
    assert second.process.parent == parent
    assert set(node.process_info(parent).metas) == {alias, child}
    node.send(parent, throw(gen.TerminateShutdown))
    await eventually(lambda: node.info().metas == 0)
    assert [type(reason) for reason in first.reasons + second.reasons] == [gen.TerminateShutdown] * 2


async def test_its_environment_is_its_parents(node: homing.Node) -> None:
    source = Meta()
    parent = await node.spawn(Doer, options=gen.ProcessOptions(env={"a": 1}))
    await node.call(parent, lambda actor: actor.spawn_meta(source))
    assert dict(source.process.env) == {"a": 1}


async def test_meta_info_tells_what_it_is_and_has_done(node: homing.Node) -> None:
    parent, alias = await start(node, Meta(), mailbox_size=7)
    node.send(alias, "one")
    assert await node.call(alias, "two") == ("answer", "two")
    info = node.meta_info(alias)
    assert (info.id, info.behavior, info.parent, info.mailbox_size) == (alias, "Meta", parent, 7)
    assert (info.messages_in, info.state) == (2, gen.ProcessState.SLEEP)
    assert 0 < info.running_time < info.uptime


async def test_inspecting_a_meta_process_asks_its_handle_inspect(node: homing.Node, probe: Probe) -> None:
    class Broken(Meta):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            raise KeyError(items)

    _, alias = await start(node, Meta())
    assert await probe.do(lambda actor: actor.inspect_meta(alias, "x")) == {"items": ("x",)}
    _, broken = await start(node, Broken())
    with pytest.raises(KeyError):
        await node.inspect_meta(broken, "x")
    assert node.info().metas == 2


async def test_an_unhandled_message_to_a_meta_process_is_logged(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Silent(gen.MetaBehavior):
        async def start(self) -> None:
            await asyncio.Event().wait()

    _, alias = await start(node, Silent())
    node.send(alias, b"datagram")
    await eventually(lambda: caplog.messages == [f"unhandled message of type bytes from {node.pid}"])


async def test_a_process_may_be_killed_by_its_own_meta_process(node: homing.Node) -> None:
    """Its handler is the last thing that runs of it, whatever waits."""
    source = Meta()
    parent, alias = await start(node, source)
    node.send(alias, lambda self: node.kill(parent))
    node.send(alias, "never")
    await eventually(lambda: node.processes() == [])
    assert [type(reason) for reason in source.reasons] == [gen.TerminateKill]
    assert len(source.got) == 1


@pytest.mark.parametrize("where", ["start", "handler", "handler that gives back a coroutine"])
async def test_a_task_of_a_meta_process_that_ends_its_own_parent_is_cancelled(node: homing.Node, where: str) -> None:
    cancelled: list[str] = []

    async def end(self: Any) -> None:
        await asyncio.sleep(0)
        node.kill(self.process.parent)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(where)

    class Ends(Meta):
        async def start(self) -> None:
            await (end(self) if where == "start" else super().start())

    source = Ends()
    _, alias = await start(node, source)
    if where == "handler":
        node.send(alias, end)
    elif where != "start":

        def kill_and_wait(self: Any) -> Any:
            node.kill(self.process.parent)
            return asyncio.sleep(3600)

        node.send(alias, kill_and_wait)
        cancelled.append(where)
    await eventually(lambda: cancelled and len(busy_tasks(node)) == 1)
    assert [type(reason) for reason in source.reasons] == [gen.TerminateKill]


async def test_an_actor_cannot_be_started_as_a_meta_process(node: homing.Node, probe: Probe) -> None:
    async def attempt(actor: act.Actor) -> None:
        for junk in (Meta, Doer(), None):
            with pytest.raises(gen.BadOption, match="behavior"):
                await actor.spawn_meta(junk)  # type: ignore[arg-type]

    await probe.do(attempt)
