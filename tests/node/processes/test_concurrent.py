"""Asynchronous callbacks of one process side by side: `ProcessOptions.concurrency`."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork, run_virtual

from ...support import Probe, eventually
from ..actors import QUIET, Doer

COLOR: ContextVar[str] = ContextVar("COLOR", default="none")


class Worker(act.Actor):
    """Handles each request (seconds, tag), and each function it is sent; notes what begins and ends."""

    def init(self) -> None:
        self.begun: list[Any] = []
        self.ended: list[Any] = []
        self.now = self.most = 0

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        seconds, tag = request
        self.begun.append(tag)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.now -= 1
        self.ended.append(tag)
        return tag

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        return message(self)


def beside(concurrency: int, **more: Any) -> gen.ProcessOptions:
    return gen.ProcessOptions(concurrency=concurrency, **more)


def behavior(node: homing.Node, pid: gen.PID) -> Any:
    return node._core.processes[pid].behavior


async def held(node: homing.Node, pid: gen.PID, count: int) -> list[asyncio.Event]:
    """Makes `count` callbacks wait, each for an event of its own, and returns the events."""
    events = [asyncio.Event() for _ in range(count)]
    for event in events:
        node.send(pid, lambda actor, event=event: _wait(event))
    await eventually(lambda: node.process_info(pid).in_flight == count, "the callbacks in flight")
    return events


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


# --- side by side -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("concurrency", "seconds"), [(1, 4.0), (50, 0.08), (200, 0.02)])
def test_two_hundred_questions_take_as_long_as_those_that_run_one_after_the_other(
    concurrency: int, seconds: float
) -> None:
    async def ask() -> float:
        async with homing.start_node("questions@localhost", QUIET) as node:
            pid = await node.spawn(Worker, options=beside(concurrency))
            start = asyncio.get_running_loop().time()
            answers = await asyncio.gather(*(node.call(pid, (0.02, tag), timeout=9) for tag in range(200)))
            took = asyncio.get_running_loop().time() - start
            assert answers == list(range(200))
            assert behavior(node, pid).begun == list(range(200))
            assert behavior(node, pid).most == concurrency
            return took

    assert run_virtual(ask) == pytest.approx(seconds)


async def test_callbacks_begin_in_the_order_of_arrival_also_where_plain_ones_are_between(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(500))
    begun: list[int] = []
    gate = asyncio.Event()

    async def wait(number: int) -> None:
        begun.append(number)
        await gate.wait()

    for number in range(400):  # more than there are tasks in advance
        node.send(pid, lambda actor, number=number: begun.append(number) if number % 3 else wait(number))
    await eventually(lambda: len(begun) == 400)
    assert begun == list(range(400))
    gate.set()


async def test_a_plain_callback_runs_while_others_wait(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(3))
    await held(node, pid, 2)
    seen: list[int] = []
    node.send(pid, lambda actor: seen.append(1))
    await eventually(lambda: seen)


async def test_at_the_limit_the_mailbox_waits_and_higher_lanes_go_first(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(2))
    events = await held(node, pid, 2)
    seen: list[str] = []
    node.send(pid, lambda actor: seen.append("main"))
    node.send(pid, lambda actor: seen.append("system"), gen.MessagePriority.HIGH)
    node.send(pid, lambda actor: seen.append("urgent"), gen.MessagePriority.MAX)
    await asyncio.sleep(0.01)
    assert seen == []
    events[1].set()
    await eventually(lambda: len(seen) == 3)
    assert seen == ["urgent", "system", "main"]


async def test_each_callback_has_a_task_and_context_variables_of_its_own(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(5))
    found: list[tuple[str, str, Any]] = []

    async def paint(color: str) -> None:
        before, task = COLOR.get(), asyncio.current_task()
        COLOR.set(color)
        await asyncio.sleep(0.001)
        found.append((before, COLOR.get(), task))
        assert asyncio.current_task() is task

    for number in range(5):
        node.send(pid, lambda actor, number=number: paint(str(number)))
    await eventually(lambda: len(found) == 5)
    assert sorted(found, key=lambda each: each[1])[0][:2] == ("none", "0")
    assert {before for before, _, _ in found} == {"none"}
    assert len({id(task) for _, _, task in found}) == 5


async def test_a_callback_that_never_waits_makes_no_task(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(5))
    await held(node, pid, 1)  # a callback task is there from now on
    await asyncio.sleep(0)
    seen: list[bool] = []
    node.send(pid, lambda actor: _wait(_set()))
    await asyncio.sleep(0)
    before = asyncio.all_tasks()

    async def note() -> None:
        seen.append(asyncio.all_tasks() == before)

    for _ in range(300):
        node.send(pid, lambda actor: note())
    await eventually(lambda: len(seen) == 300)
    assert all(seen)


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def test_events_and_requests_to_names_and_aliases_run_beside_each_other(node: homing.Node, probe: Probe) -> None:
    begun: list[Any] = []
    gate = asyncio.Event()

    class Split(act.Actor):
        split_handle = True

        def init(self, event: gen.Event) -> None:
            self.link_event(event)
            self.alias = self.create_alias()

        async def handle_message_name(self, name: str, sender: Any, message: Any) -> None:
            await self.note("name", message)

        async def handle_message_alias(self, alias: gen.Alias, sender: Any, message: Any) -> None:
            await self.note("alias", message)

        async def handle_call_name(self, name: str, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            await self.note("call name", request)
            return request

        async def handle_event(self, event: gen.MessageEvent) -> None:
            await self.note("event", event.message)

        async def note(self, kind: str, what: Any) -> None:
            begun.append((kind, what))
            await gate.wait()

    event, token = await probe.do(lambda actor: _event(actor))
    pid = await node.spawn(Split, event, name="split", options=beside(9))
    node.send("split", 1)
    node.send(behavior(node, pid).alias, 2)
    call = asyncio.ensure_future(node.call("split", 3))
    await asyncio.sleep(0)
    await probe.do(lambda actor: actor.send_event(event.name, token, 4))
    await eventually(lambda: len(begun) == 4)
    assert begun == [("name", 1), ("alias", 2), ("call name", 3), ("event", 4)]
    assert node.process_info(pid).in_flight == 4
    gate.set()
    assert await call == 3


def _event(actor: Any) -> tuple[gen.Event, Any]:
    token = actor.register_event("news")
    return gen.Event("news", actor.node), token


async def test_no_reply_and_an_answer_from_elsewhere_work(node: homing.Node) -> None:
    class Late(act.Actor):
        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: int) -> Any:
            await asyncio.sleep(0.001)
            self.send_response(sender, ref, request + 1)
            return gen.NO_REPLY

    pid = await node.spawn(Late, options=beside(10))
    assert await asyncio.gather(*(node.call(pid, number) for number in range(30))) == list(range(1, 31))


# --- calls from several callbacks -----------------------------------------------------------------------------


class Caller(act.Actor):
    """Passes each request on to another process, and answers with its answer."""

    def init(self, to: gen.PID, timeout: float = 5.0) -> None:
        self.to = to
        self.timeout = timeout

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        try:
            return await self.call(self.to, request, timeout=self.timeout)
        except gen.HomingError as error:
            return type(error)


async def test_each_callback_gets_the_answer_to_its_own_call(node: homing.Node) -> None:
    worker = await node.spawn(Worker, options=beside(50))
    caller = await node.spawn(Caller, worker, options=beside(50))
    requests = [((37 * tag % 50) / 10_000, tag) for tag in range(200)]
    assert await asyncio.gather(*(node.call(caller, request) for request in requests)) == list(range(200))
    assert node.process_info(caller).state is gen.ProcessState.SLEEP


async def test_one_call_that_times_out_does_not_touch_the_others(node: homing.Node) -> None:
    worker = await node.spawn(Worker, options=beside(50))
    caller = await node.spawn(Caller, worker, 0.05, options=beside(50))
    answers = await asyncio.gather(*(node.call(caller, (9 if tag == 3 else 0.001, tag)) for tag in range(6)))
    assert answers == [0, 1, 2, gen.CallTimeout, 4, 5]


async def test_all_callbacks_learn_that_their_callee_has_ended(node: homing.Node) -> None:
    worker = await node.spawn(Worker, options=beside(50))
    caller = await node.spawn(Caller, worker, options=beside(50))
    calls = asyncio.gather(*(node.call(caller, (9, tag)) for tag in range(20)))
    await eventually(lambda: node.process_info(worker).in_flight == 20)
    assert node.process_info(caller).state is gen.ProcessState.WAIT_RESPONSE
    node.kill(worker)
    assert await calls == [gen.ProcessTerminated] * 20


async def test_two_processes_may_ask_each_other(node: homing.Node) -> None:
    class Peer(act.Actor):
        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            other, depth = request
            return depth if depth == 0 else await self.call(other, (self.pid, depth - 1)) + 1

    one = await node.spawn(Peer, options=beside(20))
    other = await node.spawn(Peer, options=beside(20))
    assert await node.call(one, (other, 15)) == 15


async def test_one_cancelled_callback_ends_the_process_like_any_other_process(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Worker, options=beside(5))
    tasks: list[Any] = []

    async def wait() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.Event().wait()

    node.send(pid, lambda actor: wait())
    node.send(pid, lambda actor: wait())
    await eventually(lambda: len(tasks) == 2)
    await probe.do(lambda actor: actor.monitor_pid(pid))
    tasks[0].cancel()
    down = await probe.get()
    assert isinstance(down.reason, gen.TerminateKill)


async def test_links_and_monitors_of_callbacks_arrive(node: homing.Node) -> None:
    down: list[Any] = []

    class Watcher(act.Actor):
        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            child = await self.spawn(Doer)
            self.monitor_pid(child)
            self.send_exit(child, gen.TerminateNormal)
            await asyncio.sleep(0.001)
            return child

        async def handle_message(self, sender: Any, message: Any) -> None:
            await asyncio.sleep(0.001)
            down.append(message.pid)

    pid = await node.spawn(Watcher, options=beside(10))
    children = await asyncio.gather(*(node.call(pid, None) for _ in range(10)))
    await eventually(lambda: len(down) == 10)
    assert set(down) == set(children)


# --- the mailbox ----------------------------------------------------------------------------------------------


async def test_messages_in_flight_count_for_the_size_of_the_mailbox(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(3, mailbox_size=5))
    await held(node, pid, 3)
    node.send(pid, print)
    node.send(pid, print)
    with pytest.raises(gen.MailboxFull):
        node.send(pid, print)
    info = node.process_info(pid)
    assert (info.in_flight, info.mailbox.main, info.messages_in) == (3, 2, 5)


async def test_a_pool_gives_a_message_to_the_worker_with_the_fewest_in_flight(node: homing.Node) -> None:
    gate = asyncio.Event()
    took: dict[gen.PID, int] = {}

    class Slow(act.Actor):
        async def handle_message(self, sender: Any, message: Any) -> None:
            took[self.pid] = took.get(self.pid, 0) + 1
            await gate.wait()

    class Pool(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Slow, pool_size=4, route="least", worker_options=beside(100))

    pool = await node.spawn(Pool)
    for number in range(40):
        node.send(pool, number)
        await asyncio.sleep(0)
    await eventually(lambda: sum(took.values()) == 40)
    assert list(took.values()) == [10] * 4
    gate.set()


async def test_the_running_time_is_that_of_all_callbacks(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(4))

    async def work() -> None:
        await asyncio.sleep(0)
        end = asyncio.get_running_loop().time() + 0.02
        while asyncio.get_running_loop().time() < end:
            pass

    for _ in range(3):
        node.send(pid, lambda actor: work())
    await eventually(lambda: node.process_info(pid).running_time >= 0.05)
    assert node.process_info(pid).running_time < 5


async def test_batches_of_one_server_run_beside_each_other(node: homing.Node) -> None:
    begun: list[bytes] = []
    gate = asyncio.Event()

    class Server(act.Actor):
        async def init(self) -> None:
            await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host="10.0.0.1", port=1)))

        async def handle_datagrams(self, batch: Any) -> None:
            begun.append(batch[0].data)
            await gate.wait()
            begun.append(batch[0].data)

    with FakeNetwork(seed=1) as network:
        pid = await node.spawn(Server, options=beside(9))
        peer = network.socket("10.0.0.2", 5)
        for number in range(3):
            peer.send(b"%d" % number, ("10.0.0.1", 1))
            await eventually(lambda number=number: len(begun) == number + 1)
        assert node.process_info(pid).in_flight == 3
        gate.set()
        await eventually(lambda: len(begun) == 6)
    assert begun == [b"0", b"1", b"2"] * 2


async def test_a_server_pauses_when_as_many_as_its_high_water_are_in_flight(node: homing.Node) -> None:
    begun: list[bytes] = []
    gate = asyncio.Event()

    class Server(act.Actor):
        async def init(self) -> None:
            options = meta.UDPServerOptions(host="10.0.0.1", port=1, high_water=8, low_water=2)
            self.udp = await self.spawn_meta(meta.create_udp_server(options))

        async def handle_message(self, sender: Any, message: Any) -> None:
            begun.append(message.data)
            await gate.wait()

    with FakeNetwork(seed=1) as network:
        pid = await node.spawn(Server, options=beside(50))
        peer = network.socket("10.0.0.2", 5)
        for number in range(20):
            peer.send(b"%d" % number, ("10.0.0.1", 1))
            await asyncio.sleep(0)
        server = behavior(node, pid).udp
        await eventually(lambda: len(begun) == 8)
        assert (await node.inspect_meta(server))["waiting_for"] == "mailbox"
        assert node.process_info(pid).in_flight == 8
        gate.set()
        await eventually(lambda: len(begun) == 20)
    assert begun == [b"%d" % number for number in range(20)]


# --- options --------------------------------------------------------------------------------------------------


async def _key(message: Any) -> int:
    return 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": -1}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"concurrency": "9"}, "concurrency"),
        ({"concurrency": None}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": 2, "thread": True}, "concurrency"),
        ({"concurrency_key": "sources"}, "concurrency_key"),
        ({"concurrency_key": 3}, "concurrency_key"),
        ({"concurrency_key": _key}, "concurrency_key"),
    ],
)
def test_a_wrong_option_is_refused_with_its_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(gen.BadOption, match=named):
        gen.ProcessOptions(**options)


@pytest.mark.parametrize("base", [act.Pool, act.Supervisor, act.Router])
async def test_a_process_that_works_on_the_runtime_itself_cannot_have_it(node: homing.Node, base: Any) -> None:
    with pytest.raises(gen.BadOption, match="concurrency"):
        await node.spawn(type("Own", (base,), {}), options=beside(2))
    assert node.info().processes == 0
